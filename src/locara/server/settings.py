"""How one server is set up, as values. What may live here: frozen values and the reason for each number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DEFAULT_PORT = 7777
"""Registered for nothing that people run beside a voice server."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may take of the server. Seconds, bytes, counts."""

    sessions: int = 8
    """Conversations at once; further ones are told "busy"."""
    session_seconds: float = 3600.0
    """How long one may last. OpenAI's ends after 60 minutes too."""
    idle_seconds: float = 900.0
    """A connection on which neither sound nor a message came for so long is closed."""
    grace_seconds: float = 30.0
    """How long a conversation whose connection dropped waits to be resumed."""
    frame_bytes: int = 1 << 20
    """The largest message: 16 s of base64 sound at 24 kHz."""
    buffered_seconds: float = 120.0
    """Pushed sound that may wait to be heard."""
    messages_per_second: float = 200.0
    """Of one connection, averaged over ten seconds: four times what 20 ms of sound in messages of their own come to."""
    bytes_per_second: float = 1_000_000.0
    """Of one connection, averaged over ten seconds: twenty times 24 kHz in 16 bits, or eight times as base64 in JSON."""
    outgoing: int = 512
    """Messages that wait for a slow reader: ten seconds of sound. Then its connection is closed with 1013."""
    upload_bytes: int = 25 << 20
    """A file to transcribe, as OpenAI's limit."""
    connections: int = 128
    """Open at once, in all."""
    connections_per_peer: int = 64
    head_seconds: float = 10.0
    """From the connection to the end of the request's head. Slower ones are closed."""
    body_seconds: float = 60.0
    """For a request's body."""
    drain_seconds: float = 10.0
    """How long what runs may go on after the server was asked to stop."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One server. ``origins``: web origins beside its own that may connect (scheme, host and port). ``stages``: stage -> as
    `voice.session` takes it, for sessions that name none. ``hosts``: names beside loopback's that the Host header may
    have, for a server that listens on more than loopback."""

    token: str
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    stages: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    offline: bool = False
    wyoming_port: int | None = None
    """Of the Wyoming services; None: they are not offered."""
    wyoming_host: str = "127.0.0.1"
    """Their protocol knows no password: whoever reaches this address can have speech made and recognised here."""
