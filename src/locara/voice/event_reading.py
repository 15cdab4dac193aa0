"""Events back from their wire form: the other direction of `locara.voice.events.to_json`. Pure.

What may live here: JSON values to an event. What a newer server adds is skipped, so that an older client goes on.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
from collections.abc import Mapping
from typing import Any

from locara.audio import from_pcm16, silence
from locara.errors import MessageError
from locara.voice.events import ALL, AudioChunk, Event, Latency, PlanChanged, TurnEnd

KNOWN: Mapping[str, type[Event]] = {one.type: one for one in ALL}


def from_json(told: Mapping[str, Any]) -> Event | None:
    """The event; None for a type that this version does not know. Fields that it does not know are left out. ``samples``
    of which only the number was sent are so many zeros. Raises ``MessageError``."""
    kind = KNOWN.get(str(told.get("type")))
    if kind is None:
        return None
    names = {one.name for one in dataclasses.fields(kind)}
    found = {name: value for name, value in told.items() if name in names}
    try:
        if kind is AudioChunk:
            found["samples"] = _samples(found["samples"])
        elif kind is TurnEnd and found.get("latency") is not None:
            parts = {one.name for one in dataclasses.fields(Latency)}
            found["latency"] = Latency(**{n: float(v) for n, v in found["latency"].items() if n in parts})
        elif kind is PlanChanged:
            found["stages"] = tuple(found["stages"])
        found["t"] = float(found.get("t", 0.0))
        return kind(**found)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise MessageError(
            f"a {kind.type} event that is none: {type(error).__name__}", hint="is it another server?"
        ) from None


def _samples(value: Any) -> Any:
    if isinstance(value, int):
        return silence(value)
    try:
        return from_pcm16(base64.b64decode(value, validate=True))
    except binascii.Error:
        raise ValueError("no base64") from None
