"""The socket that the server listens on. What may live here: opening it, and saying why it cannot be opened."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

from locara.errors import ConfigError
from locara.server import token

LOOPBACK = "127.0.0.1"
BACKLOG = 128


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can connect there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bound(host: str, port: int) -> socket.socket:
    """A TCP socket at ``host`` and ``port`` (0: a free one) that does not listen yet: until `serving` begins, connections
    are refused. Raises ``ConfigError`` with what to do."""
    host = LOOPBACK if host == "localhost" else host  # one address, the same for all that connect
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ConfigError(f"{host} is no address of this machine ({error})", hint="--host 127.0.0.1") from error
    one = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just left may be taken again
        elif hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)  # else others could take it with us
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)
        one.setblocking(False)
    except OSError as error:
        one.close()
        raise refused(host, port, error) from error
    return one


def refused(host: str, port: int, error: OSError) -> ConfigError:
    """Why the socket cannot be had, and what to do."""
    if error.errno == errno.EADDRINUSE:
        ours = token.read(port) is not None
        hint = (
            "locara serve --open opens its page; --port 0 picks a free port" if ours else "--port 0 picks a free port"
        )
        who = "a locara server" if ours else "another program"
        return ConfigError(f"port {port} is in use by {who}", hint=hint)
    if error.errno == errno.EACCES and 0 < port < 1024:
        return ConfigError(f"port {port} is for the system's own services", hint="take one above 1023: --port 7777")
    if error.errno == errno.EADDRNOTAVAIL:
        return ConfigError(f"{host} is no address of this machine", hint="--host 127.0.0.1")
    return ConfigError(f"cannot listen at {host}:{port} ({error.strerror or error})", hint="--host 127.0.0.1 --port 0")
