"""A language model that hears the user itself, and a voice: turns, interruptions, tools and history as in a pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import numpy as np
import pytest

from locara import voice
from locara.audio import RATE
from locara.engines.contracts import Message, Sound, ToolCall
from locara.errors import ConfigError, EngineFailed
from locara.testing import (
    EnergyDetector,
    Fault,
    Line,
    Noise,
    Result,
    Room,
    ScriptedModel,
    ScriptedVoice,
    Spoken,
    run,
)
from locara.testing.scripted import speech_like
from locara.voice import Session
from locara.voice.history import NOT_KEPT, Said, as_messages
from locara.voice.kept_sound import over_budget

from .scenes import check_story

REPLIES = ("It is noon now and the sun is high up in the sky.", "It is Sunday today.", "Yes, it is.")
LINES = (Line(0.5, "what time is it now"), Line(7.5, "and what day is it now"))


def _play(
    lines: Sequence[Line | Noise] = LINES,
    model: ScriptedModel | None = None,
    *,
    more: float = 6.0,
    acts: Callable[[Session], Coroutine[Any, Any, None]] | None = None,
    **settings: Any,
) -> tuple[Result, ScriptedModel, dict[str, str]]:
    model = model or ScriptedModel(REPLIES, hears=True)
    capabilities: dict[str, str] = {}

    async def main() -> Result:
        script = [Spoken(one.at, one.end if isinstance(one, Line) else one.at + one.seconds, "") for one in lines]
        end = max((one.end for one in script), default=0.0)
        room = Room(speech_like(script, end + 0.1))
        session = voice.session(
            llm={"model": model, "audio_input": True, "system": "Be brief."},
            tts=ScriptedVoice(),
            vad=EnergyDetector(),
            input=room.microphone,
            output=room.speaker,
            turn_detection="silence",
            **settings,
        )
        capabilities.update(session.capabilities)
        streams: tuple[tuple[Any, list[Any]], ...] = tuple(
            (stream(), []) for stream in (session.events, session.raw_input, session.raw_output)
        )

        async def collect(stream: Any, into: list[Any]) -> None:
            async for one in stream:
                into.append(one)

        taps = [asyncio.create_task(collect(*one)) for one in streams]
        try:
            async with session:
                assert set(session.plan) == {"vad", "llm", "tts"}
                acting = asyncio.create_task(acts(session)) if acts is not None else None
                await asyncio.sleep(end + more)
                if acting is not None:
                    acting.cancel()
                    await asyncio.gather(acting, return_exceptions=True)
        finally:
            await asyncio.gather(*taps)
        heard, played = (np.concatenate(one[1]) for one in streams[1:])
        return Result(streams[0][1], heard, played, session.output_rate, session.history, session.metrics())

    result = run(main())
    check_story(result, words=False)
    return result, model, capabilities


def _sounds(messages: Sequence[Message]) -> list[Sound]:
    return [sound for message in messages for sound in message.sounds]


def _where(sound: Sound, result: Result) -> float:
    """At which second of the input this sound begins; it must be one piece of it, sample by sample."""
    windows = np.lib.stride_tricks.sliding_window_view(result.input, sound.samples.size)
    (at, *_) = [at for at in range(0, len(windows), 320) if np.array_equal(windows[at], sound.samples)]
    return at / RATE


def test_the_model_is_given_what_the_user_said_as_it_sounded() -> None:
    result, model, capabilities = _play()
    assert {kind for kind, how in capabilities.items() if how == "absent"} == {"partial-transcript", "final-transcript"}
    assert not result.of("partial-transcript", "final-transcript", "error")
    assert [one.reason for one in result.turn_ends("assistant")] == ["finished", "finished"]
    for turn, reply in enumerate(REPLIES[:2]):
        assert "".join(one.text for one in result.of("llm-token") if one.turn == turn) == reply
    asked = model.asked[-1]
    assert [one.role for one in asked] == ["system", "user", "assistant", "user"]
    assert [one.content for one in asked if one.role == "user"] == ["", ""]
    for line, sound in zip(LINES, _sounds(asked), strict=True):
        assert sound.samples.dtype == np.float32
        began = _where(sound, result)
        assert line.at - 0.5 <= began <= line.at
        assert line.end <= began + sound.samples.size / RATE <= line.end + 0.8


def test_the_reply_is_prepared_while_the_end_of_the_turn_is_decided_and_no_recogniser_costs_anything() -> None:
    result, _, _ = _play()
    for end in result.turn_ends("user"):
        assert end.latency.stt == end.latency.llm_first_token == end.latency.tts_first_chunk == 0.0
    slow, _, _ = _play(model=ScriptedModel(REPLIES, hears=True, first_token=1.5))
    for end in slow.turn_ends("user"):
        assert end.latency.stt == 0.0
        assert 0.5 < end.latency.llm_first_token < 1.5


def test_what_a_reply_was_asked_with_stays_the_same_sound_in_the_next_prompt() -> None:
    _, model, _ = _play()
    first = next(messages for messages in model.asked if len(_sounds(messages)) == 1)
    last = model.asked[-1]
    assert _sounds(first)[0] is _sounds(last)[0]  # else nothing that was read could be kept


@pytest.mark.parametrize("pause", [0.2, 0.3, 0.5])
def test_a_pause_within_a_turn_makes_one_sound_of_both_parts(pause: float) -> None:
    lines = (Line(0.5, "what time", 0.9), Line(1.4 + pause, "is it now", 0.9))
    result, model, _ = _play(lines)
    assert len(result.turn_ends("user")) == 1
    (sound,) = _sounds(model.asked[-1])
    # Of the pause a part is left out, as for a recogniser; of what was said nothing is missing and nothing comes twice.
    assert np.count_nonzero(sound.samples) == np.count_nonzero(result.input) > RATE
    assert sound.samples.size <= (lines[1].end - lines[0].at + 1.0) * RATE


def test_an_interruption_leaves_what_was_heard_and_the_next_turn_has_both_sounds() -> None:
    lines = (LINES[0], Line(3.6, "stop please now that will do", 2.0))
    result, model, _ = _play(lines)
    (barge,) = result.of("barge-in")
    assert 0 < len(barge.heard_text) < len(REPLIES[0])
    asked = model.asked[-1]
    assert [one.role for one in asked] == ["system", "user", "assistant", "user"]
    assert asked[2].content.startswith(barge.heard_text)
    assert len(_sounds(asked)) == 2


def test_a_cough_leaves_no_sound_behind() -> None:
    result, model, _ = _play((LINES[0], Noise(3.6, 0.3), Line(8.0, "and what day is it")))
    assert len(result.of("resume")) == 1
    assert len(_sounds(model.asked[-1])) == 2


def test_what_is_typed_is_text_among_the_sounds() -> None:
    async def acts(session: Session) -> None:
        await asyncio.sleep(6.0)
        session.send_text("And the day?")

    result, model, _ = _play(LINES[:1], acts=acts, more=9.0)
    users = [one for one in model.asked[-1] if one.role == "user"]
    assert [(one.content, len(one.sounds)) for one in users] == [("", 1), ("And the day?", 0)]
    assert result.texts("final-transcript") == ["And the day?"]


def test_a_tool_is_called_for_what_was_heard() -> None:
    ran = []

    def light(on: bool) -> str:
        """Switches the light."""
        ran.append(on)
        return "done"

    model = ScriptedModel([[ToolCall("1", "light", {"on": True})], "It is on."], hears=True)
    result, _, _ = _play(LINES[:1], model, tools=[light])
    assert ran == [True]
    assert [one.name for one in result.of("tool-call")] == ["light"]
    assert "".join(result.texts("llm-token")) == "It is on."
    assert [one.role for one in model.asked[-1]] == ["system", "user", "assistant", "tool"]


def test_a_given_text_is_said() -> None:
    async def acts(session: Session) -> None:
        await session.say("Welcome.")

    result, _, _ = _play((Line(3.0, "what time is it now"),), acts=acts)
    assert [one.reason for one in result.turn_ends("assistant")] == ["finished", "finished"]


@pytest.mark.parametrize("kind", ["raises", "hangs"])
def test_a_model_that_fails_is_told_and_the_next_turn_works(kind: Any) -> None:
    model = ScriptedModel(REPLIES, hears=True, fault=Fault(kind, "reply", 0))
    result, _, _ = _play(model=model, deadlines=voice.Deadlines(first_token=1.0))
    assert {one.stage for one in result.of("error")} == {"llm"}
    assert result.turn_ends("assistant")[-1].reason == "finished"


def test_a_model_without_ears_is_refused_before_the_session_starts() -> None:
    with pytest.raises(EngineFailed, match="takes no sound") as caught:
        _play(model=ScriptedModel(REPLIES))
    assert (caught.value.stage, bool(caught.value.hint)) == ("llm", True)


def test_a_recogniser_beside_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="hears by itself"):
        voice.session(stt="pocketsphinx", llm={"model": "http://127.0.0.1:1/v1", "audio_input": True})


# --- what is kept -----------------------------------------------------------------------------------------------------


def _sound(seconds: float) -> Sound:
    return Sound(np.zeros(round(seconds * RATE), dtype=np.float32))


def test_old_sounds_go_by_half_and_the_newest_always_stays() -> None:
    sounds = {turn: _sound(2.0) for turn in range(9)}
    assert over_budget(dict(list(sounds.items())[:8]), 8, 40 * RATE) == ()
    assert over_budget(sounds, 8, 40 * RATE) == (0, 1, 2, 3, 4)
    assert over_budget(sounds, 100, 10 * RATE) == (0, 1, 2, 3, 4, 5, 6)
    assert over_budget({4: _sound(90)}, 8, 40 * RATE) == ()
    assert over_budget({4: _sound(1), 5: _sound(90)}, 8, 40 * RATE) == (4,)


def test_a_turn_whose_sound_is_gone_is_still_known_to_have_been() -> None:
    kept = _sound(1.0)
    history = [Said(0, "user", ""), Said(0, "assistant", "Yes."), Said(1, "user", "")]
    messages = as_messages(history, sound_of={1: kept}.get)
    assert [(one.role, one.content) for one in messages] == [("user", NOT_KEPT), ("assistant", "Yes."), ("user", "")]
    assert messages[2].sounds == (kept,)


def test_sound_counts_in_what_a_model_is_given() -> None:
    sounds = {turn: _sound(10.0) for turn in range(6)}
    history = [Said(turn, role, "") for turn in range(6) for role in ("user",)]
    assert len(as_messages(history, 3_500, sounds.get)) == 2  # 1,000 characters each; half goes at a time
