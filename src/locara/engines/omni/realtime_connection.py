"""One WebSocket to a realtime server: opened, spoken through, closed. And what is said when that fails.

What may live here: aiohttp, certificates, the way through the relay where offline was promised, and the words for a
connection that cannot be. What the messages mean is not known here. Every wait has a deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from locara.engines.lane import Charging
from locara.engines.omni.realtime_settings import Settings
from locara.errors import ConfigError, EngineBusy, EngineFailed, LocaraError
from locara.offline import promised

if TYPE_CHECKING:
    import aiohttp

STAGE = "omni"
CONNECT_SECONDS = 10.0
"""For the connection itself, certificates included; a server that loads a model has accepted it by then."""
CLOSE_SECONDS = 1.0
PING_SECONDS = 20.0
"""Between two pings; a server that does not answer one within half of it is gone."""
MOST_BYTES = 16 << 20
"""Of one message: OpenAI's protocol allows 15 MiB of sound in one."""
BUSY = (
    "server_busy", "resource_exhausted", "session_limit_reached", "rate_limit_exceeded", "rate_limit_error",
    "too_many_requests", "session_exists",
)  # fmt: skip
"""Errors that say: no place is left."""
_KEYS = ("invalid_api_key", "authentication_error", "unauthorized", "permission_denied")
_SETTINGS = re.compile(r"invalid_(value|request|duplex)|unknown_parameter|unsupported|bad_event|.*_unsupported$")
"""Errors that say: not with these settings."""
_TRY_AGAIN = 1013
_POLICY = 1008
_TOO_BIG = 1009


class Gone(Exception):
    """The connection has ended. ``code``: of the WebSocket, 1006 where there was no goodbye."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"{code} {reason}".strip())
        self.code = code
        self.reason = reason


class Link:
    """One open connection."""

    def __init__(self, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._session = session
        self._socket = socket

    async def send(self, message: Mapping[str, Any]) -> None:
        """Sends one message; waits while the other side does not take it. Raises `Gone`."""
        try:
            await self._socket.send_str(json.dumps(message, separators=(",", ":")))
        except (ConnectionError, RuntimeError, OSError) as error:
            raise Gone(self._socket.close_code or 1006, type(error).__name__) from None

    async def receive(self) -> str:
        """The next message; empty for one that is no text. Raises `Gone`."""
        import aiohttp

        try:
            message = await self._socket.receive()
        except (ConnectionError, RuntimeError, OSError) as error:
            raise Gone(1006, type(error).__name__) from None
        if message.type is aiohttp.WSMsgType.TEXT:
            return str(message.data)
        if message.type is aiohttp.WSMsgType.BINARY:
            return ""
        reason = message.extra if isinstance(message.extra, str) else ""
        if message.type is aiohttp.WSMsgType.ERROR:
            broken = message.data or self._socket.exception()
            code = getattr(broken, "code", None) or self._socket.close_code or 1006
            raise Gone(int(code), type(broken).__name__ if broken else "")
        raise Gone(self._socket.close_code or 1006, reason)

    async def close(self) -> None:
        """Says goodbye and closes. Never raises; may be called twice."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(2 * CLOSE_SECONDS):
                await self._socket.close()
        with contextlib.suppress(Exception):
            await self._session.close()


async def connect(settings: Settings) -> Link:
    """An open connection. Raises ``ConfigError``, ``EngineFailed`` and ``EngineBusy``."""
    import aiohttp

    from locara.engines import loopback_aiohttp

    headers = _headers(settings)
    _demand_here(settings)
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_refuse_redirect)
    trace.freeze()
    session = loopback_aiohttp.client()
    session.trace_configs.append(trace)
    protocol = settings.dialect.subprotocol
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            socket = await session.ws_connect(
                settings.url,
                headers=headers,
                protocols=(protocol,) if protocol else (),
                # In virtual time the answer to a ping would be late at once.
                heartbeat=None if isinstance(asyncio.get_running_loop(), Charging) else PING_SECONDS,
                max_msg_size=MOST_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
            )
    except BaseException as error:
        await session.close()
        if not isinstance(error, Exception):
            raise
        raise _untied(settings, error) from None
    return Link(session, socket)


def _headers(settings: Settings) -> dict[str, str]:
    headers = dict(settings.headers)
    if settings.key_variable:
        key = os.environ.get(settings.key_variable, "")
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            state = "holds no key" if key else "is not set"
            raise ConfigError(
                f"realtime: the environment variable {settings.key_variable} {state}",
                hint=f"set it to the key of {settings.shown}",
            )
        headers["Authorization"] = f"Bearer {key}"
    return headers


