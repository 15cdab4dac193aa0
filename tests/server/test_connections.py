"""Slow, silent and many connections: all are closed in time, while a good client is served. Raw sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest
from tests.server.running import TOKEN, Echo, get, request, running, say, upgrade

from locara.server import connections
from locara.server.settings import Limits

QUICK = Limits(head_seconds=0.6, body_seconds=60.0, connections=300, connections_per_peer=300)

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Dripping = list[asyncio.Task[None]]
Attack = Callable[[int, Dripping], Awaitable[Ends]]


async def idle(port: int, _: Dripping | None = None) -> Ends:
    return await asyncio.open_connection("127.0.0.1", port)


async def dripping(port: int, tasks: Dripping) -> Ends:
    reader, writer = await idle(port)

    async def drip() -> None:
        with contextlib.suppress(OSError):
            writer.write(b"GET /echo HTTP/1.1\r\nHost: x\r\n")
            while not writer.is_closing():
                writer.write(b"X-A: b\r\n")
                await asyncio.sleep(0.1)

    tasks.append(asyncio.create_task(drip()))
    return reader, writer


async def slow_body(port: int, tasks: Dripping) -> Ends:
    reader, writer = await idle(port)
    head = request("POST", "/v1/echo", port, "Content-Type: application/json", "Content-Length: 100000")

    async def drip() -> None:
        with contextlib.suppress(OSError):
            writer.write(head.encode())
            while not writer.is_closing():
                writer.write(b" ")
                await asyncio.sleep(0.1)

    tasks.append(asyncio.create_task(drip()))
    return reader, writer


async def closed(reader: asyncio.StreamReader, within: float) -> float:
    """Seconds until the other side closed."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(within):
        with contextlib.suppress(ConnectionError):
            while await reader.read(4096):
                pass
    return loop.time() - began


@pytest.mark.parametrize("attack", [idle, dripping, slow_body])
def test_two_hundred_slow_connections_are_closed_and_a_good_client_is_served(
    attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_BODY_WINDOW", 0.8)

    async def go() -> None:
        tasks: Dripping = []
        async with running(monkeypatch, limits=QUICK) as server:
            held = [await attack(server.port, tasks) for _ in range(200)]
            good = await say(server.port, get("/echo", server.port))
            assert good.status == 200
            await asyncio.gather(*(closed(reader, 15) for reader, _ in held))
            assert (await say(server.port, get("/echo", server.port))).status == 200
            for one in tasks:
                one.cancel()
            for _, writer in held:
                writer.close()
            counters = server.runtime.counters
            why = "slow-body" if attack is slow_body else "slow-head"
            assert counters.value("locara_connections_closed_total", why=why) == 200

    asyncio.run(go())


def test_a_slow_head_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        async with running(monkeypatch, limits=QUICK) as server:
            said = await say(server.port, "GET /echo HTTP/1.1\r\nHost:")
            assert said.status == 408

    asyncio.run(go())


def test_a_body_that_comes_steadily_is_taken_however_long_its_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_BODY_WINDOW", 0.3)

    async def go() -> None:
        async with running(monkeypatch, limits=QUICK) as server:
            reader, writer = await idle(server.port)
            head = request("POST", "/v1/echo", server.port, "Content-Type: application/json", "Content-Length: 80000")
            writer.write(head.encode())
            for _ in range(10):
                writer.write(b" " * 8000)
                await asyncio.sleep(0.1)
            assert b"200 OK" in await reader.readuntil(b"\r\n")
            writer.close()

    asyncio.run(go())


def test_a_connection_that_asked_for_nothing_makes_way_and_one_that_works_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = Limits(head_seconds=10.0, connections=8, connections_per_peer=4)

    async def go() -> None:
        async with running(monkeypatch, limits=limits) as server:
            silent = [await idle(server.port) for _ in range(4)]
            assert (await say(server.port, get("/echo", server.port))).status == 200
            assert await closed(silent[0][0], 5) < 5  # the oldest
            busy = []
            for _ in range(4):
                reader, writer = await idle(server.port)
                writer.write(upgrade("/echo-socket", server.port, token=TOKEN).encode())
                assert b"101" in await reader.readuntil(b"\r\n\r\n")
                busy.append(writer)
            assert (await say(server.port, get("/echo", server.port))).status == 503
            assert len(server.connections) == 4
            for _, writer in silent:
                writer.close()
            for writer in busy:
                writer.close()

    asyncio.run(go())


def test_a_client_that_never_reads_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_READER_SECONDS", 0.5)
    echo = Echo()

    async def go() -> None:
        async with running(monkeypatch, echo) as server:
            _, writer = await idle(server.port)
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(get("/endless", server.port).encode())
            async with asyncio.timeout(15):
                await echo.ended.wait()
            assert server.runtime.counters.value("locara_connections_closed_total", why="not-reading") == 1
            writer.close()

    asyncio.run(go())
    assert echo.done == ["endless ended"]


def test_an_open_websocket_and_a_kept_connection_are_not_cut_as_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        async with running(monkeypatch, limits=QUICK) as server:
            reader, writer = await idle(server.port)
            writer.write(upgrade("/echo-socket", server.port, token=TOKEN).encode())
            assert b"101" in await reader.readuntil(b"\r\n\r\n")
            kept_reader, kept = await idle(server.port)
            for _ in range(2):
                kept.write(get("/echo", server.port).encode())
                head = await kept_reader.readuntil(b"\r\n\r\n")
                assert b"200 OK" in head
                await kept_reader.readexactly(len(b'{"ok": true}'))
                await asyncio.sleep(QUICK.head_seconds * 1.5)
            assert not reader.at_eof()
            writer.write(b"\x88\x80\0\0\0\0")  # close, masked with zeros
            assert (await reader.read(1))[0] == 0x88
            for one in (writer, kept):
                one.close()

    asyncio.run(go())
