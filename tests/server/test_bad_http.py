"""Whatever comes over the wire: a refusal or a closed connection, never a traceback, never a dead server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.server.running import TOKEN, get, running, say

HEAD = st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "DELETE", "PUT", "get", "G\0T", "", "WÄT", "A" * 9000])
TARGET = st.sampled_from(
    ["/", "/echo", "/v1/echo", "/sdk/../echo", "*", "//", "/%00", "/%2e%2e/x", "/" + "a" * 9000, "x", ""]
)
VERSION = st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/9", "", "FTP/1.1"])
LINE = st.sampled_from(
    [
        "Host: 127.0.0.1",
        "Host: evil",
        "Host:",
        "Content-Length: 5",
        "Content-Length: -1",
        "Content-Length: 99999999999999999999",
        "Content-Length: 5\r\nContent-Length: 6",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
        "Content-Encoding: gzip",
        "Content-Type: application/json",
        "Content-Type: multipart/form-data",
        "Content-Type: \0",
        "Upgrade: websocket\r\nConnection: Upgrade",
        "Sec-WebSocket-Key: x",
        "Sec-WebSocket-Version: 99",
        "Sec-WebSocket-Protocol: , ,,",
        "Expect: 100-continue",
        "Expect: nonsense",
        f"Authorization: Bearer {TOKEN}",
        "Authorization: \xff\xfe",
        "Range: bytes=99-1",
        "Cookie: " + "a" * 7000,
        "X: " + "y" * 9000,
        ": no name",
        "no colon",
        " folded",
        "Origin: null",
    ]
)
BODY = st.sampled_from([b"", b"{}", b"5\r\nhello\r\n0\r\n\r\n", b"ZZ\r\n", b"\xff" * 100, b"\0" * 10])
REQUESTS = st.builds(
    lambda method, target, version, lines, body: (
        "\r\n".join([f"{method} {target} {version}", *lines, "", ""]).encode("latin-1", "replace") + body
    ),
    HEAD,
    TARGET,
    VERSION,
    st.lists(LINE, max_size=6),
    BODY,
)


class Live:
    """A server on a thread of its own, for many examples."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.loop = asyncio.new_event_loop()
        self.port = 0
        self._ready, self._over = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: self.loop.run_until_complete(self._run(patch)))

    async def _run(self, patch: pytest.MonkeyPatch) -> None:
        async with running(patch) as server:
            self.port = server.port
            self._ready.set()
            await self._over.wait()

    def __enter__(self) -> Live:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._over.set)
        self._thread.join(20)
        self.loop.close()


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with pytest.MonkeyPatch.context() as patch, Live(patch) as one:
        yield one


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(REQUESTS | st.binary(min_size=1, max_size=200))
@example(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")  # TLS
@example(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
@example(b"\0" * 200)
def test_every_malformed_request_is_refused_and_the_next_good_one_is_served(
    live: Live, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    caplog.clear()

    async def go() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
        writer.write(sent)
        writer.write_eof()  # nothing more comes: the server need not wait for its deadline
        got = b""
        async with asyncio.timeout(20):
            try:
                while len(got) < 12 and (more := await reader.read(12 - len(got))):
                    got += more
            except ConnectionError:
                pass
        writer.close()
        assert not got or got.startswith(b"HTTP/"), got  # with the version that was asked for, also one we do not speak
        assert got[9:10] != b"5", got
        assert (await say(live.port, get("/echo", live.port))).status == 200

    asyncio.run(go())
    assert not [one for one in caplog.records if one.exc_info or (one.levelname == "ERROR")]