def _demand_here(settings: Settings) -> None:
    if promised() is not None and not settings.here:
        raise EngineFailed(
            f"{STAGE}: offline was promised, and {settings.shown} is another machine",
            stage=STAGE,
            model=settings.model,
            hint="use a server on this machine, and give its address as 127.0.0.1, ::1 or localhost",
        )


class _Redirected(Exception):
    """Elsewhere is not where the person wanted the sound to go."""


async def _refuse_redirect(*_: Any) -> None:
    raise _Redirected


def _untied(settings: Settings, error: Exception) -> LocaraError:
    """The error for a connection that could not be made. Says nothing that could hold a secret."""
    import aiohttp

    where = settings.shown
    if isinstance(error, aiohttp.WSServerHandshakeError):
        return refused(settings, f"http-{error.status}", f"it answered {error.status}")
    if isinstance(error, _Redirected):
        return _failed(settings, f"{where} leads to another address", "give the address that it leads to")
    if isinstance(error, TimeoutError):
        return _failed(settings, f"{where} did not answer within {CONNECT_SECONDS:g} s", "is the server running there?")
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError | ssl.SSLError):
        return _failed(
            settings, f"the certificate of {where} cannot be trusted ({type(error).__name__})",
            "give the server a certificate for this name, of an authority that this machine knows",
        )  # fmt: skip
    from locara.engines import loopback_aiohttp

    cause: BaseException = getattr(error, "os_error", None) or error
    why = getattr(cause, "strerror", None) or (
        str(cause) if isinstance(cause, ConnectionError) else type(cause).__name__
    )
    hint = loopback_aiohttp.mended(cause, "is the server running, and is the address right?")
    return _failed(settings, f"cannot connect to {where}: {why}", hint)


def refused(settings: Settings, code: str, why: str, *, asked: bool = False) -> LocaraError:
    """The error for a session that the server does not begin. ``code``: the server's, or ``http-404``, or ``close-1013``.
    ``asked``: it was given instructions, a voice or tools, which may be what it does not take."""
    shown = settings.shown
    if asked and _SETTINGS.match(code):
        return ConfigError(
            f"{STAGE}: {shown} does not begin a session like this: {why}",
            hint="change, or leave out, the voice, the instructions or the tools that it names",
        )
    if code in BUSY or code in ("http-429", "http-503", f"close-{_TRY_AGAIN}"):
        return EngineBusy(
            f"{STAGE}: {shown} has no place for another session: {why}", stage=STAGE, model=settings.model,
            hint="wait until one is free, or use another server",
        )  # fmt: skip
    hints = {
        "http-401": 'name the environment variable that holds its key: api_key_env="..."',
        "http-403": "the key may not use this, or the server refuses this address",
        "http-404": f"is its path right? {settings.dialect.server} listens at {settings.dialect.path}",
        "http-426": "it wants another protocol: is it a realtime server?",
        "wrong-rate": "give these options, or ask the server for another model",
        f"close-{_POLICY}": "is the model the one that it serves, and the key right?",
    }
    hint = hints.get(code) or (hints["http-401"] if code in _KEYS else "look at the server's log")
    if code == "http-200":
        hint = "that is a web page, not a WebSocket: is its path right?"
    return _failed(settings, f"{shown} does not begin a session: {why}", hint)


def lost(gone: Gone, settings: Settings) -> tuple[str, str, str]:
    """Code, message and hint for a connection that ended by itself."""
    where = settings.shown
    if gone.code == _TOO_BIG:
        return (
            "message-too-big",
            f"{where} sent a message of more than {MOST_BYTES >> 20} MiB",
            "have it send its sound in smaller pieces",
        )
    if gone.code == _TRY_AGAIN:
        return "engine-busy", f"{where} is too busy to go on", "begin again later"
    reason = f": {gone.reason[:200]}" if gone.reason else ""
    return "connection-lost", f"the connection to {where} ended (code {gone.code}{reason})", "look at the server's log"


def _failed(settings: Settings, message: str, hint: str) -> EngineFailed:
    host = urlsplit(settings.url).hostname or ""
    return EngineFailed(f"{STAGE}: {message}", stage=STAGE, model=settings.model or host, hint=hint)
