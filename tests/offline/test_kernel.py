"""The kernel's part: the filter is run here, as the kernel does it, for both processors; and then native code tries."""

from __future__ import annotations

import errno
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.offline import kernel
from locara.offline.kernel import MACHINES, Kernel, Machine, program

from .promising import AWAY, FULL, NONE, STRICT, held_by_kernel, run

ALLOWED = 0x7FFF0000
SOME = st.sampled_from([*range(60), 198, 199, 200, 317, 424, 425, 426, 427, 428, 437, 438, 439, 0x40000029])
WORD = st.integers(0, 0xFFFFFFFF)


def verdict(code: bytes, number: int, architecture: int, *arguments: int) -> int:
    """What the kernel would answer: classic BPF (Documentation/networking/filter.rst), as far as the filter uses it."""
    data = struct.pack("=IIQ6Q", number, architecture, 0, *(*arguments, 0, 0, 0, 0, 0, 0)[:6])
    lines, at, held = list(struct.iter_unpack("=HBBI", code)), 0, 0
    while True:
        what, yes, no, value = lines[at]
        at += 1
        if what == 0x20:
            [held] = struct.unpack_from("=I", data, value)
        elif what == 0x54:
            held &= value
        elif what in (0x15, 0x35):
            at += yes if (held == value if what == 0x15 else held >= value) else no
        else:
            assert what == 0x06
            return int(value)


def expected(machine: Machine, kind: Kernel, number: int, architecture: int, family: int, type_: int) -> int:
    refused = 0x00050000 | errno.EACCES
    if architecture != machine.architecture:
        return refused
    if number >= 0x40000000 or number in (425, 426, 427):
        return 0x00050000 | errno.ENOSYS
    if number == 438:
        return refused
    if number == machine.socketpair:
        return ALLOWED if family == 1 else refused
    if number != machine.socket or family in (1, 16):
        return ALLOWED
    return ALLOWED if kind == "tcp-only" and family in (2, 10) and type_ & 0xF == 1 else refused


@given(
    st.sampled_from(sorted(MACHINES)), st.sampled_from(["tcp-only", "no-internet"]), SOME | WORD,
    st.sampled_from([one.architecture for one in MACHINES.values()] + [0x40000003]), st.integers(0, 45) | WORD,
    st.sampled_from([1, 2, 3, 5, 1 | 0o2000000, 2 | 0o4000]) | WORD,
)  # fmt: skip
def test_the_filter_refuses_what_it_should_and_nothing_else(
    name: str, kind: Kernel, number: int, architecture: int, family: int, type_: int
) -> None:
    machine = MACHINES[name]
    said = verdict(program(machine, kind), number, architecture, family, type_)
    assert said == expected(machine, kind, number, architecture, family, type_)


@pytest.mark.parametrize("name", MACHINES)
def test_every_family_but_two_is_refused_on_every_processor(name: str) -> None:
    machine = MACHINES[name]
    code = program(machine, "no-internet")
    assert [family for family in range(256) if verdict(code, machine.socket, machine.architecture, family, 1) == ALLOWED] == [1, 16]  # noqa: E501  # fmt: skip


def test_a_machine_that_is_not_known_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert not kernel.can_hold()
    assert not kernel.hold("no-internet")


# --- native code ------------------------------------------------------------------------------------------------------

NO = os.strerror(errno.EACCES)


@held_by_kernel
@pytest.mark.parametrize("promise", [FULL, STRICT])
def test_native_code_opens_no_socket_that_leaves_this_machine(promise: str) -> None:
    code = """
        import ctypes, os, threading
        libc = ctypes.CDLL(None, use_errno=True)
        def told(done):
            return "open" if done >= 0 else os.strerror(ctypes.get_errno())
        answers = []
        def ask():
            for pair in ((2, 1), (10, 1), (2, 2), (10, 2), (2, 3), (17, 3), (40, 1), (38, 5), (31, 3), (1, 1), (16, 3)):
                answers.append(told(libc.socket(*pair, 0)))
            ends = (ctypes.c_int * 2)()
            answers.append(told(libc.socketpair(1, 1, 0, ends)))
            answers.append(told(libc.socketpair(30, 1, 0, ends)))  # AF_TIPC
        thread = threading.Thread(target=ask); thread.start(); thread.join()
        answers.append(told(libc.syscall(438, -1, 0, 0)))  # pidfd_getfd
        answers += [told(libc.syscall(number, 8, None)) for number in (425, 426, 427)]  # io_uring
        print(answers)
    """
    missing = os.strerror(errno.ENOSYS)
    assert run(code, promise=promise) == str([NO] * 9 + ["open", "open", "open", NO, NO] + [missing] * 3)


