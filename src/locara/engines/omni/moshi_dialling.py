"""From an address to a Moshi server that hears: the WebSocket, its handshake, and what is wrong where none comes.

What may live here: this way, and its errors. The conversation is `moshi_session`'s.

Nothing is sent before the handshake: PersonaPlex's server reads and throws away whatever comes while it works through its
prompts, the header of the Opus stream included, and a conversation without that header never begins.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from yarl import URL

from locara.engines.lane import real_work
from locara.engines.loopback_ws import mended
from locara.engines.omni import moshi_wire as wire
from locara.errors import ConfigError, EngineBusy, EngineFailed, EngineTimeout, StageError

CONNECT_SECONDS = 10.0
CLOSE_SECONDS = 2.0
CHARACTER_SECONDS = 0.02
"""Longer for each character of a role: it is read token by token, four characters each, a step of the model a token. A
server that just keeps up with the clock needs 80 ms for a step."""
_URL_BYTES = 8000
"""aiohttp's servers take 8,190 bytes as the first line of a request."""
_NO_PLACE = (429, 503)
_BEGINNING = 80  # characters of somebody's words that are shown
_OTHER_PROGRAM = "is it Moshi's own server? Its address ends in /api/chat; a realtime server is another engine's"
_HINTS = {
    401: "this protocol has no keys: is something else in front of the server?",
    403: "this protocol has no keys: is something else in front of the server?",
    404: f"the address of Moshi's own servers ends in {wire.CHAT}",
    426: _OTHER_PROGRAM,
    502: "there is something in front of the server, and the server itself does not run",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A server, as it was named. ``deadline``: seconds from the connection to the handshake."""

    url: str
    flavour: wire.Flavour
    model: str
    deadline: float

    @property
    def shown(self) -> str:
        """The address without passwords and queries."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))

    def failed(self, what: str, hint: str) -> EngineFailed:
        return EngineFailed(f"omni: {self.shown} {what}", stage="omni", model=self.model, hint=hint)

    def too_late(self, what: str, hint: str) -> EngineTimeout:
        return EngineTimeout(f"omni: {self.shown} {what}", stage="omni", model=self.model, hint=hint)


def address(place: Place, voice: str, role: str) -> URL:
    """Where a conversation with this voice and role is asked for; Moshi has neither. Raises ``ConfigError``."""
    base = URL(place.url)
    if place.flavour == "moshi":
        return base
    asked = base.update_query({"voice_prompt": wire.voice_file(voice), "text_prompt": role})
    if len(asked.raw_path_qs.encode()) > _URL_BYTES:
        raise ConfigError(
            f"omni: the instructions are too long for {place.model}: they go to its server in an address",
            hint=f"{_URL_BYTES} bytes are taken, most signs and all letters that are not English count three or more",
        )
    return asked


async def dial(
    http: aiohttp.ClientSession, place: Place, voice: str, role: str
) -> tuple[aiohttp.ClientWebSocketResponse, wire.Handshake]:
    """A server that hears. Raises ``StageError``; cancelled, it leaves no connection behind."""
    url = address(place, voice, role)
    seconds = place.deadline + CHARACTER_SECONDS * len(role)
    socket = await _connected(http, place, url)
    try:
        async with asyncio.timeout(seconds):
            with real_work():
                return socket, await _handshake(socket, place, voice)
    except TimeoutError:
        await hang_up(socket)
        raise place.too_late(f"gave no handshake within {seconds:.3g} s", _waits_for(place)) from None
    except BaseException:
        await hang_up(socket)
        raise


async def hang_up(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Closes a connection, whatever state it is in; takes ``CLOSE_SECONDS`` at most. Never raises but for cancellation."""
    try:
        with real_work():
            async with asyncio.timeout(CLOSE_SECONDS):
                await socket.close()
    except (TimeoutError, aiohttp.ClientError, OSError, RuntimeError):
        pass  # it has gone already; aiohttp closes the transport either way


async def _connected(http: aiohttp.ClientSession, place: Place, url: URL) -> aiohttp.ClientWebSocketResponse:
    try:
        with real_work():
            async with asyncio.timeout(CONNECT_SECONDS):
                return await http.ws_connect(
                    url,
                    max_msg_size=wire.MESSAGE_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
                )
    except TimeoutError:
        raise place.too_late(f"did not answer within {CONNECT_SECONDS:g} s", "look whether it hangs") from None
    except aiohttp.WSServerHandshakeError as error:
        if error.status in _NO_PLACE:
            raise EngineBusy(
                f"omni: {place.shown} answered {error.status}: it, or what is in front of it, has no place",
                stage="omni",
                model=place.model,
                hint="try again later, or add a replica",
            ) from None
        hint = _HINTS.get(error.status, "look at the server's log")
        raise place.failed(f"answered {error.status} and opens no WebSocket: {error.message}", hint) from None
    except aiohttp.ClientConnectorCertificateError as error:
        raise place.failed(
            f"is not vouched for by anybody known here: {error.certificate_error}",
            "give the certificate that it was started with (--ssl) as the option certificate",
        ) from None
    except (aiohttp.ClientSSLError, ssl.SSLError) as error:
        raise place.failed(
            f"does not speak TLS as it was expected to: {error}",
            "ws:// is for servers without --ssl, wss:// for those with",
        ) from None
    except (aiohttp.ClientError, OSError) as error:
        cause = getattr(error, "os_error", error)
        hint = mended(cause, "start it (python -m moshi.server), or correct the address")
        raise place.failed(f"cannot be reached: {error}", hint) from None
    except ValueError as error:  # what aiohttp says of addresses
        raise place.failed(f"is no address: {error}", "write it like ws://127.0.0.1:8998/api/chat") from None


async def _handshake(socket: aiohttp.ClientWebSocketResponse, place: Place, voice: str) -> wire.Handshake:
    while True:
        message = await socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            raise place.failed(
                f"is another kind of server, it begins with text: {message.data[:_BEGINNING]!r}", _OTHER_PROGRAM
            )
        if message.type is not aiohttp.WSMsgType.BINARY:
            if isinstance(message.data, aiohttp.WebSocketError):
                raise place.failed(f"sends what is no WebSocket message: {message.data}", _OTHER_PROGRAM)
            raise _closed(place, voice)
        said = wire.parse(message.data)
        if isinstance(said, wire.Handshake):
            return said
        if isinstance(said, wire.Refusal):
            raise place.failed(f"says: {said.text[: 4 * _BEGINNING]}", "look at the server's log")
        if said is not None:
            raise place.failed("sends sound or text before its handshake", _OTHER_PROGRAM)


def _closed(place: Place, voice: str) -> StageError:
    if place.flavour == "moshi":
        return place.failed("closed the connection before its handshake", "look at the server's log")
    return place.failed(
        f"closed the connection before its handshake, without a word: so it does where it has no voice"
        f" {wire.voice_file(voice)!r}",
        "its voices are the files of its --voice-prompt-dir, where it was started; its log says more",
    )


def _waits_for(place: Place) -> str:
    alone = "it holds one conversation at a time, and another one may have it"
    if place.flavour == "moshi":
        return f"{alone}; or raise the option deadline"
    return f"{alone}; or it still works through voice and role: shorten the instructions, or raise the option deadline"
