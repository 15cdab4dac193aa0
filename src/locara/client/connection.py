"""A connection to a runtime server: requests with their answers, pushes, sound; made again when it drops.

What may live here: one WebSocket at a time and what waits for it. What is said with it is `session`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import aiohttp

from locara.client.failing import raised
from locara.client.frames import SPEAKER, Frame, unpacked
from locara.errors import ConfigError, LocaraError, MessageError, SessionError

if TYPE_CHECKING:
    from locara.client.session import Session

PROTOCOL = 1
SUBPROTOCOL = "locara.ipc.v1"

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 15.0
"""For requests that the server answers at once."""
LOAD_SECONDS = 400.0
"""For those that load models, and may ask a person first (five minutes)."""
OUTBOX = 512
"""Messages that may wait to be sent: five seconds of sound and more."""
_FRAME_BYTES = 8 << 20
"""The largest message that is taken: an `audio-chunk` of a minute as base64."""


class ConnectionLost(SessionError):
    """The connection to the server is gone."""

    code = "connection-lost"


class Listener(Protocol):
    """Whoever has the conversation of this connection."""

    def pushed(self, message: Mapping[str, Any]) -> None:
        """A message that is no answer."""
        ...

    def sounded(self, frame: Frame) -> None:
        """Sound for the speaker."""
        ...

    def lost(self) -> None:
        """The connection dropped."""
        ...


class Connection:
    """Made by `locara.client.connect`. One conversation at a time."""

    def __init__(self, url: str, token: str) -> None:
        self._url = _address(url)
        self._token = token
        self._http: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._outbox: asyncio.Queue[str | bytes] = asyncio.Queue(OUTBOX)
        self._open: dict[int, asyncio.Future[Any]] = {}
        self._room = asyncio.Event()
        self._number = 0
        self.closed = False
        """The app has closed it: nobody connects again."""
        self._listener: Listener | None = None
        self._closing: Mapping[str, Any] = {}
        self.hello: Mapping[str, Any] = {}
        """What the server said of itself: ``server``, ``protocol``, ``limits``."""

    # --- the app's side -----------------------------------------------------------------------------------------------

    def session(self, **options: Any) -> Session:
        """A conversation, not started yet: use it with ``async with``. See `locara.client.session.Session`."""
        from locara.client.session import Session

        return Session(self, **options)

    async def models(self, task: str | None = None) -> list[dict[str, Any]]:
        """What the server's catalog has: ``{id, task, status, installed, why}``."""
        result = await self.request("models.list", {"task": task} if task else {})
        return list(result["models"])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Says goodbye; a conversation that still runs ends. May be called twice."""
        self.closed = True
        await self._hang_up()
        if self._listener is not None:
            self._listener.lost()
        if self._http is not None:
            await self._http.close()
            self._http = None

    # --- the session's side -------------------------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        """Whether there is a connection at this moment."""
        return self._socket is not None and not self._socket.closed

    def listen(self, listener: Listener | None) -> None:
        """Who gets pushes and sound. Raises ``SessionError`` where there is somebody already."""
        if listener is not None and self._listener not in (None, listener):
            raise SessionError("this connection has a conversation", hint="stop it first, or connect once more")
        self._listener = listener

    async def open(self) -> None:
        """Connects, and waits for the server's hello. Raises ``LocaraError``."""
        await self._hang_up()
        if self.closed:
            raise ConnectionLost("this connection was closed", hint="connect again")
        if self._http is None:
            self._http = aiohttp.ClientSession()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                socket = await self._http.ws_connect(
                    self._url,
                    headers={"Authorization": f"Bearer {self._token}"},
                    protocols=(SUBPROTOCOL,),
                    heartbeat=20.0,
                    max_msg_size=_FRAME_BYTES,
                )
                first = await socket.receive_json()
        except aiohttp.WSServerHandshakeError as error:
            raise _refused(error.status) from error
        except (OSError, aiohttp.ClientError, TimeoutError, TypeError, ValueError) as error:
            raise ConnectionLost(
                f"there is no Locara server at {self._url}: {type(error).__name__}", hint="start it: locara serve"
            ) from error
        self.hello = first.get("hello", {})
        if self.hello.get("protocol") != PROTOCOL:
            await socket.close()
            raise MessageError(
                f"the server speaks version {self.hello.get('protocol')} of the protocol, this client {PROTOCOL}",
                hint="install the same version of locara on both sides",
            )
        self._socket = socket
        self._outbox = asyncio.Queue(OUTBOX)
        self._tasks = [
            asyncio.create_task(self._read(socket), name="locara-client-reader"),
            asyncio.create_task(self._write(socket, self._outbox), name="locara-client-writer"),
        ]

    def send(self, message: Mapping[str, Any] | bytes) -> None:
        """Puts it behind what waits already. Raises ``ConnectionLost``."""
        if not self.up:
            raise ConnectionLost("the connection to the server is lost", hint="it is being made again, if it can be")
        try:
            self._outbox.put_nowait(message if isinstance(message, bytes) else json.dumps(message))
        except asyncio.QueueFull:
            raise SessionError(f"{OUTBOX} messages wait already", hint="await what you send") from None

    def ask(self, method: str, params: Mapping[str, Any] | None = None) -> asyncio.Future[Any]:
        """Sends a request now; its answer comes later. Raises ``ConnectionLost``."""
        self._number += 1
        self.send({"id": self._number, "method": method, "params": dict(params or {})})
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._open[self._number] = answer
        return answer

    async def request(
        self, method: str, params: Mapping[str, Any] | None = None, seconds: float = ANSWER_SECONDS
    ) -> Any:
        """The result. Raises the server's error, and ``ConnectionLost`` after ``seconds`` without one."""
        try:
            return await asyncio.wait_for(self.ask(method, params), seconds)
        except TimeoutError:
            raise ConnectionLost(
                f"the server did not answer {method} within {seconds:g} s", hint="is it overloaded? See /healthz"
            ) from None

    async def sent(self) -> None:
        """Waits until less than half of what may wait does."""
        async with asyncio.timeout(ANSWER_SECONDS):
            while self.up and self._outbox.qsize() > OUTBOX // 2:
                self._room.clear()
                await self._room.wait()

    # --- the socket ---------------------------------------------------------------------------------------------------

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        try:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._text(json.loads(message.data))
                elif message.type is aiohttp.WSMsgType.BINARY and self._listener is not None:
                    self._listener.sounded(unpacked(message.data, SPEAKER))
        except (ValueError, LocaraError):  # it is not a server of ours: nothing it says can be used
            await socket.close()
        finally:
            if self._socket is socket:
                self._socket = None
                self._fail()
                if self._listener is not None:
                    self._listener.lost()

    def _text(self, message: Mapping[str, Any]) -> None:
        if "id" not in message:
            self._closing = message.get("closing", self._closing)
            if self._listener is not None:
                self._listener.pushed(message)
            return
        answer = self._open.pop(message["id"], None) if isinstance(message["id"], int) else None
        if answer is None or answer.done():
            return
        if "error" in message:
            answer.set_exception(raised(message["error"]))
            answer.exception()  # whoever does not wait for it is not warned of it by asyncio
        else:
            answer.set_result(message.get("result", {}))

    async def _write(self, socket: aiohttp.ClientWebSocketResponse, outbox: asyncio.Queue[str | bytes]) -> None:
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            while True:
                message = await outbox.get()
                self._room.set()
                await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))

    def _fail(self) -> None:
        told = self._closing
        for answer in self._open.values():
            if not answer.done():
                what = f"the server closed the connection: {told['reason']}" if told else "the connection was lost"
                answer.set_exception(ConnectionLost(what, hint=str(told.get("hint", "")) or "connect again"))
                answer.exception()
        self._open.clear()
        self._room.set()

    async def _hang_up(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            with contextlib.suppress(TimeoutError, aiohttp.ClientError, ConnectionError):
                await asyncio.wait_for(socket.close(), 2.0)
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            if task is not asyncio.current_task():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        self._fail()


async def connect(url: str, token: str) -> Connection:
    """A connection to the server at ``url`` (``http://127.0.0.1:7777``), which is open. Raises ``ConnectionLost`` and
    ``LocaraError`` with the server's reason."""
    connection = Connection(url, token)
    try:
        await connection.open()
    except BaseException:
        await connection.close()
        raise
    return connection


def _address(url: str) -> str:
    schemes = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
    scheme, found, rest = url.partition("://")
    if not found or scheme not in schemes or not rest:
        raise ConfigError(f"{url!r} is no address of a server", hint="write it as http://127.0.0.1:7777")
    return f"{schemes[scheme]}://{rest.split('/')[0]}/ipc"


def _refused(status: int) -> LocaraError:
    told: dict[int, tuple[str, str]] = {
        401: ("unauthorized", "the token is another one at each start, unless LOCARA_TOKEN is set"),
        403: ("forbidden", "use the address that `locara serve` says"),
        503: ("busy", "try again in a while"),
    }
    code, hint = told.get(status, ("refused", "is it a Locara server of this version?"))
    return raised({"code": code, "message": f"the server refused the connection ({status})", "hint": hint})
