"""What Python code may open once offline was promised: audit hooks, on every system.

What may live here: the rules about families, hosts and names, and the hook that asks them. Only the standard library. The
hook sees each socket, connect, send, bind and look-up that any Python code asks for, whatever library it comes through, and
it cannot be removed. It does not see native code.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Rules:
    """``loopback``: loopback addresses may be used. ``sockets``: internet sockets may be opened at all, which a system may
    need although none of them goes anywhere."""

    loopback: bool
    sockets: bool


_rules: Rules | None = None


def watch(rules: Rules) -> None:
    """From now on these rules hold, in the whole process. May be called again with stricter ones."""
    global _rules
    first, _rules = _rules is None, rules
    if first:
        sys.addaudithook(_heard)
        _watch_names()
        if sys.platform == "win32":
            _watch_proactor()


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
    assert _rules is not None
    if not ((_rules.loopback or _pair()) and is_here(host)):
        raise _refused(f"a connection to {host!r}")


def _check_name(host: object, *_: object) -> None:
    """Looking up a name asks a server; an address asks nobody."""
    if host is None or host in ("", b"") or is_here(host):
        return
    try:
        ipaddress.ip_address(host.decode("ascii") if isinstance(host, bytes) else str(host))
    except ValueError:
        raise _refused(f"looking up {host!r}") from None


def _check_family(_: object, family: int, *__: object) -> None:
    """-1: of a descriptor that exists already. An internet socket is let through, for the hook is not told whether it is a
    new one or one that was accepted; where it may go is asked when it goes there."""
    if family != -1 and family not in _LOCAL and family not in _INTERNET and not _pair():
        raise _refused(f"a socket of family {family}")


def _check_new(family: int) -> None:
    assert _rules is not None
    if family in _INTERNET and not _rules.sockets and not _pair():
        way = "; use locara.offline.loopback for a server on this machine" if _rules.loopback else ""
        raise _refused(f"a socket of family {family}", way)


def _pair() -> bool:
    """On Windows a pair of sockets, which every event loop has, is made of two internet sockets."""
    return sys.platform == "win32"


_CHECKS: Mapping[str, Callable[..., None]] = {
    "socket.__new__": _check_family,
    "socket.connect": _check_socket,
    "socket.bind": _check_socket,
    "socket.sendto": _check_socket,
    "socket.sendmsg": _check_socket,
    "socket.getaddrinfo": _check_name,
    "socket.gethostbyname": _check_name,
    "socket.gethostbyaddr": _check_name,
    "socket.getnameinfo": lambda address: _check_name(address[0] if isinstance(address, tuple) else address),
}


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    check = _CHECKS.get(event)
    if check is not None:
        check(*arguments)


def _refused(what: str, way: str = "") -> PermissionError:
    return PermissionError(errno.EACCES, f"offline was promised: {what} is refused{way}")


def _watch_names() -> None:
    """A socket that is given a name looks it up before the hook is asked; these methods are asked before that. Whoever
    calls the C class beneath them gets as far as the look-up, and not to the connection. A new socket that the kernel would
    refuse is refused with our reason."""
    for name in ("connect", "connect_ex", "bind", "sendto"):
        setattr(socket.socket, name, _checked(getattr(socket.socket, name)))
    socket.socket.__init__ = _checked_new(socket.socket.__init__)  # type: ignore[method-assign]


def _checked(original: Callable[..., Any]) -> Callable[..., Any]:
    def checked(self: Any, *arguments: Any) -> Any:
        if arguments:
            _check_socket(self, arguments[-1])
        return original(self, *arguments)

    return checked


def _checked_new(original: Callable[..., None]) -> Callable[..., None]:
    def checked(self: Any, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> None:  # noqa: A002
        if fileno is None:
            _check_new(socket.AF_INET if family == -1 else family)
        original(self, family, type, proto, fileno)

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
