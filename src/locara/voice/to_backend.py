"""The way of the user's sound, and of what the model is told, to a `VoiceBackend`: in order, bounded, with a deadline.

What may live here: this one queue and the task that empties it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import numpy as np

from locara.audio import BLOCK, RATE, Resampler, Samples, silence
from locara.engines.backend import Signal, VoiceBackend

BEHIND_BLOCKS = round(1.0 * RATE / BLOCK)
"""Blocks that wait for the model's side to take them: it takes them at once, or hangs. Older ones are not worth hearing."""

MOST_SIGNALS = 256
"""Signals that wait; a conversation has a few in a second."""


class ToBackend:
    """``session``: gives the name of the model's session, empty while there is none. ``failed``: hears of what it did not
    take."""

    def __init__(
        self,
        backend: VoiceBackend,
        session: Callable[[], str],
        failed: Callable[[Exception], Awaitable[None]],
        deadline: float,
    ) -> None:
        self._backend = backend
        self._session = session
        self._failed = failed
        self._deadline = deadline
        self._sound: deque[tuple[int, Samples]] = deque()
        self._signals: deque[tuple[int, Signal]] = deque(maxlen=MOST_SIGNALS)
        self._order = 0
        self._wake = asyncio.Event()
        self.pushed = 0
        """Samples at the model's rate that this session of it was given."""
        self._begun: Resampler | None = None
        self.unheard = 0
        """Samples at 16 kHz that were not taken in time."""

    def sound(self, samples: Samples) -> None:
        """The next block at 16 kHz. What is not taken is let go, the oldest first."""
        if len(self._sound) >= BEHIND_BLOCKS:
            self.unheard += self._sound.popleft()[1].size
        self._order += 1
        self._sound.append((self._order, samples))
        self._wake.set()

    def signal(self, signal: Signal) -> None:
        """Something to be told, after the sound that came before it."""
        self._order += 1
        self._signals.append((self._order, signal))
        self._wake.set()

    async def run(self) -> None:
        """Empties it, for as long as the session lasts."""
        resampler = Resampler(RATE, self._backend.capabilities.input_rate)
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._sound or self._signals:
                item = self._next()
                try:
                    async with asyncio.timeout(self._deadline):
                        await self._give(item, resampler)
                except Exception as error:
                    await self._failed(error)

    def _next(self) -> Samples | Signal:
        sound_first = self._sound and (not self._signals or self._sound[0][0] < self._signals[0][0])
        return self._sound.popleft()[1] if sound_first else self._signals.popleft()[1]

    async def _give(self, item: Samples | Signal, resampler: Resampler) -> None:
        session = self._session()
        if isinstance(item, np.ndarray):
            samples = resampler.push(item)
            if resampler is not self._begun:
                self._begun, samples = resampler, filled_up(samples, item.size, resampler)
            if session:
                self.pushed += int(samples.size)
                await self._backend.push_audio(session, samples)
        elif session:
            await self._backend.signal(session, item)


def filled_up(samples: Samples, given: int, resampler: Resampler) -> Samples:
    """The first ``samples``, that came of ``given`` ones, after as much silence as the resampler keeps back: about 1 ms.

    Without it the last block of a frame of 80 ms would always be that little too short, and every frame would wait for
    the block after it: 20 ms."""
    missing = given * resampler.rate_out // resampler.rate_in - samples.size
    return np.concatenate((silence(missing), samples)) if missing > 0 else samples
