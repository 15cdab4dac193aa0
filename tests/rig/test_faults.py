"""Every stage fails in every place, by raising and by hanging: the app is told which, and the next turn works."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from locara.audio import Samples
from locara.errors import StageError
from locara.testing import (
    Conversation,
    EnergyDetector,
    Fault,
    Line,
    Result,
    ScriptedModel,
    ScriptedRecogniser,
    ScriptedVoice,
    play,
    run,
)
from locara.voice import Deadlines
from locara.voice.events import Error, Event, TurnEnd

from .leaks import tasks_left
from .scenes import Scene, check_story, names, scene, spoken

SHORT = Deadlines(
    load=1.0, push=0.5, settle=0.5, first_token=1.0, token=0.8, first_sound=0.9, sound=0.7, tool=2.0, close=0.5
)
REPLIES = ("It is noon now. And a fine day it is, I must say, my friend.", "It is Sunday.")
KINDS = ("raises", "hangs")
LINES = (Line(0.5, "what time is it now"), Line(8.0, "and what day is it now"))


def _with(stage: str, fault: Fault) -> Result:
    talk = Conversation(LINES, replies=REPLIES, settings={"deadlines": SHORT})
    return play(
        talk,
        stt=ScriptedRecogniser(spoken(talk), fault=fault if stage == "stt" else None),
        llm=ScriptedModel(REPLIES, fault=fault if stage == "llm" else None),
        tts=ScriptedVoice(fault=fault if stage == "tts" else None),
    )


def _next_turn_works(result: Result) -> None:
    check_story(result)
    assert result.of("session-end")[0].reason == "input-ended"
    assert "and what day is it now" in result.texts("final-transcript")
    assert result.turn_ends("assistant")[-1].reason == "finished"
    assert "".join(result.texts("llm-token")).endswith("It is Sunday.")
    assert result.turn_ends("user")[-1].latency is not None
    last = result.turn_ends("user")[-1].turn
    assert not [one for one in result.of("error") if one.turn == last]


# --- loading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["vad", "stt", "llm", "tts"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_stage_that_cannot_load_is_named_by_start(stage: str, kind: Any) -> None:
    fault = Fault(kind, "load")

    async def main() -> tuple[StageError, float]:
        known = frozenset(asyncio.all_tasks())
        it = scene(
            LINES,
            REPLIES,
            stt=lambda script: ScriptedRecogniser(script, fault=fault if stage == "stt" else None),
            llm=ScriptedModel(REPLIES, fault=fault if stage == "llm" else None),
            tts=ScriptedVoice(fault=fault if stage == "tts" else None),
            vad=EnergyDetector(fault=fault if stage == "vad" else None),
            deadlines=SHORT,
        )
        with pytest.raises(StageError) as caught:
            await it.session.start()
        took = asyncio.get_running_loop().time()
        assert not tasks_left(known)
        assert it.room.began is None, "nothing listens yet"
        await it.session.stop()
        assert [event async for event in it.session.events()] == []
        return caught.value, took

    error, took = run(main())
    assert error.stage == stage
    assert stage in error.message
    assert "scripted" in error.model
    assert error.hint
    assert took <= SHORT.load + 0.1


# --- running ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("stage", "where", "call", "within"),
    [
        ("llm", "reply", 0, 1.0),
        ("llm", "token", 0, 1.0),
        ("llm", "token", 1, 0.8),
        ("llm", "token", 6, 3.0),
        ("tts", "speak", 0, 0.9),
        ("tts", "chunk", 0, 0.9),
        ("tts", "chunk", 3, 1.5),
        ("tts", "speak", 1, 3.0),
    ],
)
def test_a_fault_in_a_reply_ends_it_once_and_the_next_turn_works(
    kind: Any, stage: str, where: str, call: int, within: float
) -> None:
    result = _with(stage, Fault(kind, where, call))
    _next_turn_works(result)
    errors = result.of("error")
    assert [(one.stage, one.fatal) for one in errors] == [(stage, False)]
    assert errors[0].code == ("engine-timeout" if kind == "hangs" else "engine-failed")
    assert errors[0].hint
    assert errors[0].t <= LINES[0].end + 0.5 + within + 0.1
    ends = result.turn_ends("assistant")
    assert [one.reason for one in ends if one.turn == 0] == ["failed"]
    assert len([one for one in result.turn_ends("user") if one.turn == 0]) == 1
    assert result.texts("final-transcript")[0] == "what time is it now"


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_made_before_the_fault_is_heard(kind: Any) -> None:
    result = _with("tts", Fault(kind, "speak", 1))
    heard = "".join(one.text for one in result.of("audio-chunk") if one.turn == 0)
    assert heard.strip() == "It is noon now."
    assert getattr(result.history[1], "text", "") == "It is noon now."


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", [0, 3])
def test_a_recogniser_that_fails_while_the_user_speaks_gets_a_second_chance(kind: Any, call: int) -> None:
    result = _with("stt", Fault(kind, "push", call))
    _next_turn_works(result)
    errors = result.of("error")
    assert [(one.stage, one.fatal) for one in errors] == [("stt", False)]
    assert errors[0].t <= LINES[0].at + 2.0
    assert result.texts("final-transcript")[0].split()[-3:] == ["is", "it", "now"]
    assert len([one for one in result.turn_ends("user") if one.turn == 0]) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_recogniser_that_fails_to_settle_leaves_what_was_understood(kind: Any) -> None:
    result = _with("stt", Fault(kind, "settle", 0))
    _next_turn_works(result)
    errors = result.of("error")
    assert [one.stage for one in errors] == ["stt"]
    assert errors[0].t <= LINES[0].end + 0.16 + 0.5 + 0.1
    assert result.texts("final-transcript")[0] == "what time is it now"
    assert [one.reason for one in result.turn_ends("assistant")] == ["finished", "finished"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_recogniser_that_understands_nothing_and_fails_ends_the_turn(kind: Any) -> None:
    talk = Conversation(LINES, replies=REPLIES, settings={"deadlines": SHORT})
    ears = ScriptedRecogniser(spoken(talk), partials=False, fault=Fault(kind, "settle", 0))
    result = play(talk, stt=ears)
    check_story(result)
    assert [one.stage for one in result.of("error")] == ["stt"]
    assert [one.reason for one in result.turn_ends("user")] == ["failed", "complete"]
    assert result.texts("final-transcript") == ["and what day is it now"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("stage", "where"), [("stt", "push"), ("stt", "settle"), ("llm", "reply"), ("tts", "speak")])
def test_a_stage_that_is_broken_for_good_is_told_each_turn_and_never_hangs(stage: str, where: str, kind: Any) -> None:
    result = _with(stage, Fault(kind, where, 0, lasting=True))
    check_story(result)
    assert result.of("session-end")[0].reason == "input-ended"
    assert {one.stage for one in result.of("error")} == {stage}
    assert {one.turn for one in result.of("error")} == {0, 1}
    assert len(result.of("error")) <= 6
    assert len(result.turn_ends("user")) == 2
    partials_are_answered = where == "settle"
    assert bool(result.of("audio-chunk")) == partials_are_answered


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_of_a_guess_that_is_thrown_away_is_nobodys_business(kind: Any) -> None:
    """The reply prepared in a pause fails, and then the user goes on: the reply that counts is another one."""
    talk = Conversation(
        [Line(0.5, "i want something"), Line(0.5 + 16 / 14 + 0.55, "nice to read")],
        replies=["Fine."],
        settings={"deadlines": SHORT},
    )
    result = play(talk, llm=ScriptedModel(["Fine."], fault=Fault(kind, "reply", 0)))
    check_story(result)
    assert result.texts("final-transcript") == ["i want something nice to read"]
    assert [one.reason for one in result.turn_ends("assistant")] == ["finished"]
    assert not result.of("error")


class Breaking(EnergyDetector):
    """Works for three seconds, and raises from then on."""

    calls = 0

    def probability(self, window: Samples) -> float:
        """Raises from its 94th window on."""
        self.calls += 1
        if self.calls >= 94:
            raise RuntimeError("the detector broke")
        return super().probability(window)


class Silenced(ScriptedModel):
    """A model whose announcements break."""

    async def announcements(self) -> AsyncIterator[str]:
        """Raises after a second."""
        await asyncio.sleep(1.0)
        yield "This is the last one."
        raise RuntimeError("the timers broke")


def _until_it_ends(it: Scene, *, broken_at: float | None = None) -> tuple[list[Event], str]:
    """The events of a session that should end by itself, and why it says it ended."""

    async def main() -> str:
        reason = "it did not end"
        it.collect()
        async with it.session:
            if broken_at is not None:
                await asyncio.sleep(broken_at)
                it.room.speaker.advance = _broken  # type: ignore[method-assign]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(10):
                    reason = await it.session.wait_ended()
        assert it.collecting is not None
        await it.collecting
        return reason

    reason = run(main())
    return it.events, reason


def _broken(blocks: int = 1) -> None:
    raise OSError("the cable is out")


def _ended_in_order(events: list[Event]) -> None:
    kinds = names(events)
    assert kinds.count("session-end") == 1
    assert kinds[-1] == "session-end"
    assert [(one.who, one.turn) for one in events if isinstance(one, TurnEnd)] == [("user", 0), ("assistant", 0)]


def test_a_detector_that_breaks_is_told_and_the_session_does_not_go_deaf_in_silence() -> None:
    events, reason = _until_it_ends(scene(LINES, REPLIES, vad=Breaking(), deadlines=SHORT))
    errors = [one for one in events if isinstance(one, Error)]
    assert [one.fatal for one in errors] == [True]
    assert "the detector broke" in errors[0].message
    assert errors[0].t < 3.2
    assert reason == "failed"
    _ended_in_order(events)


def test_a_device_that_breaks_is_told_and_ends_the_session() -> None:
    events, reason = _until_it_ends(scene(LINES, REPLIES, deadlines=SHORT), broken_at=3.0)
    errors = [one for one in events if isinstance(one, Error)]
    assert [one.fatal for one in errors] == [True]
    assert "the cable is out" in errors[0].message
    assert reason in ("device-lost", "failed")
    _ended_in_order(events)


def test_announcements_that_break_are_told_and_the_rest_lives_on() -> None:
    talk = Conversation(LINES, replies=REPLIES, settings={"deadlines": SHORT})
    result = play(talk, llm=Silenced(REPLIES))
    _next_turn_works(result)
    assert [(one.stage, one.fatal) for one in result.of("error")] == [("llm", False)]
