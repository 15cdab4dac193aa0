"""What Python code may open once offline was promised, by the rules that hold on every system: whatever way one connects,
nothing but this machine is reached."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.offline import is_here

from .promising import AWAY, PYTHON_ONLY, run

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
    assert run(code, port, AWAY, WAYS[way], promise=PYTHON_ONLY) == "True"


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
    assert run(f"import asyncio, socket; print(refused(lambda: {call}))", promise=PYTHON_ONLY) == "True"


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
    assert run(code, promise=PYTHON_ONLY) == "works"


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
