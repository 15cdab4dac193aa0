"""How much of the machine REST may take: so many jobs run, so many more wait, and the next one is told when to come again.

What may live here: this line of waiting. What a job is, it does not know.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from locara.server.rest_errors import busy

AT_ONCE = max(1, (os.cpu_count() or 1) // 4)
"""Jobs that compute at once. A quarter of the cores: whoever talks with this machine at the same time comes first."""

WAITING = 6
"""Jobs that may wait. Each may hold an upload of 25 MiB."""

WAIT_SECONDS = 60.0
"""The longest wait: clients give up after a minute or later."""

_REMEMBERED = 8
_FIRST_GUESS = 2.0  # seconds, before any job was done
_MOST_SECONDS = 60.0


class Jobs:
    """At most ``at_once`` jobs run and ``waiting`` more wait."""

    def __init__(self, at_once: int = AT_ONCE, waiting: int = WAITING, wait_seconds: float = WAIT_SECONDS) -> None:
        self._at_once = at_once
        self._most = at_once + waiting
        self._wait_seconds = wait_seconds
        self._running = asyncio.Semaphore(at_once)
        self._took: deque[float] = deque(maxlen=_REMEMBERED)
        self.taken = 0
        """Jobs that run or wait."""

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place in the line, before anything large is read. Raises ``Refused`` (429) where there is none."""
        if self.taken >= self._most:
            after = self.estimate()
            raise busy(f"{self.taken} requests run or wait already; try again in {after:.0f} s", after)
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """The right to compute, when it comes. Raises ``Refused`` (429) where it does not come in time."""
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._running.acquire()
        except TimeoutError:
            after = self.estimate()
            raise busy(f"no turn within {self._wait_seconds:g} s; try again in {after:.0f} s", after) from None
        clock = asyncio.get_running_loop()
        began = clock.time()
        try:
            yield
        finally:
            self._took.append(clock.time() - began)
            self._running.release()

    def estimate(self) -> float:
        """Seconds until there is likely a place, from what the last jobs took."""
        one = sum(self._took) / len(self._took) if self._took else _FIRST_GUESS
        return min(_MOST_SECONDS, max(1.0, one / self._at_once))
