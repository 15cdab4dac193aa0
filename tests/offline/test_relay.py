"""The relay as a process: what it agrees to, how much it takes, and when it ends. This process has promised nothing, so the
servers that are reached are here."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ipaddress
import os
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from locara.offline import loopback

if sys.platform != "linux":
    pytest.skip("the relay is Linux's", allow_module_level=True)

from locara.offline.relay import LINKS, destination

PATIENCE = 20.0
"""Seconds, for what takes milliseconds: the machine may be busy."""


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def relay() -> Iterator[loopback.Relay]:
    one = loopback.start()
    assert one is not None
    loopback.use(one)
    assert asyncio.run(loopback.ready())
    yield one
    loopback.use(None)
    assert one._process.returncode is not None


@contextlib.contextmanager
def serving(talk: Callable[[socket.socket], None], host: str = "127.0.0.1") -> Iterator[int]:
    """A server that does ``talk`` with everybody; gives its port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family, backlog=128) as door:

        def with_one(one: socket.socket) -> None:
            with one, contextlib.suppress(OSError):
                talk(one)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    one, _ = door.accept()
                    threading.Thread(target=with_one, args=(one,), daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield door.getsockname()[1]
        door.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def echo(one: socket.socket) -> None:
    while data := one.recv(65536):
        one.sendall(data)


def whole(one: socket.socket) -> bytes:
    data = bytearray()
    while block := one.recv(65536):
        data += block
    return bytes(data)


# --- what it agrees to ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("127.8.9.1", ["127.8.9.1"]),
        ("::1", ["::1"]),
        ("0:0:0:0:0:0:0:1", ["::1"]),
        ("localhost", ["127.0.0.1", "::1"]),
        ("LocalHost", ["127.0.0.1", "::1"]),
    ],
)
def test_loopback_addresses_are_agreed_to(host: str, addresses: list[str]) -> None:
    assert destination(f"{host} 80".encode()) == tuple((address, 80) for address in addresses)


ELSEWHERE = [
    "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "127.0.0.01",
    "127.0.0.1.", "0.0.0.0", "::", "0", "10.0.0.1", "192.168.1.1", "169.254.169.254", "192.0.2.1",  # noqa: S104
    "128.0.0.1", "255.255.255.255", "126.255.255.255", "::ffff:10.0.0.1", "::ffff:127.0.0.1",
    "::127.0.0.1", "::2", "fe80::1", "::1%lo", "::1%eth0", "[::1]", "localhost.evil.example",
    "localhost.", "evil.localhost", "localhost4", "ip6-localhost", "", "example.org", " ",
    "127.0.0.1 80", "127.0.0.1\n", "\u0661\u0662\u0667.0.0.1", "127。0。0。1", "hello", "127.0.0.1/8",
    "a@127.0.0.1",
]  # fmt: skip


