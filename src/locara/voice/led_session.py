"""The session with a model that leads: it has to be there all the time, so one that ends by itself is followed by another.

What may live here: beginning it, again where it was lost, and ending it. What is said in it is the business of `duplex`;
where the model is asked for its replies, the next turn begins another session (`backend_session`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

from locara.engines.backend import BackendSettings, VoiceBackend
from locara.engines.backend_settings import demand
from locara.voice.brain import Deadlines, Post, failure
from locara.voice.moves import Failed, Stop

RESTARTS = 3
RESTARTS_SECONDS = 60.0
"""So many sessions of the model may end by themselves in so many seconds; after that the conversation ends, too."""


class LedSession:
    """``tell`` hears that a session was lost, and of what became of that."""

    def __init__(self, backend: VoiceBackend, settings: BackendSettings, deadlines: Deadlines, tell: Post) -> None:
        self._backend = backend
        self._settings = settings
        self._deadlines = deadlines
        self._tell = tell
        self.name = ""
        """What the backend calls it; empty while there is none."""
        self._restarts: deque[float] = deque(maxlen=RESTARTS)

    @property
    def restarts(self) -> int:
        """How many followed one that was lost, the last few."""
        return len(self._restarts)

    async def open(self) -> None:
        """Begins it. Raises ``StageError``, and ``ConfigError`` for settings that the backend cannot keep."""
        demand(self._backend.info.model, self._backend.capabilities, self._settings)
        self.name = await self._backend.start_session(self._settings)

    async def close(self) -> None:
        """Ends it. May be called twice, and before `open`."""
        ended, self.name = self.name, ""
        if ended:
            await self._backend.stop_session(ended)

    async def again(self, reason: str) -> bool:
        """The model's session has ended by itself: another one begins, which knows nothing of what was said. False, and
        a ``Stop``, where none can be had. ``reason``: as `Ended` has it."""
        model = self._backend.info.model
        now = asyncio.get_running_loop().time()
        often = len(self._restarts) == RESTARTS and now - self._restarts[0] < RESTARTS_SECONDS
        why = {"limit": "lasts no longer", "closed": "was closed by the other side"}.get(reason, "has failed")
        ended, self.name = self.name, ""
        try:
            with contextlib.suppress(Exception):  # it is over already; what it says of that was told
                async with asyncio.timeout(self._deadlines.close):
                    await self._backend.stop_session(ended)
            if not often:
                self._restarts.append(now)
                async with asyncio.timeout(self._deadlines.load):
                    if reason == "failed":
                        await self._backend.load()
                    self.name = await self._backend.start_session(self._settings)
                hint = "it goes on, but has forgotten what was said"
                await self._tell(Failed("omni", "session-over", f"omni: the session of {model} {why}", hint))
                return True
            error: Exception | None = None
        except Exception as raised:  # any backend, any fault: it is told
            error = raised
        told = failure(error, "omni") if error is not None else None
        message = f"omni: the session of {model} {why}, and no other could be had"
        message += f": {told.message}" if told is not None else f": {RESTARTS} ended within {RESTARTS_SECONDS:g} s"
        hint = told.hint if told is not None and told.hint else "look at the log of its server or process"
        await self._tell(Failed("omni", "engine-failed", message, hint, fatal=True))
        await self._tell(Stop("engine-lost"))
        return False