@held_by_kernel
@pytest.mark.parametrize("where", [AWAY, "192.168.1.1", "127.0.0.1"])
def test_native_code_connects_and_sends_nowhere(where: str, port: int) -> None:
    """Connecting and sending need a socket; without one they are calls on a descriptor that does not exist."""
    code = """
        import ctypes, os, socket, struct
        libc = ctypes.CDLL(None, use_errno=True)
        address = struct.pack("=H", 2) + struct.pack(">H", int(sys.argv[2])) + socket.inet_aton(sys.argv[1]) + bytes(8)
        for kind in (1, 2):
            one = libc.socket(2, kind, 0)
            why = os.strerror(ctypes.get_errno())
            print(one, why, libc.connect(one, address, 16), libc.sendto(one, b"x", 1, 0, address, 16))
    """
    assert run(code, where, port).splitlines() == [f"-1 {NO} -1 -1"] * 2


@held_by_kernel
def test_threads_that_were_there_before_are_held_too() -> None:
    code = """
        import ctypes, threading
        libc, go, seen = ctypes.CDLL(None, use_errno=True), threading.Event(), []
        thread = threading.Thread(target=lambda: (go.wait(10), seen.append(libc.socket(2, 1, 0))))
        thread.start()
        made = offline.forbid_network()
        go.set()
        thread.join()
        print(made.kernel, seen[0])
    """
    assert run(code, promise=NONE) == "no-internet -1"


@held_by_kernel
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("promise", [FULL, STRICT])
def test_a_program_that_is_started_reaches_nothing(promise: str, port: int) -> None:
    code = """
        import subprocess
        for host in sys.argv[2:]:
            command = ["curl", "-sS", "--noproxy", "*", "--max-time", "5", f"http://{host}:{sys.argv[1]}/"]
            print(subprocess.run(command, capture_output=True).returncode)
    """
    assert run(code, port, "127.0.0.1", AWAY, promise=promise).split() == ["7", "7"], "7: it could not connect"


@held_by_kernel
def test_a_program_that_is_started_and_one_that_it_starts_are_held() -> None:
    inner = "import ctypes, os; l = ctypes.CDLL(None, use_errno=True); print(l.socket(2, 1, 0), os.strerror(ctypes.get_errno()))"  # noqa: E501
    code = """
        import subprocess
        outer = "import subprocess, sys; print(subprocess.run([sys.executable, '-S', '-c', sys.argv[1]], capture_output=True, text=True).stdout)"
        print(subprocess.run([sys.executable, "-S", "-c", outer, sys.argv[1]], capture_output=True, text=True, env={}).stdout)
    """  # noqa: E501
    assert run(code, inner) == f"-1 {NO}"


_INT80 = """
int main(void) {  /* socketcall(SYS_SOCKET, {AF_INET, SOCK_STREAM, 0}) of 32-bit Linux, called from a 64-bit program */
  static unsigned arguments[3] = {2, 1, 0};
  long done;
  __asm__ volatile("int $0x80" : "=a"(done) : "a"(102L), "b"(1L), "c"((long)(unsigned long)arguments) : "memory");
  return done < 0 ? (int)-done : 0;
}
"""


@held_by_kernel
@pytest.mark.skipif(sys.platform != "linux" or os.uname().machine != "x86_64", reason="an ABI of x86-64")
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_the_32_bit_calls_are_no_way_around(tmp_path: Path) -> None:
    (tmp_path / "int80.c").write_text(_INT80)
    built = [shutil.which("gcc") or "", "-O1", "-no-pie", "-o", str(tmp_path / "int80"), str(tmp_path / "int80.c")]
    subprocess.run(built, check=True, capture_output=True, timeout=60)
    free = subprocess.run([str(tmp_path / "int80")], check=False, timeout=10).returncode
    if free != 0:
        pytest.skip("this kernel has no 32-bit calls")
    code = "import subprocess; print(subprocess.run([sys.argv[1]]).returncode)"
    assert run(code, tmp_path / "int80") == str(errno.EACCES)
