"""The events of one session of a `VoiceBackend` on their way to whoever takes them: in order, bounded, ended once.

What may live here: this queue, for authors of backends. It belongs to one event loop; a thread hands its events over with
``loop.call_soon_threadsafe(events.tell, event)``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Literal

from locara.engines.backend import BackendEvent, BackendFailed, Ended
from locara.errors import EngineFailed, SessionError

MOST_WAITING = 4096
"""Events that may wait: more than five minutes of sound in pieces of 80 ms. Whoever lags behind that takes none."""


class SessionEvents:
    """``tell`` what happens, ``end`` the session, and give ``stream()`` as its ``event_stream``."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._most = most
        self._waiting: deque[BackendEvent] = deque()
        self._wake = asyncio.Event()
        self._taken = False
        self.ended: Ended | None = None
        """How it ended; None: it goes on."""

    def tell(self, event: BackendEvent) -> bool:
        """False: it is over, and this is told to nobody. Too many events that nobody takes end the session."""
        if self.ended is not None:
            return False
        if isinstance(event, Ended):
            self.ended = event
        elif len(self._waiting) >= self._most:
            message = f"{self._most} events were not taken"
            self._waiting.append(BackendFailed(EngineFailed.code, message, "take the events as they come", fatal=True))
            return self.end("failed")
        self._waiting.append(event)
        self._wake.set()
        return True

    def end(self, reason: Literal["stopped", "limit", "closed", "failed"]) -> bool:
        """The session is over. False: it was already."""
        return self.tell(Ended(reason))

    def stream(self) -> AsyncIterator[BackendEvent]:
        """All events from the first on; its last is `Ended`. Raises ``SessionError`` where it was asked for before."""
        if self._taken:
            raise SessionError("the events of this session are taken already", hint="ask for event_stream once")
        self._taken = True
        return self._events()

    async def _events(self) -> AsyncIterator[BackendEvent]:
        while True:
            while self._waiting:
                event = self._waiting.popleft()
                yield event
                if isinstance(event, Ended):
                    return
            self._wake.clear()
            await self._wake.wait()
