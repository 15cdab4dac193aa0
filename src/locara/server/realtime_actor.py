"""One Realtime connection: what comes in, what goes out, and the one task that owns its state.

What may live here: the tasks of a connection and their queues. What is decided is decided in `realtime_machine`; what is
done for it with a session, in `realtime_doing`. Everything that happens (frames, the session's events, sound that left the
gate, functions that are called, time) goes through one bounded inbox, so there is one order of it and one writer of state.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from locara.audio import Samples
from locara.server.private_logging import where
from locara.server.rates import averaged
from locara.server.realtime_doing import Doing
from locara.server.realtime_effects import Called, Close, Effect, Lapsed, Over, Rendered, Send, SendSound, Tick
from locara.server.realtime_machine import Machine
from locara.server.realtime_sound import SoundOut
from locara.server.realtime_wire import JSON, ClientEvent, Invalid, parse
from locara.server.seats import Seat
from locara.server.settings import Limits
from locara.voice.events import Event

_log = logging.getLogger("locara.server")

INBOX = 1024
"""Things that happened and wait: twenty seconds of sound and events of a busy conversation."""

TICK_SECONDS = 0.1
"""Deadlines of the protocol are held as exactly as that."""

WRITE_SECONDS = 10.0
"""A message that the network has not taken after so long is not waited for."""

OUTGOING_BYTES = 8 << 20
"""Of messages that wait for a slow reader, beside their number: a minute of sound, and no room for a client that asks for
large items and never reads them."""

LAST_WORDS_SECONDS = 1.0
"""For what is still to be sent when a connection ends, and for the goodbye of both sides."""

MOST_FAULTS = 100
"""Frames that cannot be read, until the connection is closed: a client with a mistake sees it, and does not fill the
network with it."""

_ENDING: set[asyncio.Task[None]] = set()
"""Connections that are ending: tasks that nobody refers to may vanish."""

Happened = ClientEvent | Invalid | Event | Rendered | Called | Lapsed | Over | Tick | Close


class Connection:
    """Given a prepared socket, `serve` runs it to its end. ``mark`` makes its ids unlike those of other connections."""

    def __init__(self, socket: web.WebSocketResponse, limits: Limits, mark: str) -> None:
        self._socket = socket
        self._limits = limits
        self._mark = mark
        self._numbered = 0
        self._inbox: asyncio.Queue[Happened] = asyncio.Queue(INBOX)
        self._outbox: asyncio.Queue[str] = asyncio.Queue(limits.outgoing)
        self._end: asyncio.Future[Close] = asyncio.get_running_loop().create_future()
        self._seat: Seat | None = None
        self._faults = 0
        self._waiting_bytes = 0
        self.sent_bytes = 0
        """Bytes of messages that were sent."""

    # --- from outside -------------------------------------------------------------------------------------------------

    def deliver(self, at: int, samples: Samples) -> None:
        """Sound left the gate: see `locara.devices.remote.Deliver`."""
        held = self._seat is not None and self._seat.session.state[1] == "held"
        self.post(Rendered(at, samples, held))

    def post(self, happened: Happened) -> None:
        """Into the inbox. Where that is full, the client does not take what it is sent, and is closed."""
        try:
            self._inbox.put_nowait(happened)
        except asyncio.QueueFull:
            self.drop(Close(WSCloseCode.TRY_AGAIN_LATER, "too slow: read what you are sent"))

    def drop(self, close: Close) -> None:
        """Ends the connection. The first reason counts."""
        if not self._end.done():
            self._end.set_result(close)

    def fail(self, code: str, message: str, close: Close, **more: Any) -> None:
        """An error event as the last word, and the end."""
        error = {"type": "server_error", "code": code, "message": message, "param": None, "event_id": None, **more}
        self.send({"type": "error", "error": error})
        self.drop(close)

    def send(self, event: JSON) -> None:
        """Behind what waits already; nothing once it ends."""
        if self._end.done():
            return
        self._numbered += 1
        text = json.dumps({"event_id": f"event_{self._mark}{self._numbered:06d}", **event}, separators=(",", ":"))
        if self._outbox.full() or self._waiting_bytes + len(text) > OUTGOING_BYTES:
            self.drop(Close(WSCloseCode.TRY_AGAIN_LATER, "too slow: read what you are sent"))
            return
        self._waiting_bytes += len(text)
        self._outbox.put_nowait(text)

    # --- its life -----------------------------------------------------------------------------------------------------

    async def serve(self, sit: Callable[[], Awaitable[tuple[Machine, Seat] | None]]) -> None:
        """``sit`` takes a seat, and says itself where it cannot (it then returns None). Meanwhile the client's pings are
        answered, for loading a model may take longer than they wait."""
        tasks = [
            asyncio.create_task(self._read(), name="locara-realtime-reader"),
            asyncio.create_task(self._write(), name="locara-realtime-writer"),
            asyncio.create_task(self._converse(sit), name="locara-realtime"),
        ]
        for task in tasks:
            task.add_done_callback(self._task_ended)
        close = Close(WSCloseCode.SERVICE_RESTART, "the server stops")
        try:
            close = await asyncio.shield(self._end)
        finally:
            # Whoever waits here is cancelled when the network is gone; the seat is given back all the same.
            ending = asyncio.create_task(self._finish(tasks, close), name="locara-realtime-end")
            _ENDING.add(ending)
            ending.add_done_callback(_ENDING.discard)
            await asyncio.shield(ending)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        _log.error("%s failed: %s", task.get_name(), where(type(error), error.__traceback__))
        self.fail("internal_error", "The server failed.", Close(WSCloseCode.INTERNAL_ERROR, "the server failed"))

    async def _finish(self, tasks: list[asyncio.Task[None]], close: Close) -> None:
        reader, writer, conversation = tasks
        try:
            await self._say_goodbye(reader, writer, close)
        finally:
            conversation.cancel()  # last: giving up a seat may take seconds
            await asyncio.gather(conversation, return_exceptions=True)

    async def _say_goodbye(self, reader: asyncio.Task[None], writer: asyncio.Task[None], close: Close) -> None:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        with contextlib.suppress(TimeoutError, ConnectionError, RuntimeError):
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self._outbox.join()
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)
        with contextlib.suppress(TimeoutError, ConnectionError, RuntimeError):
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self._socket.close(code=close.code, message=close.reason.encode()[:120])

    async def _read(self) -> None:
        messages, size = averaged(self._limits.messages_per_second), averaged(self._limits.bytes_per_second)
        loop = asyncio.get_running_loop()
        while True:
            try:
                message = await self._socket.receive(timeout=self._limits.idle_seconds)
            except TimeoutError:
                why = f"nothing came for {self._limits.idle_seconds:g} s"
                self.fail("session_idle", why, Close(WSCloseCode.GOING_AWAY, why))
                return
            if message.type not in (
                WSMsgType.TEXT,
                WSMsgType.BINARY,
            ):  # it is gone, or has sent what no WebSocket sends
                self.drop(Close(self._socket.close_code or WSCloseCode.OK, ""))
                return
            now = loop.time()
            if messages.take(1, now) or size.take(len(message.data), now):
                why = "rate limit: more messages or bytes than this server takes"
                self.fail("rate_limit_exceeded", why, Close(WSCloseCode.POLICY_VIOLATION, why))
                return
            try:
                if message.type is WSMsgType.BINARY:
                    raise Invalid("Events are text frames of JSON.", code="invalid_frame")
                await self._inbox.put(parse(message.data))
            except Invalid as error:
                self._faults += 1
                await self._inbox.put(error)
                if self._faults >= MOST_FAULTS:
                    why = f"{MOST_FAULTS} events could not be read"
                    self.drop(Close(WSCloseCode.POLICY_VIOLATION, why))
                    return

    async def _write(self) -> None:
        while True:
            text = await self._outbox.get()
            try:
                async with asyncio.timeout(WRITE_SECONDS):
                    await self._socket.send_str(text)
                self.sent_bytes += len(text)
            except TimeoutError:
                self.drop(Close(WSCloseCode.TRY_AGAIN_LATER, "too slow: read what you are sent"))
                return
            except (ConnectionError, RuntimeError):  # it is gone
                self.drop(Close(WSCloseCode.OK, ""))
                return
            finally:
                self._waiting_bytes -= len(text)
                self._outbox.task_done()

    # --- the conversation ---------------------------------------------------------------------------------------------

    async def _converse(self, sit: Callable[[], Awaitable[tuple[Machine, Seat] | None]]) -> None:
        sat = await sit()
        if sat is None:
            return
        machine, self._seat = sat
        doing = Doing(self._seat, machine, self.post)
        pumps = [
            asyncio.create_task(self._pump(), name="locara-realtime-events"),
            asyncio.create_task(self._tick(), name="locara-realtime-clock"),
        ]
        for pump in pumps:
            pump.add_done_callback(self._task_ended)
        try:
            await self._run(machine, doing)
        finally:
            for pump in pumps:
                pump.cancel()
            try:
                await asyncio.gather(*pumps, return_exceptions=True)
                await doing.close()
            finally:  # also where whoever ends the connection cancels this in the middle of ending
                await self._seat.leave()

    async def _run(self, machine: Machine, doing: Doing) -> None:
        sound = SoundOut(machine)
        self._carry_out(machine, doing, sound, machine.open())
        while True:
            happened = await self._inbox.get()
            if isinstance(happened, Close):
                self.drop(happened)
                return
            self._carry_out(machine, doing, sound, _decided(machine, happened))
            if self._outbox.qsize() > self._limits.outgoing // 2:
                await asyncio.sleep(0)  # whoever writes shall get a turn before it is full

    def _carry_out(self, machine: Machine, doing: Doing, sound: SoundOut, effects: list[Effect]) -> None:
        waiting = list(effects)
        while waiting:
            effect = waiting.pop(0)
            match effect:
                case Send(event=event):
                    self.send(event)
                case SendSound():
                    if (delta := sound.delta(effect)) is not None:
                        self.send(delta)
                case Close(code=code, reason=reason):
                    if code == WSCloseCode.INTERNAL_ERROR:
                        self.fail("session_failed", reason, effect)
                    self.drop(effect)
                case _:
                    try:
                        doing.do(effect)
                    except Invalid as error:
                        waiting += machine.refuse(error)

    async def _pump(self) -> None:
        assert self._seat is not None
        async for event in self._seat.session.events():
            await self._inbox.put(event)

    async def _tick(self) -> None:
        assert self._seat is not None
        while True:
            await asyncio.sleep(TICK_SECONDS)
            await self._inbox.put(Tick(self._seat.session.metrics()["seconds_heard"]))


def _decided(machine: Machine, happened: Happened) -> list[Effect]:
    match happened:
        case ClientEvent():
            return machine.asked(happened)
        case Invalid():
            return machine.refuse(happened)
        case Event():
            return machine.told(happened)
        case Rendered() | Called() | Lapsed() | Over() | Tick():
            return machine.happened(happened)
    return []
