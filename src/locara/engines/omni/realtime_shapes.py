"""Reading a server's JSON: each value is looked at once, and what is wrong with it is said. Pure.

What may live here: readers of single values. Each raises `Wrong`, which names the field.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from locara.audio import Samples, from_pcm16

_BYTES = {"pcm16": 2, "pcm_s16le": 2, "s16le": 2, "audio/pcm": 2, "pcm": 2}


class Wrong(ValueError):
    """A known event with a value that it cannot have."""


def decoded(raw: str) -> Mapping[str, Any] | None:
    """The message as an object; None for anything else."""
    try:
        message = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, Mapping) else None


def text(message: Mapping[str, Any], name: str) -> str:
    """A text that must be there."""
    value = message.get(name)
    if not isinstance(value, str):
        raise Wrong(f"without {name}" if value is None else f"with {name} that is no text")
    return value


def some_text(message: Mapping[str, Any], name: str) -> str:
    """A text, empty where there is none."""
    return "" if message.get(name) is None else text(message, name)


def table(message: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object, empty where there is none."""
    value = message.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Wrong(f"with {name} that is no object")
    return value


def count(message: Mapping[str, Any], name: str, default: int = 0) -> int:
    """A whole number that is not negative."""
    value = message.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Wrong(f"with {name} that is no count")
    return value


def data(message: Mapping[str, Any], *names: str) -> bytes:
    """Bytes in base64, under the first of these names that is there."""
    name = next((one for one in names if message.get(one) is not None), names[0])
    try:
        return base64.b64decode(text(message, name), validate=True)
    except (binascii.Error, ValueError) as error:
        if isinstance(error, Wrong):
            raise
        raise Wrong(f"with {name} that is no base64") from None


def sound(message: Mapping[str, Any]) -> Samples:
    """16-bit sound. vLLM's turn protocol calls it ``audio``, all others ``delta``."""
    kind = message.get("format", "pcm16")
    if not isinstance(kind, str) or kind not in _BYTES:
        raise Wrong("with sound in a format that was not asked for")
    raw = data(message, "delta", "audio")
    if len(raw) % 2:
        raise Wrong("with half a sample")
    return from_pcm16(raw)


def rate(message: Mapping[str, Any]) -> int | None:
    """The rate that an event with sound says it has, in hertz; None: it says nothing."""
    value = message.get("sample_rate_hz", message.get("sample_rate"))
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise Wrong("with a sample rate that is none")
    return value


def rates(session: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """What a session's description says of the rates of input and output, in hertz; None: nothing."""
    granted = _in(session, "sglang", "granted")
    return (
        _rate(
            _in(session, "audio", "input", "format"), _in(session, "audio", "input"), session.get("input_audio_format"),
            _in(session, "audio", "format"), _in(granted, "input_audio_format"),
        ),
        _rate(
            _in(session, "audio", "output", "format"), _in(session, "audio", "output"),
            session.get("output_audio_format"), _in(session, "audio", "format"), _in(granted, "output_audio_format"),
        ),
    )  # fmt: skip


def _in(value: object, *names: str) -> object:
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _rate(*places: object) -> int | None:
    for place in places:
        if isinstance(place, Mapping):
            for name in ("rate", "sample_rate_hz", "sample_rate"):
                value = place.get(name)
                if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                    return value
    return None


def arguments(raw: str) -> Mapping[str, Any]:
    """The decoded arguments of a tool."""
    try:
        value = json.loads(raw or "{}")
    except (ValueError, RecursionError):
        raise Wrong("with arguments that are no JSON") from None
    if not isinstance(value, Mapping):
        raise Wrong("with arguments that are no object")
    return value


def encoded(samples: Samples, encoding: str) -> str:
    """Sound as a server takes it: base64 of little-endian samples."""
    if encoding == "pcm_f32le":
        raw = np.clip(samples, -1.0, 1.0).astype("<f4").tobytes()
    else:
        raw = (np.clip(samples, -1.0, 1.0) * 32767.0).round().astype("<i2").tobytes()
    return base64.b64encode(raw).decode("ascii")
