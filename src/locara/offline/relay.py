"""The relay: a small process through which a process that may open no internet socket still reaches servers on this machine.

What may live here: that process, and what it agrees to. Only the standard library, and never an engine: it opens sockets, so
nothing else may run in it. It is started by `locara.offline.loopback`.

Its standard input is a SOCK_SEQPACKET socket to the process that started it. There is no address on which anybody else could
ask. A request is one message, ``b"127.0.0.1 11434"`` or ``b"hello"``, and carries one end of a pair of stream sockets. On
that it answers ``b"+\n"``, or ``b"-<errno> <why>\n"``, and from there on the bytes of both sides. The end of standard input
is the end of the relay, however its parent ended.

When a server has said everything, the relay shuts down its own direction and leaves the closing to who asked: a stream that
is closed altogether was cut off by the relay's end.

Why bytes and not the connected socket itself, which a message could carry just as well: connect(2) with AF_UNSPEC loosens a
TCP socket from its peer, and a second connect(2) ties it to any address. Whoever holds one is not held.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import re
import select
import socket
import time

from locara.offline import kernel, python_code

LINKS = 64
"""Connections at once. A language model's client opens 32 at most."""
BLOCK = 65536
"""Bytes that are read at once, and the most that waits in each direction; then the sender has to wait."""
CONNECT_SECONDS = 5.0
"""For a connection: on loopback it takes less than a millisecond, or the server's queue is full."""
IDLE_SECONDS = 3600.0
"""Without a byte in either direction, after which nobody waits any longer: large models take minutes to load."""
CLOSE_SECONDS = 60.0
"""For the asking process to close what has ended."""
_SWEEP_SECONDS = 1.0
_REQUEST_BYTES = 128  # the longest address has 45 characters

Address = tuple[str, int]


def destination(request: bytes) -> tuple[Address, ...]:
    """The addresses to try for a request: one of 127.0.0.0/8 or ``::1`` as it is always written, or both loopbacks for
    ``localhost``, which is not looked up. Raises ``ValueError`` for everything else."""
    asked = re.fullmatch(rb"([0-9A-Za-z.:]{1,64}) ([0-9]{1,5})", request)
    if asked is None:
        raise ValueError("no address and port")
    host, port = asked[1].decode("ascii"), int(asked[2])
    if not 1 <= port <= 65535:
        raise ValueError(f"{port} is no port")
    if host.lower() == "localhost":
        return ("127.0.0.1", port), ("::1", port)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"{host} is no address in numbers, and not localhost") from None
    # A mapped one (::ffff:127.0.0.1) is no loopback address to Python before 3.13, and is to later ones.
    if not address.is_loopback or getattr(address, "ipv4_mapped", None) is not None:
        raise ValueError(f"{host} is not this machine")
    return ((str(address), port),)


class _Link:
    """One connection: the asking process's end, the server's, and what waits to be sent to either."""

    def __init__(self, client: socket.socket, addresses: tuple[Address, ...]) -> None:
        self.client = client
        self.left = list(addresses)
        self.server: socket.socket | None = None
        self.connected = False
        self.ended = False
        """The server has said everything, or has gone."""
        self.told = False
        """And the asking process knows."""
        self.to_client = b""
        self.to_server = b""
        self.until = time.monotonic() + CONNECT_SECONDS

    def connect(self) -> int:
        """Begins with the next address. Returns 0, or the error number of the last one."""
        failed = errno.ECONNREFUSED
        while self.left:
            address = self.left.pop(0)
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            try:
                one = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            except OSError as error:  # the process that started us was held already, and so are we; or no IPv6
                failed = error.errno or errno.EACCES
                continue
            failed = one.connect_ex(address)
            if failed in (0, errno.EINPROGRESS):
                self.server = one
                return 0
            one.close()
        return failed


