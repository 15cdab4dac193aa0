"""The Realtime protocol's client events: text frames in, frozen values out. Pure.

What may live here: the eleven client events of OpenAI's GA Realtime API (types ``openai.types.realtime`` of openai 3.54)
and how one is read. Fields that we do not know are let through: stock clients send more every month. Fields that we know
have to be right: a wrong one raises `Invalid`, which becomes an ``error`` event and harms nobody.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from locara.errors import LocaraError

JSON = dict[str, Any]

MOST_ID = 128
"""Characters of an id that a client chooses. OpenAI allows 32 for items; longer ones are only somebody else's habit."""


class Invalid(LocaraError):
    """A client event that cannot be done. ``param``: which field; ``about``: the client's ``event_id``, if it gave one."""

    code = "invalid_value"

    def __init__(self, message: str, *, code: str = "", param: str | None = None, about: str | None = None) -> None:
        super().__init__(message)
        self.code = code or Invalid.code
        self.param = param
        self.about = about


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientEvent:
    """What every client event may have: an id of the client's, to which errors are linked."""

    event_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionUpdate(ClientEvent):
    """``session.update``: the fields that are to change."""

    session: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Append(ClientEvent):
    """``input_audio_buffer.append``: sound as the session's input format says."""

    audio: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit(ClientEvent):
    """``input_audio_buffer.commit``: what was appended is the user's turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clear(ClientEvent):
    """``input_audio_buffer.clear``: what was appended is no turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearOutput(ClientEvent):
    """``output_audio_buffer.clear``: for WebRTC, where the server owns the player. Here the client does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateItem(ClientEvent):
    """``conversation.item.create``. ``after``: the item it is to follow, ``"root"``, or None for the end."""

    item: Mapping[str, Any]
    after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrieveItem(ClientEvent):
    """``conversation.item.retrieve``."""

    item: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TruncateItem(ClientEvent):
    """``conversation.item.truncate``: of an assistant's sound, ``audio_end_ms`` milliseconds were heard."""

    item: str
    content_index: int
    audio_end_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteItem(ClientEvent):
    """``conversation.item.delete``."""

    item: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateResponse(ClientEvent):
    """``response.create``: the settings of this one response."""

    response: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelResponse(ClientEvent):
    """``response.cancel``."""

    response: str | None = None


def parse(frame: str) -> ClientEvent:
    """One text frame. Raises `Invalid`."""
    event = _json(frame)
    about = event.get("event_id")
    if about is not None and not (isinstance(about, str) and len(about) <= 4 * MOST_ID):
        raise Invalid("event_id is a string of at most 512 characters", param="event_id")
    try:
        kind = event.get("type")
        if kind is None:
            raise Invalid("Missing required parameter: 'type'.", code="missing_required_parameter", param="type")
        read = _EVENTS.get(kind) if isinstance(kind, str) else None
        if read is None:
            raise Invalid(f"'type' must be one of {', '.join(_EVENTS)}; it is {_shown(kind)}.", param="type")
        return read(event, about)
    except Invalid as error:
        error.about = error.about or about
        raise


def _json(frame: str) -> JSON:
    try:
        event = json.loads(frame, parse_constant=_no_number, parse_float=_finite)
        if "\\u" in frame:
            json.dumps(event, ensure_ascii=False).encode()  # half a character, which no model could be given
    except (ValueError, RecursionError) as error:  # UnicodeEncodeError is a ValueError
        raise Invalid(f"The frame is no JSON: {type(error).__name__}.", code="invalid_json") from None
    if not isinstance(event, dict):
        raise Invalid("An event is a JSON object.", code="invalid_json")
    return event


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):  # 1e999: it could not be sent back as JSON
        raise ValueError("a number is too large")
    return value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def wanted(event: Mapping[str, Any], name: str, kind: type, what: str) -> Any:
    """A field that must be there, and of this type. Raises `Invalid`."""
    value = event.get(name)
    if value is None:
        raise Invalid(f"Missing required parameter: '{name}'.", code="missing_required_parameter", param=name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Invalid(f"'{name}' is {what}; it is {_shown(value)}.", code="invalid_type", param=name)
    return value


def identifier(event: Mapping[str, Any], name: str) -> str:
    """An id that must be there."""
    value: str = wanted(event, name, str, "an id")
    if not 0 < len(value) <= MOST_ID:
        raise Invalid(f"'{name}' has 1 to {MOST_ID} characters.", param=name)
    return value


def _optional_identifier(event: Mapping[str, Any], name: str) -> str | None:
    return None if event.get(name) is None else identifier(event, name)


def _append(event: JSON, about: str | None) -> ClientEvent:
    audio: str = wanted(event, "audio", str, "base64 of sound")
    try:
        return Append(event_id=about, audio=base64.b64decode(audio, validate=True))
    except (binascii.Error, ValueError):
        raise Invalid("'audio' is no base64.", param="audio") from None


def _object(event: JSON, name: str) -> JSON:
    value: JSON = wanted(event, name, dict, "an object")
    return value


def _truncate(event: JSON, about: str | None) -> ClientEvent:
    index: int = wanted(event, "content_index", int, "a number")
    end: int = wanted(event, "audio_end_ms", int, "a whole number of milliseconds")
    if index < 0 or end < 0:
        name = "content_index" if index < 0 else "audio_end_ms"
        raise Invalid(f"'{name}' is not negative.", code="integer_below_min_value", param=name)
    return TruncateItem(event_id=about, item=identifier(event, "item_id"), content_index=index, audio_end_ms=end)


def _create_response(event: JSON, about: str | None) -> ClientEvent:
    given = event.get("response")
    return CreateResponse(event_id=about, response={} if given is None else _object(event, "response"))


_EVENTS: dict[str, Callable[[JSON, str | None], ClientEvent]] = {
    "session.update": lambda event, about: SessionUpdate(event_id=about, session=_object(event, "session")),
    "input_audio_buffer.append": _append,
    "input_audio_buffer.commit": lambda _, about: Commit(event_id=about),
    "input_audio_buffer.clear": lambda _, about: Clear(event_id=about),
    "output_audio_buffer.clear": lambda _, about: ClearOutput(event_id=about),
    "conversation.item.create": lambda event, about: CreateItem(
        event_id=about, item=_object(event, "item"), after=_optional_identifier(event, "previous_item_id")
    ),
    "conversation.item.retrieve": lambda event, about: RetrieveItem(event_id=about, item=identifier(event, "item_id")),
    "conversation.item.truncate": _truncate,
    "conversation.item.delete": lambda event, about: DeleteItem(event_id=about, item=identifier(event, "item_id")),
    "response.create": _create_response,
    "response.cancel": lambda event, about: CancelResponse(
        event_id=about, response=_optional_identifier(event, "response_id")
    ),
}
"""Type -> how it is read: all eleven there are."""
