"""Offline as a promise: whatever way one connects, nothing but this machine is reached. Each in a process of its own, for
the promise cannot be taken back."""

from __future__ import annotations

import json
import shutil
import socket
import struct
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.offline import _program, asked_for, is_here

AWAY = "192.0.2.1"
"""TEST-NET-1 of RFC 5737: no machine has it. A connection that is tried hangs or is refused by the network, with another
error than ours."""

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux's")


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of an HTTP server on loopback."""
    server = HTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join(5)
    server.server_close()


def run(code: str, *arguments: object, promise: str = "forbid_network()") -> str:
    """What ``code`` prints in a process that has made the promise. ``refused(call)`` is True for our own refusal."""
    head = f"""
        import errno, sys
        from locara import offline
        made = offline.{promise}
        def refused(call):
            try:
                call()
            except BaseException as error:
                seen = error
                while seen is not None:
                    if isinstance(seen, PermissionError) or "offline was promised" in str(seen):
                        return True
                    seen = seen.__cause__ or seen.__context__ or getattr(seen, "reason", None)
                raise
            return False
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(code), *map(str, arguments)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


WAYS = {
    "socket": "import socket; socket.socket().connect((HOST, PORT))",
    "create_connection": "import socket; socket.create_connection((HOST, PORT), 3)",
    "connect_ex": "import socket; s = socket.socket(); s.settimeout(3); s.connect_ex((HOST, PORT)) and 1/0",
    "not blocking": (
        "import socket, select; s = socket.socket(); s.setblocking(False); s.connect_ex((HOST, PORT)); "
        "select.select([], [s], [], 3); s.getpeername()"
    ),
    "urllib": "import urllib.request; urllib.request.urlopen(f'http://{HOST}:{PORT}/', timeout=3).read()",
    "http.client": "import http.client; c = http.client.HTTPConnection(HOST, PORT, 3); c.request('GET', '/')",
    "httpx": "import httpx; httpx.get(f'http://{HOST}:{PORT}/', timeout=3, trust_env=False)",
    "asyncio": "import asyncio; asyncio.run(asyncio.wait_for(asyncio.open_connection(HOST, PORT), 3))",
    "httpx async": (
        "import asyncio, httpx\n"
        "async def go():\n"
        "    async with httpx.AsyncClient(trust_env=False, timeout=3) as c: await c.get(f'http://{HOST}:{PORT}/')\n"
        "asyncio.run(go())"
    ),
    "a thread": (
        "import concurrent.futures as f, socket\n"
        "f.ThreadPoolExecutor().submit(socket.create_connection, (HOST, PORT), 3).result()"
    ),
    "_socket": "import _socket; _socket.socket(2, 1).connect((HOST, PORT))",
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_python_reaches_this_machine_and_nothing_else(way: str, port: int) -> None:
    code = """
        HOST, PORT = "127.0.0.1", int(sys.argv[1])
        exec(sys.argv[3])
        HOST, PORT = sys.argv[2], 80
        print(refused(lambda: exec(sys.argv[3], {"HOST": HOST, "PORT": PORT})))
    """
    assert run(code, port, AWAY, WAYS[way]) == "True"


@pytest.mark.parametrize(
    "call",
    [
        "socket.getaddrinfo('example.org', 80)",
        "socket.gethostbyname('example.org')",
        "socket.gethostbyaddr('example.org')",
        "socket.create_connection(('example.org', 80))",
        "socket.socket().connect(('example.org', 80))",
        "socket.socket(socket.AF_INET6).connect(('2001:db8::1', 80))",
        "socket.socket().connect(('0.0.0.0', 80))",
        "socket.socket().bind(('0.0.0.0', 0))",
        "socket.socket().bind(('', 0))",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendmsg([b'x'], [], 0, ('192.0.2.1', 53))",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 53))",
        "asyncio.run(asyncio.start_server(print, '0.0.0.0', 0))",
    ],
)
def test_names_datagrams_and_doors_to_the_outside_are_refused(call: str) -> None:
    assert run(f"import asyncio, socket; print(refused(lambda: {call}))") == "True"


def test_what_stays_on_this_machine_works() -> None:
    code = """
        import asyncio, socket
        socket.getaddrinfo("127.0.0.1", 80), socket.getaddrinfo("localhost", 80), socket.getaddrinfo(None, 80)
        a, b = socket.socketpair()
        a.sendall(b"x"); assert b.recv(1) == b"x"
        async def main():
            server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
            r, w = await asyncio.open_connection(*server.sockets[0].getsockname())
            assert await r.read() == b""
            w.close(); server.close()
        asyncio.run(main())
        print("works")
    """
    assert run(code) == "works"


@LINUX
@pytest.mark.parametrize(("promise", "kernel"), [("forbid_network()", "tcp-only"), ("forbid_network(loopback=False)", "no-internet")])  # noqa: E501  # fmt: skip
def test_native_code_is_held_by_the_kernel(promise: str, kernel: str) -> None:
    code = """
        import ctypes, os, threading
        libc = ctypes.CDLL(None, use_errno=True)
        def opened(family, kind):
            fd = libc.socket(family, kind, 0)
            return "open" if fd >= 0 else os.strerror(ctypes.get_errno())
        answers = []
        def ask():
            for pair in ((2, 1), (10, 1), (2, 2), (10, 2), (2, 3), (17, 3), (40, 1), (1, 1)):
                answers.append(opened(*pair))
        thread = threading.Thread(target=ask); thread.start(); thread.join()
        answers.append("open" if libc.syscall(425, 8, None) >= 0 else os.strerror(ctypes.get_errno()))  # io_uring
        print(made.kernel, answers, sep="|")
    """
    said, answers = run(code, promise=promise).split("|")
    if not said:
        pytest.skip("this kernel has no seccomp, or this machine is of another kind")
    assert said == kernel
    no = "Permission denied"
    tcp = "open" if kernel == "tcp-only" else no
    assert answers == str([tcp, tcp, no, no, no, no, no, "open", "Function not implemented"])


@LINUX
def test_a_thread_that_was_there_before_is_held_too() -> None:
    code = """
        import ctypes, threading
        libc, go, seen = ctypes.CDLL(None, use_errno=True), threading.Event(), []
        thread = threading.Thread(target=lambda: (go.wait(10), seen.append(libc.socket(2, 2, 0))))
        thread.start()
        made = offline.forbid_network()
        go.set()
        thread.join()
        print(made.kernel, seen[0])
    """
    said = run(code, promise="promised()")
    assert said == "tcp-only -1" or not said.startswith("tcp-only")


@LINUX
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_a_program_that_is_started_is_held_as_well(port: int) -> None:
    code = """
        import subprocess
        done = subprocess.run(["curl", "-sS", "--max-time", "5", f"http://127.0.0.1:{sys.argv[1]}/"], capture_output=True)
        print(made.kernel, done.returncode, done.stderr.decode())
    """
    said = run(code, port, promise="forbid_network(loopback=False)")
    if not said.startswith("no-internet"):
        pytest.skip("this kernel has no seccomp")
    assert "no-internet 7" in said, "the strict promise: not even this machine"


def test_it_can_only_become_stricter_and_is_told_to_children() -> None:
    code = """
        import os
        strict = offline.forbid_network(loopback=False)
        assert offline.forbid_network() is strict and offline.promised() is strict and not strict.loopback
        print(os.environ["LOCARA_OFFLINE"], made.loopback)
    """
    assert run(code) == "1 True"


def test_the_process_of_an_engine_keeps_it_strictly(tmp_path: Path) -> None:
    (tmp_path / "asking_worker.py").write_text(
        textwrap.dedent(
            """
            import socket
            from locara import offline
            from locara.engines.frames import serve

            def ask(call):
                try:
                    socket.create_connection(("127.0.0.1", 9), 2)
                except OSError as error:
                    return {"said": str(error), "kernel": offline.promised().kernel}

            serve({"ask": ask})
            """
        ),
        encoding="utf-8",
    )
    code = """
        from locara.engines.child import Child
        child = Child("asking_worker", stage="tts", environment={"PYTHONPATH": sys.argv[1]})
        child.start(20)
        print(child.request("ask", deadline=20).header["said"])
        child.kill()
    """
    path = f"{tmp_path}{':' if sys.platform != 'win32' else ';'}{Path(__file__).parents[1] / 'src'}"
    assert "offline was promised" in run(code, path)


def test_without_the_promise_engines_are_as_free_as_before() -> None:
    code = "import sys; from locara import offline; offline.keep_in_worker(); print(offline.promised())"
    environment = {"PATH": "", "LOCARA_OFFLINE": "0", "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True, env=environment
    )
    assert done.stdout.strip() == "None"


def test_a_talk_from_file_to_file_keeps_the_promise_and_works(tmp_path: Path) -> None:
    question = Path(__file__).parents[1] / "src" / "locara" / "cli" / "question.wav"
    code = """
        import os, socket
        from locara.cli import main
        assert offline.promised() is None
        code = main(["talk", "--offline", "--pace", "simulated", "--input", sys.argv[1], "--output", sys.argv[2], "--json"])
        print(code, offline.promised().loopback, refused(lambda: socket.create_connection(("192.0.2.1", 80), 2)))
    """
    said = run(code, question, tmp_path / "answer.wav", promise="promised()").splitlines()
    assert said[-1] == "0 True True"
    assert any(json.loads(line)["type"] == "final-transcript" for line in said[:-1])
    assert (tmp_path / "answer.wav").stat().st_size > 50_000


def test_a_manifest_promises_it_for_the_session_of_its_app(tmp_path: Path) -> None:
    manifest = tmp_path / "locara.toml"
    manifest.write_text(
        'offline = true\n[app]\nid = "com.example.quiet"\nname = "Quiet"\nversion = "1"\n[modalities]\nuse = []\n'
    )
    code = """
        import socket
        from locara import voice
        voice.session(input="none", output="none", manifest=sys.argv[1])
        print(offline.promised().loopback, refused(lambda: socket.create_connection(("192.0.2.1", 80), 2)))
    """
    assert run(code, manifest, promise="promised()") == "True True"


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("localhost", True), ("LOCALHOST.", True),
        (b"127.0.0.1", True), ("::ffff:127.0.0.1", True), ("::1%lo", True),
        ("0.0.0.0", False), ("", False), (None, False), ("::", False), ("::ffff:192.0.2.1", False),  # noqa: S104
        ("127.0.0.1.example.org", False), ("localhost.example.org", False), ("2130706433", False), ("10.0.0.1", False),
        (2130706433, False), ("127.0.0.1 ", False),
    ],
)  # fmt: skip
def test_what_this_machine_is(host: object, here: bool) -> None:
    assert is_here(host) is here


@given(st.one_of(st.text(), st.binary()))
def test_no_other_name_is_this_machine(host: str | bytes) -> None:
    if is_here(host):
        name = host.decode() if isinstance(host, bytes) else host
        assert name.lower().startswith(("127.", "::1", "localhost", "0", "::ffff:"))


@pytest.mark.parametrize(("value", "asked"), [("1", True), ("TRUE", True), (" on ", True), ("0", False), ("", False)])
def test_when_the_environment_asks_for_it(value: str, asked: bool) -> None:
    assert asked_for({"LOCARA_OFFLINE": value}) is asked
    assert asked_for({}) is False


@pytest.mark.parametrize("loopback", [True, False])
def test_every_jump_of_the_filter_lands_inside_it(loopback: bool) -> None:
    lines = list(struct.iter_unpack("=HBBI", _program(0xC000003E, 41, loopback=loopback)))
    assert [code for code, *_ in lines[-3:]] == [0x06] * 3
    for at, (code, yes, no, _) in enumerate(lines):
        if code in (0x15, 0x35):
            assert at + 1 + yes < len(lines)
            assert at + 1 + no < len(lines)


def test_this_process_has_promised_nothing() -> None:
    socket.getaddrinfo("127.0.0.1", 80)
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
