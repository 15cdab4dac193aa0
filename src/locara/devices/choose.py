"""Which sound library, which device, and what to tell a person when there is none.

What may live here: decisions, as pure functions. Nothing here touches a device.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Literal

from locara.devices.contracts import DeviceInfo
from locara.errors import ConfigError, DeviceError, NoDevice

Kind = Literal["input", "output"]
Backend = Literal["miniaudio", "portaudio"]

DEFAULT = "default"
VARIABLE = "LOCARA_AUDIO"
"""The environment variable that names the sound library, over our own choice."""

_WORD = {"input": "microphone", "output": "speaker"}


def backend(wanted: str, *, miniaudio_installed: bool) -> Backend:
    """The sound library: the one that is ``wanted`` (the value of ``LOCARA_AUDIO``), else miniaudio where it exists, for
    it needs nothing else to be installed. Raises ``ConfigError`` for a name that is none."""
    match wanted.strip().lower():
        case "":
            return "miniaudio" if miniaudio_installed else "portaudio"
        case "miniaudio":
            return "miniaudio"
        case "portaudio" | "sounddevice":
            return "portaudio"
    raise ConfigError(
        f"{VARIABLE}={wanted} names no sound library", hint=f"set {VARIABLE} to miniaudio or portaudio, or unset it"
    )


def pick(devices: Sequence[DeviceInfo], wanted: str, kind: Kind) -> DeviceInfo:
    """The device of this ``kind`` called ``wanted``: its whole name, or a part that only one name has, in any case of
    letters; or ``"default"``. Raises ``NoDevice`` where there is none, ``DeviceError`` where several fit."""
    here = [device for device in devices if device.kind == kind]
    if not here:
        raise NoDevice(f"this computer has no {_WORD[kind]}", hint="plug one in, or use a WAV file instead")
    if wanted == DEFAULT:
        return next((device for device in here if device.is_default), here[0])
    sought = wanted.strip().casefold()
    whole = [device for device in here if device.name.casefold() == sought]
    if whole:
        return whole[0]
    parts = [device for device in here if sought and sought in device.name.casefold()]
    names = sorted({device.name for device in parts})
    if len(names) == 1:
        return parts[0]
    if names:
        raise DeviceError(
            f"{wanted!r} fits {len(names)} devices: {', '.join(names)}", hint="give more of the name, or all of it"
        )
    raise NoDevice(f"there is no {_WORD[kind]} called {wanted!r}", hint=_suggest(sought, here))


def _suggest(sought: str, here: Sequence[DeviceInfo]) -> str:
    names = {device.name.casefold(): device.name for device in here}
    words = {word: name for folded, name in names.items() for word in folded.split()}
    close = difflib.get_close_matches(sought, [*names, *words], n=1)
    if close:
        return f"did you mean {names.get(close[0]) or words[close[0]]!r}?"
    return f"there is: {', '.join(names.values())}; or use {DEFAULT!r}"


def called(kind: Kind, device: str) -> str:
    """How a device is named in a sentence."""
    return f"the {_WORD[kind]}" if device == DEFAULT else f"the {_WORD[kind]} {device!r}"


def failure(kind: Kind, device: str, cause: str, *, exists: bool, platform: str) -> DeviceError:
    """What to raise when a device could not be opened. ``exists``: there is some device of this kind. ``platform`` is
    ``sys.platform``."""
    if not exists:
        return NoDevice(f"no {_WORD[kind]} was found ({cause})", hint=_hint_none(platform))
    return DeviceError(f"{called(kind, device)} cannot be opened ({cause})", hint=hint_refused(kind, platform))


def hint_refused(kind: Kind, platform: str) -> str:
    """What usually keeps an existing device from being opened on this operating system."""
    if platform == "darwin" and kind == "input":
        return (
            "allow it in System Settings > Privacy & Security > Microphone, for the app or terminal you started this in"
        )
    if platform == "win32" and kind == "input":
        return "allow it in Settings > Privacy & security > Microphone, and close programs that use it exclusively"
    if platform == "win32":
        return "close programs that use it exclusively, or choose another one: locara devices"
    return "close programs that use it, or choose another one: locara devices"


def hint_silent(platform: str) -> str:
    """Where a microphone that gives nothing but digital zeros is switched on, on this operating system: it is muted, by a
    switch or in software, or this program may not use it. ``platform`` is ``sys.platform``."""
    switch = "look for a mute switch or key on the microphone or keyboard"
    if platform == "darwin":
        return f"allow it in System Settings > Privacy & Security > Microphone, for the app or terminal; or {switch}"
    if platform == "win32":
        return f"allow it in Settings > Privacy & security > Microphone, for desktop apps too; or {switch}"
    if platform.startswith("linux"):
        return (
            "unmute it: pavucontrol > Input Devices, or wpctl set-mute @DEFAULT_AUDIO_SOURCE@ 0, or pactl set-source-mute "
            "@DEFAULT_SOURCE@ 0 (pactl list sources shows which are muted); for a Flatpak or GNOME also Settings > Privacy "
            f"& Security > Microphone; or {switch}"
        )
    return switch


def _hint_none(platform: str) -> str:
    if platform.startswith("linux"):
        return (
            "start PulseAudio or PipeWire (in a container: share its socket and set PULSE_SERVER), or plug a device in; "
            "WAV files work without"
        )
    return "plug one in and switch it on in the sound settings; WAV files work without"
