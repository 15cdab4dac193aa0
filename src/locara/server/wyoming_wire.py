"""Frames of the Wyoming protocol: bytes to events and back, with a limit on each part. Pure.

A frame is a line of JSON ``{"type", "data"?, "data_length"?, "payload_length"?, "version"?}``, then ``data_length`` bytes of
more JSON, then ``payload_length`` bytes of sound. https://github.com/OHF-Voice/wyoming

What may live here: this format, and the fields of the events that we read. It is our own because the package ``wyoming``
(1.10.2) reads a payload of whatever length it is told, takes a line that is no JSON for the end of the connection, and
imports a module that Python 3.13 has no more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from locara.audio import Samples, mono
from locara.errors import ConfigError

LINE_BYTES = 64 << 10
DATA_BYTES = 64 << 10
PAYLOAD_BYTES = 1 << 20
"""Ten seconds of 48 kHz in 16 bits; Home Assistant sends 64 ms at a time."""

VERSION = "1.10.2"
"""Of the protocol, as frames name it."""

_WIDTHS: Mapping[int, str] = {1: "u1", 2: "<i2", 4: "<i4"}  # by bytes of a sample
_RATES = (4_000, 192_000)
_MOST_CHANNELS = 8


@dataclass(frozen=True, slots=True)
class Event:
    """One frame. ``payload``: sound, or nothing."""

    type: str
    data: Mapping[str, Any] = field(default_factory=dict)
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Head:
    """The line that begins a frame: what of it there is, and how many bytes follow."""

    type: str
    data: Mapping[str, Any]
    data_length: int
    payload_length: int


@dataclass(frozen=True, slots=True)
class Form:
    """How sound comes: ``rate`` in hertz, ``width`` in bytes of a sample, ``channels``."""

    rate: int
    width: int
    channels: int


def wrong(message: str) -> ConfigError:
    """What a client must not send, to be raised."""
    return ConfigError(message, hint="see docs/wyoming.md for what is served here")


def head(line: bytes) -> Head:
    """The first line of a frame. Raises ``ConfigError``: what follows cannot be read then."""
    told = _object(line, "the line")
    kind = told.get("type")
    if not isinstance(kind, str) or not kind:
        raise wrong("a frame has no type")
    data = told.get("data")
    if data is not None and not isinstance(data, dict):
        raise wrong("a frame's data is no object")
    return Head(
        kind,
        data or {},
        _length(told, "data_length", DATA_BYTES),
        _length(told, "payload_length", PAYLOAD_BYTES),
    )


def event(first: Head, data: bytes, payload: bytes) -> Event:
    """The whole frame, of its head and what followed. Raises ``ConfigError``."""
    more = _object(data, "data") if data else {}
    return Event(first.type, {**first.data, **more}, payload)


def encoded(told: Event) -> bytes:
    """The bytes of a frame."""
    data = json.dumps(told.data, ensure_ascii=False).encode() if told.data else b""
    first: dict[str, Any] = {"type": told.type, "version": VERSION}
    if data:
        first["data_length"] = len(data)
    if told.payload:
        first["payload_length"] = len(told.payload)
    return json.dumps(first).encode() + b"\n" + data + told.payload


def form_of(told: Event) -> Form:
    """How the sound of ``audio-start`` or ``audio-chunk`` comes. Raises ``ConfigError``."""
    rate, width, channels = (told.data.get(name) for name in ("rate", "width", "channels"))
    if type(rate) is not int or not _RATES[0] <= rate <= _RATES[1]:
        raise wrong(f"rate is {str(rate)[:20]}: {_RATES[0]} to {_RATES[1]} hertz are read")
    if type(width) is not int or width not in _WIDTHS:
        raise wrong(f"width is {str(width)[:20]}: 1, 2 or 4 bytes are read")
    if type(channels) is not int or not 1 <= channels <= _MOST_CHANNELS:
        raise wrong(f"channels is {str(channels)[:20]}: 1 to {_MOST_CHANNELS} are read")
    return Form(rate, width, channels)


def samples_of(payload: bytes, form: Form) -> Samples:
    """Sound of shape ``(n,)``, channels averaged; what is left of a broken sample is dropped."""
    whole = len(payload) // (form.width * form.channels) * form.channels
    found = np.frombuffer(payload, dtype=_WIDTHS[form.width], count=whole)
    return mono(found.astype(found.dtype.newbyteorder("=")).reshape(-1, form.channels))


def text_of(told: Event, name: str, most: int, *, needed: bool = False) -> str:
    """A field of text; "" where there is none. Raises ``ConfigError``."""
    value = told.data.get(name)
    if value is None and not needed:
        return ""
    if not isinstance(value, str) or len(value) > most:
        raise wrong(f"{name} of {told.type} must be text of at most {most} characters")
    return value


def voice_of(told: Event) -> tuple[str, str, str]:
    """(name, language, speaker) of the voice that ``synthesize`` or ``synthesize-start`` wants; "" for any. Raises
    ``ConfigError``."""
    wanted = told.data.get("voice")
    if wanted is None:
        return "", "", ""
    if not isinstance(wanted, Mapping):
        raise wrong(f"voice of {told.type} must be an object")
    given = Event(told.type, wanted)
    return text_of(given, "name", 200), text_of(given, "language", 20), text_of(given, "speaker", 64)


def _object(raw: bytes, what: str) -> dict[str, Any]:
    try:
        told = json.loads(raw)
    except (ValueError, RecursionError):
        raise wrong(f"{what} of a frame is no JSON") from None
    if not isinstance(told, dict):
        raise wrong(f"{what} of a frame is no JSON object")
    return told


def _length(told: Mapping[str, Any], name: str, most: int) -> int:
    length = told.get(name)
    if length is None:
        return 0
    if type(length) is not int or not 0 <= length <= most:
        raise wrong(f"{name} is {str(length)[:20]}: {most} bytes are the most")
    return length
