"""Devices without a wire: silence to hear, nothing to play to, and the pace that everything without a sound card keeps.

What may live here: sources and sinks that make or drop sound, and the clock of blocks. All time is the event loop's, so
under a virtual clock a recording plays as fast as it can be computed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from locara.audio import BLOCK, RATE, Samples, silence
from locara.devices.contracts import Pull
from locara.errors import ConfigError, DeviceError


class Pace:
    """The clock of blocks: block ``k`` ends ``(k + 1) * BLOCK / RATE`` seconds after the pace began.

    Due times are counted from the beginning, not from one another, so that late wake-ups do not add up.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()

    def due(self, block: int) -> float:
        """The loop's time in seconds at which block number ``block`` (from 0) has been heard to its end."""
        return self._began + (block + 1) * BLOCK / RATE

    def hurry(self, block: int) -> None:
        """``block`` is due now, if it was not before, and those after it follow from there."""
        self._began = min(self._began, self._loop.time() - (block + 1) * BLOCK / RATE)

    def late(self, block: int) -> float:
        """Seconds since ``block`` was due; negative before."""
        return self._loop.time() - self.due(block)

    async def until(self, block: int) -> None:
        """Waits until ``block`` is due. Lets other tasks run even when it is overdue."""
        await asyncio.sleep(max(0.0, -self.late(block)))


class Pulled:
    """What all sinks without a clock of their own share: how many samples sound during the next blocks, and taking
    exactly so many from whoever plays."""

    def __init__(self, rate: int) -> None:
        if not 1_000 <= rate <= 768_000:
            raise ConfigError(f"an output rate of {rate} Hz cannot be played", hint="use 24000 or 48000")
        self.rate = rate
        self.underruns = 0
        self._blocks = 0

    def take(self, pull: Pull, blocks: int) -> Samples:
        """The samples of the next ``blocks`` blocks, shape ``(n,)`` at ``rate``. Over time there are exactly
        ``BLOCK * rate / RATE`` of them in a block, also where that is no whole number. A pull that gives fewer counts as
        an underrun and is filled up with silence."""
        before = self._blocks * BLOCK * self.rate // RATE
        self._blocks += blocks
        wanted = self._blocks * BLOCK * self.rate // RATE - before
        samples = pull(wanted)
        if samples.size == wanted:
            return samples
        self.underruns += samples.size < wanted
        return fitted(samples, wanted)


def fitted(samples: Samples, wanted: int) -> Samples:
    """``samples`` cut, or filled up with silence, to exactly ``wanted``."""
    if samples.size >= wanted:
        return samples[:wanted]
    out = silence(wanted)
    out[: samples.size] = samples
    return out


class SilentSource:
    """A microphone that hears nothing, for conversations in writing. Silence is what it hears, so it is never
    ``exhausted``."""

    def __init__(self) -> None:
        self._closed = False

    @property
    def name(self) -> str:
        return "silence"

    @property
    def exhausted(self) -> bool:
        return False

    @property
    def overruns(self) -> int:
        return 0

    async def open(self) -> None:
        self._closed = False

    async def blocks(self) -> AsyncIterator[Samples]:
        """Blocks of silence, one every 20 ms, until closed."""
        pace, block = Pace(), 0
        while not self._closed:
            await pace.until(block)
            if self._closed:
                return
            yield silence(BLOCK)
            block += 1

    async def close(self) -> None:
        self._closed = True


class NullSink:
    """A speaker that nobody hears. It takes its samples like any other, at ``rate`` hertz, so that what was "heard" is
    known."""

    def __init__(self, rate: int = 24_000) -> None:
        self._pulled = Pulled(rate)
        self._pull: Pull | None = None
        self._closed = False

    @property
    def name(self) -> str:
        return "null"

    @property
    def rate(self) -> int:
        return self._pulled.rate

    @property
    def own_clock(self) -> bool:
        return False

    @property
    def delay(self) -> float:
        return 0.0

    @property
    def underruns(self) -> int:
        return self._pulled.underruns

    async def open(self, pull: Pull) -> None:
        self._pull = pull
        self._closed = False

    def advance(self, blocks: int = 1) -> None:
        """Pulls the samples of ``blocks`` blocks and drops them. Nothing happens once it is closed."""
        if self._closed:
            return
        if self._pull is None:
            raise DeviceError("the null output was used before it was opened", hint="await open(pull) first")
        self._pulled.take(self._pull, blocks)

    async def close(self) -> None:
        self._closed = True
        self._pull = None
