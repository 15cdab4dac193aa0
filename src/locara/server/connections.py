"""Connections that take too long or are too many: deadlines and caps before aiohttp, which has none of its own.

What may live here: the protocol around aiohttp's. It looks at when bytes come, never at what they say.

Measured on aiohttp 3.14.5: a connection that says nothing, drips its head or drips its body is kept for 90 s and longer.
Here each has a deadline: ``head_seconds`` for a head, ``_BODY_WINDOW`` for the next part of a body and ``body_seconds`` for
all of it, ``_KEPT_SECONDS`` between two requests, ``_READER_SECONDS`` for a client that does not read. A WebSocket has none
here once it is open: its door pings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal, cast

from aiohttp import web

from locara.server.counting import Counters
from locara.server.settings import Limits

_KEPT_SECONDS = 15.0
"""A connection is kept open for another request."""

_BODY_WINDOW = 10.0
_BODY_BYTES = 5_000
"""In each window at least so much of a body has to come: 500 bytes a second, as Apache's mod_reqtimeout asks for."""

_READER_SECONDS = 30.0
"""So long nothing of what was sent was taken. A player that reads sound as it plays takes some every second."""

_STATUS = {408: "Request Timeout", 503: "Service Unavailable"}

Phase = Literal["head", "busy", "kept"]
Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Connections:
    """All connections of one server. ``serve`` makes the protocol of each."""

    def __init__(self, limits: Limits, counters: Counters) -> None:
        self.limits = limits
        self.counters = counters
        self._open: dict[Watched, None] = {}
        self._by_inner: dict[object, Watched] = {}

    def __len__(self) -> int:
        return len(self._open)

    def around(self, server: web.Server) -> Callable[[], asyncio.Protocol]:
        """The factory for ``loop.create_server``. ``server`` tells us from now on when a request begins and ends."""
        server.request_handler = self._told(server.request_handler)
        return lambda: Watched(self, cast(asyncio.Protocol, server()))

    def _told(self, handle: Handle) -> Handle:
        async def told(request: web.BaseRequest) -> web.StreamResponse:
            watched = self._by_inner.get(request.protocol)
            if watched is None:  # the connection went while its request waited
                return await handle(request)
            watched.began(request)
            try:
                return await handle(request)
            finally:
                watched.ended()

        return told

    def admit(self, one: Watched) -> bool:
        """Whether there is room; a connection that has not sent a request yet makes way for a new one."""
        limits = self.limits
        same = [other for other in self._open if other.peer == one.peer]
        if len(same) >= limits.connections_per_peer and not self._make_way(same):
            return False
        if len(self._open) >= limits.connections and not self._make_way(list(self._open)):
            return False
        self._open[one] = None
        self._by_inner[one.inner] = one
        self.counters.set("locara_connections", len(self._open))
        return True

    def _make_way(self, among: list[Watched]) -> bool:
        """Closes the oldest of those that asked for nothing, then of those that are only kept open."""
        for phase in ("head", "kept"):
            for one in among:  # in the order in which they came
                if one.phase == phase:
                    one.cut("made-way")
                    self.left(one)
                    return True
        return False

    def left(self, one: Watched) -> None:
        """It is closed."""
        self._open.pop(one, None)
        self._by_inner.pop(one.inner, None)
        self.counters.set("locara_connections", len(self._open))

    def cut_all(self) -> None:
        """Closes what is left, at the server's end."""
        for one in list(self._open):
            one.cut("stopped")


