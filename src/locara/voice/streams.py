"""Taking sound to an engine and its answers from it: what every brain needs, whatever model sits behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from locara.audio import Samples

T = TypeVar("T")

BEHIND_SECONDS = 60.0
"""An engine that is this far behind the user is too slow for this machine; memory stays bounded."""


class Fresh:
    """Lets every sample through once: a turn that goes on after a pause begins a little before it, for the pre-roll."""

    def __init__(self) -> None:
        self._until = 0

    def of(self, at: int, samples: Samples) -> Samples:
        """What of ``samples``, which lie at ``at`` on the session's clock, did not come before."""
        fresh = samples[max(0, self._until - at) :]
        self._until = max(self._until, at + samples.size)
        return fresh


async def each(stream: AsyncIterator[T], *, first: float, then: float) -> AsyncIterator[T]:
    """The items of ``stream``, with a deadline in seconds for the ``first`` and for every one ``then``; raises
    ``TimeoutError`` past it. Closes the stream whatever happens."""
    deadline = first
    try:
        while True:
            try:
                async with asyncio.timeout(deadline):
                    item = await anext(stream)
            except StopAsyncIteration:
                return
            yield item
            deadline = then
    finally:
        close: Callable[[], Awaitable[None]] | None = getattr(stream, "aclose", None)
        if close is not None:
            await close()
