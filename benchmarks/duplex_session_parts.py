"""What ``duplex_session.py`` measures with: a microphone that says when each of its blocks was over, a sound card that says
what sounded when, and a meter of the main thread's processor time."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np

from locara.audio import BLOCK, RATE, Samples
from locara.devices.contracts import Pull
from locara.gate.mouth import lead_of

PERIOD_SECONDS = 0.010
"""What a sound card asks for at once."""


class Microphone:
    """Hears ``sound`` (16 kHz) again and again, at the pace of the clock. ``phase``: seconds that it begins later, so that
    several are not in step."""

    name = "a recording, looped"
    exhausted = False
    overruns = 0

    def __init__(self, sound: Samples, phase: float) -> None:
        self._blocks = sound[: sound.size - sound.size % BLOCK].reshape(-1, BLOCK)
        self._phase = phase
        self.began = 0.0
        """The loop's time at which its first sample was."""

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def blocks(self) -> AsyncIterator[Samples]:
        """One block every 20 ms."""
        loop = asyncio.get_running_loop()
        self.began = loop.time() + self._phase
        n = 0
        while True:
            await asyncio.sleep(max(0.0, self.over(n + 1) - loop.time()))
            yield self._blocks[n % len(self._blocks)]
            n += 1

    def over(self, blocks: float) -> float:
        """The loop's time at which so many blocks have been heard."""
        return self.began + blocks * BLOCK / RATE


class Card:
    """A sound card without a wire: takes `PERIOD_SECONDS` of samples at a time, by the clock. ``began_to_sound``: the loop's
    times at which something was heard after half a second of silence or more."""

    name = "a sound card"
    rate = 24_000
    own_clock = True
    delay = 0.0
    underruns = 0

    def __init__(self) -> None:
        self.began_to_sound: list[float] = []
        self._task: asyncio.Task[None] | None = None

    async def open(self, pull: Pull) -> None:
        """From now on it plays."""
        self._task = asyncio.create_task(self._play(pull))

    def advance(self, blocks: int = 1) -> None:
        """It has its own clock."""

    async def close(self) -> None:
        """Plays no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _play(self, pull: Pull) -> None:
        loop = asyncio.get_running_loop()
        began, n, last = loop.time(), 0, 0.0
        size = round(PERIOD_SECONDS * self.rate)
        while True:
            at = began + n * PERIOD_SECONDS
            await asyncio.sleep(max(0.0, at - loop.time()))
            at = max(at, loop.time())  # late is late: what is asked for now sounds now
            samples = pull(size)
            lead = lead_of(samples)
            if lead < size:
                if at - last > 0.5:
                    self.began_to_sound.append(at + lead / self.rate)
                last = at
            n += 1


class Meter:
    """Processor seconds of this thread by part; what one part calls of another counts for the other alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner: list[float] = []

    def over(self, owner: Any, name: str, part: str) -> None:
        """From now on ``owner.name`` is metered, a method that does not wait."""
        inner: Callable[..., Any] = getattr(owner, name)

        def metered(*given: Any, **named: Any) -> Any:
            began = self._begin()
            try:
                return inner(*given, **named)
            finally:
                self._end(part, began)

        setattr(owner, name, metered)

    def over_async(self, owner: Any, name: str, part: str) -> None:
        """The same for a method that is awaited, and whose work does not wait for others in fact."""
        inner: Callable[..., Awaitable[Any]] = getattr(owner, name)

        async def metered(*given: Any, **named: Any) -> Any:
            began = self._begin()
            try:
                return await inner(*given, **named)
            finally:
                self._end(part, began)

        setattr(owner, name, metered)

    def _begin(self) -> float:
        self._inner.append(0.0)
        return time.thread_time()

    def _end(self, part: str, began: float) -> None:
        took = time.thread_time() - began
        self.seconds[part] = self.seconds.get(part, 0.0) + took - self._inner.pop()
        if self._inner:
            self._inner[-1] += took


def processor_seconds(pid: int) -> float:
    """What all threads of another process have used so far, to the nanosecond; NaN where it is not known (not on Linux)."""
    try:
        tasks = [int((one / "schedstat").read_text().split()[0]) for one in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return float("nan")
    return sum(tasks) / 1e9


def load() -> str:
    """How busy the machine is."""
    busy = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load not known"
    return f"{busy} on {os.cpu_count()} cores"


def of_three(values: list[float], unit: float = 1000.0) -> str:
    """Median (least to most), in milliseconds."""
    if not values:
        return ""
    low, middle, high = (unit * one for one in np.percentile(values, [0, 50, 100]))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"
