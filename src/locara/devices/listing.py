"""The microphones and speakers of this machine, and the right class to open one.

What may live here: asking the sound library in use. Which library that is, and which device a name means, is decided in
`locara.devices.choose`.
"""

from __future__ import annotations

import importlib.util
import os

from locara.devices.choose import DEFAULT, VARIABLE, Backend, backend, pick
from locara.devices.contracts import DeviceInfo, Sink, Source

__all__ = ["list_devices", "microphone", "pick", "sound_library", "speaker"]


def sound_library() -> Backend:
    """The library used here: ``LOCARA_AUDIO``, else miniaudio where it is installed. Raises ``ConfigError``."""
    installed = importlib.util.find_spec("miniaudio") is not None
    return backend(os.environ.get(VARIABLE, ""), miniaudio_installed=installed)


def list_devices() -> list[DeviceInfo]:
    """All devices of this machine, inputs first; empty without a sound server or card.

    Blocks for as long as the sound server takes to answer, usually some milliseconds: inside an event loop, give it to
    a thread. Raises ``NoDevice`` where no sound library can be loaded.
    """
    if sound_library() == "miniaudio":
        from locara.devices.miniaudio import Miniaudio

        return Miniaudio().devices()
    from locara.devices.portaudio import PortAudio

    return PortAudio().devices()


def microphone(device: str = DEFAULT) -> Source:
    """A microphone by name, part of a name, or ``"default"``; not opened yet."""
    if sound_library() == "miniaudio":
        from locara.devices.soundcard import Microphone

        return Microphone(device)
    from locara.devices import portaudio

    return portaudio.Microphone(device)


def speaker(device: str = DEFAULT) -> Sink:
    """A speaker by name, part of a name, or ``"default"``; not opened yet. Which app may name one, the gate decides."""
    if sound_library() == "miniaudio":
        from locara.devices.soundcard import Speaker

        return Speaker(device)
    from locara.devices import portaudio

    return portaudio.Speaker(device)
