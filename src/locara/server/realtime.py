"""The doors ``/v1/realtime`` and ``/realtime``: OpenAI's Realtime protocol (GA), for stock clients. See docs/realtime.md.

What may live here: the handshake, and taking a seat. The connection is `realtime_actor`'s, the protocol
`realtime_machine`'s.
"""

from __future__ import annotations

import asyncio
import secrets

from aiohttp import WSCloseCode, web

from locara import __version__
from locara.catalog import index
from locara.errors import LocaraError
from locara.manifest.values import Manifest, Task
from locara.server.observing import observe
from locara.server.places import without_places
from locara.server.realtime_actor import Connection
from locara.server.realtime_effects import Close
from locara.server.realtime_machine import Machine
from locara.server.runtime import RUNTIME, Runtime
from locara.server.seats import Busy, Seat, Wish
from locara.voice.building import SYSTEM

SUBPROTOCOL = "realtime"
"""What a browser offers beside its key, and what it must get back."""

DEFAULT_MODEL = "locara"
"""What the session object says where the client names none."""

DEFAULT_VOICE = "locara"

APP = Manifest("local.realtime", "A client of the Realtime API", __version__)
"""As which app its sessions stand in the log of uses."""

HEARTBEAT_SECONDS = 20.0
"""Between two pings. A client that is gone without a word is noticed after one and a half times that."""

_CLOSE_SECONDS = 1.0


def routes() -> list[web.AbstractRouteDef]:
    """The routes of one server. Clients whose base URL has no ``/v1`` ask for the second."""
    return [web.get("/v1/realtime", connect), web.get("/realtime", connect)]


async def connect(request: web.Request) -> web.WebSocketResponse:
    """Answers the handshake and serves the connection to its end."""
    runtime = request.app[RUNTIME]
    offered = [one.strip() for one in request.headers.get("Sec-WebSocket-Protocol", "").split(",") if one.strip()]
    socket = web.WebSocketResponse(
        timeout=_CLOSE_SECONDS,
        heartbeat=HEARTBEAT_SECONDS,
        protocols=(SUBPROTOCOL,) if SUBPROTOCOL in offered else (),
        compress=False,  # a frame that unpacks to a thousand times its size is never unpacked
        max_msg_size=runtime.settings.limits.frame_bytes,
    )
    await socket.prepare(request)
    connection = Connection(socket, runtime.settings.limits, secrets.token_hex(4))
    beta = request.headers.get("OpenAI-Beta", "").startswith("realtime") or any("beta" in one for one in offered)
    visit = _Visit(runtime, connection, request, refused=beta)
    await connection.serve(visit.sit)
    runtime.counters.add("locara_sent_bytes_total", connection.sent_bytes, door="realtime")
    return socket


class _Visit:
    """One client at the door, until it has a seat."""

    def __init__(self, runtime: Runtime, connection: Connection, request: web.Request, *, refused: bool) -> None:
        self._runtime = runtime
        self._connection = connection
        self._model = request.query.get("model", "")[:256]
        self._transcription = request.query.get("intent") == "transcription"
        self._refused = refused

    async def sit(self) -> tuple[Machine, Seat] | None:
        """Takes a seat. None: there is none, and the client was told why."""
        if self._refused:
            message = "The Realtime Beta API is no longer served: leave the beta header and protocol out."
            self._connection.fail(
                "beta_api_shape_disabled",
                message,
                Close(4000, "invalid_request_error.beta_api_shape_disabled"),
                type="invalid_request_error",
            )
            return None
        try:
            seat = await self._runtime.seats.take(await self._wish(), deliver=self._connection.deliver)
        except Busy as error:
            self._runtime.counters.add("locara_busy_total", door="realtime")
            message = f"{error.message}; try again in {error.retry_after:.0f} s"
            close = Close(WSCloseCode.TRY_AGAIN_LATER, f"busy: try again in {error.retry_after:.0f} s")
            self._connection.fail("busy", message, close, retry_after=round(error.retry_after))
            return None
        except LocaraError as error:
            message = f"{error.message} ({error.hint})" if error.hint else error.message
            self._connection.fail(error.code, without_places(message), Close(WSCloseCode.POLICY_VIOLATION, error.code))
            return None
        return self._machine(seat), seat

    async def _wish(self) -> Wish:
        kind: Task | None = None
        row = await asyncio.to_thread(index.find, self._model) if self._model else None
        if row is not None and row.kind in ("llm", "omni"):
            kind = "llm" if row.kind == "llm" else "omni"
        # Whoever holds the token is the user of this machine, and names what they like. Names that the catalog does not
        # know are those of stock clients: the server's own models then stand for them.
        # No client of this protocol expects an item that nobody asked for.
        return Wish(APP, stages={} if kind is None else {kind: self._model}, granted=True, not_understood=None)

    def _machine(self, seat: Seat) -> Machine:
        mark = secrets.token_hex(4)
        omni = "omni" in seat.session.plan
        machine = Machine(
            mark=mark,
            model=self._model or DEFAULT_MODEL,
            voice=DEFAULT_VOICE,
            instructions="" if omni else SYSTEM,
            transcription=self._transcription,
            omni=omni,
            leads=omni and seat.session.capabilities["turn-end"] == "estimated",
        )
        loop = asyncio.get_running_loop()
        watching = loop.create_task(
            observe(seat.session.events(), self._runtime.counters, door="realtime", session=mark),
            name="locara-realtime-observe",
        )
        most = self._runtime.settings.limits.session_seconds
        timer = loop.call_later(most, self._expire, most)

        def over(_: object) -> None:
            timer.cancel()
            if not watching.cancelled():
                watching.exception()

        watching.add_done_callback(over)  # the session's events end with it
        return machine

    def _expire(self, most: float) -> None:
        message = f"Your session hit the maximum duration of {most / 60:g} minutes."
        self._connection.fail("session_expired", message, Close(WSCloseCode.GOING_AWAY, "session_expired"))
