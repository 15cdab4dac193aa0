"""One model that hears and speaks: the same events as a pipeline, but for the transcripts it cannot give."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from locara.engines.backend import Disregard
from locara.errors import StageError
from locara.testing import (
    Conversation,
    Fault,
    Line,
    Noise,
    Result,
    ScriptedBackend,
    play,
)
from locara.voice import Deadlines, Session

from .scenes import Doing, names, talk_to

REPLIES = ("It is noon now and the sun is high up in the sky.", "It is Sunday.")
SHORT = Deadlines(load=1.0, push=0.5, first_sound=0.9, sound=0.7, close=0.5)
LINES = (Line(0.5, "what time is it now"), Line(7.5, "and what day is it now"))


def _play(
    lines: Sequence[Line | Noise] = LINES,
    *,
    fault: Fault | None = None,
    more: float = 6.0,
    acts: Doing | None = None,
    model: ScriptedBackend | None = None,
) -> tuple[Result, ScriptedBackend, dict[str, str]]:
    model = model or ScriptedBackend(REPLIES, fault=fault)
    result, capabilities = talk_to(model, lines, more=more, act=acts, deadlines=SHORT)
    return result, model, capabilities


def test_the_events_are_those_of_a_pipeline_without_transcripts() -> None:
    result, model, capabilities = _play()
    pipeline = play(Conversation(LINES, replies=REPLIES, more=6.0))
    absent = {kind for kind, how in capabilities.items() if how == "absent"}
    assert absent == {"partial-transcript", "final-transcript"}
    assert set(names(result.events)) == set(names(pipeline.events)) - absent
    assert [(one.who, one.reason) for one in result.of("turn-end")] == [
        (one.who, one.reason) for one in pipeline.of("turn-end")
    ]
    for turn, reply in enumerate(REPLIES):
        assert "".join(one.text for one in result.of("llm-token") if one.turn == turn) == reply
    assert all(one.latency is not None for one in result.turn_ends("user"))
    assert model.heard > 0


def test_the_model_hears_the_whole_turn_and_its_beginning() -> None:
    _, model, _ = _play(LINES[:1])
    spoken_samples = 16_000 * (LINES[0].end - LINES[0].at)
    assert spoken_samples + 0.2 * 16_000 <= model.heard <= spoken_samples + 1.0 * 16_000


def test_a_reply_is_interrupted_and_history_holds_what_was_heard() -> None:
    lines = (LINES[0], Line(3.6, "stop please now that will do", 2.0))
    result, _, _ = _play(lines)
    barge = result.of("barge-in")[0]
    assert 0 < len(barge.heard_text) < len(REPLIES[0])
    assert "".join((barge.heard_text + barge.unheard_text).split()) in "".join(REPLIES[0].split())
    assert result.turn_ends("assistant")[0].reason == "interrupted"
    assert getattr(result.history[-2], "text", "") == barge.heard_text or any(
        getattr(one, "text", "") == barge.heard_text for one in result.history
    )


def test_a_cough_does_not_interrupt() -> None:
    result, _, _ = _play((LINES[0], Noise(3.6, 0.3)))
    assert len(result.of("resume")) == 1
    assert result.turn_ends("assistant")[0].reason == "finished"


def test_a_given_text_cannot_be_said_and_that_is_told() -> None:
    async def acts(session: Session) -> None:
        await asyncio.sleep(0.2)
        await session.say("By the way.")

    result, _, _ = _play((Line(2.0, "what time is it now"),), acts=acts)
    assert [one.stage for one in result.of("error")] == ["omni"]
    assert result.of("error")[0].hint
    assert [one.reason for one in result.turn_ends("assistant")] == ["failed", "finished"]


@pytest.mark.parametrize("kind", ["raises", "hangs"])
@pytest.mark.parametrize(("where", "call"), [("push_audio", 0), ("push_audio", 10), ("answer", 0), ("signal", 0)])
def test_a_fault_is_told_and_the_next_turn_works(kind: Any, where: str, call: int) -> None:
    result, _, _ = _play(fault=Fault(kind, where, call))
    assert [(one.stage, one.fatal) for one in result.of("error")] == [("omni", False)]
    assert result.of("error")[0].t <= LINES[0].end + 0.7 + 0.9 + 0.2
    assert len(result.turn_ends("user")) == 2
    assert result.turn_ends("assistant")[-1].reason == "finished"
    assert result.turn_ends("user")[-1].latency is not None


@pytest.mark.parametrize("kind", ["raises", "hangs"])
@pytest.mark.parametrize("where", ["load", "start_session"])
def test_a_model_that_cannot_begin_is_named(kind: Any, where: str) -> None:
    with pytest.raises(StageError) as caught:
        _play(fault=Fault(kind, where))
    assert caught.value.stage == "omni"


def test_what_was_noise_is_forgotten_by_the_model() -> None:
    result, model, _ = _play((LINES[0], Noise(3.6, 0.3)))
    assert len(result.of("rejected")) == 1
    assert model.told.count(Disregard()) == 1
