"""What the Linux kernel refuses, to native code and to every program started from here: a seccomp filter.

What may live here: the filter as bytes (pure), setting it, and hiding a process from others. Only the standard library.
A filter holds for every thread of this process and for all that is started from it, and cannot be removed. It sees the
numbers of a call and not what its pointers point to: kinds of sockets, and no addresses.

Sources: linux/seccomp.h, linux/filter.h, linux/audit.h, seccomp(2); numbers of calls: the kernel's syscall_64.tbl (x86-64)
and asm-generic/unistd.h (Arm, 64-bit).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import platform
import struct
import sys
from typing import Literal, NamedTuple

Kernel = Literal["", "tcp-only", "no-internet"]
"""What the kernel refuses: ``"no-internet"``: every socket that could leave this machine; ``"tcp-only"``: those of them that
are not TCP; ``""``: nothing."""


class Machine(NamedTuple):
    """Numbers that differ between processors: the audit architecture, and those of the calls."""

    architecture: int
    socket: int
    socketpair: int
    seccomp: int


MACHINES = {
    "x86_64": Machine(0xC000003E, 41, 53, 317),
    "aarch64": Machine(0xC00000B7, 198, 199, 277),
}
_IO_URING = (425, 426, 427)  # setup, enter, register: a ring opens sockets past the filter of socket(2)
_PIDFD_GETFD = 438  # takes an open socket out of another process
_X32 = 0x40000000  # numbers of the second ABI of x86-64
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_SOCK_STREAM, _TYPE_BITS = 1, 0xF  # the rest of a type are SOCK_CLOEXEC and SOCK_NONBLOCK

_PR_SET_NO_NEW_PRIVS, _PR_SET_DUMPABLE = 38, 4
_SET_MODE_FILTER, _GET_ACTION_AVAIL, _TSYNC = 1, 2, 1
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _FAMILY, _TYPE = 0, 4, 16, 24  # offsets in struct seccomp_data, little-endian
_LOAD, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06  # linux/bpf_common.h

_Line = tuple[int, int | str, int | str, int]
"""Code, where to go if true and if false (0: the next line; a name: its label), and the value."""


def program(machine: Machine, kernel: Kernel) -> bytes:
    """The filter. socket(2) and socketpair(2) are allowed for AF_UNIX, socket(2) for AF_NETLINK (questions to the kernel:
    names of interfaces, plugged devices) and, where ``"tcp-only"``, for TCP; other families get EACCES. So do calls of
    another architecture and pidfd_getfd(2). io_uring and the x32 ABI get ENOSYS, as in a kernel without them."""
    code: list[_Line | str] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 0, "refuse", machine.architecture),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, "missing", 0, _X32),
        *((_EQUAL, "missing", 0, number) for number in _IO_URING),
        (_EQUAL, "refuse", 0, _PIDFD_GETFD),
        (_EQUAL, "pair", 0, machine.socketpair),
        (_EQUAL, 0, "allow", machine.socket),
        (_LOAD, 0, 0, _FAMILY),
        (_EQUAL, "allow", 0, _AF_UNIX),
        (_EQUAL, "allow", 0, _AF_NETLINK),
    ]
    if kernel == "tcp-only":
        code += [
            (_EQUAL, "type", 0, _AF_INET),
            (_EQUAL, "type", "refuse", _AF_INET6),
            "type",
            (_LOAD, 0, 0, _TYPE),
            (_AND, 0, 0, _TYPE_BITS),
            (_EQUAL, "allow", "refuse", _SOCK_STREAM),
        ]
    code += [
        "refuse",
        (_RETURN, 0, 0, _ERRNO | errno.EACCES),
        "pair",
        (_LOAD, 0, 0, _FAMILY),
        (_EQUAL, "allow", "refuse pair", _AF_UNIX),
        "refuse pair",  # jumps go forward only
        (_RETURN, 0, 0, _ERRNO | errno.EACCES),
        "allow",
        (_RETURN, 0, 0, _ALLOW),
        "missing",
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
    ]
    return _assembled(code)


def _assembled(code: list[_Line | str]) -> bytes:
    labels: dict[str, int] = {}
    lines: list[_Line] = []
    for one in code:
        if isinstance(one, str):
            labels[one] = len(lines)
        else:
            lines.append(one)

    def way(at: int, to: int | str) -> int:
        return to if isinstance(to, int) else labels[to] - at - 1

    return b"".join(
        struct.pack("=HBBI", code, way(at, yes), way(at, no), value) for at, (code, yes, no, value) in enumerate(lines)
    )


def _machine() -> Machine | None:
    if sys.platform != "linux" or struct.calcsize("P") != 8 or sys.byteorder != "little":
        return None
    return MACHINES.get(platform.machine())


def can_hold() -> bool:
    """Whether this system's kernel takes such a filter. Sets none."""
    machine = _machine()
    if machine is None:
        return False
    with contextlib.suppress(OSError, AttributeError, ValueError):
        wanted = ctypes.c_uint32(_ERRNO)
        asked = _seccomp(machine, _GET_ACTION_AVAIL, 0, ctypes.byref(wanted))
        return asked == 0
    return False


def hold(kernel: Kernel) -> bool:
    """Sets the filter, for ever. False where this system has none, or a thread has one that does not agree with it."""
    machine = _machine()
    if machine is None or not kernel:
        return False
    code = program(machine, kernel)
    kept = ctypes.create_string_buffer(code, len(code))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(code) // 8, ctypes.addressof(kept)))
    with contextlib.suppress(OSError, AttributeError, ValueError):
        one, zero = ctypes.c_ulong(1), ctypes.c_ulong(0)
        if ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, one, zero, zero, zero) != 0:
            return False  # an old kernel
        return _seccomp(machine, _SET_MODE_FILTER, _TSYNC, header) == 0
    return False


def hide() -> None:
    """Makes this process not dumpable (prctl(2)): others of the same user can neither read it nor take its sockets."""
    with contextlib.suppress(OSError, AttributeError):
        zero = ctypes.c_ulong(0)
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, zero, zero, zero, zero)


def _seccomp(machine: Machine, operation: int, flags: int, pointer: object) -> int:
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    done: int = syscall(ctypes.c_long(machine.seccomp), ctypes.c_ulong(operation), ctypes.c_ulong(flags), pointer)
    return done
