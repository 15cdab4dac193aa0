"""A server from its beginning to its end: the guard on the wire, headers, launch codes, draining, stopping."""

from __future__ import annotations

import asyncio
import json
import signal
import socket

import aiohttp
import pytest
from tests.server.running import TOKEN, Echo, Seats, answered, get, request, running, say, upgrade

from locara.errors import ConfigError
from locara.server import guarding, listening
from locara.server.serving import Stopping
from locara.server.settings import Limits

JSON = "Content-Type: application/json"
WRONG = "wrong"


def test_the_guard_stands_before_every_address_also_those_that_do_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    echo = Echo()

    async def go() -> None:
        async with running(monkeypatch, echo) as server:
            port = server.port
            for path in ("/echo", "/healthz", "/metrics", "/nowhere", "/v1/models", "/ipc", "/code/new"):
                said = await say(port, get(path, port, token=None))
                assert said.status == 401, path
                assert json.loads(said.body)["error"]["code"] == "invalid_api_key"
            for head in (
                get("/echo", port, host="evil.example"),
                get("/echo", port, host=f"rebind.example:{port}"),
                get("/echo", port, f"Host: 127.0.0.1:{port}"),
                "GET /echo HTTP/1.0\r\n\r\n",
                f"GET http://evil.example/echo HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n",
                get("/echo", port, "Origin: http://evil.example"),
                get("/echo", port, "Sec-Fetch-Site: cross-site"),
                get(f"/echo?token={TOKEN}&api_key={TOKEN}", port, token=None),
                get("/echo", port, f"Cookie: token={TOKEN}; session={TOKEN}", token=None),
                upgrade("/echo-socket", port, "Origin: null", token=TOKEN),
                upgrade("/echo-socket", port, f"Sec-WebSocket-Protocol: realtime, locara.token.{TOKEN}x"),
            ):
                assert 400 <= (await say(port, head)).status < 500, head
        assert echo.done == []

    asyncio.run(go())


def test_what_is_refused_has_no_effect_and_what_is_right_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    echo = Echo()

    async def go() -> None:
        async with running(monkeypatch, echo) as server:
            port = server.port
            for kind, code in (
                ("text/plain", 415),
                ("application/x-www-form-urlencoded", 415),
                ("application/json", 200),
            ):
                head = request("POST", "/v1/echo", port, f"Content-Type: {kind}", "Content-Length: 2")
                assert (await say(port, head, b"{}")).status == code
            head = request("POST", "/v1/echo", port, JSON, "Content-Encoding: gzip", "Content-Length: 2")
            assert (await say(port, head, b"{}")).status == 415
            assert (await say(port, request("PUT", "/echo", port))).status == 405
            assert (await say(port, get("/nowhere", port))).status == 404
        assert echo.done == ["write"]

    asyncio.run(go())


