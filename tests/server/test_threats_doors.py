"""Threats that only a real door has: frames, words of a real conversation in logs and files, a stop in the middle of one."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import struct
import zlib
from pathlib import Path

import pytest
from tests.server import ipc_running
from tests.server.ipc_running import TOKEN, allow, run
from tests.server.running import answered, say, upgrade, written

from locara.server import private_logging

WORDS = "canary-words-of-the-user"
REPLY = "canary words of the model"


async def raw_socket(port: int, *lines: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, dict[str, str]]:
    """A WebSocket at `/ipc` whose frames the test writes itself."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(upgrade("/ipc", port, "Sec-WebSocket-Protocol: locara.ipc.v1", *lines, token=TOKEN).encode())
    said = await answered(reader)
    assert said.status == 101
    return reader, writer, said.headers


def frame(payload: bytes, *, first: int = 0x81) -> bytes:
    """A client's frame (RFC 6455, 5.2), masked with zeros."""
    if len(payload) < 126:
        head = struct.pack("!BB", first, 0x80 | len(payload))
    else:
        head = struct.pack("!BBQ", first, 0xFF, len(payload))
    return head + b"\0\0\0\0" + payload


async def closed_with(reader: asyncio.StreamReader) -> int:
    """The code of the server's close; 0 where it closed without one."""
    try:
        async with asyncio.timeout(20):
            while True:
                first, length = await reader.readexactly(2)
                size = {126: 2, 127: 8}.get(length, 0)
                length = int.from_bytes(await reader.readexactly(size), "big") if size else length
                payload = await reader.readexactly(length)
                if first & 0x0F == 8:
                    return int.from_bytes(payload[:2], "big")
    except (asyncio.IncompleteReadError, ConnectionError):
        return 0


def test_a_deflate_bomb_is_never_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        async with ipc_running.running(monkeypatch) as one:
            extension = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
            reader, writer, headers = await raw_socket(one.server.port, extension)
            assert "sec-websocket-extensions" not in headers
            packer = zlib.compressobj(wbits=-15)
            bomb = packer.compress(b"\0" * (64 << 20)) + packer.flush(zlib.Z_SYNC_FLUSH)
            writer.write(frame(bomb[:-4], first=0xC1))  # RSV1: compressed
            assert await closed_with(reader) == 1002
            writer.close()

    run(go())


def test_a_message_of_many_frames_has_the_same_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        async with ipc_running.running(monkeypatch) as one:
            reader, writer, _ = await raw_socket(one.server.port)
            closing = asyncio.create_task(closed_with(reader))
            writer.write(frame(b" " * 65536, first=0x01))
            for _ in range(64):
                writer.write(frame(b" " * 65536, first=0x00))
                try:
                    await writer.drain()
                except ConnectionError:
                    break
            assert await closing in (1009, 0)  # 0: reset while it was still sending
            assert one.server.runtime.counters.value("locara_received_bytes_total") < 3 << 20
            writer.close()

    run(go())


def test_a_conversation_leaves_no_word_in_logs_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("LOCARA_CONSENT", "LOCARA_CACHE", "LOCARA_RUNTIME"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    allow()
    out, root = io.StringIO(), logging.getLogger()
    handler, before = logging.StreamHandler(out), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)

    async def go() -> None:
        asyncio.get_running_loop().slow_callback_duration = 0.0
        async with ipc_running.running(monkeypatch, (REPLY,)) as one, one.line() as client:
            asyncio.get_running_loop().set_debug(True)
            await client.ask("voice.session_start", system=WORDS)
            await client.ask("session.send_text", text=WORDS)
            await client.event("llm-token")
            told = json.dumps(client.told)
            assert WORDS in told
            assert REPLY.split()[1] in told
            await client.tell("session.nonsense", text=WORDS)
            await client.ws.send_str("{" + WORDS)
            await client.ask("voice.session_stop")

    try:
        private_logging.keep_private((TOKEN,))
        run(go())
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    kept = out.getvalue() + written(tmp_path)
    assert len(kept) > 100, "nothing was logged: the test proves nothing"
    for canary in (WORDS, REPLY, "canary", TOKEN):
        assert canary not in kept


def test_a_server_that_stops_lets_a_conversation_go_on_and_begins_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        allow()
        async with ipc_running.running(monkeypatch, ("Yes.",), drain_seconds=30.0) as one, one.line() as client:
            await client.ask("voice.session_start")
            draining = asyncio.create_task(one.server.drain())
            await asyncio.sleep(0.1)
            assert (await say(one.server.port, upgrade("/ipc", one.server.port, token=TOKEN))).status == 503
            await client.ask("session.send_text", text="are you still there")
            await client.event("llm-token")
            assert not draining.done()
            await client.ask("voice.session_stop")
            async with asyncio.timeout(20):
                await draining

    run(go())


def test_a_stop_closes_with_1012_and_no_session_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        allow()
        async with ipc_running.running(monkeypatch, drain_seconds=0.5) as one, one.line() as client:
            await client.ask("voice.session_start")
            assert one.seats.taken == 1
            await one.server.drain()
            await client.until(lambda: client.ws.closed)
            assert client.ws.close_code == 1012
            await one.seats.close()
            assert one.seats.taken == 0

    run(go())