class Relay:
    """All connections, in one loop. ``control``: where requests come from."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._poll = select.epoll()
        self._poll.register(control, select.EPOLLIN)
        self._by_fd: dict[int, _Link] = {}
        self._links: set[_Link] = set()
        self._closed: set[int] = set()
        """Numbers of sockets that were closed while events are gone through: what is still told of them is not meant for
        the next socket that gets the number."""

    def run(self) -> None:
        """Until the control socket ends."""
        serving = True
        while serving:
            self._closed.clear()
            asked = False
            for fd, events in self._poll.poll(_SWEEP_SECONDS if self._links else None):
                if fd == self._control.fileno():
                    asked = True
                elif fd not in self._closed:
                    link = self._by_fd[fd]
                    self._move(link, fd, events)
                    self._watch(link)
            if asked:  # last, so that no new socket gets the number of one that events are still told of
                serving = self._take()
            self._sweep()

    # --- requests -----------------------------------------------------------------------------------------------------

    def _take(self) -> bool:
        """The next request. False at the end."""
        try:
            request, fds, flags, _ = socket.recv_fds(self._control, _REQUEST_BYTES, 1)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not fds:
            return bool(request)  # a request whose socket was lost: this process may have no more open files
        client = socket.socket(fileno=fds[0])
        client.setblocking(False)
        if flags & socket.MSG_TRUNC:
            request = b""
        self._answer(client, request)
        return True

    def _answer(self, client: socket.socket, request: bytes) -> None:
        if request == b"hello":
            _last(client, b"+\n")
            return
        try:
            addresses = destination(request)
        except ValueError as error:
            _last(client, _no(errno.EACCES, f"offline was promised: {error}"))
            return
        if len(self._links) >= LINKS:
            _last(client, _no(errno.ENOBUFS, f"{LINKS} connections to servers of this machine are open already"))
            return
        link = _Link(client, addresses)
        self._links.add(link)
        self._by_fd[client.fileno()] = link
        self._poll.register(client, 0)  # that it has gone is always told
        self._connect(link)
        self._watch(link)

    def _connect(self, link: _Link) -> None:
        failed = link.connect()
        if failed or link.server is None:
            outer = "the program that started this one has promised offline" if failed == errno.EACCES else ""
            self._end(link, _no(failed, outer))
        else:
            self._by_fd[link.server.fileno()] = link

    # --- bytes --------------------------------------------------------------------------------------------------------

    def _move(self, link: _Link, fd: int, events: int) -> None:
        gone = bool(events & (select.EPOLLHUP | select.EPOLLERR))
        try:
            if fd == link.client.fileno():
                self._from_client(link, events, gone)
            elif not link.connected:
                self._connected(link)
            else:
                self._from_server(link, events, gone)
        except BlockingIOError:
            pass
        except OSError:  # one of both has gone; if it is the asking one, that is told by itself
            link.ended, link.to_server = True, b""

    def _connected(self, link: _Link) -> None:
        assert link.server is not None
        failed = link.server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failed:
            self._forget(link.server)
            link.server = None
            if link.left:
                self._connect(link)
            else:
                self._end(link, _no(failed))
            return
        link.connected = True
        link.until = time.monotonic() + IDLE_SECONDS
        link.server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.client.send(b"+\n")

    def _from_client(self, link: _Link, events: int, gone: bool) -> None:
        if gone:
            self._end(link)  # whoever closes a reply wants the server to stop
            return
        if events & select.EPOLLOUT:
            link.to_client = link.to_client[link.client.send(link.to_client) :]
            link.until = time.monotonic() + IDLE_SECONDS
        if events & select.EPOLLIN and not link.to_server and link.server is not None:
            data = link.client.recv(BLOCK)
            if not data:
                self._end(link)
                return
            link.until = time.monotonic() + IDLE_SECONDS
            link.to_server = data
            link.to_server = data[link.server.send(data) :]

    def _from_server(self, link: _Link, events: int, gone: bool) -> None:
        assert link.server is not None
        if events & select.EPOLLOUT and link.to_server:
            link.to_server = link.to_server[link.server.send(link.to_server) :]
            link.until = time.monotonic() + IDLE_SECONDS
        if (gone or events & select.EPOLLIN) and not link.to_client:
            data = link.server.recv(BLOCK)
            link.ended = not data
            link.until = time.monotonic() + IDLE_SECONDS
            link.to_client = data
            link.to_client = data[link.client.send(data) :]

    def _watch(self, link: _Link) -> None:
        """What is waited for next. A server's socket of which nothing is wanted is left out: that it has gone would be told
        again and again."""
        if link not in self._links:
            return
        if link.ended:
            self._finish(link)
            return
        assert link.server is not None
        client = select.EPOLLIN * (link.connected and not link.to_server) | select.EPOLLOUT * bool(link.to_client)
        self._poll.modify(link.client, client)
        if link.connected:
            server = select.EPOLLIN * (not link.to_client) | select.EPOLLOUT * bool(link.to_server)
        else:
            server = select.EPOLLOUT
        with contextlib.suppress(FileNotFoundError):
            self._poll.unregister(link.server)
        if server:
            self._poll.register(link.server, server)

    def _finish(self, link: _Link) -> None:
        """The server is let go; what it said is still delivered."""
        if link.server is not None:
            self._forget(link.server)
            link.server = None
        if not link.to_client and not link.told:
            link.told = True
            link.until = time.monotonic() + CLOSE_SECONDS
            with contextlib.suppress(OSError):
                link.client.shutdown(socket.SHUT_WR)
        self._poll.modify(link.client, select.EPOLLOUT * bool(link.to_client))

    # --- ends ---------------------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        now = time.monotonic()
        for link in [one for one in self._links if one.until < now]:
            late = b"" if link.connected else _no(errno.ETIMEDOUT, f"no answer within {CONNECT_SECONDS:g} s")
            self._end(link, late)

    def _end(self, link: _Link, last: bytes = b"") -> None:
        self._links.discard(link)
        self._by_fd.pop(link.client.fileno(), None)
        self._closed.add(link.client.fileno())
        if link.server is not None:
            self._forget(link.server)
        _last(link.client, last)

    def _forget(self, server: socket.socket) -> None:
        self._by_fd.pop(server.fileno(), None)
        self._closed.add(server.fileno())
        server.close()


def _no(number: int, why: str = "") -> bytes:
    return f"-{number} {why or os.strerror(number)}\n".encode()


def _last(client: socket.socket, line: bytes) -> None:
    """The last thing on this one."""
    with contextlib.suppress(OSError), client:
        if line:
            client.send(line)


def main() -> None:
    """The process: first it becomes as small as it can be, then it serves."""
    kernel.hide()
    kernel.hold("tcp-only")
    python_code.watch(python_code.Rules(loopback=True, sockets=True))
    control = socket.socket(fileno=os.dup(0))
    control.setblocking(False)
    Relay(control).run()