@pytest.mark.parametrize("host", ELSEWHERE)
def test_other_spellings_and_other_addresses_are_not(host: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        destination(f"{host} 80".encode())


@pytest.mark.parametrize("port", ["0", "65536", "-1", "+80", "80x", "", "8 0", "000080"])
def test_what_is_no_port_is_not_either(port: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        destination(f"127.0.0.1 {port}".encode())


@given(st.one_of(st.binary(max_size=80), st.ip_addresses().map(lambda one: f"{one} 80".encode()), st.from_regex(rb"[0-9a-fx:.]{1,20} [0-9]{1,6}")))  # noqa: E501  # fmt: skip
@example(b"")
@example(b"127.0.0.1 80\n")
def test_whatever_is_asked_for_only_loopback_comes_out(request: bytes) -> None:
    with contextlib.suppress(ValueError):
        for host, port in destination(request):
            address = ipaddress.ip_address(host)
            assert address in ipaddress.ip_network("127.0.0.0/8") or host == "::1"
            assert 0 < port < 65536


def test_the_process_itself_refuses_them_and_lives_on(relay: loopback.Relay, port: int) -> None:
    for host in ELSEWHERE:
        with pytest.raises(PermissionError, match="offline was promised"):
            loopback.connect(host, port)
    with pytest.raises(PermissionError):
        loopback.connect("1" * 500, port)
    loopback.connect("127.0.0.1", port).close()
    assert not relay.ended


def test_messages_that_are_no_requests_do_not_end_it(relay: loopback.Relay, port: int) -> None:
    relay._control.send(b"no socket comes with this")
    relay._control.send(b"\xff" * 4096)
    relay.ask("hello").close()  # gone before it is answered
    for _ in range(20):
        relay.ask(f"127.0.0.1 {port}").close()
    loopback.connect("127.0.0.1", port).close()
    assert not relay.ended


# --- what goes through ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_bytes_come_back_as_they_went(relay: loopback.Relay, host: str) -> None:
    """16 MB each way, far more than all buffers hold: whoever reads slowly makes the other side wait."""
    data = os.urandom(1 << 20) * 16
    with serving(echo) as port, loopback.connect(host, port, PATIENCE) as one:
        sender = threading.Thread(target=lambda: one.sendall(data), daemon=True)
        sender.start()
        got = bytearray()
        while len(got) < len(data):
            got += one.recv(65536)
            if len(got) < 300_000:
                time.sleep(0.01)
        sender.join(5)
        assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()


def test_localhost_is_tried_on_both_addresses(relay: loopback.Relay) -> None:
    try:
        with serving(echo, "::1") as port, loopback.connect("localhost", port) as one:
            one.sendall(b"x")
            assert one.recv(1) == b"x"
    except OSError:
        pytest.skip("this machine has no IPv6")


def test_the_last_words_of_a_server_arrive_before_its_end(relay: loopback.Relay) -> None:
    data = os.urandom(3 << 20)
    with serving(lambda one: one.sendall(data)) as port, loopback.connect("127.0.0.1", port, PATIENCE) as one:
        time.sleep(0.05)
        assert whole(one) == data
        assert not loopback.cut_off(one.fileno())


def test_a_server_that_resets_its_connection_is_not_taken_for_a_relay_that_died(relay: loopback.Relay) -> None:
    def reset(one: socket.socket) -> None:
        one.recv(1)
        one.sendall(b"last")
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with serving(reset) as port, loopback.connect("127.0.0.1", port, PATIENCE) as one:
        one.sendall(b"xy")
        assert whole(one) in (b"last", b"")
        assert not loopback.cut_off(one.fileno())


def test_who_never_reads_costs_no_memory(relay: loopback.Relay) -> None:
    def memory() -> int:
        [line] = [one for one in Path(f"/proc/{relay.pid}/status").read_text().splitlines() if "VmRSS" in one]
        return int(line.split()[1])

    def pour(one: socket.socket) -> None:
        one.settimeout(0.5)
        with contextlib.suppress(OSError):
            for _ in range(400):
                one.sendall(bytes(1 << 20))

    before = memory()
    with serving(pour) as port, contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(loopback.connect("127.0.0.1", port))
        time.sleep(0.6)
        assert memory() - before < 8_000  # kB; each connection may hold 128 kB


def test_whoever_hangs_up_is_noticed_by_the_server_while_it_writes(relay: loopback.Relay) -> None:
    left = threading.Event()

    def write(one: socket.socket) -> None:
        try:
            while True:
                one.sendall(b"token ")
                time.sleep(0.01)
        except OSError:
            left.set()

    with serving(write) as port:
        one = loopback.connect("127.0.0.1", port)
        assert one.recv(6) == b"token "
        one.close()
        assert left.wait(PATIENCE)


def test_a_port_where_nobody_listens_is_refused_as_ever(relay: loopback.Relay) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(ConnectionRefusedError):
                loopback.connect(host, one.getsockname()[1])


def test_there_are_only_so_many_connections_and_a_closed_one_makes_room(relay: loopback.Relay) -> None:
    with serving(echo) as port, contextlib.ExitStack() as stack:
        open_ = [stack.enter_context(loopback.connect("127.0.0.1", port)) for _ in range(LINKS)]
        with pytest.raises(OSError, match=f"{LINKS} connections"):
            loopback.connect("127.0.0.1", port)
        open_[0].close()

        def room() -> bool:
            with contextlib.suppress(OSError):
                loopback.connect("127.0.0.1", port).close()
                return True
            return False

        until(room)
        open_[1].sendall(b"x")
        assert open_[1].recv(1) == b"x"


def test_connections_that_servers_have_ended_do_not_fill_it(relay: loopback.Relay) -> None:
    with serving(lambda one: one.sendall(b"all")) as port:
        for _ in range(LINKS + 8):
            with loopback.connect("127.0.0.1", port, PATIENCE) as one:
                assert whole(one) == b"all"


# --- how it ends ------------------------------------------------------------------------------------------------------


def gone(pid: int) -> bool:
    """Also a zombie is: who was to collect it is gone, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_its_parent_however_that_ends(how: signal.Signals) -> None:
    code = """
        import asyncio, sys, time
        from locara import offline
        from locara.offline import loopback
        offline.forbid_network()
        asyncio.run(loopback.ready())
        print(loopback.relay().pid, flush=True)
        time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        if not (line := parent.stdout.readline()):
            pytest.skip("this kernel takes no filter")
        parent.send_signal(how)
        parent.wait(5)
    until(lambda: gone(int(line)))


def test_a_killed_one_is_told_and_no_call_waits_for_it(relay: loopback.Relay) -> None:
    with serving(echo) as port, loopback.connect("127.0.0.1", port) as one:
        os.kill(relay.pid, signal.SIGKILL)
        assert one.recv(1) == b""
        assert loopback.cut_off(one.fileno())
        until(lambda: relay.ended)
        with pytest.raises(loopback.RelayEnded, match="start the program again"):
            loopback.connect("127.0.0.1", port)
        assert not asyncio.run(loopback.ready())
        with pytest.raises(loopback.RelayEnded):
            asyncio.run(loopback.open_connection("127.0.0.1", port))


def test_one_that_stands_still_costs_only_the_deadline(relay: loopback.Relay, port: int) -> None:
    os.kill(relay.pid, signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError):
            loopback.connect("127.0.0.1", port, 0.2)
        with contextlib.ExitStack() as stack:

            def ask_on() -> None:
                for _ in range(900):
                    stack.enter_context(relay.ask(f"127.0.0.1 {port}"))

            with pytest.raises(ConnectionError, match="does not take requests"):
                ask_on()
    finally:
        os.kill(relay.pid, signal.SIGCONT)

    def served() -> bool:
        with contextlib.suppress(ConnectionError):
            loopback.connect("127.0.0.1", port, PATIENCE).close()
            return True
        return False

    until(served)


def test_it_holds_itself_too_and_nobody_can_look_into_it(relay: loopback.Relay) -> None:
    status = Path(f"/proc/{relay.pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    assert Path(f"/proc/{relay.pid}/fd").stat().st_uid == 0  # not dumpable: root's, whoever runs it
    command = Path(f"/proc/{relay.pid}/cmdline").read_text()
    assert "locara.offline.relay" in command


def test_without_a_relay_connections_are_the_ordinary_ones(port: int) -> None:
    assert loopback.relay() is None
    assert asyncio.run(loopback.ready())
    loopback.connect("127.0.0.1", port).close()

    async def one() -> None:
        _, writer = await loopback.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()

    asyncio.run(one())
