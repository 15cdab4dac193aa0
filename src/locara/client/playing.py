"""A player without a speaker: what came over the connection, at the pace at which it sounds, and what was played of it.

What may live here: the player's clock. An app that has a speaker of its own reports what that has played instead.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

from locara.audio import Samples
from locara.client.frames import Frame, after

REPORT_SECONDS = 0.1
"""Between two reports while something sounds: a reply is known to a tenth of a second where it is cut."""


class Player:
    """``rate`` in hertz; ``delay``: seconds that it keeps in hand against the network's unrest. ``played(samples)`` gets
    each block when it has been played, ``report(at)`` how far the stream is."""

    def __init__(
        self, rate: int, delay: float, played: Callable[[Samples], None], report: Callable[[int], None]
    ) -> None:
        self.rate = rate
        self.received = 0
        """The end of the stream as it came, in samples."""
        self.at = 0
        """The end of the stream as it was played."""
        self._delay = delay
        self._played = played
        self._report = report
        self._reported = 0
        self._waiting: deque[tuple[float, Frame]] = deque()
        self._next = 0.0
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="locara-client-player")

    def take(self, frame: Frame) -> None:
        """The next frame of the stream. What was received before is not played twice."""
        new = after(frame, self.received)
        if new is None:
            return
        now = asyncio.get_running_loop().time()
        begins = now + self._delay if self._next <= now else self._next
        self._next = begins + (new.end - new.at) / self.rate
        self.received = new.end
        self._waiting.append((self._next, new))
        self._wake.set()

    def flush(self) -> None:
        """What was not played yet never is."""
        self._waiting.clear()
        self._next = 0.0
        self._tell(self.at)

    async def close(self) -> None:
        """Ends it."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._waiting:
                self._tell(self.at)
                self._wake.clear()
                await self._wake.wait()
                continue
            ended, frame = self._waiting[0]
            if (left := ended - loop.time()) > 0:
                await asyncio.sleep(left)
                continue  # it may have been flushed meanwhile
            self._waiting.popleft()
            self.at = frame.end
            self._played(frame.samples)
            if self.at - self._reported >= REPORT_SECONDS * self.rate:
                self._tell(self.at)

    def _tell(self, at: int) -> None:
        if at > self._reported:
            self._reported = at
            self._report(at)
