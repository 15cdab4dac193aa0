"""A connection to a worker that lasts: both sides say what they have to say, when they have it.

What may live here: the process's start and end, and the way of its frames to the event loop and back. What they mean is for
whoever holds the link. A worker that is asked one thing at a time is `locara.engines.child`.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from locara.engines import piped
from locara.engines.frames import FrameError, Reply, encode
from locara.engines.piped import PipedProcess, frames_to

_OUTBOX = 4096
"""Frames that wait to be written. Thirty-two sessions of 80 ms frames make that many in ten seconds."""
_INBOX = 4096
"""Frames that wait for the event loop; then the pipe fills, and the worker waits."""
_AT_ONCE = 64
"""Frames that are taken before others have their turn on the event loop."""

_SETTLE_SECONDS = 0.5  # from the end of its output to its death; who only closes it is not waited for


class LinkBroken(Exception):
    """It cannot be written to any more: the process has gone, or does not take what it is sent."""


class WorkerLink:
    """``python -m module``, of which ``take`` gets each frame, and ``ended`` is called once when it has gone; both on the
    event loop on which it was started. Everything here is called on that loop."""

    def __init__(
        self,
        module: str,
        *,
        python: str,
        environment: Mapping[str, str],
        take: Callable[[Reply], None],
        ended: Callable[[], None],
    ) -> None:
        self._command = piped.command(python, module)
        self._environment = {**piped.environment(), **environment}
        self._take = take
        self._ended = ended
        self._inbox: queue.Queue[Reply] = queue.Queue(_INBOX)
        self._lock = threading.Lock()
        self._waking = False
        self._over = False
        self._told = False
        self._process: PipedProcess | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def alive(self) -> bool:
        """Whether it can be written to."""
        process = self._process
        return process is not None and not process.gone.is_set()

    @property
    def pid(self) -> int | None:
        """The process, None before its start."""
        return None if self._process is None else self._process.process.pid

    async def start(self) -> None:
        """Starts the process; once. Raises ``OSError``. Cancelling it leaves none behind."""
        self._loop = asyncio.get_running_loop()
        starting = asyncio.ensure_future(asyncio.to_thread(self._spawn))
        try:
            self._process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):  # it takes some milliseconds, and would have no owner
                self._process = await starting
            await self.kill()
            raise
        self._process.begin()

    def send(self, header: Mapping[str, Any], payload: bytes = b"") -> None:
        """Sends a frame. Does not wait. Raises ``LinkBroken``, and ``FrameError`` for one past the limits."""
        if self._process is None or self._process.gone.is_set():
            raise LinkBroken("its process has gone")
        try:
            self._process.outbox.put_nowait(encode(header, payload))
        except queue.Full:
            raise LinkBroken("its process does not take what it is sent") from None

    async def kill(self) -> None:
        """Ends the process at once, and takes back what belongs to it. May be called twice."""
        if self._process is not None:
            await asyncio.to_thread(self._process.shut)

    def last_words(self) -> str:
        """Why it has gone, as far as it can be told: for an error's message."""
        if self._process is None:
            return "it was not started"
        if self._process.broken:
            return f"it sent what is no message: {self._process.broken}"
        said = self._process.stderr()
        return f"exit status {self._process.status()}" + (f"; it said: {said}" if said else "")

    def _spawn(self) -> PipedProcess:
        return PipedProcess(
            self._command,
            self._environment,
            name="locara-link",
            outbox=_OUTBOX,
            read=frames_to(self._came),
            ended=self._went,
        )

    def _came(self, reply: Reply) -> None:
        """On the reading thread."""
        process = self._process
        while process is not None and not process.gone.is_set():
            try:
                self._inbox.put(reply, timeout=0.1)
            except queue.Full:
                continue
            self._wake()
            return

    def _went(self) -> None:
        """On the reading thread."""
        if self._process is not None:
            self._process.settle(_SETTLE_SECONDS)
        self._over = True
        self._wake()

    def _wake(self) -> None:
        with self._lock:
            if self._waking:
                return
            self._waking = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        with self._lock:
            self._waking = False
        over = self._over  # before looking: what it sent before its death is still taken
        for _ in range(_AT_ONCE):
            try:
                reply = self._inbox.get_nowait()
            except queue.Empty:
                break
            try:
                self._take(reply)
            except (FrameError, KeyError, TypeError, ValueError) as error:
                if self._process is not None:
                    self._process.broken = self._process.broken or f"{error}"
                    self._process.process.kill()
        if not self._inbox.empty():
            self._wake()
        elif over and not self._told:
            self._told = True
            self._ended()
