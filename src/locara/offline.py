"""Offline as a promise: from one call on this process opens no socket but to this very machine, and cannot take it back.

What may live here: that promise and what keeps it. Only the standard library, because engines in Python environments of
their own make it too.

Two things keep it, and neither is enough alone:

* Python's audit hooks, on every system. They see each connect, send, bind and look-up of a name that any Python code asks
  for, whatever library it comes through, and they cannot be removed. They do not see native code.
* On Linux (x86-64 and Arm, 64-bit) a seccomp filter, which holds for native code and for every program started from here.
  It cannot read addresses, so it allows or refuses kinds of sockets: without ``loopback`` none of the internet at all, with
  it TCP only. What is left open, and only then, is a TCP connection that native code, or a program that is started, opens
  by itself. The processes of engines talk over pipes, so theirs is always the strict one.

docs/gate.md has the table of what holds where.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import ipaddress
import os
import platform
import socket
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

VARIABLE = "LOCARA_OFFLINE"
"""Set for every process that is started from here; what it means for models is in docs/store.md."""

Kernel = Literal["", "tcp-only", "no-internet"]


@dataclass(frozen=True, slots=True)
class Promise:
    """What is kept. ``loopback``: Python code may talk to this machine. ``kernel``: what the kernel refuses, to native code
    as well: ``"no-internet"``: every internet socket; ``"tcp-only"``: those that are not TCP; ``""``: nothing."""

    loopback: bool
    kernel: Kernel


_made: Promise | None = None
_lock = threading.Lock()


def promised() -> Promise | None:
    """The promise of this process, None where there is none."""
    return _made


def forbid_network(*, loopback: bool = True) -> Promise:
    """From now on this process, and the engines' processes that it starts, reach nothing but this machine; without
    ``loopback`` not even that. May be said again, and then only become stricter. Returns what is kept here.

    A forbidden connection fails with ``PermissionError``.
    """
    global _made  # noqa: PLW0603  one process, one promise
    with _lock:
        if _made is not None and (loopback or not _made.loopback):
            return _made
        first = _made is None
        kernel = _filter(loopback)
        _made = Promise(loopback, kernel)
        os.environ[VARIABLE] = "1"
        if first:
            sys.addaudithook(_watch)
            _watch_names()
            if sys.platform == "win32":
                _watch_proactor()
        return _made


def asked_for(environment: Mapping[str, str] | None = None) -> bool:
    """Whether the environment asks for it."""
    value = (os.environ if environment is None else environment).get(VARIABLE, "")
    return value.strip().lower() in ("1", "true", "yes", "on")


def keep_in_worker() -> None:
    """For an engine's own process, first of all: makes the promise, strictly, where its parent has made it."""
    if asked_for():
        forbid_network(loopback=False)


# --- what Python code asks for ----------------------------------------------------------------------------------------


