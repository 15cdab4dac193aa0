"""The wire of Moshi's own servers, ``/api/chat``: binary WebSocket messages whose first byte is their kind.

What may live here: messages to bytes and back, what a closed connection means, and the names of PersonaPlex's voices. Pure.

One protocol, four servers: ``python -m moshi.server``, ``moshi-backend`` and the ``Lm`` module of ``moshi-server`` (both
Rust), and PersonaPlex's ``python -m moshi.server``. A message of a kind that is not known is discarded, as the protocol
wants. Source: ``rust/protocol.md`` and ``rust/moshi-server/src/protocol.rs`` of kyutai-labs/moshi.
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from typing import Literal

RATE = 24_000
"""Hertz of both directions: Ogg/Opus, one channel."""
FRAME = 1920
"""Samples of a frame: 80 ms at ``RATE``, what Mimi and the model compute at once."""
CHAT = "/api/chat"

MESSAGE_BYTES = 1 << 17
"""The largest message that is taken: an Ogg page has at most 65,307 bytes, and a server sends one or two."""
RUST_SECONDS = 360.0
"""A Rust server ends every session then: ``sleep(360)`` in its ``handle_socket``."""
_NEAR_LIMIT = 0.97
"""A connection that ends this close to the limit ended because of it: the clocks of both sides differ a little."""
_MODELS = 8
"""Bytes that a Rust server sends after the kind of its handshake: version of the protocol, version of the model."""

VOICES = (
    *(f"{kind}{number}" for kind in ("NATF", "NATM") for number in range(4)),
    *(f"{kind}{number}" for kind in ("VARF", "VARM") for number in range(5)),
)
"""The voices that PersonaPlex is published with, files ``NATF0.pt`` to ``VARM4.pt``: natural and varied, female and male."""

Flavour = Literal["moshi", "personaplex"]


class Kind(enum.IntEnum):
    """The first byte of a message."""

    HANDSHAKE = 0
    AUDIO = 1
    TEXT = 2
    CONTROL = 3
    METADATA = 4
    ERROR = 5
    PING = 6
    COLOURED_TEXT = 7
    IMAGE = 8
    CODES = 9


@dataclass(frozen=True, slots=True)
class Handshake:
    """The server hears from now on. ``rust``: it is one of the two that end a session after ``RUST_SECONDS``."""

    rust: bool = False


@dataclass(frozen=True, slots=True)
class Pages:
    """Some bytes of an Ogg/Opus stream; a page may be cut anywhere, and only headers may be in it."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the text that the model thinks; a new word begins with a space."""

    text: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """The server says what went wrong."""

    text: str


Message = Handshake | Pages | Piece | Refusal


def parse(data: bytes) -> Message | None:
    """What a message says; None for one that says nothing to us: empty, of an unknown kind, metadata, pings, pictures.
    Bytes that are no UTF-8 become U+FFFD. Never raises."""
    kind, payload = data[:1], data[1:]
    match kind[0] if kind else None:
        case Kind.HANDSHAKE:
            return Handshake(rust=len(payload) >= _MODELS)
        case Kind.AUDIO:
            return Pages(payload)
        case Kind.TEXT:
            return Piece(payload.decode("utf-8", "replace"))
        case Kind.COLOURED_TEXT:  # one byte says which colour
            return Piece(payload[1:].decode("utf-8", "replace"))
        case Kind.ERROR:
            return Refusal(payload.decode("utf-8", "replace"))
    return None


def encode(message: Message) -> bytes:
    """The bytes of a message, as whoever sends it writes them."""
    if isinstance(message, Handshake):
        return bytes([Kind.HANDSHAKE]) + bytes(_MODELS if message.rust else 0)
    if isinstance(message, Pages):
        return bytes([Kind.AUDIO]) + message.data
    if isinstance(message, Piece):
        return bytes([Kind.TEXT]) + message.text.encode()
    return bytes([Kind.ERROR]) + message.text.encode()


def metadata(content: object) -> bytes:
    """What ``moshi-backend`` sends before its handshake: how it was set up."""
    return bytes([Kind.METADATA]) + json.dumps(content).encode()


def voice_file(name: str) -> str:
    """The file that PersonaPlex's server is asked for: its own voices are named without their ``.pt``."""
    return f"{name}.pt" if name in VOICES else name


def ended(*, rust: bool, seconds: float) -> Literal["limit", "closed"]:
    """Why a server has closed a conversation ``seconds`` after its handshake: it lasts no longer, or something else. None of
    these servers says it; a Rust one does not even send WebSocket's own goodbye."""
    return "limit" if rust and seconds >= RUST_SECONDS * _NEAR_LIMIT else "closed"
