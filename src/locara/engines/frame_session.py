"""One conversation with a model that works frame by frame, as our side keeps it.

What may live here: the samples that make no frame yet, what was sent and what came of it, and the events that wait to be
taken. No process: that is `frame_backend`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

import numpy as np

from locara.audio import Samples
from locara.engines.backend import BackendEvent, BackendFailed, Ended, Frame, Lag
from locara.engines.frame_wire import Said
from locara.errors import SessionError

EVENTS = 256
"""That wait to be taken: twenty seconds of Mimi's frames."""


class FrameSession:
    """``frame``: samples. ``most``: samples after which it ends by itself; None: never."""

    def __init__(self, number: int, name: str, frame: int, most: int | None = None) -> None:
        self.number = number
        self.name = name
        self.over = False
        """`Ended` was told, or will be as soon as what came before it is taken."""
        self.owing_since: float | None = None
        """Since when the model owes it a frame, by the loop's clock."""
        self._frame = frame
        self._most = most
        self._rest: list[Samples] = []
        self._waiting = 0
        """Samples in ``_rest``: less than a frame."""
        self._owed = 0
        self._text = ""  # thought in a step that had no sound yet
        self._events: deque[BackendEvent] = deque()
        self._came = asyncio.Event()
        self._taken = False

    def cut(self, samples: Samples, now: float) -> Samples | None:
        """Whole frames that are to be sent, of these samples and what was left before; None: not yet one. A sample that
        is no number is silence: it would stay in the model's memory for the rest of the session."""
        if self._waiting + samples.size < self._frame:
            self._keep(samples)
            return None
        sound = np.concatenate((*self._rest, samples)) if self._rest else samples
        whole = sound.size - sound.size % self._frame
        self._rest, self._waiting = [], 0
        self._keep(sound[whole:])
        self._owed += whole
        if self.owing_since is None:
            self.owing_since = now
        sound = sound[:whole]
        return sound if np.isfinite(sound).all() else np.nan_to_num(sound, nan=0.0, posinf=0.0, neginf=0.0)

    def _keep(self, samples: Samples) -> None:
        """What makes no frame yet. Copied: whoever gave it may write into it again."""
        if samples.size:
            self._rest.append(samples.copy())
            self._waiting += samples.size

    def heard(self, said: Said, now: float) -> None:
        """What came of a step. Ends the session when it has lasted as long as it may, or when its events are not taken."""
        self._owed -= self._frame + said.skipped
        self.owing_since = now if self._owed > 0 else None
        if said.skipped:
            self.put(Lag(said.behind, said.skipped))
        self._text += said.text
        if said.samples is not None:
            self.put(Frame(said.samples, self._text, said.heard))
            self._text = ""
        if self._most is not None and said.heard >= self._most:
            self.end(Ended("limit"))

    def put(self, event: BackendEvent) -> None:
        """Tells it; when too much waits to be taken, the session ends instead."""
        if self.over:
            return
        if len(self._events) >= EVENTS:
            self.fail(
                "events-not-taken",
                f"{EVENTS} events of a conversation wait and nobody takes them, so it was ended",
                "take its events as they come, or stop the session",
            )
            return
        self._events.append(event)
        self._came.set()

    def fail(self, code: str, message: str, hint: str) -> None:
        """Ends it with a reason."""
        if not self.over:
            self._events.append(BackendFailed(code, message, hint, fatal=True))
            self.end(Ended("failed"))

    def end(self, event: Ended) -> None:
        """Ends it; once."""
        if not self.over:
            self.over = True
            self._events.append(event)
            self._came.set()

    def events(self) -> AsyncIterator[BackendEvent]:
        """See `locara.engines.backend`. Raises ``SessionError`` the second time."""
        if self._taken:
            raise SessionError(
                f"the events of session {self.name} were asked for twice", hint="take them once, and pass them on"
            )
        self._taken = True
        return self._stream()

    async def _stream(self) -> AsyncIterator[BackendEvent]:
        while True:
            while self._events:
                event = self._events.popleft()
                yield event
                if isinstance(event, Ended):
                    return
            self._came.clear()
            await self._came.wait()