def is_here(host: object) -> bool:
    """Whether a host, as it is given to a socket, is this machine: a loopback address or ``localhost``."""
    if isinstance(host, bytes | bytearray):
        host = host.decode("ascii", "replace")
    if not isinstance(host, str):
        return False
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.split("%", 1)[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


_INTERNET = (socket.AF_INET, socket.AF_INET6)
_LOCAL = tuple(
    getattr(socket, name) for name in ("AF_UNIX", "AF_NETLINK", "AF_ROUTE", "AF_SYSTEM") if hasattr(socket, name)
)


def _check_socket(one: Any, address: object) -> None:
    family = getattr(one, "family", None)
    if family in _LOCAL:
        return
    if family not in _INTERNET:
        raise _refused(f"a socket of family {family}")
    host = address[0] if isinstance(address, tuple) and address else address
    if address is not None:  # None: `send` on a socket whose connection was checked when it was made
        _check_host(host)


def _check_host(host: object) -> None:
    assert _made is not None
    if not (_made.loopback and is_here(host)):
        raise _refused(f"a connection to {host!r}")


def _check_name(host: object, *_: object) -> None:
    """Looking up a name asks a server; an address asks nobody."""
    if host is None or host in ("", b"") or is_here(host):
        return
    try:
        ipaddress.ip_address(host.decode("ascii") if isinstance(host, bytes) else str(host))
    except ValueError:
        raise _refused(f"looking up {host!r}") from None


def _check_new(_: object, family: int, *__: object) -> None:
    assert _made is not None
    inside = family in _LOCAL or family == -1  # -1: of a descriptor that exists already
    if not inside and (family not in _INTERNET or not _made.loopback) and not _pair():
        raise _refused(f"a socket of family {family}")


def _pair() -> bool:
    """On Windows a pair of sockets, which every event loop has, is made of two internet sockets."""
    return sys.platform == "win32"


_CHECKS: Mapping[str, Callable[..., None]] = {
    "socket.__new__": _check_new,
    "socket.connect": _check_socket,
    "socket.bind": _check_socket,
    "socket.sendto": _check_socket,
    "socket.sendmsg": _check_socket,
    "socket.getaddrinfo": _check_name,
    "socket.gethostbyname": _check_name,
    "socket.gethostbyaddr": _check_name,
    "socket.getnameinfo": lambda address: _check_name(address[0] if isinstance(address, tuple) else address),
}


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    check = _CHECKS.get(event)
    if check is not None:
        check(*arguments)


def _refused(what: str) -> PermissionError:
    return PermissionError(errno.EACCES, f"offline was promised: {what} is refused")


def _watch_names() -> None:
    """A socket that is given a name looks it up before the hook is asked; these methods are asked before that. Whoever
    calls the C class beneath them gets as far as the look-up, and not to the connection."""
    for name in ("connect", "connect_ex", "bind", "sendto"):
        setattr(socket.socket, name, _checked(getattr(socket.socket, name)))


def _checked(original: Callable[..., Any]) -> Callable[..., Any]:
    def checked(self: Any, *arguments: Any) -> Any:
        if arguments:
            _check_socket(self, arguments[-1])
        return original(self, *arguments)

    return checked


def _watch_proactor() -> None:
    """Asyncio on Windows connects past the audited calls."""
    import importlib

    proactor: Any = importlib.import_module("asyncio.windows_events").IocpProactor
    connect, sendto = proactor.connect, getattr(proactor, "sendto", None)

    def checked(self: Any, conn: Any, address: Any) -> Any:
        _check_socket(conn, address)
        return connect(self, conn, address)

    def checked_sendto(self: Any, conn: Any, buf: Any, flags: int = 0, addr: Any = None) -> Any:
        _check_socket(conn, addr)
        assert sendto is not None
        return sendto(self, conn, buf, flags, addr)

    proactor.connect = checked
    if sendto is not None:
        proactor.sendto = checked_sendto


# --- what native code asks for: Linux ---------------------------------------------------------------------------------

_ARCHITECTURES = {  # machine: audit architecture (linux/audit.h), socket(2), seccomp(2)
    "x86_64": (0xC000003E, 41, 317),
    "aarch64": (0xC00000B7, 198, 277),
}
_IO_URING_SETUP = 425  # it opens sockets past the filter of socket(2)
_X32 = 0x40000000  # numbers of the second ABI of x86-64
_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER, _TSYNC = 1, 1
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _FAMILY, _TYPE = 0, 4, 16, 24  # offsets in struct seccomp_data, little-endian
_LOAD, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06  # linux/bpf_common.h


def _program(architecture: int, socket_number: int, *, loopback: bool) -> bytes:
    """The filter: socket(2) of other families than those that stay on this machine is refused, of the internet's allowed
    for TCP only where ``loopback``. Calls of another architecture are refused altogether."""
    refuse, missing = _ERRNO | errno.EACCES, _ERRNO | errno.ENOSYS
    lines: list[tuple[int, int | str, int | str, int]] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 0, "refuse", architecture),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, "missing", 0, _X32),
        (_EQUAL, "missing", 0, _IO_URING_SETUP),
        (_EQUAL, 0, "allow", socket_number),
        (_LOAD, 0, 0, _FAMILY),
        (_EQUAL, "allow", 0, 1),  # AF_UNIX
        (_EQUAL, "allow", 0, 16),  # AF_NETLINK: questions to the kernel
    ]
    if loopback:
        lines += [
            (_EQUAL, "type", 0, 2),  # AF_INET
            (_EQUAL, 0, "refuse", 10),  # AF_INET6
            (_LOAD, 0, 0, _TYPE),
            (_AND, 0, 0, 0xF),
            (_EQUAL, "allow", "refuse", 1),  # SOCK_STREAM
        ]
    ends = {"refuse": len(lines), "allow": len(lines) + 1, "missing": len(lines) + 2, "type": 11}
    lines += [(_RETURN, 0, 0, refuse), (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, missing)]

    def way(at: int, to: int | str) -> int:
        return to if isinstance(to, int) else ends[to] - at - 1

    return b"".join(
        struct.pack("=HBBI", code, way(at, yes), way(at, no), value) for at, (code, yes, no, value) in enumerate(lines)
    )


def _filter(loopback: bool) -> Kernel:
    """Sets the filter for every thread of this process, and for all that is started from it. Returns what it refuses."""
    known = _ARCHITECTURES.get(platform.machine())
    if sys.platform != "linux" or known is None or struct.calcsize("P") != 8 or sys.byteorder != "little":
        return ""
    architecture, socket_number, seccomp_number = known
    program = _program(architecture, socket_number, loopback=loopback)
    code = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(code)))
    with contextlib.suppress(OSError, AttributeError, ValueError):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.syscall.restype = ctypes.c_long
        one, zero = ctypes.c_ulong(1), ctypes.c_ulong(0)
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, one, zero, zero, zero) != 0:
            return ""  # an old kernel
        done = libc.syscall(
            ctypes.c_long(seccomp_number), ctypes.c_ulong(_SET_MODE_FILTER), ctypes.c_ulong(_TSYNC), header
        )
        if done == 0:
            return "tcp-only" if loopback else "no-internet"
    return ""
