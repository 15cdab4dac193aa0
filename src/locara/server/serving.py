"""One server from its beginning to its end: listens, takes requests, drains, stops.

What may live here: that order, and the signals that end it. What is served is in `app`; who may come in, in `guard`.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

from aiohttp import WSCloseCode, web

from locara.errors import ConfigError
from locara.server import app as doors
from locara.server import listening, wyoming
from locara.server.codes import Codes
from locara.server.connections import Connections
from locara.server.counting import Counters
from locara.server.guard import guard
from locara.server.guarding import DRAINING, REFUSALS
from locara.server.private_logging import http_logger
from locara.server.runtime import Runtime
from locara.server.settings import Settings
from locara.server.stalls import Stalls
from locara.server.underway import UNDERWAY

_LINGER_SECONDS = 2.0
"""For the rest of a body that nobody wants."""

_END_SECONDS = 3.0
"""For handlers to end once their connection was closed."""

_LOOK_SECONDS = 0.1


class Server:
    """A server that listens. Made by `serving`."""

    def __init__(self, runtime: Runtime, codes: Codes, port: int) -> None:
        self.runtime = runtime
        self.codes = codes
        self.port = port
        self.app = doors.make(runtime, codes)
        self.stalls = Stalls(runtime.counters)
        self.connections = Connections(runtime.settings.limits, runtime.counters, self.app[REFUSALS].waiting)
        self._listening: asyncio.Server | None = None
        self._wyoming: wyoming.Wyoming | None = None
        self._runner = web.AppRunner(
            self.app,
            logger=http_logger(),
            access_log=None,  # its lines have addresses with their query
            auto_decompress=False,  # the guard takes no compressed bodies
            keepalive_timeout=3600.0,  # `connections` has the deadline
            lingering_time=_LINGER_SECONDS,
            shutdown_timeout=_END_SECONDS,
        )

    @property
    def url(self) -> str:
        """The address, as a person of this machine opens it."""
        host = self.runtime.settings.host
        if host in ("0.0.0.0", "::", "localhost"):  # noqa: S104  everywhere includes here
            host = listening.LOOPBACK if host != "::" else "::1"
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def launch_url(self) -> str:
        """The address with a new one-time code, good for a minute."""
        return f"{self.url}/#code={self.codes.make()}"

    async def begin(self, one: socket.socket) -> None:
        """Takes connections on ``one`` from now on."""
        await self._runner.setup()
        assert self._runner.server is not None
        factory = self.connections.around(self._runner.server)
        try:
            self._listening = await asyncio.get_running_loop().create_server(
                factory, sock=one, backlog=listening.BACKLOG
            )
        except OSError as error:  # on Linux two may be bound to a port as long as neither listens
            raise listening.refused(self.runtime.settings.host, self.port, error) from error
        if self.runtime.settings.wyoming_port is not None:
            self._wyoming = await wyoming.start(self.runtime)
        self.stalls.start()

    async def drain(self, hurry: asyncio.Event | None = None) -> None:
        """Takes nothing new (new requests are told so), and waits until the sessions that run have ended: for at most
        ``drain_seconds``, or until ``hurry`` is set. Then the connections that are left are closed with 1012, so that
        clients come back later."""
        self.app[DRAINING].set()
        self.runtime.seats.shut()
        if self._wyoming is not None:
            self._wyoming.shut()
        hurry = asyncio.Event() if hurry is None else hurry
        underway = self.app[UNDERWAY]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.runtime.settings.limits.drain_seconds):
                while (self.runtime.seats.taken or underway.answering or self._speaking_wyoming) and not hurry.is_set():
                    with contextlib.suppress(TimeoutError):  # seats do not tell when they are left
                        await asyncio.wait_for(hurry.wait(), _LOOK_SECONDS)
        await underway.close_sockets(WSCloseCode.SERVICE_RESTART, b"the server is stopping")

    @property
    def _speaking_wyoming(self) -> bool:
        return self._wyoming is not None and self._wyoming.working > 0

    async def close(self) -> None:
        """Ends everything. May be called in any state."""
        self.app[DRAINING].set()
        self.stalls.stop()
        if self._listening is not None:
            self._listening.close()
        try:
            async with asyncio.timeout(2 * _END_SECONDS + 1.0):
                if self._wyoming is not None:
                    await self._wyoming.close()
                await self._runner.cleanup()
        except TimeoutError:
            pass
        finally:
            self.connections.cut_all()


@contextlib.asynccontextmanager
async def serving(
    settings: Settings,
    *,
    seats: Any,
    questions: Any,
    counters: Counters | None = None,
    sock: socket.socket | None = None,
) -> AsyncIterator[Server]:
    """A server that takes requests inside, and has ended afterwards. ``sock``: from `listening.bound`, else it is opened
    here. Raises ``ConfigError`` where it cannot listen."""
    one = sock if sock is not None else listening.bound(settings.host, settings.port)
    try:
        port = one.getsockname()[1]
        settings = replace(settings, port=port)
        server = Server(runtime(settings, seats=seats, questions=questions, counters=counters), Codes(), port)
    except BaseException:
        one.close()
        raise
    try:
        await server.begin(one)
        yield server
    finally:
        await server.close()
        one.close()


def runtime(settings: Settings, *, seats: Any, questions: Any, counters: Counters | None = None) -> Runtime:
    """What the doors share. ``settings.port`` is the real one. Raises ``ConfigError`` for an origin that is none."""
    own = () if listening.is_loopback(settings.host) or settings.host in ("0.0.0.0", "::") else (settings.host,)  # noqa: S104
    try:
        watch = guard(settings.token, settings.port, hosts=(*own, *settings.hosts), origins=settings.origins)
    except ValueError as error:
        raise ConfigError(str(error), hint="--origin http://localhost:5173") from error
    return Runtime(settings, seats, watch, Counters() if counters is None else counters, questions)


class Stopping:
    """What SIGINT and SIGTERM ask for: the first to end in order, the second to end now."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurry = asyncio.Event()
        self.code = 0
        """As documented in `locara.cli`: 130 after SIGINT, 143 after SIGTERM."""

    def take(self, number: int) -> None:
        """A signal came."""
        if self.asked.is_set():
            self.hurry.set()
            return
        self.code = 128 + number
        self.asked.set()

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Signals come here inside."""
        loop = asyncio.get_running_loop()
        undo: list[Callable[[], object]] = []
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(number, self.take, int(number))
                undo.append(lambda number=number: loop.remove_signal_handler(number))  # type: ignore[misc]
            except (NotImplementedError, RuntimeError):  # Windows has no such handlers in its event loop
                with contextlib.suppress(ValueError):  # not the main thread: nobody signals us there
                    before = signal.signal(number, lambda got, _: loop.call_soon_threadsafe(self.take, got))
                    undo.append(lambda number=number, before=before: signal.signal(number, before))  # type: ignore[misc]
        try:
            yield
        finally:
            for one in undo:
                one()
