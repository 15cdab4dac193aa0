"""Microphone and speaker through miniaudio (PulseAudio, ALSA, CoreAudio, WASAPI: nothing to install).

What may live here: the driving of miniaudio. What a microphone and a speaker do is in `locara.devices.soundcard`.

What its audio thread sees of a loss (measured with PulseAudio): nothing. A stream whose server was killed or whose device
was unplugged is still "started", no callback for stopping comes, and no sample either. So silence of the callbacks is the
sign of a loss, and `lost` only a quicker one where a system gives it.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import numpy as np

from locara.audio import RATE, Samples
from locara.devices.choose import DEFAULT, Kind, failure, pick
from locara.devices.contracts import DeviceInfo
from locara.devices.library import BUFFER_MS, Running
from locara.devices.native import alsa_quietly
from locara.errors import NoDevice

_PERIODS = 3  # of BUFFER_MS, that a speaker holds
_DRY = 1.75 * BUFFER_MS / 1000  # seconds between two callbacks of a speaker after which it has run dry


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
