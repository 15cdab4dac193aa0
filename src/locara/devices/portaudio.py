"""Microphone and speaker through PortAudio (the ``sounddevice`` package): where miniaudio has no wheel, such as Linux on
Arm, or where ``LOCARA_AUDIO=portaudio`` asks for it.

What may live here: the driving of PortAudio. What a microphone and a speaker do is in `locara.devices.soundcard`.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from locara.audio import RATE, Samples
from locara.devices import soundcard
from locara.devices.choose import DEFAULT, Kind, failure, pick
from locara.devices.contracts import DeviceInfo
from locara.devices.library import BUFFER_MS, Running
from locara.devices.native import alsa_quietly
from locara.devices.soundcard import BUFFER_SECONDS, SPEAKER_RATE
from locara.errors import NoDevice

_INVALID_RATE = -9997  # PortAudio's paInvalidSampleRate


class Microphone(soundcard.Microphone):
    """A microphone, driven by PortAudio."""

    def __init__(self, device: str = DEFAULT, *, buffer: float = BUFFER_SECONDS) -> None:
        super().__init__(device, buffer=buffer, library=PortAudio())


class Speaker(soundcard.Speaker):
    """A speaker, driven by PortAudio."""

    def __init__(self, device: str = DEFAULT, *, rate: int = SPEAKER_RATE) -> None:
        super().__init__(device, rate=rate, library=PortAudio())


class PortAudio:
    """Drives PortAudio. Loaded when first used: on Linux its library is no part of the wheel."""

    def devices(self) -> list[DeviceInfo]:
        library = _sounddevice()
        with _streams.settled(library):
            return [info for info, _ in _listed(library)]

    def capture(self, device: str, heard: Callable[[Samples], None]) -> Running:
        running = _PortAudioRunning()

        def callback(data: Any, frames: int, when: Any, status: Any) -> None:
            running.gaps += bool(status.input_overflow)
            heard(np.frombuffer(data, dtype=np.float32))

        return _started(running, "input", device, RATE, callback)

    def playback(self, device: str, rate: int, fill: Callable[[int], Samples]) -> Running:
        running = _PortAudioRunning()

        def callback(data: Any, frames: int, when: Any, status: Any) -> None:
            running.gaps += bool(status.output_underflow) and running.begun
            running.begun = True  # while it starts, PortAudio reports an underflow that nobody hears
            np.frombuffer(data, dtype=np.float32)[:] = fill(frames)

        return _started(running, "output", device, rate, callback)


class _PortAudioRunning:
    def __init__(self) -> None:
        self.rate = RATE
        self.delay = 0.0
        self.lost = False
        self.gaps = 0
        self.begun = False
        self.stream: Any = None

    def stop(self) -> None:
        try:
            self.stream.abort(ignore_errors=True)
            self.stream.close(ignore_errors=True)
        finally:
            _streams.ended()

    def finished(self) -> None:
        """PortAudio calls this when the stream stops, asked to or not."""
        self.lost = True


class _Streams:
    """Counts our open streams. PortAudio lists the devices once, when it starts: to see what has been plugged in since,
    it is started anew, which must not happen while a stream is open."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._open = 0

    @contextlib.contextmanager
    def settled(self, library: Any) -> Iterator[None]:
        """A fresh list of devices, which stays as it is meanwhile."""
        with self._lock, alsa_quietly():
            if self._open == 0:
                library._terminate()
                library._initialize()
            yield

    def begun(self) -> None:
        with self._lock:
            self._open += 1

    def ended(self) -> None:
        with self._lock:
            self._open -= 1


_streams = _Streams()


def _started(
    running: _PortAudioRunning, kind: Kind, device: str, rate: int, callback: Callable[[Any, int, Any, Any], None]
) -> Running:
    library = _sounddevice()
    with _streams.settled(library):
        listed = _listed(library)
        chosen = pick([info for info, _ in listed], device, kind) if device != DEFAULT else None
        index = next((number for info, number in listed if info is chosen), None)
        try:
            running.stream, running.rate = _opened(library, kind, index, rate, callback, running.finished)
            _streams.begun()
            try:
                running.stream.start()
            except BaseException:
                running.stop()
                raise
        except (library.PortAudioError, ValueError) as error:
            exists = any(info.kind == kind for info, _ in listed)
            cause = f"PortAudio: {error.args[0] if error.args else error}"
            raise failure(kind, device, cause, exists=exists, platform=sys.platform) from error
    running.delay = float(running.stream.latency)
    return running


def _opened(
    library: Any, kind: Kind, index: int | None, rate: int, callback: Callable[..., None], finished: Callable[[], None]
) -> tuple[Any, int]:
    """The stream and its rate in hertz: ``rate``, or the device's own where PortAudio does not convert."""
    stream = library.RawInputStream if kind == "input" else library.RawOutputStream

    def at(hertz: int) -> Any:
        return stream(
            samplerate=hertz,
            blocksize=hertz * BUFFER_MS // 1000,
            device=index,
            channels=1,
            dtype="float32",
            latency="low",
            callback=callback,
            finished_callback=finished,
        )

    try:
        return at(rate), rate
    except library.PortAudioError as error:
        if _INVALID_RATE not in error.args:
            raise
        own = round(library.query_devices(index, kind)["default_samplerate"])
        return at(own), own


def _listed(library: Any) -> list[tuple[DeviceInfo, int]]:
    """The devices and their numbers. Windows has each device several times, once for each of its sound systems: only
    those of PortAudio's default system are told."""
    systems = library.query_hostapis()
    system = next((s for s in systems if s["default_input_device"] >= 0 or s["default_output_device"] >= 0), None)
    if system is None:
        return []
    found: list[tuple[DeviceInfo, int]] = []
    kinds: tuple[Kind, ...] = ("input", "output")
    for kind in kinds:
        for number in system["devices"]:
            device = library.query_devices(number)
            if device[f"max_{kind}_channels"] > 0:
                is_default = number == system[f"default_{kind}_device"]
                found.append((DeviceInfo(device["name"], kind, is_default, f"portaudio ({system['name']})"), number))
    return found


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError as error:
        raise NoDevice("sounddevice is not installed", hint="pip install sounddevice") from error
    except OSError as error:  # the package is there, the library it drives is not
        raise NoDevice(
            "the PortAudio library was not found",
            hint="apt install libportaudio2, or dnf install portaudio, or pacman -S portaudio",
        ) from error
    return sounddevice
