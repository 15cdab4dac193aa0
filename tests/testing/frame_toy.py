"""A full-duplex backend for tests: it says back what it hears, frame by frame, one frame late.

What may live here: this toy, and nothing that is true of a real model.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np

from locara.audio import Samples, clean
from locara.engines.backend import (
    BackendCapabilities,
    BackendEvent,
    BackendSettings,
    Frame,
    ReplyAudio,
    ReplyBegan,
    ReplyEnded,
    Signal,
)
from locara.engines.backend_events import SessionEvents
from locara.engines.backend_settings import demand
from locara.engines.contracts import EngineInfo
from locara.errors import EngineBusy, EngineFailed

FRAME = 1920


class Echo:
    """One session at a time."""

    info = EngineInfo("toy", "echo", "Apache-2.0", sharing="shared")

    def __init__(self, *, marks_replies: bool = False) -> None:
        self.capabilities = BackendCapabilities(
            "full", "model", 24_000, 24_000, frame_seconds=0.08, clocked=True, marks_replies=marks_replies
        )
        self.first_reply = 1
        self._begun = 0
        self._streams: dict[str, SessionEvents] = {}
        self._held = np.zeros(0, np.float32)
        self._heard = 0

    async def load(self) -> None:
        """Ready at once."""

    async def close(self) -> None:
        """Ends every session."""
        for name in self._streams:
            await self.stop_session(name)

    async def start_session(self, settings: BackendSettings) -> str:
        """A fresh echo."""
        demand(self.info.model, self.capabilities, settings)
        if any(stream.ended is None for stream in self._streams.values()):
            raise EngineBusy("omni: the toy is taken", stage="omni", hint="wait")
        self._begun += 1
        self._held, self._heard = np.zeros(0, np.float32), 0
        self._streams[f"toy-{self._begun}"] = SessionEvents()
        return f"toy-{self._begun}"

    async def push_audio(self, session: str, samples: Samples) -> None:
        """Every whole frame comes back."""
        stream = self._of(session)
        if stream.ended is not None:
            return
        self._held = np.concatenate((self._held, clean(samples)[0]))
        while self._held.size >= FRAME:
            self._heard += FRAME
            frame, self._held = self._held[:FRAME], self._held[FRAME:]
            self.give(stream, np.clip(frame, -1.0, 1.0))

    def give(self, stream: SessionEvents, frame: Samples) -> None:
        """One frame, or a whole reply of one frame."""
        if not self.capabilities.marks_replies:
            stream.tell(Frame(frame, heard=self._heard))
            return
        reply = self.first_reply + self._heard // FRAME - 1
        stream.tell(ReplyBegan(reply))
        stream.tell(ReplyAudio(reply, frame))
        stream.tell(ReplyEnded(reply))

    async def signal(self, session: str, signal: Signal) -> bool:
        """Nothing applies to it."""
        self._of(session)
        return False

    def event_stream(self, session: str) -> AsyncIterator[BackendEvent]:
        """Its frames."""
        return self._of(session).stream()

    async def stop_session(self, session: str) -> None:
        """Ends it."""
        self._of(session).end("stopped")

    def _of(self, session: str) -> SessionEvents:
        if session not in self._streams:
            raise EngineFailed(f"omni: there is no session {session!r}", stage="omni", hint="start one")
        return self._streams[session]
