"""Our own voice at the microphone: it is neither answered nor does it stop us."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from locara.testing import Conversation, Line, ScriptedModel, play
from locara.voice import Session

from .scenes import LONG, check_story

HALF = {"echo": "half-duplex"}


@pytest.mark.parametrize("echo_db", [-40.0, -20.0, -6.0, 0.0])
@pytest.mark.parametrize("room", [(1.0,), (1.0, *([0.0] * 200), 0.6, *([0.0] * 400), 0.4)], ids=["near", "reverberant"])
def test_half_duplex_never_answers_itself(echo_db: float, room: tuple[float, ...]) -> None:
    lines = [Line(0.5, "tell me all about it"), Line(13.0, "what time is it now")]
    model = ScriptedModel([LONG, "It is noon."])
    talk = Conversation(lines, echo_db=echo_db, settings=HALF)
    result = play(talk, llm=model, response=np.asarray(room, dtype=np.float32))
    check_story(result)
    assert result.texts("final-transcript") == ["tell me all about it", "what time is it now"]
    assert [one.turn for one in result.of("speech-start")] == [0, 1]
    assert not result.of("barge-in", "resume", "rejected")
    assert [one.reason for one in result.turn_ends("assistant")] == ["finished", "finished"]
    assert len(model.asked) == 2


def test_headphones_have_no_echo_and_can_be_interrupted() -> None:
    talk = Conversation([Line(0.5, "tell me all about it"), Line(4.0, "stop please")], replies=[LONG, "Fine."])
    full = play(talk)
    assert full.of("barge-in")
    half = play(Conversation(talk.lines, replies=talk.replies, settings=HALF))
    check_story(half)
    assert not half.of("barge-in", "resume"), "half duplex does not listen while it speaks"
    assert half.turn_ends("assistant")[0].reason == "finished"


def test_what_the_app_says_does_not_answer_itself_either() -> None:
    async def acts(session: Session) -> None:
        await asyncio.sleep(0.5)
        await session.say("Good morning to you, it is a fine day.")

    result = play(Conversation([], echo_db=-6.0, settings=HALF, more=8.0), acts=acts)
    check_story(result)
    assert not result.of("speech-start")
    assert [getattr(one, "text", "") for one in result.history] == ["Good morning to you, it is a fine day."]


def test_half_duplex_hears_the_user_right_after_its_last_word() -> None:
    """A quarter of a second after the reply, and whole: nothing is deaf at the start of the next turn."""
    alone = play(Conversation([Line(0.5, "what time is it now")], replies=["It is noon."], settings=HALF))
    end = alone.turn_ends("assistant")[0].t
    lines = [Line(0.5, "what time is it now"), Line(end + 0.3, "and what day is it")]
    result = play(Conversation(lines, replies=["It is noon.", "Sunday."], echo_db=-10.0, settings=HALF))
    check_story(result)
    assert result.texts("final-transcript") == ["what time is it now", "and what day is it"]


def test_the_microphone_is_heard_from_the_first_block() -> None:
    result = play(
        Conversation([Line(0.0, "what time is it now")], replies=["It is noon."], echo_db=-20.0, settings=HALF)
    )
    assert result.texts("final-transcript") == ["what time is it now"]
    assert result.of("speech-start")[0].t <= 0.12


def test_without_any_echo_handling_the_rig_does_hear_the_echo() -> None:
    """The test of the tests above: with headphones set and a loudspeaker in fact, the reply disturbs itself."""
    talk = Conversation(
        [Line(0.5, "tell me all about it")], replies=[LONG], echo_db=-6.0, settings={"echo": "headphones"}, more=20.0
    )
    result = play(talk)
    assert result.of("barge-in", "resume", "rejected")
