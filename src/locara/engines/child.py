"""A child process for one engine: `Child` is our side; the child itself calls `locara.engines.frames.serve`.

What may live here: starting, calling, cancelling and ending such a process. What is said over it belongs to the engine.

`Child` blocks: call it inside a `Lane`. A process of its own for three reasons: a library that holds the interpreter's
lock cannot stop our audio, a crash costs one turn and not the conversation, and a library under another licence stays a
program of its own. It is never forked: threads and OpenMP pools do not survive that.

Calls are numbered. What a cancelled or abandoned call still sends is dropped by its number.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from locara.engines import piped
from locara.engines.frames import FrameError, Reply, encode
from locara.engines.piped import PipedProcess, frames_to
from locara.errors import EngineFailed, EngineTimeout

_START_SECONDS = 30.0
_OUTBOX = 256  # frames that wait to be written
_LATE = Reply()
_INBOX = 64  # replies that wait to be taken; then the pipe fills, and the child waits


class WorkerError(EngineFailed):
    """The engine in the child raised; the child lives on. ``kind`` is the exception's class name, ``said`` its own words."""

    def __init__(self, message: str, *, kind: str, stage: str, model: str = "", hint: str = "", said: str = "") -> None:
        super().__init__(message, stage=stage, model=model, hint=hint)
        self.kind = kind
        self.said = said


@dataclass(slots=True)
class _Call:
    number: int
    replies: queue.Queue[Reply | None] = field(default_factory=lambda: queue.Queue(_INBOX))


