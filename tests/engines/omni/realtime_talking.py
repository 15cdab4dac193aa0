"""A conversation with a backend in tests: everything that it tells is kept, and what was not allowed is found.

What may live here: this recorder, and waiting for what must come.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np

from locara.audio import Samples
from locara.engines.backend import (
    BackendEvent,
    BackendSettings,
    Ended,
    ReplyAudio,
    ReplyBegan,
    ReplyEnded,
    ReplyText,
    Signal,
    ToolWanted,
    VoiceBackend,
)
from locara.engines.omni.realtime import create

PATIENCE = 20.0
"""Seconds for what should take milliseconds: CI is a slow machine."""


def backend(name: str, **options: Any) -> VoiceBackend:
    made = create(name, options)
    assert made is not None
    return made


async def until(happened: Callable[[], bool]) -> None:
    """Waits for what no event tells."""
    async with asyncio.timeout(PATIENCE):
        while not happened():  # noqa: ASYNC110  a fake's counter
            await asyncio.sleep(0.01)


class Talk:
    """``async with Talk(backend) as talk``: a session, and what came of it in ``events``."""

    def __init__(self, backend: VoiceBackend, settings: BackendSettings | None = None) -> None:
        self.backend = backend
        self._settings = settings or BackendSettings()
        self.events: list[BackendEvent] = []
        self._more = asyncio.Event()

    async def __aenter__(self) -> Talk:
        self.name = await self.backend.start_session(self._settings)
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        try:
            await self.backend.stop_session(self.name)
            if error is None:
                await self.until(lambda: bool(self.of(Ended)))
                lawful(self.events)
        finally:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            await self.backend.close()

    async def _read(self) -> None:
        async for event in self.backend.event_stream(self.name):
            self.events.append(event)
            self._more.set()

    async def push(self, samples: Samples, *, block: float = 0.02) -> None:
        """Pushed block by block, faster than real time."""
        size = max(1, round(block * self.backend.capabilities.input_rate))
        for at in range(0, samples.size, size):
            await self.backend.push_audio(self.name, samples[at : at + size])
            await asyncio.sleep(0)

    async def tell(self, signal: Signal) -> bool:
        return await self.backend.signal(self.name, signal)

    async def until(self, happened: Callable[[], bool]) -> None:
        """Waits for it. Fails with what came instead."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not happened():
                    self._more.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.05):
                            await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"it did not happen; there was {self.events[-12:]}") from None

    def of(self, *kinds: type) -> list[Any]:
        return [one for one in self.events if isinstance(one, kinds)]

    def text(self, reply: int) -> str:
        return "".join(one.text for one in self.of(ReplyText) if one.reply == reply)

    def sound(self, reply: int) -> Samples:
        parts = [one.samples for one in self.of(ReplyAudio) if one.reply == reply]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def ended(self, reply: int) -> str:
        """How it ended; empty: it has not."""
        return next((one.reason for one in self.of(ReplyEnded) if one.reply == reply), "")


def lawful(events: list[BackendEvent]) -> None:
    """The rules of the contract: `Ended` once and last, one end for each reply, nothing of a reply after it."""
    assert sum(isinstance(one, Ended) for one in events) == 1
    assert isinstance(events[-1], Ended)
    over: set[int] = set()
    for one in events:
        if isinstance(one, ReplyBegan | ReplyText | ReplyAudio | ToolWanted | ReplyEnded):
            assert one.reply not in over, f"{one} after the end of its reply"
        if isinstance(one, ReplyEnded):
            over.add(one.reply)
