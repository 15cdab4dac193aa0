"""A real chat server on loopback for tests: speaks HTTP/1.1 on asyncio streams, well or as badly as it is told.

What may live here: the server and its ways to misbehave. It checks nothing; tests look at ``requests`` and ``left``.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Request:
    """What a client asked. ``body`` is the decoded JSON, or None."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


Part = bytes | float | asyncio.Event


@dataclass(frozen=True)
class Answer:
    """What it gets. ``body`` is sent in the given blocks; a float among them is a pause in seconds, an event one
    until it is set. ``cut``: the connection ends without the end that HTTP wants."""

    status: int = 200
    body: Sequence[Part] = ()
    content_type: str = "application/json"
    cut: bool = False
    headers: str = ""


Answers = Callable[[Request], Answer]


def event(delta: Mapping[str, Any], finish: str | None = None) -> bytes:
    """One server-sent event with a delta."""
    return (
        b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}).encode() + b"\n\n"
    )


def says(*pieces: str | float | asyncio.Event, done: bool = True) -> Answer:
    """A reply of these pieces, each an event; a float or an event is a pause."""
    body: list[Part] = [event({"role": "assistant", "content": ""})]
    body += [event({"content": piece}) if isinstance(piece, str) else piece for piece in pieces]
    if done:
        body += [event({}, "stop"), b"data: [DONE]\n\n"]
    return streams(*body)


def streams(*body: Part, cut: bool = False) -> Answer:
    return Answer(body=body, content_type="text/event-stream", cut=cut)


def fails(status: int, body: Any, headers: str = "") -> Answer:
    return Answer(status, [body if isinstance(body, bytes) else json.dumps(body).encode()], headers=headers)


def models(*names: str, owner: str = "library") -> Answer:
    rows = [{"id": name, "object": "model", "owned_by": owner} for name in names]
    return Answer(body=[json.dumps({"object": "list", "data": rows}).encode()])


class ChatServer:
    """``async with ChatServer(chat, listed) as server``: ``chat`` answers chats, ``listed`` answers /models."""

    def __init__(self, chat: Answers | Answer, listed: Answer | None = None) -> None:
        self._chat = chat
        self._listed = listed or models("test-model")
        self.requests: list[Request] = []
        self.left = asyncio.Event()
        """Set when a client went away before its answer was complete."""
        self.connections = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> ChatServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._server.close()
        # A connection that was just coming has begun to be served by then: cancelled before that, nobody would close it.
        await asyncio.sleep(0.02)
        while self._tasks:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._tasks.difference_update(tasks)
        await asyncio.sleep(0)  # their ends are told to the transports

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while True:
                request = await _read(reader)
                self.requests.append(request)
                if not await self._answer(request, reader, writer):
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client went away between two requests, or the test is over
        finally:
            writer.close()
            try:  # else its socket may outlive the loop, and be told as a leak
                await asyncio.wait_for(writer.wait_closed(), 5)
            except TimeoutError:
                writer.transport.abort()
            except OSError:
                pass  # the client has broken it off
            self._tasks.discard(task)

    async def _answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if request.path.endswith("/models"):
            answer = self._listed
        else:
            answer = self._chat(request) if callable(self._chat) else self._chat
        head = f"HTTP/1.1 {answer.status} X\r\nContent-Type: {answer.content_type}\r\nTransfer-Encoding: chunked\r\n"
        writer.write((head + answer.headers + "\r\n").encode())
        gone = asyncio.ensure_future(reader.read(1))  # a client that waits for an answer sends nothing but its end
        try:
            async for block in _paced(answer.body):
                if gone.done():
                    break
                writer.write(b"%x\r\n%s\r\n" % (len(block), block) if block else b"")
                await writer.drain()
        except ConnectionError:
            self.left.set()
        if gone.done():
            self.left.set()
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)  # its read must be over before the next request is read
        if self.left.is_set() or answer.cut:
            return False
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


async def _paced(body: Sequence[Part]) -> AsyncIterator[bytes]:
    """The blocks at their times; while it pauses, an empty one every 10 ms so that a client's going is noticed."""
    for part in body:
        if isinstance(part, bytes):
            yield part
            await asyncio.sleep(0)
            continue
        while isinstance(part, asyncio.Event) and not part.is_set():
            await asyncio.sleep(0.01)
            yield b""
        for _ in range(0 if isinstance(part, asyncio.Event) else round(part / 0.01)):
            await asyncio.sleep(0.01)
            yield b""


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    data = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, json.loads(data) if data else None)


def closed_port() -> int:
    """A port of this machine on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