@pytest.mark.parametrize(
    "offered", ["locara.ipc.v1, locara.token.{}", "realtime, openai-insecure-api-key.{}, other.0.1"]
)
def test_a_browser_connects_with_subprotocols_and_the_token_is_not_among_what_is_chosen(
    offered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> None:
        async with running(monkeypatch) as server:
            origin = f"Origin: http://127.0.0.1:{server.port}"
            line = f"Sec-WebSocket-Protocol: {offered.format(TOKEN)}"
            said = await say(server.port, upgrade("/echo-socket", server.port, origin, line))
            assert said.status == 101
            assert said.headers["sec-websocket-protocol"] in ("locara.ipc.v1", "realtime")

    asyncio.run(go())


def test_every_answer_has_its_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        async with running(monkeypatch) as server:
            port = server.port
            page = await say(port, get("/", port, token=None))
            assert page.status == 200
            policy = page.headers["content-security-policy"]
            assert "frame-ancestors 'none'" in policy
            assert "default-src 'none'" in policy
            assert f"ws://127.0.0.1:{port}" in policy
            assert "unsafe" not in policy
            for said in (page, await say(port, get("/echo", port)), await say(port, get("/echo", port, token=None))):
                assert said.headers["x-content-type-options"] == "nosniff"
                assert said.headers["referrer-policy"] == "no-referrer"
                assert said.headers["cross-origin-resource-policy"] == "same-origin"
                assert said.headers["cross-origin-opener-policy"] == "same-origin"
                assert said.headers["cache-control"] == "no-store"
                assert "access-control-allow-origin" not in said.headers
                assert "set-cookie" not in said.headers

    asyncio.run(go())


def test_a_page_of_an_allowed_origin_may_read_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        async with running(monkeypatch, origins=("http://localhost:5173",)) as server:
            port = server.port
            asked = request("OPTIONS", "/v1/echo", port, "Origin: http://localhost:5173", token=None)
            said = await say(port, asked)
            assert said.status == 204
            assert said.headers["access-control-allow-origin"] == "http://localhost:5173"
            assert "Authorization" in said.headers["access-control-allow-headers"]
            said = await say(port, get("/echo", port, "Origin: http://localhost:5173", "Sec-Fetch-Site: same-site"))
            assert (said.status, said.headers["access-control-allow-origin"]) == (200, "http://localhost:5173")
            other = await say(port, request("OPTIONS", "/v1/echo", port, "Origin: http://localhost:5174", token=None))
            assert other.status == 403
            assert "access-control-allow-origin" not in other.headers

    asyncio.run(go())


def test_a_launch_code_is_good_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        async with running(monkeypatch) as server:
            port = server.port
            url = server.launch_url()
            assert TOKEN not in url
            assert url.startswith(f"http://127.0.0.1:{port}/#code=")
            body = json.dumps({"code": url.partition("#code=")[2]}).encode()
            head = request("POST", "/code", port, JSON, f"Content-Length: {len(body)}", token=None)
            first = await say(port, head, body)
            assert (first.status, json.loads(first.body)) == (200, {"token": TOKEN})
            second = await say(port, head, body)
            assert second.status == 401
            assert TOKEN.encode() not in second.body
            assert server.codes.used_twice.is_set()

            renewed = await say(port, request("POST", "/code/new", port, JSON, "Content-Length: 2"), b"{}")
            assert server.codes.trade(json.loads(renewed.body)["code"]) == "yes"

    asyncio.run(go())


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'{"code": 1}', b"{" * 500, b'{"code": "' + b"x" * 5000, b"\xff"]
)
def test_a_malformed_trade_is_refused_in_one_sentence(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        async with running(monkeypatch) as server:
            head = request("POST", "/code", server.port, JSON, f"Content-Length: {len(body)}", token=None)
            said = await say(server.port, head, body)
            assert said.status in (400, 413)
            assert "message" in json.loads(said.body)["error"]

    asyncio.run(go())


def test_wrong_tokens_are_slowed_and_the_right_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarding, "SLOW_SECONDS", 60.0)

    async def go() -> None:
        async with running(monkeypatch) as server:
            port = server.port
            for _ in range(guarding.WRONG_TOKENS):
                assert (await say(port, get("/echo", port, token=WRONG))).status == 401
            slow = asyncio.create_task(say(port, get("/echo", port, token=WRONG)))
            assert (await say(port, get("/echo", port))).status == 200
            assert not slow.done()
            slow.cancel()
            counters = server.runtime.counters
            assert counters.value("locara_refused_total", code="invalid_api_key") == guarding.WRONG_TOKENS + 1

    asyncio.run(go())


def test_each_peer_is_slowed_for_itself_and_not_for_ever() -> None:
    slowing = guarding.Slowing()
    assert [slowing.delay("a", 0.0) for _ in range(guarding.WRONG_TOKENS)] == [0.0] * guarding.WRONG_TOKENS
    assert slowing.delay("a", 0.0) == guarding.SLOW_SECONDS
    assert slowing.delay("b", 0.0) == 0.0
    assert slowing.delay("a", 60.0) == 0.0


def test_health_and_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    seats = Seats(taken=2, free=6)

    async def go() -> None:
        async with running(monkeypatch, seats=seats) as server:
            port = server.port
            health = json.loads((await say(port, get("/healthz", port))).body)
            assert (health["status"], health["sessions"], health["free"]) == ("ready", 2, 6)
            metrics = await say(port, get("/metrics", port))
            assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
            told = dict(line.rsplit(" ", 1) for line in metrics.body.decode().splitlines() if not line.startswith("#"))
            assert told["locara_sessions"] == "2"
            assert told["locara_ready"] == "1"
            assert float(told["locara_received_bytes_total"]) > 100

    asyncio.run(go())


