"""Stopping at every moment: soon, once, and nothing is left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from locara.errors import SessionError, StageError
from locara.testing import EnergyDetector, Fault, Line, ScriptedModel, ScriptedRecogniser, ScriptedVoice, run
from locara.voice import Deadlines, Session
from locara.voice.events import Event

from .leaks import tasks_left
from .scenes import LONG, Scene, names, scene

CLOSE = 1.0
SHORT = Deadlines(close=CLOSE)
LINES = (Line(0.3, "tell me all about it"), Line(3.6, "mm-hm"), Line(5.6, "stop please now"))
"""Listening, deciding, preparing, speaking, held, speaking, interrupted, answering: nine seconds of every state."""


async def _stopped_at(it: Scene, when: float) -> tuple[list[Event], float]:
    known = frozenset(asyncio.all_tasks())
    clock = asyncio.get_running_loop()
    it.collect()
    await it.session.start()
    await asyncio.sleep(when)
    began = clock.time()
    await it.session.stop()
    took = clock.time() - began
    assert it.collecting is not None
    async with asyncio.timeout(1.0):
        await it.collecting
    assert not tasks_left(known), f"stopped at {when:g} s"
    return it.events, took


def _whole(events: list[Event]) -> None:
    kinds = names(events)
    assert kinds[-1] == "session-end"
    assert kinds.count("session-end") == 1
    for who, begins in (("user", ("speech-start", "final-transcript")), ("assistant", ("llm-token", "audio-chunk"))):
        open_ones = {one.turn for one in events if one.type in begins}
        ended = [one.turn for one in events if one.type == "turn-end" and getattr(one, "who", "") == who]
        assert open_ones <= set(ended), f"{who}: {open_ones - set(ended)} have no end"
        assert len(ended) == len(set(ended))


@pytest.mark.parametrize("part", range(4))
def test_stop_is_clean_at_every_moment(part: int) -> None:
    for number in range(part, 90, 4):
        it = scene(LINES, [LONG, "Fine, I stop here."], deadlines=SHORT)
        events, took = run(_stopped_at(it, number * 0.1 + (number % 7) * 0.004))
        _whole(events)
        assert took <= CLOSE, f"at {number / 10} s it took {took:.3f} s"
        assert it.room.closed


@pytest.mark.parametrize(
    "slow",
    [
        lambda: {"llm": ScriptedModel([LONG], fault=Fault("hangs", "reply"))},
        lambda: {"llm": ScriptedModel([LONG], fault=Fault("hangs", "token", 3))},
        lambda: {"tts": ScriptedVoice(fault=Fault("hangs", "speak"))},
        lambda: {"tts": ScriptedVoice(fault=Fault("hangs", "chunk", 2))},
        lambda: {"stt": lambda script: ScriptedRecogniser(script, fault=Fault("hangs", "push"))},
        lambda: {"stt": lambda script: ScriptedRecogniser(script, fault=Fault("hangs", "settle"))},
    ],
    ids=["reply", "token", "speak", "chunk", "push", "settle"],
)
@pytest.mark.parametrize("when", [0.5, 1.2, 2.0, 2.6, 3.4])
def test_stop_is_clean_while_an_engine_hangs(slow: Callable[[], dict[str, Any]], when: float) -> None:
    it = scene(LINES[:1], [LONG], deadlines=SHORT, **slow())
    events, took = run(_stopped_at(it, when))
    _whole(events)
    assert took <= CLOSE


class Stubborn(ScriptedVoice):
    """A voice that does not close."""

    async def close(self) -> None:
        """Hangs."""
        await asyncio.sleep(1e6)


def test_an_engine_that_does_not_close_costs_its_deadline_and_no_more() -> None:
    events, took = run(_stopped_at(scene(LINES[:1], deadlines=SHORT, tts=Stubborn()), 1.0))
    _whole(events)
    assert took <= CLOSE + 0.1


@pytest.mark.parametrize("stage", ["vad", "stt", "llm", "tts"])
def test_a_start_that_is_stopped_or_cancelled_leaves_nothing(stage: str) -> None:
    hangs = Fault("hangs", "load")

    async def main(how: str) -> None:
        known = frozenset(asyncio.all_tasks())
        it = scene(
            LINES,
            stt=lambda script: ScriptedRecogniser(script, fault=hangs if stage == "stt" else None),
            llm=ScriptedModel(fault=hangs if stage == "llm" else None),
            tts=ScriptedVoice(fault=hangs if stage == "tts" else None),
            vad=EnergyDetector(fault=hangs if stage == "vad" else None),
            deadlines=Deadlines(load=5.0, close=CLOSE),
        )
        it.collect()
        starting = asyncio.create_task(it.session.start())
        await asyncio.sleep(0.2)
        if how == "cancelled":
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
        else:
            async with asyncio.timeout(2.0):
                await it.session.stop()
            with pytest.raises((StageError, SessionError, asyncio.CancelledError)):
                await starting
        await it.session.stop()
        assert it.collecting is not None
        async with asyncio.timeout(1.0):
            await it.collecting
        assert not tasks_left(known)
        assert it.room.began is None

    for how in ("cancelled", "stopped"):
        run(main(how))


def test_a_session_that_was_stopped_while_it_started_does_not_listen_afterwards() -> None:

    class Late(EnergyDetector):
        async def load(self) -> None:
            await asyncio.sleep(1.0)

    async def main() -> None:
        known = frozenset(asyncio.all_tasks())
        it = scene(LINES, vad=Late(), deadlines=SHORT)
        starting = asyncio.create_task(it.session.start())
        await asyncio.sleep(0.5)
        await it.session.stop()
        await asyncio.gather(starting, return_exceptions=True)
        await asyncio.sleep(2.0)
        assert it.room.began is None or it.room.closed, "the microphone is open after stop()"
        assert not tasks_left(known)

    run(main())


# --- the wrong moment -------------------------------------------------------------------------------------------------

ASKS: dict[str, Callable[[Session], object]] = {
    "send_text": lambda s: s.send_text("hello"),
    "say": lambda s: s.say("hello"),
    "interrupt": lambda s: s.interrupt(),
    "mute": lambda s: s.mute(),
    "press": lambda s: s.push_to_talk.press(),
}


@pytest.mark.parametrize("name", ASKS)
def test_asking_before_the_start_and_after_the_end_is_a_clear_error(name: str) -> None:
    ask = ASKS[name]

    async def main() -> list[SessionError]:
        it = scene([], deadlines=SHORT)
        caught = []
        with pytest.raises(SessionError) as before:
            ask(it.session)
        caught.append(before.value)
        async with it.session:
            await asyncio.sleep(0.1)
        with pytest.raises(SessionError) as after:
            ask(it.session)
        caught.append(after.value)
        return caught

    for error in run(main()):
        assert error.hint
        assert error.code == "session-state"


def test_what_was_refused_before_the_start_changes_nothing() -> None:
    async def main() -> Scene:
        it = scene([], deadlines=SHORT)
        for name in ("mute", "press"):
            with pytest.raises(SessionError):
                ASKS[name](it.session)
        return it

    it = run(main())
    assert not it.session.muted
    assert not it.session.push_to_talk.held


def test_a_session_starts_once() -> None:
    async def main() -> None:
        it = scene([], deadlines=SHORT)
        async with it.session:
            with pytest.raises(SessionError, match="running"):
                await it.session.start()
            await asyncio.sleep(0.1)
            it.session.send_text("it still runs")
        with pytest.raises(SessionError):
            await it.session.start()

    run(main())


def test_a_session_may_be_stopped_twice_at_once_and_before_it_began() -> None:
    async def main() -> list[Event]:
        never = scene([], deadlines=SHORT)
        await never.session.stop()
        it = scene(LINES, [LONG], deadlines=SHORT)
        it.collect()
        await it.session.start()
        await asyncio.sleep(3.0)
        async with asyncio.timeout(CLOSE):
            await asyncio.gather(it.session.stop(), it.session.stop())
        await it.session.stop()
        assert it.collecting is not None
        await it.collecting
        return it.events

    _whole(run(main()))


def test_both_of_two_stops_return_only_when_all_is_closed() -> None:
    async def main() -> None:
        it = scene(LINES, [LONG], deadlines=SHORT)
        await it.session.start()
        await asyncio.sleep(3.0)
        first = asyncio.create_task(it.session.stop())
        await asyncio.sleep(0)
        await it.session.stop()
        closed = it.room.closed
        await first
        assert closed, "the second stop() came back while the microphone was still open"

    run(main())


async def _broken_app(it: Scene) -> None:
    async with it.session:
        await asyncio.sleep(3.0)
        raise ZeroDivisionError


def test_an_error_in_the_app_stops_the_session() -> None:
    async def main() -> None:
        known = frozenset(asyncio.all_tasks())
        it = scene(LINES, [LONG], deadlines=SHORT)
        with pytest.raises(ZeroDivisionError):
            await _broken_app(it)
        assert it.room.closed
        assert not tasks_left(known)

    run(main())


def test_a_cancelled_app_stops_the_session() -> None:
    async def main() -> None:
        known = frozenset(asyncio.all_tasks())
        it = scene(LINES, [LONG], deadlines=SHORT)

        async def app() -> None:
            async with it.session:
                await asyncio.sleep(100.0)

        task = asyncio.create_task(app())
        await asyncio.sleep(3.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert it.room.closed
        assert not tasks_left(known)

    run(main())


def test_waiting_things_end_with_the_session() -> None:
    async def main() -> None:
        it = scene([], deadlines=SHORT)
        await it.session.start()
        handles = [it.session.say(LONG), it.session.say("Never.")]
        await asyncio.sleep(1.0)
        await it.session.stop()
        async with asyncio.timeout(1.0):
            for handle in handles:
                await handle
            assert await it.session.wait_ended() == "stopped"

    run(main())
