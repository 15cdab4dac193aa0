"""The door `/ipc`: Locara's own protocol on a WebSocket. See docs/ipc.md.

What may live here: the handshake, and which sessions this door has. A connection is `ipc_connection`'s, what its requests
do `ipc_methods`', a conversation and what is told of it `ipc_session`'s, the words themselves `ipc_wire`'s.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiohttp import web

from locara.server import ipc_wire as wire
from locara.server.ipc_connection import CLOSE_SECONDS, Connection
from locara.server.ipc_methods import Desk
from locara.server.ipc_session import ServedSession
from locara.server.runtime import RUNTIME

PATH = "/ipc"

HEARTBEAT_SECONDS = 20.0
"""Between two pings. A client that is gone without a word is noticed after one and a half times that."""


@dataclass(slots=True)
class _Kept:
    served: ServedSession
    desk: Desk


class Door:
    """The sessions of one server that came in here, each on a connection or waiting for another one."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._ending: set[asyncio.Task[str]] = set()

    @property
    def sessions(self) -> tuple[ServedSession, ...]:
        """All of them."""
        return tuple(one.served for one in self._kept.values())

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        """Answers the handshake and serves the connection to its end."""
        runtime = request.app[RUNTIME]
        limits = runtime.settings.limits
        offered = [one.strip() for one in request.headers.get("Sec-WebSocket-Protocol", "").split(",") if one.strip()]
        if offered and wire.SUBPROTOCOL not in offered:
            # Also because the library would log what was offered, and a token may be among it.
            raise web.HTTPBadRequest(text=f"offer the subprotocol {wire.SUBPROTOCOL}, or none\n")
        socket = web.WebSocketResponse(
            timeout=CLOSE_SECONDS,
            heartbeat=HEARTBEAT_SECONDS,
            protocols=(wire.SUBPROTOCOL,),
            compress=False,  # a frame that unpacks to a thousand times its size is never unpacked
            max_msg_size=limits.frame_bytes,
        )
        await socket.prepare(request)
        connection = Connection(socket, request.transport, limits, own_page=_own_page(request))
        await connection.run(Desk(self, runtime, connection))
        return socket

    def keep(self, served: ServedSession, desk: Desk) -> None:
        """It runs, and is this desk's."""
        self._kept[served.key.session] = _Kept(served, desk)

    def forget(self, served: ServedSession) -> None:
        """It has ended."""
        self._kept.pop(served.key.session, None)

    def held(self, session: str, token: str) -> ServedSession | None:
        """The session with this number and this token. A wrong token and a wrong number are the same."""
        found = self._kept.get(session)
        return found.served if found is not None and found.served.key.fits(token) else None

    def desk_of(self, served: ServedSession) -> Desk | None:
        """The desk that has it; None while it waits for a connection."""
        found = self._kept.get(served.key.session)
        return found.desk if found is not None and found.desk.session is served else None

    def end(self, served: ServedSession) -> None:
        """Ends it, beside everything else."""
        task = asyncio.create_task(served.stop("client-left"), name="locara-ipc-leave")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


def routes() -> list[web.AbstractRouteDef]:
    """The routes of one server."""
    return [web.get(PATH, Door().connect)]


def _own_page(request: web.Request) -> bool:
    """Whether the handshake came from the page that this very server serves. Browsers let no page lie about its origin;
    a program that has the token can, see docs/permissions.md."""
    return request.headers.get("Origin", "").lower() == f"{request.scheme}://{request.host}".lower()