class Watched(asyncio.Protocol):
    """One connection: passes everything on to aiohttp's protocol, and looks at the clock."""

    def __init__(self, connections: Connections, inner: asyncio.Protocol) -> None:
        self.inner = inner
        self.peer = ""
        self.phase: Phase = "head"
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._request: web.BaseRequest | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._reader: asyncio.TimerHandle | None = None
        self._received = 0
        self._began = 0.0
        self._admitted = False

    # --- what asyncio tells -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is here."""
        self._transport = cast(asyncio.Transport, transport)
        name = transport.get_extra_info("peername")
        self.peer = str(name[0]) if isinstance(name, tuple) and name else "local"
        self._admitted = self._connections.admit(self)
        if not self._admitted:
            self._refuse(503, "too-many")
            return
        self.inner.connection_made(transport)
        self._wait_for_head(self._connections.limits.head_seconds)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if not self._admitted:
            return
        self._received += len(data)
        self._connections.counters.add("locara_received_bytes_total", len(data))
        if self.phase == "kept":  # the first bytes of another head
            self.phase = "head"
            self._wait_for_head(self._connections.limits.head_seconds)
        self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        """It sends nothing more."""
        return self.inner.eof_received() if self._admitted else None

    def connection_lost(self, error: Exception | None) -> None:
        """It is gone."""
        self._stop(self._deadline)
        self._stop(self._reader)
        self._connections.left(self)
        self._request = None
        if self._admitted:
            self.inner.connection_lost(error)

    def pause_writing(self) -> None:
        """It does not read as fast as we send."""
        if self._reader is None:
            self._reader = self._loop.call_later(_READER_SECONDS, self.cut, "not-reading")
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        """It has read."""
        self._stop(self._reader)
        self._reader = None
        self.inner.resume_writing()

    # --- what the server tells ----------------------------------------------------------------------------------------

    def began(self, request: web.BaseRequest) -> None:
        """A whole head is here, and its request is being answered."""
        self.phase = "busy"
        self._request = request
        self._began, self._received = self._loop.time(), 0
        self._stop(self._deadline)
        self._deadline = None
        if not request.content.is_eof():
            self._watch_body()

    def ended(self) -> None:
        """The request is answered; another may come."""
        self.phase = "kept"
        self._request = None
        self._received = 0
        self._wait_for_head(_KEPT_SECONDS)

    # --- deadlines ----------------------------------------------------------------------------------------------------

    def _wait_for_head(self, seconds: float) -> None:
        self._stop(self._deadline)
        self._deadline = self._loop.call_later(seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        if self.phase == "head" and self._received:
            self._refuse(408, "slow-head")
        else:
            self.cut("slow-head" if self.phase == "head" else "unused")

    def _watch_body(self) -> None:
        left = self._began + self._connections.limits.body_seconds - self._loop.time()
        self._received = 0
        self._deadline = self._loop.call_later(max(0.0, min(_BODY_WINDOW, left)), self._look_at_body)

    def _look_at_body(self) -> None:
        request, transport = self._request, self._transport
        if request is None or transport is None or request.content.is_eof():
            return
        over = self._loop.time() - self._began >= self._connections.limits.body_seconds
        # A transport that does not read waits for us, not we for the client.
        if over or (self._received < _BODY_BYTES and transport.is_reading()):
            self._refuse(408, "slow-body")
        else:
            self._watch_body()

    def cut(self, why: str) -> None:
        """Ends it at once, whatever is still to be sent."""
        if self._transport is not None and not self._transport.is_closing():
            self._connections.counters.add("locara_connections_closed_total", why=why)
            self._transport.abort()

    def _refuse(self, status: int, why: str) -> None:
        """A word of why, then the end. Only where nothing of another answer was sent."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._connections.counters.add("locara_connections_closed_total", why=why)
        if transport.get_write_buffer_size() == 0 and (self._request is None or not _answering(self._request)):
            transport.write(
                f"HTTP/1.1 {status} {_STATUS[status]}\r\nContent-Length: 0\r\nRetry-After: 5\r\n"
                "Connection: close\r\n\r\n".encode("ascii")
            )
            transport.close()
            # Whoever does not read that either is not waited for.
            self._loop.call_later(1.0, transport.abort)
        else:
            transport.abort()

    @staticmethod
    def _stop(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()


def _answering(request: web.BaseRequest) -> bool:
    return request.writer.output_size > 0
