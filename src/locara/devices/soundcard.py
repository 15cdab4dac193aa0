"""A microphone and a speaker of this machine, whatever library drives them.

What may live here: what a microphone and a speaker do. On the audio thread samples are copied, and nothing else happens:
no lock that may wait, no event loop, no log. The event loop looks into the ring a few times a block instead: 2 to 3 percent
of a slow core, and nothing that can stall the sound.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable

import numpy as np

from locara.audio import BLOCK, RATE, Resampler, Samples, clean, silence
from locara.devices.choose import DEFAULT, Kind, hint_refused
from locara.devices.contracts import DeviceInfo, Pull, Reopened
from locara.devices.library import Library, Running
from locara.devices.native import off_loop
from locara.devices.null import fitted
from locara.devices.other_rate import OtherRate
from locara.devices.reopening import GIVE_UP_SECONDS
from locara.devices.ring import Ring
from locara.errors import DeviceError

SPEAKER_RATE = 24_000
"""Hertz at which samples are asked for; the sound server converts to what its card wants."""

BUFFER_SECONDS = 5.0
"""Seconds that the event loop may sleep through before samples of a microphone are lost."""

_POLL = 0.004  # seconds between looks into the ring, while a block is due
_WATCH = 0.1  # seconds between looks at a speaker
_LOST = 1.0  # seconds without a callback after which a device is gone
_FIRST = 5.0  # seconds that the first callback may take: an idle sound server needs up to two
_OPEN = 10.0  # seconds within which a device must open
_CLOSE = 5.0
_CLOSE_LOST = (
    1.0  # seconds to wait for the end of a device that is gone: a hung sound server must not delay the next one
)
_NAME = 2.0  # seconds to ask what the default device is called


class _Heard:
    """One opening of a microphone: what its audio thread writes. A thread of an earlier opening, which a hung sound server
    let go late, writes into its own ring, where nobody looks."""

    def __init__(self, buffer: float) -> None:
        self.ring = Ring(round(buffer * RATE))
        self.missed = 0  # samples that found the ring full; written by the audio thread only

    def take(self, samples: Samples) -> None:
        self.missed += samples.size - self.ring.write(samples)


class Microphone:
    """The sound of a microphone, in blocks. ``device`` is ``"default"``, a name, or a part of a name.

    A microphone is lost when it is unplugged, or gives no samples for a second; then ``blocks`` ends. A computer that
    sleeps does not count, nor does a blocked event loop: only time in which we really looked and found nothing.
    ``give_up``: seconds without it after which a session ends.
    """

    def __init__(
        self,
        device: str = DEFAULT,
        *,
        buffer: float = BUFFER_SECONDS,
        give_up: float = GIVE_UP_SECONDS,
        library: Library | None = None,
    ) -> None:
        self.give_up = give_up
        self._library: Library = library or _miniaudio()
        self._device = device
        self._buffer = buffer
        self._heard = _Heard(buffer)
        self._excused = 0  # samples missed in this opening before anybody listened
        self._running: Running | None = None
        self._past_missed = 0  # samples, in earlier openings
        self._past_gaps = 0

    def devices(self) -> list[DeviceInfo]:
        """The devices of this machine, as its sound library knows them."""
        return self._library.devices()

    @property
    def name(self) -> str:
        return self._device

    @property
    def exhausted(self) -> bool:
        return False

    @property
    def overruns(self) -> int:
        """Blocks lost because nobody took them in time, and gaps that the sound library reports; of all openings."""
        missed = self._past_missed + self._heard.missed - self._excused
        return -(-missed // BLOCK) + self._past_gaps + (self._running.gaps if self._running else 0)

    async def open(self) -> None:
        """Starts the microphone and waits for its first samples. Raises ``DeviceError`` or ``NoDevice``."""
        await self._open(self._device)

    async def reopen(self, *, stand_in: bool) -> Reopened:
        """Starts it again after a loss, or the default one where ``stand_in`` and it is not there."""
        with contextlib.suppress(DeviceError):  # a hung sound server: it ends when it ends
            await self._close(_CLOSE_LOST)
        try:
            await self._open(self._device)
        except DeviceError:
            if not stand_in or self._device == DEFAULT:
                raise
            await self._open(DEFAULT)
            return Reopened(await _default(self._library, "input"), replaced=True)
        return Reopened(self._device)

    async def _open(self, device: str) -> None:
        if self._running is not None:
            raise DeviceError(f"the microphone {self.name!r} is already open", hint="close it first")
        self._past_missed += self._heard.missed - self._excused
        heard, self._excused = _Heard(self._buffer), 0
        self._heard = heard
        self._running = await off_loop(
            lambda: self._library.capture(device, heard.take),
            deadline=_OPEN,
            what=f"opening the microphone {device!r}",
            late=lambda started: started.stop(),
        )
        try:
            await self._await_first(heard.ring)
        except BaseException:
            await self.close()
            raise

    async def blocks(self) -> AsyncIterator[Samples]:
        """Blocks as they are heard, from now on: what was heard before the first was asked for is dropped."""
        running = self._running
        if running is None:
            raise DeviceError(f"the microphone {self.name!r} was used before it was opened", hint="await open() first")
        ring, piece = self._heard.ring, BLOCK * running.rate // RATE
        resampler, pending = Resampler(running.rate, RATE), silence(0)
        ring.discard(ring.filled)
        self._excused = self._heard.missed
        loop = asyncio.get_running_loop()
        seen, looked, idle = ring.written, loop.time(), 0.0
        while self._running is running:
            while ring.filled >= piece:
                new = resampler.push(ring.read(piece))
                pending = np.concatenate((pending, new)) if pending.size else new
                while pending.size >= BLOCK:
                    block, pending = pending[:BLOCK], pending[BLOCK:]
                    yield clean(block)[0]
            now = loop.time()
            # Capped, so that one long pause of the loop itself is not taken for a silent device.
            idle = 0.0 if ring.written != seen else idle + min(now - looked, BLOCK / RATE)
            seen, looked = ring.written, now
            if running.lost or idle > _LOST:
                return
            # Most of the time that is missing can be slept through: waking up is what costs.
            missing = (piece - ring.filled) / running.rate if idle == 0.0 else 0.0
            await asyncio.sleep(max(_POLL, 0.75 * missing))

    async def close(self) -> None:
        """Stops the microphone. May be called twice."""
        await self._close(_CLOSE)

    async def _close(self, deadline: float) -> None:
        running, self._running = self._running, None
        if running is None:
            return
        self._past_gaps += running.gaps
        await off_loop(running.stop, deadline=deadline, what=f"closing the microphone {self.name!r}")

    async def _await_first(self, ring: Ring) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _FIRST
        while ring.written == 0:
            if loop.time() > deadline:
                raise DeviceError(
                    f"the microphone {self.name!r} opened but gave no samples within {_FIRST:g} s",
                    hint=hint_refused("input", sys.platform),
                )
            await asyncio.sleep(_POLL)


class _Filling:
    """One opening of a speaker: what its audio thread asks for. Once it is ``over``, a thread that a hung sound server let
    go late gets silence, and takes nothing away from the speaker that is open now."""

    def __init__(self, pull: Pull, failed: Callable[[Exception], None]) -> None:
        self.pull = pull
        self.over = False
        self.asked = 0  # callbacks; this and the next are written by the audio thread only
        self.unanswered = 0
        self._failed = failed

    def fill(self, wanted: int) -> Samples:
        self.asked += 1
        if self.over:
            return silence(wanted)
        try:
            samples = np.ascontiguousarray(self.pull(wanted), dtype=np.float32)
        except Exception as error:
            self._failed(error)
            samples = silence(0)
        if samples.size != wanted:
            self.unanswered += 1
            samples = fitted(samples, wanted)
        return samples


class Speaker:
    """A speaker that pulls its samples on its own thread. ``device`` is ``"default"``, a name, or a part of a name.

    It is lost when it is unplugged, or asks for no samples for a second; see ``until_lost``. ``give_up``: seconds without
    it after which a session ends. ``fault`` is the first error a pull raised, which was played as silence: an audio thread
    has nobody to raise it to.
    """

    def __init__(
        self,
        device: str = DEFAULT,
        *,
        rate: int = SPEAKER_RATE,
        give_up: float = GIVE_UP_SECONDS,
        library: Library | None = None,
    ) -> None:
        self.fault: Exception | None = None
        self.give_up = give_up
        self._library: Library = library or _miniaudio()
        self._device = device
        self._rate = rate
        self._opened_before = False
        self._running: Running | None = None
        self._pull: Pull = silence
        self._filling = _Filling(silence, self._failed)
        self._past_unanswered = 0
        self._past_gaps = 0

    def devices(self) -> list[DeviceInfo]:
        """The devices of this machine, as its sound library knows them."""
        return self._library.devices()

    @property
    def name(self) -> str:
        return self._device

    @property
    def rate(self) -> int:
        return self._rate

    @property
    def own_clock(self) -> bool:
        return True

    @property
    def delay(self) -> float:
        return self._running.delay if self._running else 0.0

    @property
    def underruns(self) -> int:
        """Pulls that failed or gave too little, and times when the buffers ran dry as the library, or the clock, tells; of
        all openings. The end of a device that was lost is none."""
        now = self._filling.unanswered + (self._running.gaps if self._running else 0)
        return self._past_unanswered + self._past_gaps + now

    async def open(self, pull: Pull) -> None:
        """Starts the speaker, which pulls from now on. Raises ``DeviceError`` or ``NoDevice``."""
        await self._open(self._device, pull)

    async def reopen(self, *, stand_in: bool) -> Reopened:
        """Starts it again after a loss, with the pull and the rate it had; or the default one where ``stand_in`` and it is
        not there."""
        with contextlib.suppress(DeviceError):  # a hung sound server: it ends when it ends
            await self._close(_CLOSE_LOST)
        try:
            await self._open(self._device, self._pull)
        except DeviceError:
            if not stand_in or self._device == DEFAULT:
                raise
            await self._open(DEFAULT, self._pull)
            return Reopened(await _default(self._library, "output"), replaced=True)
        return Reopened(self._device)

    async def _open(self, device: str, pull: Pull) -> None:
        if self._running is not None:
            raise DeviceError(f"the speaker {self.name!r} is already open", hint="close it first")
        self._pull = pull
        self._past_unanswered += self._filling.unanswered
        filling = self._filling = _Filling(silence, self._failed)  # silence, until it is known at which rate it asks
        running = await off_loop(
            lambda: self._library.playback(device, self._rate, filling.fill),
            deadline=_OPEN,
            what=f"opening the speaker {device!r}",
            late=lambda started: started.stop(),
        )
        if not self._opened_before:  # whoever plays has learned this rate and goes on with it
            self._rate, self._opened_before = running.rate, True
        filling.pull = pull if running.rate == self._rate else OtherRate(pull, self._rate, running.rate)
        self._running = running

    def advance(self, blocks: int = 1) -> None:
        """Nothing: the device has a clock of its own."""

    async def until_lost(self) -> str:
        """Waits until the speaker is lost, and says what was seen; ``""`` once it was closed. Of its time without a pull
        only that counts in which we really looked."""
        running, filling = self._running, self._filling
        loop = asyncio.get_running_loop()
        seen, looked, idle, limit = filling.asked, loop.time(), 0.0, _FIRST
        while running is not None and self._running is running:
            await asyncio.sleep(_WATCH)
            now = loop.time()
            if filling.asked != seen:
                idle, limit = 0.0, _LOST
            else:
                idle += min(now - looked, 2 * _WATCH)
            seen, looked = filling.asked, now
            if running.lost or idle > limit:
                return "was lost"
        return ""

    async def close(self) -> None:
        """Stops the speaker; what it still holds is not played. May be called twice."""
        await self._close(_CLOSE)

    async def _close(self, deadline: float) -> None:
        running, self._running = self._running, None
        if running is None:
            return
        self._filling.over = True
        self._past_gaps += running.gaps
        await off_loop(running.stop, deadline=deadline, what=f"closing the speaker {self.name!r}")

    def _failed(self, error: Exception) -> None:
        self.fault = self.fault or error


async def _default(library: Library, kind: Kind) -> str:
    """What the default device is called, as far as it can be told."""
    try:
        listed = await off_loop(library.devices, deadline=_NAME, what="listing the devices")
    except DeviceError:
        return DEFAULT
    return next((info.name for info in listed if info.kind == kind and info.is_default), DEFAULT)


def _miniaudio() -> Library:
    from locara.devices.miniaudio import Miniaudio

    return Miniaudio()
