"""A virtual room: what the speaker plays comes back to the microphone, later, weaker, with the room's answer, and noise.

The microphone is a `Source`, the speaker a `Sink` that shares its clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import numpy as np

from locara.audio import BLOCK, RATE, Resampler, Samples, gain, samples_in, silence
from locara.devices.contracts import Pull, Sink, Source
from locara.devices.null import Pace, Pulled
from locara.errors import ConfigError


class Room:
    """``user``: what the user says, at ``RATE`` (silence goes on after it). ``echo_db``: level of the speaker's sound at
    the microphone, or None for headphones; it comes ``delay`` seconds late (at least one block) through ``response`` (an
    impulse response at ``RATE``, scaled to unit energy). ``saturation``: how much a small speaker distorts, from 0 (not at
    all): it plays ``tanh(saturation * x) / saturation``; at 3 it is heard. ``noise_dbfs``: level of white noise, or None.
    ``seed`` makes it the same each time."""

    def __init__(
        self,
        user: Samples,
        *,
        echo_db: float | None = None,
        delay: float = 0.06,
        response: Sequence[float] | Samples = (1.0,),
        saturation: float = 0.0,
        noise_dbfs: float | None = None,
        output_rate: int = 24_000,
        seed: int = 0,
    ) -> None:
        if delay < BLOCK / RATE:
            raise ConfigError(f"an echo delay of {delay:g} s is too short", hint="20 ms, one block, is the least")
        shape = np.asarray(response, dtype=np.float32)
        self._response: Samples = shape / max(1e-9, float(np.sqrt(np.sum(shape**2))))
        self._echo = 0.0 if echo_db is None else gain(echo_db)
        self._saturation = saturation
        self._delay = samples_in(delay)
        self._noise = 0.0 if noise_dbfs is None else gain(noise_dbfs)
        self._random = np.random.default_rng(seed)
        self._user = user
        self._at = 0
        self._played = np.zeros(0, dtype=np.float32)  # the echo to come, from the present on
        self.began: float | None = None
        """Loop time at which the first block began."""
        self.closed = False
        self.output_rate = output_rate
        self.microphone: Source = _Microphone(self)
        self.speaker: Sink = _Speaker(self)

    def listen(self) -> Samples:
        """The next block at the microphone."""
        block = silence(BLOCK)
        spoken = self._user[self._at : self._at + BLOCK]
        block[: spoken.size] = spoken
        self._at += BLOCK
        if self._noise:
            block += self._noise * self._random.standard_normal(BLOCK).astype(np.float32)
        echo, self._played = self._played[:BLOCK], self._played[BLOCK:]
        block[: echo.size] += echo
        return np.clip(block, -1.0, 1.0)

    @property
    def said_all(self) -> bool:
        """True when the user's part is over."""
        return self._at >= self._user.size

    def sound(self, samples: Samples) -> None:
        """What the speaker played during the block just heard (at ``RATE``)."""
        if not self._echo:
            return
        if self._saturation:
            samples = np.tanh(self._saturation * samples) / np.float32(self._saturation)
        echo = self._echo * _through(samples, self._response)
        # The block just played began one block before the present; it arrives `delay` after it was played.
        start = self._delay - BLOCK
        need = start + echo.size
        if self._played.size < need:
            self._played = np.concatenate((self._played, silence(need - self._played.size)))
        self._played[start:need] += echo


def _through(samples: Samples, response: Samples) -> Samples:
    """The whole convolution, shape ``(samples.size + response.size - 1,)``; in the frequency domain where that is faster."""
    if response.size < 512:
        return np.convolve(samples, response).astype(np.float32)
    whole = samples.size + response.size - 1
    size = 1 << (whole - 1).bit_length()
    spectrum = np.fft.rfft(samples, size) * np.fft.rfft(response, size)
    return np.fft.irfft(spectrum, size)[:whole].astype(np.float32)


class _Microphone:
    """The room's `Source`."""

    name = "virtual microphone"
    overruns = 0

    def __init__(self, room: Room) -> None:
        self._room = room

    @property
    def exhausted(self) -> bool:
        return self._room.said_all

    async def open(self) -> None:
        self._room.closed = False

    async def blocks(self) -> AsyncIterator[Samples]:
        self._room.began = asyncio.get_running_loop().time()
        pace, block = Pace(), 0
        while not self._room.closed:
            await pace.until(block)
            yield self._room.listen()
            block += 1

    async def close(self) -> None:
        self._room.closed = True


class _Speaker:
    """The room's `Sink`."""

    name = "virtual speaker"
    own_clock = False
    delay = 0.0

    def __init__(self, room: Room) -> None:
        self._room = room
        self._pulled = Pulled(room.output_rate)
        self._resampler = Resampler(room.output_rate, RATE)
        self._pull: Pull | None = None
        self._kept: Samples = silence(0)

    @property
    def rate(self) -> int:
        return self._pulled.rate

    @property
    def underruns(self) -> int:
        return self._pulled.underruns

    async def open(self, pull: Pull) -> None:
        self._pull = pull

    def advance(self, blocks: int = 1) -> None:
        assert self._pull is not None
        played = self._resampler.push(self._pulled.take(self._pull, blocks))
        self._kept = np.concatenate((self._kept, played))
        missing = blocks * BLOCK - self._kept.size
        if missing > 0:  # the resampler keeps back the end of its first block: the echo is that much later, once
            self._kept = np.concatenate((silence(missing), self._kept))
        self._room.sound(self._kept[: blocks * BLOCK])
        self._kept = self._kept[blocks * BLOCK :]

    async def close(self) -> None:
        self._pull = None
