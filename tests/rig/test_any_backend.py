"""A model that leads and keeps no contract: whatever it tells, the session goes on or ends with a reason."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from locara import voice
from locara.audio import Samples
from locara.engines.backend import (
    BackendEvent,
    BackendFailed,
    Ended,
    Frame,
    Lag,
    ReplyAudio,
    ReplyBegan,
    ReplyEnded,
    ReplyText,
    ToolWanted,
    UserText,
    UserVoice,
)
from locara.engines.contracts import ToolCall
from locara.testing import EnergyDetector, Line, Result, Room, ScriptedDuplex, Spoken, run
from locara.testing.scripted import speech_like
from locara.voice import Deadlines, Session
from locara.voice.events import LlmToken, to_json

from .scenes import check_story

SHORT = Deadlines(load=1.0, push=0.5, first_sound=0.9, sound=0.7, close=0.5, tool=0.5)
LINES = (Line(0.5, "what time is it now"), Line(4.0, "and what day is it"))
LOUD = np.full(1920, 0.1, dtype=np.float32)


class Wild(ScriptedDuplex):
    """Tells ``events``, one with each 80 ms it hears; after an `Ended` it goes on all the same."""

    def __init__(self, events: tuple[BackendEvent, ...], *, marks: bool, **can: Any) -> None:
        super().__init__()
        self.capabilities = dataclasses.replace(self.capabilities, marks_replies=marks, **can)
        self._told = list(events)

    async def event_stream(self, session: str) -> AsyncIterator[BackendEvent]:
        async for event in super().event_stream(session):
            if isinstance(event, Ended):
                yield event
                return
            if self._told:
                yield self._told.pop(0)


def _samples() -> st.SearchStrategy[Samples]:
    return st.sampled_from(
        (
            LOUD,
            np.zeros(1920, dtype=np.float32),
            np.zeros(0, dtype=np.float32),
            np.full(1920, np.nan, dtype=np.float32),
            np.full(7, np.inf, dtype=np.float32),
            np.full(480_000, 50.0, dtype=np.float32),
            np.full(1, -1e38, dtype=np.float32),
        )
    )


NUMBERS = st.sampled_from((-1, 0, 1, 2, 3, 2**40))
TEXTS = st.sampled_from(("", " ", "It is noon.", " and then", "\x00\x1b[31m", "\ud800", "x" * 5000))
CALLS = st.sampled_from((ToolCall("c1", "nothing", {}), ToolCall("c1", "", {"a": float("nan")})))
EVENTS: st.SearchStrategy[Any] = st.one_of(
    st.builds(ReplyBegan, NUMBERS),
    st.builds(ReplyText, NUMBERS, TEXTS),
    st.builds(ReplyAudio, NUMBERS, _samples()),
    st.builds(ReplyEnded, NUMBERS, st.sampled_from(("finished", "interrupted", "cancelled", "failed"))),
    st.builds(Frame, _samples(), TEXTS, st.sampled_from((0, 1920, -5, 2**50))),
    st.builds(UserVoice, st.booleans()),
    st.builds(UserText, TEXTS, st.booleans()),
    st.builds(ToolWanted, NUMBERS, CALLS),
    st.builds(Lag, st.sampled_from((0.0, -1.0, float("nan"), 1e9)), st.sampled_from((0, -1, 1920, 2**50))),
    st.builds(BackendFailed, st.just("engine-failed"), TEXTS, TEXTS, st.one_of(st.none(), NUMBERS), st.booleans()),
    st.sampled_from((Ended("closed"), Ended("limit"), Ended("failed"))),
)


@dataclass(frozen=True)
class Case:
    """What the model tells, whether it says that it marks its replies, and what the app asks at 5 s."""

    events: tuple[BackendEvent, ...]
    marks: bool
    wants_played: bool
    ask: str


CASES = st.builds(
    Case,
    st.lists(EVENTS, max_size=60).map(tuple),
    st.booleans(),
    st.booleans(),
    st.sampled_from(("", "interrupt", "say", "type", "mute", "respond")),
)


def _play(case: Case) -> tuple[Result, list[str]]:
    faults: list[str] = []

    async def main() -> Result:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: faults.append(repr(context)))
        script = [Spoken(one.at, one.end, "") for one in LINES]
        room = Room(speech_like(script, 7.0))
        session = voice.session(
            omni=Wild(case.events, marks=case.marks, wants_played=case.wants_played, cancels=True),
            vad=EnergyDetector(),
            input=room.microphone,
            output=room.speaker,
            deadlines=SHORT,
        )
        streams: tuple[tuple[Any, list[Any]], ...] = (
            (session.events(), []),
            (session.raw_input(), []),
            (session.raw_output(), []),
        )

        async def collect(stream: Any, into: list[Any]) -> None:
            async for one in stream:
                into.append(one)

        taps = [asyncio.create_task(collect(*one)) for one in streams]
        async with session:
            asking = asyncio.create_task(_ask(session, case.ask))
            await asyncio.wait([asyncio.create_task(session.wait_ended())], timeout=9.0)
            asking.cancel()
            await asyncio.wait([asking])
        async with asyncio.timeout(5.0):
            await asyncio.gather(*taps)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        faults.extend(one.get_name() for one in left if not one.done())
        heard, played = (np.concatenate(one[1]) for one in streams[1:])
        return Result(streams[0][1], heard, played, session.output_rate, session.history, session.metrics())

    return run(main()), faults


async def _ask(session: Session, ask: str) -> None:
    await asyncio.sleep(5.0)
    does: dict[str, Any] = {
        "interrupt": session.interrupt,
        "say": lambda: session.say("By the way."),
        "type": lambda: session.send_text("hello"),
        "mute": session.mute,
        "respond": session.respond,
    }
    if ask:
        does[ask]()


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(CASES)
def test_whatever_a_model_that_leads_tells_the_conversation_makes_a_story(case: Case) -> None:
    result, faults = _play(case)
    assert faults == []
    assert np.isfinite(result.output).all()
    assert float(np.abs(result.output).max(initial=0.0)) <= 1.0
    for chunk in result.of("audio-chunk"):
        assert np.isfinite(chunk.samples).all()
    for event in result.events:
        json.dumps(to_json(event), ensure_ascii=False).encode()
    check_story(result, words=False)
    assert result.of("session-end")[-1].reason in ("stopped", "engine-lost")
    # History is what a model, a file and a client are given: it can be written, too.
    "".join(one.text for one in result.of("llm-token") if isinstance(one, LlmToken)).encode()
