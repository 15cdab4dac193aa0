"""Microphone and speaker of this machine, through miniaudio (PulseAudio, ALSA, CoreAudio, WASAPI: nothing to install).

What may live here: what a microphone and a speaker do whatever library drives them, and the driving of miniaudio. On the
audio thread samples are copied, and nothing else happens: no lock that may wait, no event loop, no log. The event loop
looks into the ring a few times a block instead: 2 to 3 percent of a slow core, and nothing that can stall the sound.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any, Protocol

import numpy as np

from locara.audio import BLOCK, RATE, Resampler, Samples, clean, silence
from locara.devices.choose import DEFAULT, Kind, failure, hint_refused, pick
from locara.devices.contracts import DeviceInfo, Pull
from locara.devices.native import alsa_quietly, off_loop
from locara.devices.null import fitted
from locara.devices.ring import Ring
from locara.errors import DeviceError, NoDevice

SPEAKER_RATE = 24_000
"""Hertz at which samples are asked for; the sound server converts to what its card wants."""

BUFFER_MS = 20
"""Milliseconds between two callbacks. miniaudio's own default is 200."""

_PERIODS = 3  # of BUFFER_MS, that a speaker holds
_POLL = 0.004  # seconds between looks into the ring, while a block is due
BUFFER_SECONDS = 5.0
"""Seconds that the event loop may sleep through before samples of a microphone are lost."""

_DRY = 1.75 * BUFFER_MS / 1000  # seconds between two callbacks of a speaker after which it has run dry
_LOST = 1.0  # seconds without a callback after which a microphone is gone
_FIRST = 5.0  # seconds that the first callback may take: an idle sound server needs up to two
_OPEN = 10.0  # seconds within which a device must open
_CLOSE = 5.0


class Running(Protocol):
    """A device that has been started."""

    @property
    def rate(self) -> int:
        """Hertz of its samples."""
        ...

    @property
    def delay(self) -> float:
        """Seconds that its buffers hold, as far as the library tells."""
        ...

    @property
    def lost(self) -> bool:
        """True once the library knows that the device has gone."""
        ...

    @property
    def gaps(self) -> int:
        """How often the library says that samples were lost, or missing, on its side."""
        ...

    def stop(self) -> None:
        """Stops and frees it; no callback runs afterwards. Blocks for some milliseconds."""
        ...


class Library(Protocol):
    """A sound library. Its calls block and are made off the event loop; they raise ``DeviceError``."""

    def devices(self) -> list[DeviceInfo]: ...

    def capture(self, device: str, heard: Callable[[Samples], None]) -> Running:
        """Starts a microphone; ``heard`` is called on its audio thread and must copy what it keeps."""
        ...

    def playback(self, device: str, rate: int, fill: Callable[[int], Samples]) -> Running:
        """Starts a speaker; ``fill(n)`` is called on its audio thread and gives exactly ``n`` samples."""
        ...


