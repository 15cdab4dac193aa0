"""What every engine must do, as checks that are run against a real one: for Locara's own engines and for plugins.

    outcomes = asyncio.run(examine("tts", lambda: create("morse", {})))
    assert all(outcome.passed for outcome in outcomes), outcomes

What may live here: how an engine is examined. The checks of each kind are in ``conformance_speech`` and
``conformance_language``; a model that hears and speaks is examined by ``conformance_backend``. They prove that an engine
keeps its contract: that it ends, cancels, survives odd input and leaves nothing behind. How well it understands or speaks
is another matter, and needs real weights.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np

from locara.audio import RATE, Samples
from locara.engines.contracts import Engine, Kind
from locara.engines.lane import real_work
from locara.errors import LocaraError

LOAD_SECONDS = 120.0
CHECK_SECONDS = 60.0
"""One check never takes longer. A small model on a busy machine needs a few seconds."""
CLOSE_SECONDS = 10.0
STALL_SECONDS = 1.0
"""The event loop stands still no longer than that while an engine works. In a conversation 50 ms are too many; here the
machine may be busy, and what must be found is an engine that computes on the loop."""


class Failed(Exception):
    """What an engine did not keep, in one sentence."""


class NotForThis(Exception):
    """A check that this engine does not claim to pass."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one check. ``why`` is empty where it passed."""

    check: str
    verdict: Literal["passed", "failed", "not claimed"]
    why: str = ""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Also what an engine does not claim is no failure."""
        return self.verdict != "failed"


@dataclass(frozen=True, slots=True)
class Specimen:
    """What the checks may use: real speech makes them say more than noise."""

    sound: Samples
    """Mono, 16 kHz, some seconds."""
    text: str = "Hello there. It is a quarter past nine, and the kettle is on."


Check = Callable[[Any, Specimen], Awaitable[None]]


def expect(true: bool, otherwise: str) -> None:
    """Raises `Failed` with what was wrong."""
    if not true:
        raise Failed(otherwise)


def babble(seconds: float = 3.0) -> Samples:
    """Something with syllables, where there is no recording: a buzz of 120 Hz through two resonances, 4 a second."""
    at = np.arange(round(seconds * RATE)) / RATE
    buzz = sum(np.sin(2 * np.pi * 120 * k * at) / k for k in range(1, 30))
    rhythm = np.clip(np.sin(2 * np.pi * 4 * at), 0.0, None)
    sound: Samples = (0.05 * buzz * rhythm).astype(np.float32)
    return sound


def checks(kind: Kind) -> dict[str, Check]:
    """Name -> check, for engines of this kind, in the order in which they are run."""
    from locara.testing import conformance_language, conformance_speech

    found = {**conformance_speech.CHECKS, **conformance_language.CHECKS}.get(kind)
    if found is None:
        raise ValueError(f"there are no checks for engines of the kind {kind!r}")
    return found


async def examine(kind: Kind, make: Callable[[], Engine], specimen: Specimen | None = None) -> list[Outcome]:
    """Runs every check on one engine that ``make`` gives, then those of its beginning and end on fresh ones.

    ``make`` is called several times. Raises what ``load`` raises: an engine that cannot load cannot be examined.
    """
    if kind == "omni":
        from locara.testing.conformance_backend import examine_backend

        return await examine_backend(cast(Any, make), specimen)
    specimen = specimen or Specimen(babble())
    before = set(threading.enumerate())
    engine = make()
    outcomes = [await one_check("says what it is", lambda: says_what_it_is(engine))]
    async with asyncio.timeout(LOAD_SECONDS):
        await engine.load()
    try:
        for name, check in checks(kind).items():
            outcomes.append(await one_check(name, lambda check=check: check(engine, specimen)))  # type: ignore[misc]
    finally:
        async with asyncio.timeout(CLOSE_SECONDS):
            await engine.close()
    outcomes.append(await one_check("closes twice", engine.close))
    outcomes.append(await one_check("closes unloaded", lambda: make().close()))
    outcomes.append(await one_check("leaves no thread", lambda: leaves_no_thread(before)))
    return outcomes


async def one_check(name: str, check: Callable[[], Awaitable[None]]) -> Outcome:
    """What came of one check; a fault of any kind is a failure of it."""
    began = time.perf_counter()
    try:
        async with asyncio.timeout(CHECK_SECONDS), _Pulse() as pulse:
            await check()
    except NotForThis as reason:
        return Outcome(name, "not claimed", str(reason))
    except Failed as failure:
        return Outcome(name, "failed", str(failure))
    except TimeoutError:
        return Outcome(name, "failed", f"it did not end within {CHECK_SECONDS:g} s")
    except Exception as error:
        return Outcome(name, "failed", f"{type(error).__name__}: {error}")
    if pulse.longest > STALL_SECONDS:
        return Outcome(name, "failed", f"the event loop stood still for {pulse.longest:.1f} s")
    return Outcome(name, "passed", seconds=time.perf_counter() - began)


class _Pulse:
    """How long the event loop stood still at most, in seconds."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = time.perf_counter()

    async def __aenter__(self) -> _Pulse:
        self._task = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._note()
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _beat(self) -> None:
        while True:
            self._note()
            await asyncio.sleep(0.01)

    def _note(self) -> None:
        now = time.perf_counter()
        self.longest = max(self.longest, now - self._last)
        self._last = now


async def says_what_it_is(engine: Engine) -> None:
    """Its facts are there."""
    info = engine.info
    for name in ("engine", "model", "licence"):
        expect(bool(getattr(info, name)), f"info.{name} is empty")


async def leaves_no_thread(before: set[threading.Thread]) -> None:
    """None but those that were there ``before``."""
    until = time.monotonic() + CLOSE_SECONDS
    with real_work():  # a thread takes real time to end, also on a virtual clock
        while left := [
            one for one in threading.enumerate() if one not in before and not one.name.startswith("asyncio_")
        ]:
            if time.monotonic() > until:
                raise Failed("threads are left: " + ", ".join(one.name for one in left))
            await asyncio.sleep(0.02)


async def refuses(work: Awaitable[object]) -> None:
    """Passes when ``work`` ends, or raises an error of Locara's; anything else escapes."""
    with contextlib.suppress(LocaraError):
        await work


def table(rows: Sequence[tuple[str, Sequence[Outcome]]]) -> str:
    """Engine x check, as Markdown: a line an engine, a column a check."""
    names = list(dict.fromkeys(outcome.check for _, outcomes in rows for outcome in outcomes))
    signs = {"passed": "yes", "failed": "NO", "not claimed": "–"}
    lines = ["| engine | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for engine, outcomes in rows:
        by_name = {outcome.check: signs[outcome.verdict] for outcome in outcomes}
        lines.append(f"| {engine} | " + " | ".join(by_name.get(name, "") for name in names) + " |")
    return "\n".join(lines) + "\n"
