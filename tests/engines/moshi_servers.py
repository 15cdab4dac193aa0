"""Real servers on loopback that speak Moshi's protocol as the four that exist do, and some that do not.

What may live here: the servers. Each is written from the source it stands for: ``moshi/server.py`` and
``rust/moshi-server/src/lm.rs``, ``rust/moshi-backend/src/stream_both.rs`` of kyutai-labs/moshi, ``moshi/moshi/server.py`` of
NVIDIA/personaplex. The model is an echo: what it hears in one frame it says in the next, at half the level.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import sphn
from aiohttp import WSMsgType, web

FRAME, RATE = 1920, 24_000
Dialect = Literal["python", "moshi-server", "moshi-backend", "personaplex"]
VOICES = ("NATF2.pt", "NATM1.pt", "mine.wav")


@dataclass
class Seen:
    """What a server saw. ``early``: bytes that came before its handshake."""

    connections: int = 0
    open: int = 0
    early: int = 0
    heard: list[np.ndarray] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)
    first: bytes = b""
    wrong: list[str] = field(default_factory=list)
    taken: asyncio.Event = field(default_factory=asyncio.Event)
    """Somebody is connected."""
    free: asyncio.Event = field(default_factory=asyncio.Event)
    """Nobody is, any more."""

    @property
    def samples(self) -> np.ndarray:
        return np.concatenate(self.heard) if self.heard else np.zeros(0, np.float32)


Handler = Callable[[web.Request, web.WebSocketResponse, Seen], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[str, Seen]]:
    """The address and what is seen, while a server runs."""
    seen = Seen()

    async def chat(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        seen.connections += 1
        seen.open += 1
        seen.taken.set()
        seen.free.clear()
        seen.queries.append(dict(request.query))
        try:
            await handler(request, socket, seen)
        finally:
            seen.open -= 1
            if not seen.open:
                seen.free.set()
        return socket

    app = web.Application()

    async def health(_: web.Request) -> web.Response:
        return web.Response()

    app.router.add_get("/api/chat", chat)
    app.router.add_get("/health", health)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"{'wss' if context else 'ws'}://127.0.0.1:{port}/api/chat", seen
    finally:
        await runner.cleanup()


def speaking(
    dialect: Dialect,
    *,
    prompt: float = 0.0,
    words: str = " a",
    slow: float = 0.0,
    swallow: Callable[[int], bool] = lambda number: False,
    end: Callable[[int], bool] = lambda number: False,
    alone: asyncio.Lock | None = None,
    several: bool = False,
    later: int = 0,
) -> Handler:
    """A server of this kind. ``prompt``: seconds of PersonaPlex's prompt phase. ``slow``: seconds for a frame.
    ``swallow``: frames (from 0) that it gives no answer to. ``end``: frames at which it drops the connection. ``alone``: who
    has this waits for no one else. ``several``: it holds more than one conversation. ``later``: frames after which it
    says what it heard, silent till then."""
    lock = alone or asyncio.Lock()

    async def handler(request: web.Request, socket: web.WebSocketResponse, seen: Seen) -> None:
        if dialect == "personaplex":
            if request.query["voice_prompt"] not in VOICES:  # a KeyError where it is missing, as in the original
                raise ConnectionResetError("no such voice")
            _ = request.query["text_prompt"]
        async with contextlib.nullcontext() if several else lock:
            if dialect == "personaplex":
                await _prompts(socket, seen, prompt)
            await _greet(socket, dialect)
            writer, reader = sphn.OpusStreamWriter(RATE), sphn.OpusStreamReader(RATE)
            if dialect == "moshi-server":  # the headers come as a message of their own
                first = bytes(writer.append_pcm(np.zeros(FRAME, np.float32)))
                await socket.send_bytes(b"\x01" + first[: _audio_at(first)])
            await _talk(request, socket, seen, dialect, reader, writer, words, slow, swallow, end, later)

    return handler


def _audio_at(pages: bytes) -> int:
    """Where the third page begins: the first two are the headers."""
    return pages.index(b"OggS", pages.index(b"OggS", 1) + 1)


async def _prompts(socket: web.WebSocketResponse, seen: Seen, seconds: float) -> None:
    """As ``is_alive`` does it: whatever comes is read and thrown away."""
    until = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until:
        with contextlib.suppress(TimeoutError):
            message = await asyncio.wait_for(socket.receive(), 0.01)
            if message.type is WSMsgType.BINARY:
                seen.early += len(message.data)


async def _greet(socket: web.WebSocketResponse, dialect: Dialect) -> None:
    with contextlib.suppress(ConnectionError):
        if dialect == "moshi-backend":
            await socket.send_bytes(b"\x04" + b'{"text_temperature":0.8}')
        await socket.send_bytes(b"\x00" + bytes(8 if dialect.startswith("moshi-") else 0))


async def _talk(
    request: web.Request,
    socket: web.WebSocketResponse,
    seen: Seen,
    dialect: Dialect,
    reader: sphn.OpusStreamReader,
    writer: sphn.OpusStreamWriter,
    words: str,
    slow: float,
    swallow: Callable[[int], bool],
    end: Callable[[int], bool],
    later: int,
) -> None:
    rest = np.zeros(0, np.float32)
    told = deque([np.zeros(FRAME, np.float32)] * later)
    number = 0
    async for message in socket:
        if message.type is not WSMsgType.BINARY or message.data[:1] != b"\x01":
            seen.wrong.append(f"{message.type.name} {message.data[:1]!r}")
            continue
        if not seen.heard:
            seen.first = message.data[1:5]
        pcm = reader.append_bytes(message.data[1:])
        seen.heard.append(pcm)
        rest = np.concatenate((rest, pcm))
        while rest.size >= FRAME:
            frame, rest = rest[:FRAME], rest[FRAME:]
            await asyncio.sleep(slow)
            if end(number):
                assert request.transport is not None
                request.transport.abort()  # as the Rust servers end: no goodbye
                return
            now = told.popleft() if number else None
            if now is not None and not swallow(number):
                await _say(socket, writer, dialect, 0.5 * now)
                if number % 5 == 0:
                    await socket.send_bytes(b"\x02" + words.encode())
            told.append(frame)
            number += 1


async def _say(
    socket: web.WebSocketResponse, writer: sphn.OpusStreamWriter, dialect: Dialect, frame: np.ndarray
) -> None:
    half = FRAME // 2
    for part in (frame[:half], frame[half:]) if dialect == "moshi-backend" else (frame,):
        with contextlib.suppress(ConnectionError):
            await socket.send_bytes(b"\x01" + bytes(writer.append_pcm(np.ascontiguousarray(part))))