class Microphone:
    """The sound of a microphone, in blocks. ``device`` is ``"default"``, a name, or a part of a name.

    A microphone is lost when it is unplugged, or gives no samples for a second; then ``blocks`` ends. A computer that
    sleeps does not count, nor does a blocked event loop: only time in which we really looked and found nothing.
    """

    def __init__(
        self, device: str = DEFAULT, *, buffer: float = BUFFER_SECONDS, library: Library | None = None
    ) -> None:
        self._library: Library = library or Miniaudio()
        self._device = device
        self._ring = Ring(round(buffer * RATE))
        self._missed = 0  # samples that found the ring full; written by the audio thread only
        self._missed_before = 0
        self._running: Running | None = None
        self._past_gaps = 0

    @property
    def name(self) -> str:
        return self._device

    @property
    def exhausted(self) -> bool:
        return False

    @property
    def overruns(self) -> int:
        """Blocks lost because nobody took them in time, and gaps that the sound library reports."""
        gaps = self._running.gaps if self._running else self._past_gaps
        return -(-(self._missed - self._missed_before) // BLOCK) + gaps

    async def open(self) -> None:
        """Starts the microphone and waits for its first samples. Raises ``DeviceError`` or ``NoDevice``."""
        if self._running is not None:
            raise DeviceError(f"the microphone {self.name!r} is already open", hint="close it first")
        already = self._ring.written
        running = await off_loop(
            lambda: self._library.capture(self._device, self._heard),
            deadline=_OPEN,
            what=f"opening the microphone {self.name!r}",
            late=lambda started: started.stop(),
        )
        self._running = running
        try:
            await self._await_first(already)
        except BaseException:
            await self.close()
            raise

    async def blocks(self) -> AsyncIterator[Samples]:
        """Blocks as they are heard, from now on: what was heard before the first was asked for is dropped."""
        running = self._running
        if running is None:
            raise DeviceError(f"the microphone {self.name!r} was used before it was opened", hint="await open() first")
        ring, piece = self._ring, BLOCK * running.rate // RATE
        resampler, pending = Resampler(running.rate, RATE), silence(0)
        ring.discard(ring.filled)
        self._missed_before = self._missed
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
        running, self._running = self._running, None
        if running is not None:
            self._past_gaps = running.gaps
            await off_loop(running.stop, deadline=_CLOSE, what=f"closing the microphone {self.name!r}")

    async def _await_first(self, already: int) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _FIRST
        while self._ring.written == already:
            if loop.time() > deadline:
                raise DeviceError(
                    f"the microphone {self.name!r} opened but gave no samples within {_FIRST:g} s",
                    hint=hint_refused("input", sys.platform),
                )
            await asyncio.sleep(_POLL)

    def _heard(self, samples: Samples) -> None:
        self._missed += samples.size - self._ring.write(samples)


class Speaker:
    """A speaker that pulls its samples on its own thread. ``device`` is ``"default"``, a name, or a part of a name.

    ``fault`` is the first error a pull raised, which was played as silence: an audio thread has nobody to raise it to.
    """

    def __init__(self, device: str = DEFAULT, *, rate: int = SPEAKER_RATE, library: Library | None = None) -> None:
        self.fault: Exception | None = None
        self._library: Library = library or Miniaudio()
        self._device = device
        self._rate = rate
        self._running: Running | None = None
        self._pull: Pull = silence
        self._unanswered = 0  # written by the audio thread only
        self._past_gaps = 0

    @property
    def name(self) -> str:
        return self._device

    @property
    def rate(self) -> int:
        return self._running.rate if self._running else self._rate

    @property
    def own_clock(self) -> bool:
        return True

    @property
    def delay(self) -> float:
        return self._running.delay if self._running else 0.0

    @property
    def underruns(self) -> int:
        """Pulls that failed or gave too little, and times when the buffers ran dry as the library, or the clock, tells."""
        return self._unanswered + (self._running.gaps if self._running else self._past_gaps)

    async def open(self, pull: Pull) -> None:
        """Starts the speaker, which pulls from now on. Raises ``DeviceError`` or ``NoDevice``."""
        if self._running is not None:
            raise DeviceError(f"the speaker {self.name!r} is already open", hint="close it first")
        self._pull = pull
        self._running = await off_loop(
            lambda: self._library.playback(self._device, self._rate, self._fill),
            deadline=_OPEN,
            what=f"opening the speaker {self.name!r}",
            late=lambda started: started.stop(),
        )

    def advance(self, blocks: int = 1) -> None:
        """Nothing: the device has a clock of its own."""

    async def close(self) -> None:
        """Stops the speaker; what it still holds is not played. May be called twice."""
        running, self._running = self._running, None
        if running is not None:
            self._past_gaps = running.gaps
            await off_loop(running.stop, deadline=_CLOSE, what=f"closing the speaker {self.name!r}")

    def _fill(self, wanted: int) -> Samples:
        try:
            samples = np.ascontiguousarray(self._pull(wanted), dtype=np.float32)
        except Exception as error:
            self.fault = self.fault or error
            samples = silence(0)
        if samples.size != wanted:
            self._unanswered += 1
            samples = fitted(samples, wanted)
        return samples


# --- miniaudio --------------------------------------------------------------------------------------------------------


class Miniaudio:
    """Drives miniaudio. Loaded when first used: the wheel does not exist everywhere."""

    def devices(self) -> list[DeviceInfo]:
        return [info for info, _ in _listed(_miniaudio())]

    def capture(self, device: str, heard: Callable[[Samples], None]) -> Running:
        library = _miniaudio()
        with _translated(library, "input", device), alsa_quietly():
            opened = library.CaptureDevice(
                input_format=library.SampleFormat.FLOAT32,
                nchannels=1,
                sample_rate=RATE,
                buffersize_msec=BUFFER_MS,
                device_id=_id(library, "input", device),
                app_name="Locara",
            )
            running = _MiniaudioRunning(library, opened, RATE, BUFFER_MS / 1000)
            return _started(running, _hearing(heard))

    def playback(self, device: str, rate: int, fill: Callable[[int], Samples]) -> Running:
        library = _miniaudio()
        with _translated(library, "output", device), alsa_quietly():
            opened = library.PlaybackDevice(
                output_format=library.SampleFormat.FLOAT32,
                nchannels=1,
                sample_rate=rate,
                buffersize_msec=BUFFER_MS,
                callback_periods=_PERIODS,
                device_id=_id(library, "output", device),
                app_name="Locara",
            )
            # When a period is asked for, those before it are still to be played. PulseAudio keeps about one of 20 ms
            # (measured: 20 to 30 ms to the sink), whatever number is asked for.
            ahead = 1.25 if opened.backend == "PulseAudio" else _PERIODS - 1
            running = _MiniaudioRunning(library, opened, rate, ahead * BUFFER_MS / 1000)
            return _started(running, _filling(fill, running))


class _MiniaudioRunning:
    def __init__(self, library: Any, opened: Any, rate: int, delay: float) -> None:
        self.rate = rate
        self.delay = delay
        self.lost = False
        self.gaps = 0
        self._library = library
        self._opened = opened
        opened.stop_callback = self._stopped

    def start(self, callback: Generator[Any, Any, None]) -> None:
        if self._opened.backend == "Null":  # what miniaudio falls back to: it hears nothing and plays to nobody
            raise self._library.MiniaudioError("no sound server")
        self._opened.start(callback)

    def stop(self) -> None:
        context = getattr(self._opened, "_context", None)
        self._opened.close()
        if context is not None:  # miniaudio's own close() leaves the connection to the sound server open
            self._opened._context = None
            self._library.lib.ma_context_uninit(context)

    def _stopped(self) -> None:
        self.lost = True


def _started(running: _MiniaudioRunning, callback: Generator[Any, Any, None]) -> Running:
    next(callback)
    try:
        running.start(callback)
    except BaseException:
        running.stop()
        raise
    return running


def _hearing(heard: Callable[[Samples], None]) -> Generator[None, bytearray, None]:
    while True:
        heard(np.frombuffer((yield), dtype=np.float32))


def _filling(fill: Callable[[int], Samples], running: _MiniaudioRunning) -> Generator[memoryview | bytes, int, None]:
    wanted = yield b""
    asked = time.perf_counter()
    while True:
        # miniaudio does not tell when a speaker ran dry. Measured: a callback 30 ms after the last is heard as a gap.
        now = time.perf_counter()
        running.gaps += now - asked > _DRY
        asked = now
        wanted = yield fill(wanted).data  # a view: miniaudio copies it to where it belongs


def _miniaudio() -> Any:
    try:
        import miniaudio
    except ImportError as error:
        raise NoDevice(
            "miniaudio is not installed", hint="pip install miniaudio, or set LOCARA_AUDIO=portaudio"
        ) from error
    return miniaudio


def _listed(library: Any) -> list[tuple[DeviceInfo, Any]]:
    """The devices and their ids. Asked for below the wrapper's own methods, which do not tell which is the default and
    give up at the first device that cannot be questioned."""
    ffi, lib = library.ffi, library.lib
    with alsa_quietly():
        try:
            context = library.Devices()
        except library.MiniaudioError:
            return []
        if context.backend == "Null":
            return []
        found: list[tuple[DeviceInfo, Any]] = []
        tables = [(ffi.new("ma_device_info**"), ffi.new("ma_uint32*")) for _ in range(2)]
        (outputs, output_count), (inputs, input_count) = tables
        if lib.ma_context_get_devices(context._context, outputs, output_count, inputs, input_count) != lib.MA_SUCCESS:
            return []
        kinds: tuple[tuple[Kind, Any, Any], ...] = (("input", inputs, input_count), ("output", outputs, output_count))
        for kind, table, count in kinds:
            for index in range(count[0]):
                native = table[0][index]
                own_name = bytes(ffi.buffer(ffi.addressof(native, "id"))).split(b"\0")[0]
                if context.backend == "ALSA" and b":" not in own_name:
                    continue  # a plug-in of ALSA's, not a card: they are listed even where there is no card at all
                name = ffi.string(native.name).decode("utf-8", "replace")
                info = DeviceInfo(name, kind, bool(native.isDefault), f"miniaudio ({context.backend})")
                found.append((info, ffi.new("ma_device_id *", native.id)))
    return found


def _id(library: Any, kind: Kind, device: str) -> Any:
    """None for the default: then miniaudio follows when the user chooses another."""
    if device == DEFAULT:
        return None
    listed = _listed(library)
    chosen = pick([info for info, _ in listed], device, kind)
    return next(native for info, native in listed if info is chosen)


@contextlib.contextmanager
def _translated(library: Any, kind: Kind, device: str) -> Iterator[None]:
    try:
        yield
    except library.MiniaudioError as error:
        cause = ", ".join(str(part) for part in error.args)
        exists = any(info.kind == kind for info, _ in _listed(library))
        raise failure(kind, device, f"miniaudio: {cause}", exists=exists, platform=sys.platform) from error
