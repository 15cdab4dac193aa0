"""One conversation with a `VoiceBackend`: what it is told, in order and with a deadline; what it tells, as it comes.

What may live here: the way to a backend and back, and what happens when its session is lost: the next turn begins another.
Whose turn it is, and what becomes of a reply, is the brains' business.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, cast

import numpy as np

from locara.audio import BLOCK, RATE, Resampler, Samples, silence
from locara.engines.backend import (
    BackendEvent,
    BackendFailed,
    BackendSettings,
    Disregard,
    Ended,
    Played,
    Signal,
    TurnEnd,
    UserTyped,
    VoiceBackend,
)
from locara.engines.backend_settings import demand
from locara.errors import EngineFailed, LocaraError
from locara.voice.brain import Deadlines
from locara.voice.streams import BEHIND_SECONDS

WAITING = int(BEHIND_SECONDS * RATE / BLOCK)
"""Blocks that may wait for a backend whose ``push_audio`` does not return; each has told its deadline by then."""

Tell = Callable[[BackendEvent], Awaitable[None]]
"""What a backend tells. `Ended` is told once for each session that was lost; another one begins with the next turn."""

Trouble = Callable[[BaseException, "Signal | None"], Awaitable[None]]
"""The backend did not take a signal, or (None) sound."""


class BackendSession:
    """``open``, then ``begin``, and at last ``close``. ``push`` and ``signal`` only take note: a task does the work, in
    their order. Sound is given at 16 kHz; it is pushed at the backend's rate."""

    def __init__(self, backend: VoiceBackend, settings: BackendSettings, deadlines: Deadlines) -> None:
        self.backend = backend
        self.settings = settings
        self._deadlines = deadlines
        self._name: str | None = None
        self._todo: deque[Samples | Signal] = deque()
        self._wake = asyncio.Event()
        self._resampler: Resampler | None = None
        self._tell: Tell | None = None
        self._trouble: Trouble | None = None
        self._feeding: asyncio.Task[None] | None = None
        self._hearing: asyncio.Task[None] | None = None
        self.refused = 0
        """How often in a row no other session could be begun."""
        self._gave_up = False
        """No session could be begun; it is tried again with the next turn."""
        self._closed = False

    # --- beginning and ending -----------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Begins the conversation. Raises ``StageError``, and ``ConfigError`` for settings that the backend cannot keep."""
        demand(self.backend.info.model, self.backend.capabilities, self.settings)
        self._name = await self.backend.start_session(self.settings)

    def begin(self, tell: Tell, trouble: Trouble) -> None:
        """From now on what comes is told, and what is noted is done."""
        self._tell, self._trouble = tell, trouble
        if self._name is not None:
            self._hearing = asyncio.create_task(self._hear(self._name), name="omni-events")
        self._feeding = asyncio.create_task(self._feed(), name="omni-feed")

    async def close(self) -> None:
        """Ends the conversation and every task. May be called twice, and before `open`."""
        self._closed = True
        if self._feeding is not None:
            self._feeding.cancel()
            await asyncio.wait([self._feeding], timeout=self._deadlines.close)
        name, self._name = self._name, None
        try:
            if name is not None:
                async with asyncio.timeout(self._deadlines.close):
                    await self.backend.stop_session(name)
        finally:
            if self._hearing is not None:
                self._hearing.cancel()
                await asyncio.wait([self._hearing], timeout=self._deadlines.close)

    # --- telling the backend ------------------------------------------------------------------------------------------

    @property
    def lost(self) -> bool:
        """There is no session now; the next turn begins one."""
        return self._name is None

    def push(self, samples: Samples) -> None:
        """The next samples of the user, float32 at 16 kHz."""
        if samples.size and len(self._todo) < WAITING:
            self._note(samples)

    def signal(self, signal: Signal) -> None:
        """Tells it something, after everything that was noted before."""
        if isinstance(signal, Played) and not signal.ended and self._todo:
            last = self._todo[-1]
            if isinstance(last, Played) and last.reply == signal.reply and not last.ended:
                self._todo.pop()  # only the newest counts
        self._note(signal)

    def new_turn(self) -> None:
        """The user begins a turn: where no session could be begun, it is tried again."""
        self._gave_up = False

    def _note(self, item: Samples | Signal) -> None:
        self._todo.append(item)
        self._wake.set()

    async def _feed(self) -> None:
        assert self._trouble is not None
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._todo:
                item = self._todo.popleft()
                try:
                    await self._give(item)
                except Exception as error:  # any backend, any fault: it becomes an event that names the stage
                    await self._trouble(error, None if isinstance(item, np.ndarray) else cast(Any, item))

    async def _give(self, item: Samples | Signal) -> None:
        if self._name is None:
            if not isinstance(item, np.ndarray | TurnEnd | UserTyped):
                return  # it concerned a session that is gone
            if self._gave_up and isinstance(item, np.ndarray):
                return  # told once; whoever asks for a reply is told again
            await self._begin_again()
        name = self._name
        assert name is not None
        async with asyncio.timeout(self._deadlines.push):
            if isinstance(item, np.ndarray):
                await self._push(name, item)
            else:
                if isinstance(item, TurnEnd):
                    await self._flush(name)
                elif isinstance(item, Disregard):
                    self._resampler = None
                taken = await self.backend.signal(name, item)
                if not taken and isinstance(item, TurnEnd | UserTyped):
                    raise self._failed("did not take the turn", "see what the model's engine says of it")

    async def _push(self, name: str, samples: Samples) -> None:
        rate = self.backend.capabilities.input_rate
        if rate != RATE:
            self._resampler = self._resampler or Resampler(RATE, rate)
            samples = self._resampler.push(samples)
        if samples.size:
            await self.backend.push_audio(name, samples)

    async def _flush(self, name: str) -> None:
        """What the change of rates still holds of a turn that ends."""
        resampler, self._resampler = self._resampler, None
        if resampler is not None and (rest := resampler.push(silence(0), last=True)).size:
            await self.backend.push_audio(name, rest)

    # --- hearing from it ----------------------------------------------------------------------------------------------

    async def _hear(self, name: str) -> None:
        assert self._tell is not None
        ended = Ended("closed")
        try:
            async for event in self.backend.event_stream(name):
                if isinstance(event, Ended):
                    ended = event
                    break
                await self._tell(event)
        except Exception as error:
            ended = Ended("failed")
            code = error.code if isinstance(error, LocaraError) else EngineFailed.code
            hint = error.hint if isinstance(error, LocaraError) else "this is a fault of the engine"
            await self._tell(BackendFailed(code, f"omni: {type(error).__name__}: {error}", hint, fatal=True))
        if self._closed or self._name != name:
            return
        self._name = None
        self._resampler = None
        self._todo.clear()
        await self._tell(ended)

    async def _begin_again(self) -> None:
        """Another session after one that was lost: once a turn, and it is told once that there is none."""
        if self._gave_up:
            raise self._failed("has no conversation", "try again, or look whether its server or process still runs")
        try:
            async with asyncio.timeout(self._deadlines.load):
                self._name = await self.backend.start_session(self.settings)
        except BaseException:
            self._gave_up = True
            self.refused += 1
            raise
        self.refused = 0
        if self._hearing is not None:
            await asyncio.wait([self._hearing], timeout=self._deadlines.close)
        self._hearing = asyncio.create_task(self._hear(self._name), name="omni-events")

    def _failed(self, what: str, hint: str) -> EngineFailed:
        model = self.backend.info.model
        return EngineFailed(f"omni: {model} {what}", stage="omni", model=model, hint=hint)
