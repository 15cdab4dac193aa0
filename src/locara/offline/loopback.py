"""Connections to servers on this machine, whether or not offline was promised.

What may live here: this side of the relay, and the two ways to ask for a connection, one blocking, one for asyncio. Only the
standard library. Without a relay both are the ordinary calls of Python.

    reader, writer = await loopback.open_connection("127.0.0.1", 11434)
"""

from __future__ import annotations

import array
import asyncio
import atexit
import contextlib
import errno
import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path

READY_SECONDS = 10.0
"""For the relay to have started: 30 ms of work for the processor, which may be busy with loading a model."""
ANSWER_SECONDS = 6.0
"""For its answer to a request: a second more than it gives a server."""
_END_SECONDS = 1.0
_ANSWER_BYTES = 512
_COMMAND = "import sys; sys.path.append(sys.argv[1]); from locara.offline.relay import main; main()"
_KEPT = ("PYTHONHOME", "LD_LIBRARY_PATH", "PATH")
"""Of our environment, what an interpreter may need to start; the rest could change what the relay is."""


ENDED = "the relay to the servers of this machine has ended"


class RelayEnded(ConnectionError):
    """The relay has ended, and there can be no other: whatever is started now is held like this process."""

    def __init__(self) -> None:
        super().__init__(f"offline was promised, and {ENDED}; start the program again")


class Relay:
    """The process that was started, seen from here."""

    def __init__(self, control: socket.socket, process: subprocess.Popen[bytes]) -> None:
        self._control = control
        self._process = process
        self._owner = os.getpid()

    @property
    def pid(self) -> int:
        """The relay's process."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it has gone."""
        try:
            return self._control.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def ask(self, request: str) -> socket.socket:
        """Sends a request; the answer comes as a line on the socket that is returned. Raises ``RelayEnded``."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with theirs:
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs.fileno()]))]
                flags = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
                self._control.sendmsg([request.encode("utf-8", "replace")], rights, flags)
        except OSError as error:
            ours.close()
            if isinstance(error, BlockingIOError):
                raise ConnectionError("the relay to the servers of this machine does not take requests") from None
            if isinstance(error, ConnectionError) or error.errno == errno.EBADF:
                raise RelayEnded from None
            raise
        return ours

    def close(self) -> None:
        """Ends it, and with it every connection. May be called twice."""
        self._control.close()
        if os.getpid() != self._owner:
            return  # a fork of ours: it is another one's child
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
            return
        self._process.kill()
        self._process.wait(_END_SECONDS)


_relay: Relay | None = None


def relay() -> Relay | None:
    """The relay of this process; None where connections need none, or may not be made at all."""
    return _relay


def can_start() -> bool:
    """Whether there is an interpreter to start a relay with; a frozen program has none."""
    return sys.platform == "linux" and bool(sys.executable) and not getattr(sys, "frozen", False)


def start() -> Relay | None:
    """Starts the relay, and does not wait for it: requests are taken when it is ready. None where it cannot be started."""
    if not can_start():
        return None
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    root = str(Path(__file__).resolve().parents[2])
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    # -S, -s: no site-packages, where a .pth file may run anything; -P: nothing from the working folder. Ours is found where
    # it lies, and after the standard library: a package of the same name beside ours would else be taken for a part of that.
    command = [sys.executable, "-P", "-S", "-s", "-c", _COMMAND, root]
    quiet = subprocess.DEVNULL
    with theirs:
        try:
            process = subprocess.Popen(
                command, stdin=theirs.fileno(), stdout=quiet, stderr=quiet, env=environment, cwd="/",
                start_new_session=True,  # a terminal's Ctrl-C is for us
            )  # fmt: skip
        except OSError:
            ours.close()
            return None
    return Relay(ours, process)


def use(one: Relay | None) -> None:
    """From now on connections go through this relay; None: through none. The one before is ended."""
    global _relay
    before, _relay = _relay, one
    if before is not None:
        atexit.unregister(before.close)
        before.close()
    if one is not None:
        atexit.register(one.close)


def connect(host: str, port: int, timeout: float = ANSWER_SECONDS) -> socket.socket:
    """A connected stream socket to a server on this machine. ``timeout``: seconds for this, and for each later call on it.

    Raises ``OSError`` as ``socket.create_connection`` does: ``ConnectionRefusedError``, ``TimeoutError``, once offline was
    promised ``PermissionError`` for any other host than a loopback address or ``localhost``, and ``RelayEnded``.
    """
    if _relay is None:
        return socket.create_connection((host, port), timeout)
    until = time.monotonic() + timeout
    one = _relay.ask(f"{host} {port}")
    try:
        line = bytearray()
        while not line.endswith(b"\n") and len(line) < _ANSWER_BYTES:
            one.settimeout(max(0.001, until - time.monotonic()))
            if not (byte := one.recv(1)):  # one by one: what comes after the line is the server's
                break
            line += byte
        _understood(bytes(line))
        one.settimeout(timeout)
    except BaseException:
        one.close()
        raise
    return one


async def open_connection(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The same for asyncio, as ``asyncio.open_connection``; gives up after ``ANSWER_SECONDS`` where there is a relay."""
    if _relay is None:
        return await asyncio.open_connection(host, port)
    return await _asked(_relay, f"{host} {port}", ANSWER_SECONDS)


async def ready() -> bool:
    """Waits until the relay serves, where there is one. Who counts milliseconds for an answer calls this first. False where
    it has ended, or was not ready within ``READY_SECONDS``."""
    if _relay is None:
        return True
    try:
        _, writer = await _asked(_relay, "hello", READY_SECONDS)
    except OSError:
        return False
    writer.transport.abort()
    return True


async def _asked(relay: Relay, request: str, seconds: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    one = relay.ask(request)
    try:
        one.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=one)
    except BaseException:
        one.close()
        raise
    try:
        async with asyncio.timeout(seconds):
            _understood(await reader.readline())
    except BaseException:
        writer.transport.abort()
        raise
    return reader, writer


def cut_off(fd: int) -> bool:
    """Whether a stream that has come to its end was ended by the relay's own end, and not by the server: then the other side
    is not only silent but closed."""
    if _relay is None:
        return False
    poll = select.poll()
    poll.register(fd, 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))


def _understood(line: bytes) -> None:
    """Raises what an answer of the relay says."""
    if line == b"+\n":
        return
    number, _, why = line.decode("utf-8", "replace").rstrip("\n").partition(" ")
    if not line.endswith(b"\n") or not number.startswith("-"):
        raise RelayEnded
    raise OSError(int(number[1:]), why)
