"""One WebSocket of `/ipc`: what comes in, in order, and what goes out, as fast as its client takes it.

What may live here: the socket. The task that reads is the actor: it alone hands requests to the desk, one after another, and
does not read on meanwhile, so what it has not taken yet waits in the network. What goes out waits in one bounded queue.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Coroutine, Sequence
from dataclasses import asdict
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from locara import __version__
from locara.client.frames import MICROPHONE, unpacked
from locara.consent.asking import Question
from locara.errors import LocaraError, SessionError
from locara.server import ipc_wire as wire
from locara.server.ipc_methods import Desk
from locara.server.rates import averaged
from locara.server.settings import Limits

_log = logging.getLogger("locara.server")

WRITE_SECONDS = 10.0
"""A message that the network has not taken after so long is not waited for: ten seconds of sound are behind it."""

CLOSE_SECONDS = 1.0
"""For the goodbye of both sides. Then the connection is cut."""

MOST_FAULTS = 20
"""Messages that cannot be understood, and cannot be linked to a request, until the connection is closed: a client with a
mistake in it shows that mistake, and does not fill the network with it."""

MOST_WAITING = 16
"""Requests that may be under way at once."""

_TOLD = ("sessions", "session_seconds", "idle_seconds", "grace_seconds", "frame_bytes", "buffered_seconds",
         "messages_per_second", "bytes_per_second")  # fmt: skip

CODES = {
    "bad-message": WSCloseCode.POLICY_VIOLATION,
    "rate": WSCloseCode.POLICY_VIOLATION,
    "too-slow": WSCloseCode.TRY_AGAIN_LATER,
    "restart": WSCloseCode.SERVICE_RESTART,
    "idle": WSCloseCode.GOING_AWAY,
    "resumed": WSCloseCode.OK,
}
"""Why the server closes a connection -> the close code."""

_SENT_AWAY = frozenset({"bad-message", "rate", "idle", "restart"})
"""Then nobody is waited for who would go on with the session."""


class Connection:
    """Given a prepared socket, `run` serves it to its end."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.BaseTransport | None,
        limits: Limits,
        *,
        own_page: bool,
    ) -> None:
        """``transport``: under the socket, to be cut where it does not close."""
        self.own_page = own_page
        self._loop = asyncio.get_running_loop()
        self.heard_of = self._loop.time()
        self._socket = socket
        self._transport = transport
        self._limits = limits
        self._outbox: asyncio.Queue[str | bytes | Sequence[str | bytes]] = asyncio.Queue(limits.outgoing)
        self._messages = averaged(limits.messages_per_second)
        self._bytes = averaged(limits.bytes_per_second)
        self._faults = 0
        self._work: set[asyncio.Task[None]] = set()
        self._end: asyncio.Future[str] = self._loop.create_future()
        """Why it ends: one of `CODES`, or ``"left"`` (its client said goodbye), ``"cut"``, ``"failed"``."""
        self._last_word: wire.Closing | None = None

    # --- out ----------------------------------------------------------------------------------------------------------

    def send(self, message: str | bytes) -> None:
        """Puts it behind what waits already. A client that lets the queue fill up is closed."""
        self._put_behind(message)

    def send_again(self, messages: Sequence[str | bytes]) -> None:
        """See `locara.server.ipc_session.Line`. A client that went on with its conversation would else be closed for what
        it has missed, again and again."""
        if messages:
            self._put_behind(messages)

    def _put_behind(self, message: str | bytes | Sequence[str | bytes]) -> None:
        if self._end.done():
            return
        try:
            self._outbox.put_nowait(message)
        except asyncio.QueueFull:
            self.drop("too-slow", f"it left {self._limits.outgoing} messages waiting: read faster, then session.resume")

    def show(self, number: str, question: Question) -> None:
        """See `locara.server.questions.Attending`."""
        self.send(wire.push("consent", wire.Asked(question=number, **asdict(question))))

    def withdraw(self, number: str) -> None:
        """See `locara.server.questions.Attending`."""
        self.send(wire.push("withdrawn", wire.Withdrawn(question=number)))

    def drop(self, reason: str, hint: str) -> None:
        """Ends the connection, for a reason of `CODES`."""
        if not self._end.done():
            self._last_word = wire.Closing(reason=reason, hint=hint)
            self._end.set_result(reason)

    async def _write(self) -> None:
        while True:
            message = await self._outbox.get()
            try:
                for one in (message,) if isinstance(message, str | bytes) else message:
                    async with asyncio.timeout(WRITE_SECONDS):
                        await self._put(one)
            except TimeoutError:
                self.drop("too-slow", f"it took nothing for {WRITE_SECONDS:g} s: read faster, then session.resume")
                return
            except (ConnectionError, RuntimeError):  # it is gone, which whoever reads sees too
                self._ended("cut")
                return

    async def _put(self, message: str | bytes) -> None:
        if isinstance(message, str):
            await self._socket.send_str(message)
        else:
            await self._socket.send_bytes(message)

    # --- in -----------------------------------------------------------------------------------------------------------

    async def run(self, desk: Desk) -> None:
        """Serves it until it ends, whoever ends it."""
        told = {name: getattr(self._limits, name) for name in _TOLD}
        self.send(wire.push("hello", wire.Hello(protocol=wire.PROTOCOL, server=f"locara {__version__}", limits=told)))
        tasks = {
            asyncio.create_task(self._read(desk), name="locara-ipc-reader"),
            asyncio.create_task(self._write(), name="locara-ipc-writer"),
        }
        reason = "restart"  # whoever cancels this is the server that stops
        try:
            for task in tasks:
                task.add_done_callback(self._task_ended)
            reason = await asyncio.shield(self._end)
        finally:
            self._ended(reason)
            desk.leave(for_good=reason in _SENT_AWAY or reason == "left")
            await self._close(tasks, reason)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("%s failed: %s", task.get_name(), _where(error))
        self._ended("failed" if error is not None else "cut")

    def _ended(self, reason: str) -> None:
        if not self._end.done():
            self._end.set_result(reason)

    async def _close(self, tasks: set[asyncio.Task[None]], reason: str) -> None:
        for task in (*tasks, *self._work):
            task.cancel()
        await asyncio.gather(*tasks, *self._work, return_exceptions=True)
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                if self._last_word is not None and not self._socket.closed:
                    if reason != "too-slow":  # to that one nothing more gets through
                        await self._socket.send_str(wire.push("closing", self._last_word))
                    await self._socket.close(code=CODES[reason], message=reason.encode())
                else:
                    await self._socket.close()
        except (TimeoutError, ConnectionError, RuntimeError):
            # Whatever still waits in the network's buffers is not waited for.
            if isinstance(self._transport, asyncio.WriteTransport):
                self._transport.abort()

    async def _read(self, desk: Desk) -> None:
        while True:
            try:
                message = await self._socket.receive(timeout=self._limits.idle_seconds)
            except TimeoutError:
                self.drop(
                    "idle", f"nothing came for {self._limits.idle_seconds:g} s: connect again when there is something"
                )
                return
            self.heard_of = self._loop.time()
            if message.type is WSMsgType.TEXT or message.type is WSMsgType.BINARY:
                size = len(message.data)
            else:
                self._ended(_goodbye(message.type, self._socket.close_code))
                return
            if self._messages.take(1, self.heard_of) or self._bytes.take(size, self.heard_of):
                self.drop("rate", "it sent more than hello.limits allows, on average over ten seconds")
                return
            if message.type is WSMsgType.TEXT:
                self._text(desk, message.data)
            else:
                self._binary(desk, message.data)

    def _text(self, desk: Desk, text: str) -> None:
        try:
            request = wire.request(text)
        except wire.BadRequest as error:
            if error.id is None:
                self._fault(error)
            else:
                self.send(wire.refusal(error.id, wire.failure_of(error)))
            return
        try:
            if len(self._work) >= MOST_WAITING:
                raise SessionError(f"{MOST_WAITING} requests are under way", hint="wait for their answers")
            result = desk.do(request)
            if isinstance(result, Coroutine):
                task = asyncio.create_task(self._wait(desk, request, result), name="locara-ipc-request")
                self._work.add(task)
                task.add_done_callback(self._work.discard)
                return
            self._answer(desk, request, result)
        except Exception as error:  # whatever it is, it is this request's and not the connection's
            self._refuse(request, error)

    async def _wait(self, desk: Desk, request: wire.Request, work: Coroutine[Any, Any, Any]) -> None:
        try:
            self._answer(desk, request, await work)
        except Exception as error:  # as in _text
            self._refuse(request, error)

    def _answer(self, desk: Desk, request: wire.Request, result: Any) -> None:
        if request.id is not None:
            self.send(wire.answer(request.id, result))
        desk.then()

    def _refuse(self, request: wire.Request, error: Exception) -> None:
        if not isinstance(error, LocaraError):
            _log.error("%s failed: %s", request.method, _where(error))
        if request.id is not None:
            self.send(wire.refusal(request.id, wire.failure_of(error)))
        elif not isinstance(error, SessionError):  # news of a session that has just ended is no fault
            self._fault(error)

    def _binary(self, desk: Desk, data: bytes) -> None:
        try:
            desk.heard(unpacked(data, MICROPHONE))
        except SessionError:
            pass  # sound that was on its way when the session ended
        except LocaraError as error:
            self._fault(error)

    def _fault(self, error: Exception) -> None:
        """Something that can be linked to no request."""
        self._faults += 1
        self.send(wire.refusal(None, wire.failure_of(error)))
        if self._faults >= MOST_FAULTS:
            self.drop("bad-message", f"{MOST_FAULTS} messages could not be understood: see docs/ipc.md")


def _goodbye(kind: WSMsgType, code: int | None) -> str:
    """How a connection ended that the server did not end."""
    if kind is WSMsgType.CLOSING:
        return "restart"  # the server's own shutdown closes all sockets from outside
    return "left" if kind is WSMsgType.CLOSE and code == WSCloseCode.OK else "cut"


def _where(error: BaseException) -> str:
    """Its type and its place. Never its message, nor a traceback: those may hold somebody's words."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = f" at {last[0].filename}:{last[0].lineno}" if last else ""
    return f"{type(error).__name__}{place}"
