"""A model that leads: the same events as from every other form, where its turns begin and end is estimated."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from locara import voice
from locara.engines.backend import BackendSettings, Lag, UserTyped
from locara.errors import ConfigError, StageError
from locara.testing import (
    EnergyDetector,
    Fault,
    Line,
    Mishap,
    Noise,
    Result,
    Room,
    ScriptedDuplex,
    ScriptedRecogniser,
    ScriptedWakeWord,
    Spoken,
    run,
)
from locara.testing.scripted import speech_like
from locara.voice import Deadlines, Session, deriving
from locara.voice.loop import AFTER_INPUT_SECONDS

from .scenes import Doing, during, sound_of, talk_to

LONG = "It is noon now and the sun is high up in the sky and there it stays for a while."
SHORT = Deadlines(load=1.0, push=0.5, first_sound=0.9, sound=0.7, close=0.5)
LINES = (Line(0.5, "what time is it now"), Line(10.0, "and what day is it now"))


def _play(
    model: ScriptedDuplex,
    lines: Sequence[Line | Noise] = LINES,
    *,
    more: float = 6.0,
    act: Doing | None = None,
    **settings: Any,
) -> tuple[Result, dict[str, str]]:
    return talk_to(model, lines, more=more, act=act, deadlines=SHORT, **settings)


def _ends(result: Result) -> list[tuple[str, str]]:
    return [(one.who, one.reason) for one in result.of("turn-end")]


def test_a_conversation_has_the_events_of_every_form_and_says_which_are_estimated() -> None:
    result, capabilities = _play(ScriptedDuplex([LONG, "It is Sunday."]))
    assert _ends(result) == [
        ("user", "complete"),
        ("assistant", "finished"),
        ("user", "complete"),
        ("assistant", "finished"),
    ]
    assert capabilities["turn-end"] == capabilities["barge-in"] == "estimated"
    assert capabilities["final-transcript"] == "absent"
    for turn, reply in enumerate((LONG, "It is Sunday.")):
        assert "".join(one.text for one in result.of("llm-token") if one.turn == turn) == reply
    assert [one.text for one in result.history if hasattr(one, "text")] == [LONG, "It is Sunday."]


def test_the_latency_is_from_the_end_of_speech_to_the_first_sound_that_can_be_heard() -> None:
    result, _ = _play(ScriptedDuplex(delay=0.24))
    for end in result.turn_ends("user"):
        assert end.latency is not None
        total = end.latency.total
        assert 0.24 <= total <= 0.24 + 0.16 + 0.02 + 0.04  # its own delay, its frames, our slack, a block


def test_the_model_hears_every_sample_once_whether_somebody_speaks_or_not() -> None:
    model = ScriptedDuplex(input_rate=16_000)
    result, _ = _play(model)
    heard = model.heard
    given = result.input[: heard.size]
    assert heard.size >= result.input.size - 16_000 // 5
    np.testing.assert_array_equal(heard, given)


@pytest.mark.parametrize("rate", [16_000, 24_000])
def test_a_frame_reaches_it_with_the_last_block_that_makes_it_whole_at_any_rate(rate: int) -> None:
    result, _ = _play(ScriptedDuplex(input_rate=rate))
    assert result.metrics["omni_delay"] == 0.0  # it answers at once


def test_its_sound_is_played_whole_and_in_one_piece() -> None:
    result, _ = _play(ScriptedDuplex([LONG]), LINES[:1], more=9.0)
    sound = sound_of(result.events, 0)
    begin = next(one.t for one in result.of("audio-chunk"))
    played = during(result, begin - 0.1, begin + sound.size / result.output_rate + 0.3)
    at = int(np.argmax(np.abs(played) > 1e-3)) - int(np.argmax(np.abs(sound) > 1e-3))
    np.testing.assert_allclose(played[at : at + sound.size], sound, atol=0.02)


def test_nothing_is_played_and_nothing_told_while_it_is_silent() -> None:
    result, _ = _play(ScriptedDuplex(), (), more=4.0)
    assert not result.of("audio-chunk")
    assert not np.any(result.output)


def test_whoever_speaks_over_it_and_makes_it_stop_has_interrupted_it() -> None:
    lines = (LINES[0], Line(4.0, "stop please now that will do", 2.0))
    result, _ = _play(ScriptedDuplex([LONG, "All right."]), lines)
    assert _ends(result)[1] == ("assistant", "interrupted")
    barge = result.of("barge-in")[0]
    assert LONG.startswith(barge.heard_text)
    assert 0 < len(barge.heard_text) < len(LONG)
    assert barge.t <= 4.0 + 0.32 + deriving.YIELDED_SECONDS + 0.3
    said = [one for one in result.history if isinstance(one, voice.Said)]
    assert said[0].text == barge.heard_text
    assert said[0].interrupted
    assert said[1].text == "All right."


def test_a_model_that_speaks_on_over_the_user_is_neither_lowered_nor_stopped() -> None:
    result, _ = _play(ScriptedDuplex([LONG], yields=None), (LINES[0], Line(4.0, "stop please now that will do", 1.0)))
    assert not result.of("barge-in")
    assert not result.of("resume")
    assert _ends(result)[1][1] == "finished"
    sounding = np.abs(during(result, 4.3, 4.9))
    before = np.abs(during(result, 3.0, 3.6))
    assert float(sounding.max()) > 0.9 * float(before.max())


def test_it_may_speak_unasked() -> None:
    result, _ = _play(ScriptedDuplex(["Are you there?"], openings=[1.0]), (), more=4.0)
    assert _ends(result) == [("assistant", "finished")]
    assert 1.0 <= result.of("audio-chunk")[0].t <= 1.3


def test_a_turn_that_it_does_not_answer_ends_by_itself() -> None:
    result, _ = _play(ScriptedDuplex(delay=60.0), LINES[:1], more=5.0)
    assert _ends(result) == [("user", "complete")]
    assert result.turn_ends("user")[0].latency is None


def test_what_it_writes_down_of_the_user_is_the_transcript() -> None:
    model = ScriptedDuplex(["It is noon."], hears=["what time is it now"])
    result, capabilities = _play(model, LINES[:1])
    assert capabilities["final-transcript"] == "exact"
    assert [one.text for one in result.of("final-transcript")] == ["what time is it now"]
    assert [one.text for one in result.history if hasattr(one, "text")] == ["what time is it now", "It is noon."]


def test_what_is_typed_ends_what_it_says_and_reaches_a_model_that_takes_text() -> None:
    import dataclasses

    model = ScriptedDuplex([LONG])
    model.capabilities = dataclasses.replace(model.capabilities, takes_text=True)

    async def act(session: Session) -> None:
        await asyncio.sleep(4.0)
        await session.send_text("never mind")
        await asyncio.sleep(0.5)

    result, _ = _play(model, LINES[:1], act=act)
    assert UserTyped("never mind") in model.signals
    assert ("user", "typed") in _ends(result)
    assert ("assistant", "interrupted") in _ends(result)


def test_text_for_a_model_that_takes_none_and_a_text_to_be_said_are_refused_with_a_way_out() -> None:
    async def act(session: Session) -> None:
        await asyncio.sleep(0.2)
        await session.send_text("hello")
        await session.say("By the way.")

    result, _ = _play(ScriptedDuplex(), (), more=2.0, act=act)
    errors = result.of("error")
    assert [one.code for one in errors] == ["not-possible", "not-possible"]
    assert all("pipeline" in one.hint for one in errors)


def test_interrupting_it_silences_the_rest_of_what_it_says() -> None:
    async def act(session: Session) -> None:
        await asyncio.sleep(4.0)
        await session.interrupt()

    result, _ = _play(ScriptedDuplex([LONG, "Sunday."]), act=act)
    assert _ends(result)[1] == ("assistant", "cancelled")
    assert not np.any(np.abs(during(result, 4.2, 9.5)) > 1e-4)
    assert _ends(result)[-1] == ("assistant", "finished")  # the next one is heard


@pytest.mark.parametrize("ends", ["limit", "closed", "failed"])
def test_a_session_of_the_model_that_ends_is_told_and_another_begins(ends: str) -> None:
    model = ScriptedDuplex([LONG, "Sunday."], mishaps=[Mishap(3.0, ends)])
    result, _ = _play(model)
    assert [one.fatal for one in result.of("error")][-1] is False
    assert any(one.code == "session-over" for one in result.of("error"))
    assert len(model.settings) == 2
    assert _ends(result)[-1] == ("assistant", "finished")


def test_a_model_that_cannot_be_had_again_ends_the_conversation_with_a_reason() -> None:
    model = ScriptedDuplex([LONG], mishaps=[Mishap(3.0)], fault=Fault("raises", "start_session", 1, lasting=True))
    result, _ = _play(model)
    assert result.of("error")[-1].fatal
    assert result.of("error")[-1].hint
    assert result.of("session-end")[0].reason == "engine-lost"


def test_a_session_that_ends_again_and_again_is_not_begun_for_ever() -> None:
    model = ScriptedDuplex([LONG], mishaps=[Mishap(0.5, "closed")] * 20)
    result, _ = _play(model)
    assert len(model.settings) <= 5
    assert result.of("session-end")[0].reason == "engine-lost"


def test_one_whose_lost_session_cannot_be_ended_does_not_hold_up_the_next() -> None:
    class Stuck(ScriptedDuplex):
        async def stop_session(self, session: str) -> None:
            await super().stop_session(session)
            await asyncio.sleep(3600.0)

    result, _ = _play(Stuck([LONG, "Sunday."], mishaps=[Mishap(3.0, "closed")]))
    assert [one.code for one in result.of("error")] == ["session-over"]
    assert _ends(result)[-1] == ("assistant", "finished")
    assert result.of("session-end")[0].reason == "stopped"


def test_it_cannot_be_told_when_to_speak_and_says_so() -> None:
    async def act(session: Session) -> None:
        session.configure(patience="quick", tail=0.5)
        for asked in ({"answers": "asked"}, {"interruptible": False}, {"system": "Be brief."}):
            with pytest.raises(ConfigError):
                session.configure(**asked)
        refused.append(True)

    refused: list[bool] = []
    _play(ScriptedDuplex(), LINES[:1], act=act)
    assert refused


@pytest.mark.parametrize("kind", ["raises", "hangs"])
def test_a_model_that_does_not_take_sound_is_told(kind: Any) -> None:
    result, _ = _play(ScriptedDuplex(fault=Fault(kind, "push_audio", 20)))
    assert result.of("error")[0].stage == "omni"
    assert _ends(result)[-1] == ("assistant", "finished")


def test_a_model_that_has_no_place_left_is_refused_before_a_device_opens() -> None:
    model = ScriptedDuplex(max_sessions=0)
    with pytest.raises(StageError, match="no place"):
        _play(model)


def test_a_model_that_is_late_is_told_once_and_counted() -> None:
    assert Lag(0.4, 1920)
    result, _ = _play(ScriptedDuplex(lags=[1.0, 1.5, 2.0]))
    assert [one.code for one in result.of("error")] == ["engine-behind"]
    assert result.metrics["omni_skipped_seconds"] == pytest.approx(3 * 0.08)


def test_uneven_frames_are_played_without_gaps() -> None:
    late = [0.0, 0.0, 0.06, 0.0, 0.02, 0.0, 0.0, 0.05]
    result, _ = _play(ScriptedDuplex([LONG, LONG], late=late))
    chunks = [one for one in result.of("audio-chunk") if one.turn == 1]
    start = next(one.t for one in chunks)
    sound = during(result, start + 0.4, start + 4.0)
    quiet = np.abs(sound) < 1e-4
    longest = max(len(one) for one in "".join("x" if q else " " for q in quiet).split(" "))
    assert longest < 0.01 * result.output_rate, "the output ran dry within a sentence"


def test_muted_it_hears_silence_and_its_clock_goes_on() -> None:
    model = ScriptedDuplex(input_rate=16_000)

    async def act(session: Session) -> None:
        session.mute()
        await asyncio.sleep(3.0)

    _play(model, LINES[:1], act=act)
    assert model.heard.size > 6 * 16_000
    assert not np.any(model.heard[16_000 : 3 * 16_000])


def test_with_push_to_talk_it_hears_only_while_the_key_is_down() -> None:
    model = ScriptedDuplex(input_rate=16_000)

    async def act(session: Session) -> None:
        await asyncio.sleep(10.0)
        with session.push_to_talk:
            await asyncio.sleep(1.6)
        await asyncio.sleep(5.0)

    result, _ = _play(model, act=act, attention="push-to-talk")
    assert not np.any(model.heard[: 9 * 16_000])
    assert np.any(model.heard[10 * 16_000 :])
    assert len(result.turn_ends("user")) == 1


def test_instructions_and_voice_reach_its_session() -> None:
    model = ScriptedDuplex()
    _play(model, LINES[:1])
    assert model.settings == [BackendSettings()]


def test_a_recording_ends_the_session_also_where_the_model_never_stops() -> None:
    babble = "and so on " * 100

    async def main() -> tuple[str, float]:
        room = Room(speech_like([Spoken(0.5, 1.5, "")], 2.0))
        session = voice.session(
            omni=ScriptedDuplex([babble], yields=None),
            vad=EnergyDetector(),
            input=room.microphone,
            output=room.speaker,
            end_with_input=True,
        )
        begun = asyncio.get_running_loop().time()
        async with session:
            reason = await session.wait_ended()
        return reason, asyncio.get_running_loop().time() - begun

    reason, took = run(main())
    assert reason == "input-ended"
    assert took == pytest.approx(2.0 + AFTER_INPUT_SECONDS, abs=1.0)


def test_a_recogniser_beside_it_gives_the_users_words() -> None:
    heard = ScriptedRecogniser([Spoken(one.at, one.end, one.text) for one in LINES])
    result, capabilities = _play(ScriptedDuplex([LONG, "It is Sunday."]), stt=heard)
    assert capabilities["final-transcript"] == "exact"
    assert [one.text for one in result.of("final-transcript")] == [one.text for one in LINES]
    said = [one for one in result.history if isinstance(one, voice.Said)]
    assert {one.text for one in said if one.role == "user"} == {one.text for one in LINES}
    assert all(end.latency is not None for end in result.turn_ends("user"))


def test_a_cough_without_words_is_no_turn_where_words_are_known() -> None:
    heard = ScriptedRecogniser([Spoken(20.0, 21.0, "something else")])
    model = ScriptedDuplex([LONG], delay=60.0)
    result, _ = _play(model, (Noise(2.0, 0.3),), stt=heard, more=5.0)
    assert [one.reason for one in result.of("rejected")] == ["no-words"]
    assert not result.of("final-transcript")


def test_with_a_wake_word_it_hears_nothing_before_the_word_and_is_left_alone_again_later() -> None:
    lines = (Line(1.0, "how are you"), Line(5.0, "hey jarvis what time is it"), Line(24.0, "and you"))
    script = [Spoken(one.at, one.end, one.text) for one in lines]
    model = ScriptedDuplex(["It is noon."], input_rate=16_000)
    attention = {"mode": "wake-word", "engine": ScriptedWakeWord(script=script), "follow_up": 4.0}
    result, _ = _play(model, lines, attention=attention, more=4.0)
    assert not np.any(model.heard[: 5 * 16_000]), "before the word it is nobody's business"
    assert np.any(model.heard[6 * 16_000 : 7 * 16_000])
    assert not np.any(model.heard[round(23.8 * 16_000) : 26 * 16_000]), "the exchange is long over"
    assert [one.state for one in result.of("attention")] == ["waiting", "attentive", "waiting"]
    assert ("assistant", "finished") in _ends(result)


def test_a_large_model_is_waited_for_longer_than_the_stages_of_a_pipeline() -> None:
    class Large(ScriptedDuplex):
        async def load(self) -> None:
            await asyncio.sleep(200.0)

    async def main() -> str:
        session = voice.session(omni=Large(), vad=EnergyDetector(), input="none", output="none")
        async with session:
            return session.state[0]

    assert run(main()) == "quiet"
