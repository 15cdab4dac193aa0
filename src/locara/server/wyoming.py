"""Wyoming speech-to-text and text-to-speech services, for Home Assistant and whoever else speaks it. See docs/wyoming.md.

What may live here: the listening socket and its connections. The protocol has no password, so it listens on loopback where
nobody says otherwise; and it ends a connection at the first line that is no frame, so that a web page, whose requests begin
with a line of HTTP, can say nothing to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os

from locara.errors import ConfigError
from locara.server.rest_desk import Desk
from locara.server.rest_jobs import Jobs
from locara.server.rest_models import Models
from locara.server.runtime import Runtime
from locara.server.wyoming_session import Connection
from locara.server.wyoming_wire import LINE_BYTES

CONNECTIONS = 32
"""At once. A household has a handful of satellites."""

AT_ONCE = max(2, (os.cpu_count() or 1) // 2)
"""Jobs. They listen in real time: an engine that waits for words costs little."""

CLOSE_SECONDS = 3.0
"""For what runs, once the server is closed."""

_log = logging.getLogger("locara.server.wyoming")


class Wyoming:
    """The services, listening. ``port``: where."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._server: asyncio.Server | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._connections: set[Connection] = set()
        self.port = 0

    async def listen(self, host: str, port: int) -> None:
        """Raises ``ConfigError`` where the port cannot be had."""
        try:
            self._server = await asyncio.start_server(self._came, host, port, limit=LINE_BYTES)
        except OSError as error:
            raise ConfigError(
                f"Wyoming cannot listen on {host}:{port}: {error.strerror or error}",
                hint="another program has the port: choose one with --wyoming-port N",
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]

    async def _came(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._running) >= CONNECTIONS:
            writer.transport.abort()
            return
        self._running.add(task)
        connection = Connection(self._desk, reader, writer)
        self._connections.add(connection)
        try:
            await connection.run()
        except asyncio.CancelledError:
            pass  # the server is closing; the task of a connection has nobody to tell
        except Exception as error:  # said without its message, which may quote what was said
            _log.error("a connection ended with %s", type(error).__name__)
        finally:
            self._running.discard(task)
            self._connections.discard(connection)
            writer.close()
            with contextlib.suppress(Exception):
                await asyncio.wait_for(writer.wait_closed(), CLOSE_SECONDS)

    @property
    def working(self) -> int:
        """Connections for which something is recognised or spoken."""
        return sum(connection.working for connection in self._connections)

    def shut(self) -> None:
        """Takes no more connections; those that there are go on."""
        if self._server is not None:
            self._server.close()

    async def close(self) -> None:
        """Ends every connection, and the listening. May be called twice."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        running = list(self._running)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=CLOSE_SECONDS)


async def start(runtime: Runtime) -> Wyoming:
    """The services of ``runtime``, on the port that its settings name. Raises ``ConfigError``."""
    settings = runtime.settings
    if settings.wyoming_port is None:
        raise ConfigError("no port is named for Wyoming", hint="locara serve --wyoming-port 10300")
    desk = Desk(settings, runtime.seats.pool, Models(settings.stages), Jobs(AT_ONCE))
    services = Wyoming(desk)
    await services.listen(settings.wyoming_host, settings.wyoming_port)
    return services
