"""Offline as a promise: from one call on this process opens no socket but to this very machine, and cannot take it back.

What may live here: that promise. What keeps it stands beside it: `python_code` (audit hooks, on every system), `kernel` (a
filter of the Linux kernel, which holds native code and started programs as well), and `loopback` with its `relay` (servers
on this machine are reached although the kernel lets nobody here open an internet socket). Only the standard library, because
engines in Python environments of their own make the promise too.

docs/gate.md has the table of what holds where.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from locara.offline import kernel as filters
from locara.offline import python_code
from locara.offline.kernel import Kernel
from locara.offline.python_code import is_here

__all__ = ["VARIABLE", "Kernel", "Promise", "asked_for", "forbid_network", "is_here", "keep_in_worker", "promised"]

VARIABLE = "LOCARA_OFFLINE"
"""Set for every process that is started from here; what it means for models is in docs/store.md."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What is kept. ``loopback``: servers on this machine can be reached. ``kernel``: what the kernel refuses, to native
    code and started programs as well: ``"no-internet"``: every socket that could leave this machine; ``"tcp-only"``: those
    that are not TCP; ``""``: nothing. ``open_before``: internet sockets that were open already, and stay so; -1 where they
    cannot be counted."""

    loopback: bool
    kernel: Kernel
    open_before: int = -1

    def words(self) -> str:
        """In one line, for people."""
        told = _WORDS[self.kernel]
        if self.kernel == "no-internet" and self.loopback:
            told += "; model servers on this machine are reached through a relay"
        if self.open_before > 0:
            told += f"; internet sockets that were open before and stay open: {self.open_before}"
        return told


_WORDS: Mapping[Kernel, str] = {
    "no-internet": "held by the kernel: nothing in this process, or started from it, opens an internet socket",
    "tcp-only": "held in Python; of native code and started programs the kernel refuses all but TCP",
    "": "held in Python only: native code and started programs are not held on this system",
}

_made: Promise | None = None
_lock = threading.Lock()


def promised() -> Promise | None:
    """The promise of this process, None where there is none."""
    return _made


def possible() -> Promise:
    """What could be promised here. Promises nothing."""
    if not filters.can_hold():
        return Promise(True, "")
    from locara.offline import loopback as through

    return Promise(True, "no-internet" if through.can_start() else "tcp-only")


def forbid_network(*, loopback: bool = True) -> Promise:
    """From now on this process, and all that it starts, reach nothing but this machine; without ``loopback`` not even that.
    May be said again, and then only become stricter. Returns what is kept here, which differs from system to system.

    A forbidden connection fails with ``PermissionError``. Where the kernel keeps it, Python code, too, cannot open a socket
    to this machine by itself: `locara.offline.loopback` does that for it. What listens must do so before.
    """
    global _made  # noqa: PLW0603  one process, one promise
    with _lock:
        if _made is not None and (loopback or not _made.loopback):
            return _made
        before = _internet_sockets() if _made is None else _made.open_before
        kept = _made.kernel if _made is not None and _made.kernel == "no-internet" else _held(loopback)
        if _made is not None and not loopback:
            from locara.offline import loopback as through

            through.use(None)
        _made = Promise(loopback, kept, before)
        os.environ[VARIABLE] = "1"
        python_code.watch(python_code.Rules(loopback, sockets=loopback and kept != "no-internet"))
        return _made


def _held(loopback: bool) -> Kernel:
    """Sets the strictest filter that leaves open what was asked for. The relay must have been started before it."""
    if not filters.can_hold():
        return ""
    if not loopback:
        return "no-internet" if filters.hold("no-internet") else ""
    # Imported here: asyncio and subprocess are spared in engines' processes, and in the relay.
    from locara.offline import loopback as through

    relay = through.start()
    wanted: Kernel = "tcp-only" if relay is None else "no-internet"
    if filters.hold(wanted):
        through.use(relay)
        return wanted
    if relay is not None:
        relay.close()
    return ""


def _internet_sockets() -> int:
    """How many are open in this process. Linux only."""
    found = 0
    try:
        fds = [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208  names only
    except OSError:
        return -1
    for fd in fds:
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):  # noqa: PTH115  a link to no path
                one = socket.socket(fileno=fd)
                found += one.family in (socket.AF_INET, socket.AF_INET6)
                one.detach()
    return found


def asked_for(environment: Mapping[str, str] | None = None) -> bool:
    """Whether the environment asks for it."""
    value = (os.environ if environment is None else environment).get(VARIABLE, "")
    return value.strip().lower() in ("1", "true", "yes", "on")


def keep_in_worker() -> None:
    """For an engine's own process, first of all: makes the promise, strictly, where its parent has made it."""
    if asked_for():
        forbid_network(loopback=False)
