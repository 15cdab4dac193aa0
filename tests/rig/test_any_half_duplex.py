"""Half-duplex backends in conversations that nobody thought of, and stopped at every moment: the events tell a story, what
the backend is told makes sense, and nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from locara.engines.backend import Cancel, Played, Signal, TurnEnd
from locara.errors import SessionError, StageError
from locara.testing import (
    Conversation,
    EnergyDetector,
    Fault,
    Line,
    Noise,
    Room,
    ScriptedBackend,
    ScriptedRecogniser,
    Spoken,
    play,
    run,
)
from locara.testing.scripted import speech_like
from locara.testing.scripted_backend import CAN
from locara.voice import Deadlines, Session
from locara.voice import session as build

from .leaks import tasks_left
from .scenes import LONG, check_story, spoken
from .test_any_conversation import ASKS, REPLIES, SHORT, TEXTS, _ask, _fault

CLOSE = 1.0


@dataclass(frozen=True)
class Case:
    """What the user does, how the backend is, what the app does and when the backend's sessions are lost."""

    lines: tuple[Line | Noise, ...]
    replies: tuple[str, ...]
    delay: float
    memory: Literal["backend", "locara"]
    cancels: bool
    wants_played: bool
    beside: bool
    fault: Fault | None
    asks: tuple[tuple[float, str], ...]
    lost: tuple[float, ...]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Lines one after the other, with gaps from inside a word to long."""
    lines: list[Line | Noise] = []
    now = 0.3
    for _ in range(draw(st.integers(1, 4))):
        now = round(now + draw(st.sampled_from((0.1, 0.3, 0.8, 1.2, 2.0, 3.5))), 3)
        if draw(st.integers(0, 3)) == 0:
            lines.append(Noise(now, draw(st.sampled_from((0.05, 0.2, 0.6)))))
            now += 0.6
        else:
            lines.append(Line(now, draw(st.sampled_from(TEXTS))))
            now = lines[-1].end  # type: ignore[union-attr]
    moment = st.integers(0, 100).map(lambda n: n / 10)
    asks = st.tuples(moment, st.sampled_from([one for one in ASKS if one != "press"]))
    return Case(
        tuple(lines),
        tuple(draw(st.lists(st.sampled_from(REPLIES), min_size=1, max_size=3))),
        draw(st.sampled_from((0.0, 0.1, 1.0))),
        draw(st.sampled_from(("backend", "locara"))),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(_fault("start_session", "push_audio", "signal", "answer")),
        tuple(sorted(draw(st.lists(asks, max_size=3)))),
        tuple(sorted(draw(st.lists(moment, max_size=2)))),
    )


def check_signals(told: Sequence[Signal]) -> None:
    """One reply after the other, asked for once, and told the end of once."""
    asked: list[int] = []
    over: set[int] = set()
    for signal in told:
        if isinstance(signal, TurnEnd):
            assert not asked or signal.reply > asked[-1], "numbers go up"
            asked.append(signal.reply)
        elif isinstance(signal, Cancel):
            assert signal.reply in asked, f"{signal} of a reply that was never asked for"
        elif isinstance(signal, Played):
            assert signal.reply in asked
            assert signal.reply not in over, f"{signal} after its end"
            if signal.ended:
                over.add(signal.reply)


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(cases())
def test_any_conversation_makes_a_story(case: Case) -> None:
    fault = (
        None if case.fault is not None and case.fault.where == "start_session" and not case.fault.call else case.fault
    )
    can = replace(CAN, memory=case.memory, cancels=case.cancels, wants_played=case.wants_played)
    backend = ScriptedBackend(case.replies, delay=case.delay, capabilities=can, fault=fault)

    async def acts(session: Session) -> None:
        now = 0.0
        for when, ask in sorted([*case.asks, *((one, "") for one in case.lost)]):
            await asyncio.sleep(when - now)
            now = when
            if ask:
                _ask(session, ask)
            else:
                await backend.drop("closed")

    conversation = Conversation(case.lines, settings={"deadlines": SHORT})
    beside = ScriptedRecogniser(spoken(conversation)) if case.beside else None
    result = play(conversation, omni=backend, stt=beside, acts=acts)
    check_story(result, words=False)
    check_signals(backend.told)
    assert result.of("session-end")[-1].reason in ("input-ended", "stopped")


# --- stopping ---------------------------------------------------------------------------------------------------------

LINES = (Line(0.3, "tell me all about it"), Noise(4.6, 0.3), Line(6.6, "stop please now", 1.5))


def _session(backend: ScriptedBackend, *, beside: bool) -> Session:
    script = [Spoken(one.at, one.end if isinstance(one, Line) else one.at + 0.3, "") for one in LINES]
    room = Room(speech_like(script, 9.0))
    return build(
        omni=backend,
        stt=ScriptedRecogniser([Spoken(one.at, one.end, one.text) for one in LINES if isinstance(one, Line)])
        if beside
        else None,
        vad=EnergyDetector(),
        turn_detection="silence",
        input=room.microphone,
        output=room.speaker,
        deadlines=Deadlines(load=5.0, close=CLOSE),
    )


async def _stopped_at(when: float, *, beside: bool, fault: Fault | None) -> None:
    known: Any = frozenset(asyncio.all_tasks())
    clock = asyncio.get_running_loop()
    backend = ScriptedBackend([LONG], fault=fault)
    session = _session(backend, beside=beside)
    await session.start()
    await asyncio.sleep(when)
    began = clock.time()
    await session.stop()
    assert clock.time() - began <= CLOSE
    assert not tasks_left(known), f"stopped at {when:g} s"
    assert all(one.events.ended is not None for one in backend._sessions.values()), "no session is left at the model"


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("fault", [None, Fault("hangs", "signal"), Fault("hangs", "push_audio", 9)])
def test_stop_is_clean_at_every_moment(beside: bool, fault: Fault | None) -> None:
    for number in range(6 if fault else 16):
        run(_stopped_at(number * (1.6 if fault else 0.6) + (number % 7) * 0.004, beside=beside, fault=fault))


@pytest.mark.parametrize("how", ["cancelled", "stopped"])
def test_a_start_that_is_stopped_while_the_session_begins_leaves_nothing(how: str) -> None:
    async def main() -> None:
        known: Any = frozenset(asyncio.all_tasks())
        backend = ScriptedBackend([LONG], fault=Fault("hangs", "start_session"))
        session = _session(backend, beside=True)
        starting = asyncio.create_task(session.start())
        await asyncio.sleep(0.2)
        if how == "cancelled":
            starting.cancel()
        else:
            async with asyncio.timeout(2.0):
                await session.stop()
        with pytest.raises((StageError, SessionError, asyncio.CancelledError)):
            async with asyncio.timeout(6.0):
                await starting
        assert not tasks_left(known)
        assert backend.begun == []

    run(main())
