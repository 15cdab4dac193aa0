"""The push-to-talk key: what is said while it is down is the turn, whatever voice activity thinks of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from locara.audio import RATE
from locara.testing import Conversation, Line, Noise, Result, ScriptedModel, play
from locara.voice import Said, Session
from locara.voice.history import UNHEARD

from .scenes import LONG, NotingRecogniser, Voices, check_story, during, first_audible, spoken

KEY_ONLY = {"attention": "push-to-talk"}
Acts = Callable[[Session], Awaitable[None]]


def held(*times: tuple[float, float]) -> Acts:
    """The key is down from each first second to each second one."""

    async def acts(session: Session) -> None:
        now = 0.0
        for down, up in times:
            await asyncio.sleep(down - now)
            with session.push_to_talk:
                await asyncio.sleep(up - down)
            now = up

    return acts


def _talk(*lines: Line | Noise, more: float = 4.0) -> Conversation:
    return Conversation(lines, replies=["Fine.", "Good."], settings=KEY_ONLY, more=more)


def test_only_the_key_opens_a_turn() -> None:
    result = play(_talk(Line(0.5, "what time is it now"), Noise(3.0, 1.0)))
    check_story(result)
    assert not result.of("speech-start", "turn-end", "final-transcript")


def test_a_held_turn_is_the_words_while_the_key_is_down_with_pre_roll_and_tail() -> None:
    talk = _talk(Line(1.0, "what time is it now"))
    ears = NotingRecogniser(spoken(talk))
    result = play(talk, stt=ears, acts=held((1.2, 2.2)))
    check_story(result)
    assert [one.reason for one in result.turn_ends("user")] == ["released"]
    assert result.texts("final-transcript") == ["what time is it now"]
    given = ears.sound(0)
    start = round((1.2 - 0.3) * RATE)
    found = [
        at for at in range(start - 640, start + 641, 160) if np.array_equal(result.input[at : at + given.size], given)
    ]
    assert found, "the recogniser gets one piece of what was heard, from 300 ms before the key on"
    end = (found[0] + given.size) / RATE
    assert abs(end - 2.5) <= 0.041, "and until 300 ms after it"


@pytest.mark.parametrize("pause", [1.0, 3.0, 5.0])
def test_no_silence_ends_a_held_turn(pause: float) -> None:
    talk = _talk(Line(1.0, "what time"), Line(2.0 + pause, "is it now"))
    result = play(talk, acts=held((0.8, 4.0 + pause)))
    check_story(result)
    assert result.texts("final-transcript") == ["what time is it now"]
    assert [one.reason for one in result.turn_ends("user")] == ["released"]
    assert result.turn_ends("user")[0].t > 4.0 + pause


def test_a_tail_shorter_than_the_word_still_ends_the_turn_on_time() -> None:
    talk = _talk(Line(1.0, "what time is it now", 3.0))
    result = play(talk, acts=held((0.9, 2.0)))
    check_story(result)
    end = result.turn_ends("user")[0]
    assert end.reason == "released"
    assert end.speech_end == pytest.approx(2.3, abs=0.03)
    assert result.texts("final-transcript") == ["what time"]


def test_the_key_takes_the_floor_at_once() -> None:
    talk = Conversation(
        [Line(0.5, "tell me all about it"), Line(4.3, "what time is it now")],
        replies=[LONG, "Noon."],
        settings=KEY_ONLY,
    )
    result = play(talk, tts=Voices(), acts=held((0.4, 2.0), (4.1, 6.0)))
    check_story(result)
    barge = result.of("barge-in")[0]
    assert abs(barge.t - 4.1) <= 0.041
    assert not during(result, 4.1 + 0.08, 4.3).any()
    assert result.texts("final-transcript") == ["tell me all about it", "what time is it now"]
    assert [one.reason for one in result.turn_ends("assistant")] == ["interrupted", "finished"]


def test_a_voice_without_the_key_does_not_disturb_the_assistant() -> None:
    talk = Conversation(
        [Line(0.5, "tell me all about it"), Line(4.3, "stop stop stop")], replies=[LONG], settings=KEY_ONLY, more=8.0
    )
    result = play(talk, tts=Voices(), acts=held((0.4, 2.0)))
    alone = play(
        Conversation([Line(0.5, "tell me all about it")], replies=[LONG], settings=KEY_ONLY, more=11.0),
        tts=Voices(),
        acts=held((0.4, 2.0)),
    )
    assert not result.of("barge-in", "resume")
    n = min(result.output.size, alone.output.size)
    assert np.array_equal(result.output[:n], alone.output[:n])


def test_a_key_that_is_pressed_without_a_word_ends_with_an_event() -> None:
    result = play(_talk(more=4.0), acts=held((0.5, 1.0)))
    check_story(result)
    assert [one.reason for one in result.of("rejected")] == ["no-words"]
    assert len(result.turn_ends("user")) == 1
    assert not result.of("final-transcript", "error")


def test_a_key_tapped_twice_is_one_turn_or_two_but_each_has_one_end() -> None:
    talk = _talk(Line(1.0, "what time is it now"))
    result = play(talk, acts=held((0.9, 1.6), (1.7, 2.3)))
    check_story(result)
    assert "".join(result.texts("final-transcript")).replace(" ", "") == "whattimeisitnow"


def test_the_key_works_beside_an_open_microphone() -> None:
    talk = Conversation(
        [Line(0.5, "what time is it now"), Line(6.0, "and what"), Line(8.5, "day is it")], replies=["Noon.", "Sunday."]
    )
    result = play(talk, acts=held((5.8, 9.5)))
    check_story(result)
    assert result.texts("final-transcript") == ["what time is it now", "and what day is it"]
    assert [one.reason for one in result.turn_ends("user")] == ["complete", "released"]


def test_a_voice_that_goes_on_after_the_key_is_up_does_not_hold_the_turn_open() -> None:
    talk = _talk(Line(1.0, "what time is it now"), Noise(2.5, 6.0))
    result = play(talk, acts=held((0.8, 2.4)))
    check_story(result)
    assert result.turn_ends("user")[0].t < 3.6


def _only_user(result: Result) -> list[str]:
    return [one.reason for one in result.turn_ends("user")]


def test_muting_while_the_key_is_down_ends_the_turn() -> None:
    async def acts(session: Session) -> None:
        await asyncio.sleep(0.9)
        session.push_to_talk.press()
        await asyncio.sleep(0.6)
        session.mute()
        await asyncio.sleep(0.5)
        session.push_to_talk.release()

    result = play(_talk(Line(1.0, "what time is it now")), acts=acts)
    check_story(result)
    assert _only_user(result) == ["muted"]


def test_a_reply_cut_before_its_first_word_is_told_to_the_model() -> None:
    lines = [Line(0.5, "tell me all about it"), Line(4.3, "what time is it now")]
    talk = Conversation(lines, settings=KEY_ONLY)
    begins = first_audible(play(talk, llm=ScriptedModel([LONG]), tts=Voices(), acts=held((0.4, 2.0))))
    model = ScriptedModel([LONG, "Noon."])
    result = play(talk, llm=model, tts=Voices(), acts=held((0.4, 2.0), (begins + 0.05, 6.0)))
    check_story(result)
    assert result.of("barge-in")[0].heard_text == ""
    cut = result.history[1]
    assert isinstance(cut, Said)
    assert (cut.role, cut.text, cut.interrupted) == ("assistant", "", True)
    assert cut.unheard
    assert [one.role for one in model.asked[-1]] == ["system", "user", "assistant", "user"]
    assert model.asked[-1][2].content == UNHEARD
