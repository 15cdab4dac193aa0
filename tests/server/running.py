"""What the tests of the server share: one that runs, with a door of their own, and raw sockets to talk to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from locara.server import app as doors
from locara.server import serving
from locara.server.settings import Limits, Settings

TOKEN = "a-token-of-the-tests-0123456789"  # noqa: S105  opens nothing but a test

PAGE = """<!doctype html><title>Locara</title><script src="/sdk/locara.js"></script>"""
SCRIPT = """// What the real page does: trades its code, takes it out of the address, connects. Framed, it says so.
if (parent !== window) parent.postMessage("framed", "*");
const code = location.hash.match(/code=([^&]+)/);
history.replaceState(null, "", "/");
if (code) (async () => {
  const headers = {"Content-Type": "application/json"};
  const answer = await fetch("/code", {method: "POST", headers, body: JSON.stringify({code: code[1]})});
  const {token} = await answer.json();
  const socket = new WebSocket(`ws://${location.host}/echo-socket`, ["locara.ipc.v1", `locara.token.${token}`]);
  socket.onopen = () => socket.send("hello");
  socket.onmessage = () => socket.close();
})();
"""


@dataclass
class Seats:
    """Seats that nobody sits on, unless a test says so."""

    taken: int = 0
    free: int = 8

    def shut(self) -> None:
        self.free = 0


@dataclass
class Echo:
    """A door that says what came in, and remembers what was done."""

    done: list[str] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.get("/echo", self.read),
            web.post("/v1/echo", self.write),
            web.post("/v1/audio/transcriptions", self.write),
            web.get("/echo-socket", self.socket),
            web.get("/endless", self.endless),
            web.get("/", self.page),
            web.get("/sdk/locara.js", self.script),
        ]

    async def read(self, _: web.Request) -> web.Response:
        self.done.append("read")
        return web.json_response({"ok": True})

    async def write(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.done.append("write")
        return web.json_response({"bytes": len(body)})

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("locara.ipc.v1", "realtime"), compress=False, max_msg_size=1 << 20)
        await socket.prepare(request)
        self.done.append("socket")
        async for message in socket:
            await socket.send_str(f"heard {len(message.data)}")
        self.done.append(f"closed {socket.close_code}")
        self.ended.set()
        return socket

    async def endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b"\0" * 65536)
                await asyncio.sleep(0)
        self.done.append("endless ended")
        self.ended.set()
        return response

    async def page(self, _: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def script(self, _: web.Request) -> web.Response:
        return web.Response(text=SCRIPT, content_type="text/javascript")


@contextlib.asynccontextmanager
async def running(
    patch: pytest.MonkeyPatch, echo: Echo | None = None, seats: Seats | None = None, **settings: Any
) -> AsyncIterator[serving.Server]:
    """A server at a free port with the doors of this installation that need no seats, and ``echo``."""
    patch.setattr(doors, "DOORS", ("codes", "health"))
    made = doors.make
    own = Echo() if echo is None else echo

    def make(*arguments: Any) -> web.Application:
        app = made(*arguments)
        app.router.add_routes(own.routes())
        return app

    patch.setattr(doors, "make", make)
    sock = settings.pop("sock", None)
    told = Settings(**{"token": TOKEN, "port": 0, "limits": Limits(), **settings})
    async with serving.serving(told, seats=seats or Seats(), questions=None, sock=sock) as server:
        yield server


@dataclass
class Said:
    """An answer as it came over the wire. ``status`` 0: the connection was closed without one."""

    status: int
    headers: dict[str, str]
    body: bytes


async def say(port: int, head: str | bytes, body: bytes = b"", *, host: str = "127.0.0.1") -> Said:
    """Sends exactly this and reads until the other side closes, or an answer with a length is whole."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write((head.encode("latin-1") if isinstance(head, str) else head) + body)
        async with asyncio.timeout(20):
            return await answered(reader)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def answered(reader: asyncio.StreamReader) -> Said:
    """One answer."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return Said(0, {}, b"")
    first, *lines = head.decode("latin-1").rstrip().split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Said(int(first.split()[1]), headers, body)


def get(path: str, port: int, *lines: str, token: str | None = TOKEN, host: str | None = None) -> str:
    """A GET as a plain client sends it."""
    return request("GET", path, port, *lines, token=token, host=host)


def request(method: str, path: str, port: int, *lines: str, token: str | None = TOKEN, host: str | None = None) -> str:
    """A request's head."""
    own: Sequence[str] = [f"Authorization: Bearer {token}"] if token is not None else []
    named = [f"Host: {f'127.0.0.1:{port}' if host is None else host}"]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *named, *own, *lines, "", ""])


def upgrade(path: str, port: int, *lines: str, token: str | None = None, host: str | None = None) -> str:
    """The head of a WebSocket's handshake."""
    handshake = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    return get(path, port, *handshake, key, *lines, token=token, host=host)


def written(folder: Path) -> str:
    """Everything in the files of a folder, for looking for what must not be there."""
    return "".join(one.read_text(encoding="utf-8", errors="replace") for one in folder.rglob("*") if one.is_file())