class _Life(PipedProcess):
    """One run of the child process, and the one call that its replies are for."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self.call: _Call | None = None
        self.lock = threading.Lock()
        super().__init__(
            command,
            environment,
            name="locara-child",
            outbox=_OUTBOX,
            read=frames_to(self._deliver),
            ended=self._no_more,
        )
        super().begin()

    def expect(self, call: _Call) -> bool:
        """Makes ``call`` the one that replies are for. False when the process has gone."""
        with self.lock:
            self.call = call
            return not self.gone.is_set()

    def end(self, call: _Call) -> None:
        """Nobody takes the replies of ``call`` any longer."""
        with self.lock:
            if self.call is call:
                self.call = None

    def _no_more(self) -> None:
        with self.lock:
            call = self.call
        if call is not None:
            with contextlib.suppress(queue.Full):  # then the caller finds ``gone`` after what it has still to take
                call.replies.put_nowait(None)

    def _deliver(self, reply: Reply) -> None:
        number = reply.header.get("id")
        while not self.gone.is_set() and (call := self.call) is not None and call.number == number:
            try:
                call.replies.put(reply, timeout=0.1)
            except queue.Full:
                continue
            return


class Child:
    """``python -m module`` as an engine's process; the module calls `locara.engines.frames.serve`. ``python``: another
    interpreter than ours, 3.11 or newer; the module may then import only what is installed there, and `frames`.

    One call at a time, from one thread (a `Lane`); ``cancel``, ``kill`` and ``alive`` from any. All deadlines are in
    seconds; a call past its deadline kills the process, since nothing can be known of its state. ``start`` brings it
    back. ``lives`` counts the starts: who remembers it can tell that the process is another one by now.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        stage: str,
        model: str = "",
        environment: Mapping[str, str] | None = None,
        python: str | None = None,
    ) -> None:
        self._python = python
        self._own_environment = dict(environment or {})
        self.module = module
        self.stage = stage
        self.model = model
        self.lives = 0
        self._arguments = arguments
        self._life: _Life | None = None
        self._number = 0
        self._lock = threading.Lock()

    @property
    def alive(self) -> bool:
        """Whether the process runs and can be called."""
        life = self._life
        return life is not None and not life.gone.is_set() and life.process.poll() is None

    @property
    def pid(self) -> int | None:
        """The process, None before the first start."""
        return None if self._life is None else self._life.process.pid

    def start(self, deadline: float = _START_SECONDS) -> None:
        """Starts the process if none runs, and waits until it serves. Raises ``EngineFailed`` or ``EngineTimeout``."""
        if self.alive:
            return
        self.kill()
        if self._python is None and (not sys.executable or getattr(sys, "frozen", False)):
            raise self._failed(
                "there is no Python interpreter to start it with", hint="run Locara from a normal Python"
            )
        command = piped.command(self._python or sys.executable, self.module, *self._arguments)
        call = _Call(0)
        try:
            life = _Life(command, {**piped.environment(), **self._own_environment})
        except OSError as error:
            raise self._failed(f"its process could not be started: {error}") from error
        self._life = life
        self.lives += 1
        try:
            life.expect(call)
            # The hello may have come before ``begin``: asking for it makes the order certain.
            self._send(life, {"op": "hello", "id": 0})
            self._next(life, call, time.monotonic() + deadline, deadline)
        except BaseException:
            self.kill()
            raise
        finally:
            life.end(call)

    def ticket(self) -> int:
        """A number for a coming call, so that exactly this call can be cancelled."""
        with self._lock:
            self._number += 1
            return self._number

    def request(
        self, op: str, payload: bytes = b"", *, deadline: float, ticket: int | None = None, **fields: Any
    ) -> Reply:
        """Calls ``op`` and waits for its one reply. Raises ``WorkerError``, ``EngineFailed``, ``EngineTimeout``."""
        last = Reply()
        for last in self._call(op, payload, deadline, ticket, fields):  # noqa: B007  the last one counts
            pass
        return last

    def stream(
        self, op: str, payload: bytes = b"", *, deadline: float, ticket: int | None = None, **fields: Any
    ) -> Iterator[Reply]:
        """Calls ``op`` and gives its replies as they come. ``deadline`` holds for each. Closing it cancels the call."""
        replies = self._call(op, payload, deadline, ticket, fields)
        try:
            for reply in replies:
                if reply.header.get("kind") == "item":
                    yield reply
        finally:
            replies.close()

    def cancel(self, ticket: int | None = None) -> None:
        """Tells the child to stop the call with this ticket (without one: the call it is in). Does not wait."""
        life = self._life
        if life is None or life.gone.is_set():
            return
        call = life.call
        number = ticket if ticket is not None else (call.number if call is not None else None)
        if number is not None:
            with contextlib.suppress(EngineFailed):
                self._send(life, {"op": "cancel", "id": number})

    def kill(self) -> None:
        """Ends the process at once; who waits for a reply gets ``EngineFailed``. May be called twice."""
        life = self._life
        if life is not None:
            life.shut()

    def _call(self, op: str, payload: bytes, deadline: float, ticket: int | None, fields: Mapping[str, Any]) -> Any:
        life = self._life
        if life is None:
            raise self._failed("its process was not started")
        call = _Call(ticket if ticket is not None else self.ticket())
        ended = False
        try:
            if not life.expect(call):
                ended = True
                raise self._died(life)
            self._send(life, {**fields, "op": op, "id": call.number}, payload)
            until = time.monotonic() + deadline
            while not ended:
                reply = self._next(life, call, until, deadline)
                ended = reply.header.get("kind") != "item"
                yield reply
                until = time.monotonic() + deadline
        except (WorkerError, EngineTimeout):
            ended = True
            raise
        finally:
            if not ended:
                self.cancel(call.number)
            life.end(call)

    def _next(self, life: _Life, call: _Call, until: float, deadline: float) -> Reply:
        reply = self._take(life, call, until)
        if reply is _LATE:
            life.shut()
            raise EngineTimeout(
                f"{self.stage}: {self.model or self.module} gave no answer within {deadline:g} s; its process was ended",
                stage=self.stage,
                model=self.model,
                hint="it is too slow for this machine or it hangs; choose a smaller model",
            )
        if reply is None:
            raise self._died(life)
        kind = reply.header.get("kind")
        if kind == "error":
            what = f"{reply.header.get('type')}: {reply.header.get('message')}"
            raise WorkerError(
                f"{self.stage}: {self.model or self.module} failed: {what}",
                kind=str(reply.header.get("type")),
                stage=self.stage,
                model=self.model,
                hint=str(reply.header.get("hint") or "the engine lives on; try again"),
                said=str(reply.header.get("message")),
            )
        if kind == "cancelled":
            raise WorkerError(
                f"{self.stage}: a call of {self.model or self.module} was cancelled",
                kind="Cancelled", stage=self.stage, model=self.model,
            )  # fmt: skip
        return reply

    def _take(self, life: _Life, call: _Call, until: float) -> Reply | None:
        """The next reply, None when the process has gone, ``_LATE`` when there was none in time."""
        while True:
            gone = life.gone.is_set()  # before looking: what it sent before its death is still taken
            try:
                return call.replies.get(timeout=0.0 if gone else min(0.5, max(0.0, until - time.monotonic())))
            except queue.Empty:
                if gone:
                    return None
                if time.monotonic() >= until:
                    return _LATE

    def _send(self, life: _Life, header: Mapping[str, Any], payload: bytes = b"") -> None:
        try:
            life.outbox.put_nowait(encode(header, payload))
        except queue.Full:
            raise self._failed("its process does not take what it is sent") from None
        except FrameError as error:
            raise self._failed(str(error), hint="send less at once") from None

    def _died(self, life: _Life) -> EngineFailed:
        life.shut()
        said = life.stderr() or life.broken
        return self._failed(
            f"its process has died, exit status {life.status()}" + (f"; it said: {said}" if said else ""),
            hint="it is started again when it is needed; if it dies each time, choose another engine (docs/engines.md)",
        )

    def _failed(
        self, why: str, *, hint: str = "reinstall its package, or choose another engine (docs/engines.md)"
    ) -> EngineFailed:
        return EngineFailed(
            f"{self.stage}: {self.model or self.module}: {why}", stage=self.stage, model=self.model, hint=hint
        )
