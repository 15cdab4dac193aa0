"""What every `VoiceBackend` must do, as checks that are run against a real one: for Locara's own and for plugins.

    outcomes = asyncio.run(examine_backend(lambda: create("my-model", {})))
    assert all(outcome.passed for outcome in outcomes), outcomes

What may live here: how a backend is examined, and the checks of its sessions; those of its replies are in
`conformance_replies`. They prove that a backend keeps its contract, not that it understands or speaks well.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from locara.audio import RATE
from locara.engines.backend import BackendSettings, Ended, VoiceBackend
from locara.engines.contracts import Tool
from locara.engines.lane import real_work
from locara.errors import ConfigError, EngineBusy, LocaraError
from locara.testing.backend_listening import (
    ANSWER_SECONDS,
    QUIET_SECONDS,
    SOON_SECONDS,
    BackendCheck,
    Examination,
    Listening,
    of_reply,
)
from locara.testing.conformance import (
    CLOSE_SECONDS,
    LOAD_SECONDS,
    Failed,
    NotForThis,
    Outcome,
    Specimen,
    babble,
    expect,
    leaves_no_thread,
    one_check,
    says_what_it_is,
)
from locara.testing.conformance_replies import GIVEN, REPLIES

MOST_SESSIONS = 8
"""More than that are not begun to see whether it is honest about their number."""


# --- what it says of itself -------------------------------------------------------------------------------------------


async def _says_what_it_can_do(of: Examination) -> None:
    can = of.can
    for name, rate in (("input_rate", can.input_rate), ("output_rate", can.output_rate)):
        expect(8_000 <= rate <= 96_000, f"{name} is {rate} Hz")
        frame = can.frame_seconds * rate
        expect(
            abs(frame - round(frame)) < 1e-6,
            f"a frame of {can.frame_seconds} s is no whole number of samples at {rate} Hz",
        )
    expect(
        can.marks_replies or can.frame_seconds > 0,
        "it gives frames (marks_replies is False), and frame_seconds is 0",
    )
    expect(can.duplex == "full" or can.marks_replies, "half duplex, but its replies have no beginning and no end")
    expect(can.max_sessions is None or can.max_sessions >= 1, f"max_sessions is {can.max_sessions}")


# --- sessions ---------------------------------------------------------------------------------------------------------


async def _ends_once(of: Examination) -> None:
    talk = await of.record()
    expect(talk.over, f"{SOON_SECONDS:g} s after stop_session its events had not ended")
    expect(not talk.why_over(), f"its events ended with an error{talk.why_over()}")
    expect(talk.ends() == [Ended("stopped")], f"a session that was stopped told {talk.ends() or 'no Ended'}")
    expect(isinstance(talk.events[-1], Ended), f"after Ended came {talk.events[-1]}")
    await of.backend.stop_session(talk.session)


async def _can_be_taken_once(of: Examination) -> None:
    async with Listening(of.backend) as talk:
        await asyncio.sleep(0)  # the first has begun to take them
        try:
            async with asyncio.timeout(QUIET_SECONDS):
                async for _ in of.backend.event_stream(talk.session):
                    break
        except LocaraError:
            return
        except TimeoutError:
            pass
        raise Failed("event_stream was given twice: each would miss what the other takes")


async def _two_do_not_mix(of: Examination) -> None:
    if of.can.max_sessions == 1:
        raise NotForThis("it has one session at a time")
    of.only_when_asked()
    async with Listening(of.backend) as one, Listening(of.backend) as other:
        expect(one.session != other.session, f"two sessions have one name, {one.session!r}")
        await one.hear(of.specimen.sound)
        await other.hear(of.specimen.sound[:RATE])
        await one.ask(5)
        await other.ask(9)
        await one.replied(5, ANSWER_SECONDS)
        await other.replied(9, ANSWER_SECONDS)
        foreign = [e for e in one.events if of_reply(e, 9)] + [e for e in other.events if of_reply(e, 5)]
        expect(not foreign, f"one session was told {foreign[:1]} of the other")


async def _is_honest_when_full(of: Examination) -> None:
    most = of.can.max_sessions
    if most is None or most > MOST_SESSIONS:
        raise NotForThis(f"it claims room for {'any number of' if most is None else most} sessions")
    names: list[str] = []
    try:
        for _ in range(most):
            names.append(await of.backend.start_session(BackendSettings()))
        try:
            names.append(await of.backend.start_session(BackendSettings()))
        except EngineBusy:
            pass
        else:
            raise Failed(f"it claims {most} sessions and began {most + 1}")
        await of.backend.stop_session(names.pop())
        names.append(await of.backend.start_session(BackendSettings()))
    finally:
        for name in names:
            await of.backend.stop_session(name)


async def _cancelled_start_leaves_nothing(of: Examination) -> None:
    tasks = len(asyncio.all_tasks())
    places = min(of.can.max_sessions or 4, MOST_SESSIONS)
    for wait in (0.0, 0.001, 0.01) * places:
        starting = asyncio.create_task(of.backend.start_session(BackendSettings()))
        await asyncio.sleep(wait)
        starting.cancel()
        await asyncio.wait([starting])
        if not starting.cancelled() and starting.exception() is None:
            await of.backend.stop_session(starting.result())  # it was ready before
    names: list[str] = []
    try:
        for _ in range(places):
            names.append(await of.backend.start_session(BackendSettings()))
    except EngineBusy:
        raise Failed(f"after starts that were cancelled only {len(names)} of {places} places are free") from None
    finally:
        for name in names:
            await of.backend.stop_session(name)
    await asyncio.sleep(QUIET_SECONDS)
    left = len(asyncio.all_tasks()) - tasks
    expect(left <= 0, f"{left} tasks are left of starts that were cancelled")


async def _refuses_settings(of: Examination) -> None:
    tool = Tool("look", "Looks.", {"type": "object", "properties": {}}, lambda: "")
    wrong = [("a voice that it has not", BackendSettings(voice="no such voice"))]
    if of.can.instructions == "none":
        wrong.append(("instructions", BackendSettings("Be brief.")))
    if not of.can.tools:
        wrong.append(("tools", BackendSettings(tools=(tool,))))
    for what, settings in wrong:
        try:
            name = await of.backend.start_session(settings)
        except ConfigError:
            continue
        await of.backend.stop_session(name)
        raise Failed(f"it began a session with {what}, which it cannot keep, instead of raising ConfigError")
    right = BackendSettings(
        "Be brief." if of.can.instructions != "none" else "",
        of.can.voices[-1] if of.can.voices else "",
        (tool,) * of.can.tools,
    )
    async with Listening(of.backend, right):
        pass


SESSIONS: Mapping[str, BackendCheck] = {
    "ends once": _ends_once,
    "events once": _can_be_taken_once,
    "two sessions": _two_do_not_mix,
    "busy": _is_honest_when_full,
    "cancelled start": _cancelled_start_leaves_nothing,
    "settings": _refuses_settings,
}

CHECKS: Mapping[str, BackendCheck] = {"says what it can do": _says_what_it_can_do, **REPLIES, **GIVEN, **SESSIONS}
"""Name -> check, in the order in which they are run."""


async def examine_backend(make: Callable[[], VoiceBackend], specimen: Specimen | None = None) -> list[Outcome]:
    """Runs every check on one backend that ``make`` gives, then those of its beginning and end.

    ``make`` is called twice. Raises what ``load`` raises: a backend that cannot load cannot be examined.
    """
    threads, children = set(threading.enumerate()), _children()
    backend = make()
    before = backend.capabilities
    outcomes = [await one_check("says what it is", lambda: says_what_it_is(backend))]
    async with asyncio.timeout(LOAD_SECONDS):
        await backend.load()
    examination = Examination(backend, specimen or Specimen(babble()))
    left_open: Listening | None = None
    try:
        outcomes.append(await one_check("stays what it is", lambda: _stays(before, backend)))
        for name, check in CHECKS.items():
            outcomes.append(await one_check(name, lambda check=check: check(examination)))  # type: ignore[misc]
        outcomes.append(await one_check("loads twice", lambda: _loads_twice(examination)))
        with contextlib.suppress(Exception):
            left_open = await Listening(backend).__aenter__()
    finally:
        async with asyncio.timeout(CLOSE_SECONDS):
            await backend.close()
    outcomes.append(await one_check("closing ends sessions", lambda: _ended_by_closing(left_open)))
    outcomes.append(await one_check("closes twice", backend.close))
    outcomes.append(await one_check("closes unloaded", lambda: make().close()))
    outcomes.append(await one_check("leaves no thread", lambda: leaves_no_thread(threads)))
    outcomes.append(await one_check("leaves no process", lambda: _leaves_no_process(children)))
    return outcomes


async def _stays(before: object, backend: VoiceBackend) -> None:
    for name in ("duplex", "turn_owner", "memory"):
        was, now = getattr(before, name), getattr(backend.capabilities, name)
        expect(was == now, f"{name} was {was!r} before it was loaded, and is {now!r}: a session is built by it")


async def _loads_twice(of: Examination) -> None:
    await of.backend.load()
    async with Listening(of.backend):
        pass


async def _ended_by_closing(talk: Listening | None) -> None:
    if talk is None:
        raise NotForThis("no session could be begun")
    for _ in range(round(SOON_SECONDS / 0.05)):
        if talk.over:
            break
        await asyncio.sleep(0.05)
    expect(talk.over, "close left the events of an open session without an end")
    expect(len(talk.ends()) == 1, f"of a session that was open it told {talk.ends() or 'no Ended'}")


async def _leaves_no_process(before: frozenset[int]) -> None:
    until = time.monotonic() + CLOSE_SECONDS
    with real_work():  # as a process does
        while left := _children() - before:
            if time.monotonic() > until:
                raise Failed(f"processes are left: {sorted(left)}")
            await asyncio.sleep(0.05)


def _children() -> frozenset[int]:
    """Ids of this process's children, on Linux; elsewhere none are known."""
    found: set[int] = set()
    for task in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has ended meanwhile, and its children are another thread's
            found.update(int(word) for word in task.read_text().split())
    return frozenset(found)