def test_a_draining_server_takes_nothing_new_and_lets_what_runs_end(monkeypatch: pytest.MonkeyPatch) -> None:
    seats, echo = Seats(taken=1), Echo()

    async def go() -> None:
        async with running(monkeypatch, echo, seats, limits=Limits(drain_seconds=20.0)) as server:
            port = server.port
            async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as client:
                socket = await client.ws_connect(f"{server.url}/echo-socket")
                draining = asyncio.create_task(server.drain())
                await asyncio.sleep(0.05)
                refused = await say(port, get("/echo", port))
                assert (refused.status, json.loads(refused.body)["error"]["code"]) == (503, "draining")
                assert "retry-after" in refused.headers
                assert (await say(port, get("/healthz", port))).status == 503
                await socket.send_str("still here")
                assert (await socket.receive()).data == "heard 10"
                assert not draining.done()
                seats.taken = 0  # the conversation has ended
                message = await socket.receive()
                assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1012)
                await draining

    asyncio.run(go())
    assert echo.done[-1].startswith("closed")  # its handler came to its end


def test_a_second_signal_ends_the_drain_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        async with running(monkeypatch, seats=Seats(taken=1), limits=Limits(drain_seconds=60.0)) as server:
            stopping = Stopping()
            stopping.take(signal.SIGTERM)
            draining = asyncio.create_task(server.drain(stopping.hurry))
            await asyncio.sleep(0.05)
            assert not draining.done()
            stopping.take(signal.SIGINT)
            async with asyncio.timeout(10):
                await draining
            assert stopping.code == 143  # of the first

    asyncio.run(go())


def test_the_drain_ends_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        async with running(monkeypatch, seats=Seats(taken=1), limits=Limits(drain_seconds=0.2)) as server:
            async with asyncio.timeout(10):
                await server.drain()

    asyncio.run(go())


def test_a_stopped_server_leaves_no_connection_and_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        before = asyncio.all_tasks()
        async with running(monkeypatch) as server:
            port = server.port
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(upgrade("/echo-socket", port, token=TOKEN).encode())
            assert (await answered(reader)).status == 101
            idle_reader, idle = await asyncio.open_connection("127.0.0.1", port)
            await server.drain()
        async with asyncio.timeout(5):
            assert await idle_reader.read() == b""
            await reader.read()
        with pytest.raises(OSError):  # noqa: PT011  refused, on every system with another number
            await asyncio.open_connection("127.0.0.1", port)
        for one in (writer, idle):
            one.close()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() <= before

    asyncio.run(go())


def test_a_mistake_in_a_door_is_an_answer_and_a_line_without_its_words(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Echo):
        async def read(self, _: object) -> aiohttp.web.Response:
            raise ValueError("what the user said")

    async def go() -> None:
        async with running(monkeypatch, Broken()) as server:
            said = await say(server.port, get("/echo", server.port))
            assert (said.status, json.loads(said.body)["error"]["code"]) == (500, "failed")
            assert b"user said" not in said.body

    asyncio.run(go())
    assert "ValueError at server/test_serving.py" in caplog.text
    assert "user said" not in caplog.text


def test_a_port_in_use_is_said_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError) as error:
        listening.bound("127.0.0.1", taken.getsockname()[1])
    assert "in use" in error.value.message
    assert "--port 0" in error.value.hint


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host", ""])
def test_an_address_that_is_not_here_is_said(host: str) -> None:
    with pytest.raises(ConfigError):
        listening.bound(host or "256.1.1.1", 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.5.5.5", "::1", "localhost"])
def test_loopback_is_this_machine_only(host: str) -> None:
    assert listening.is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "localhost.evil.example", ""])  # noqa: S104  not bound
def test_everything_else_is_not(host: str) -> None:
    assert not listening.is_loopback(host)


def test_two_servers_that_start_at_once_at_one_port_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both may be bound as long as neither listens: the slower one is told so in a sentence, not in a traceback."""

    async def work() -> None:
        first = listening.bound("127.0.0.1", 0)
        port = first.getsockname()[1]
        try:
            second = listening.bound("127.0.0.1", port)
        except ConfigError:  # a system that refuses at once
            first.close()
            return
        async with running(monkeypatch, sock=first):
            with pytest.raises(ConfigError, match="in use"):
                async with running(monkeypatch, sock=second):
                    pass
        first.close()
        second.close()

    asyncio.run(work())
