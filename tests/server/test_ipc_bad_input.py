"""Thousands of messages that are none, against a live server: a linked error or a clean close, and nobody else notices."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from locara.client.frames import HEADER
from locara.server import ipc_wire as wire

from .ipc_running import MANIFEST, Raw, Running, allow, running

CANARY = "my grandmother's recipe"
SHUTS = {1000, 1002, 1007, 1008, 1009, 1013}


@dataclass
class Live:
    """A server that runs, with a session of somebody else on it."""

    loop: asyncio.Runner
    server: Running
    victim: Raw
    key: dict[str, Any]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner:
        patch.setenv("LOCARA_CONSENT", str(tmp_path_factory.mktemp("consent")))
        allow()
        context = running(patch, ["Yes."], sessions=3)
        server = runner.run(context.__aenter__())
        victim = server.line()

        async def begin() -> dict[str, Any]:
            await victim.__aenter__()
            started = await victim.ask("voice.session_start", reports=False)
            await victim.ask("session.send_text", text=CANARY)
            await victim.event("turn-end", 2)
            return dict(started)

        key = runner.run(begin())
        try:
            yield Live(runner, server, victim, key)
        finally:
            runner.run(victim.__aexit__())
            runner.run(context.__aexit__(None, None, None))


leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.just("\ud800")
    | st.sampled_from(["once", "quick", "x" * 300, 10**400, -1, 2**53 + 1, 1e308, "dev.locara.page", MANIFEST])
)  # fmt: skip
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=12)
ids = st.integers(0, 2**53) | leaves
names = [name for kind, _ in wire.METHODS.values() for name in kind.__dataclass_fields__]
methods = st.sampled_from([*wire.METHODS, "voice.session", "session.__class__", ""])


@st.composite
def nearly(draw: st.DrawFn) -> str:
    """A request that is almost right."""
    message: dict[str, Any] = {"id": draw(ids), "method": draw(methods)}
    message["params"] = draw(st.dictionaries(st.sampled_from(names), values, max_size=4) | values)
    for one in draw(st.lists(st.sampled_from(["id", "method", "params", "more"]), max_size=1)):
        if one == "more":
            message["more"] = draw(leaves)
        else:
            del message[one]
    text = json.dumps(message)
    cut = draw(st.integers(0, 12))
    return text[:-cut] if cut < 3 else text


texts = nearly() | values.map(json.dumps) | st.text(max_size=60).filter(lambda one: not any("\ud800" <= c <= "\udfff" for c in one))
odd = st.sampled_from(
    [
        "[" * 100_000, '{"a":' * 5_000, '{"id":1,"method":"ping","params":' + "[" * 900 + "]" * 900 + "}", "NaN", "1e999",
        '{"id":1,"method":"tool.result","params":{"call":"c","result":' + "[[]," * 20_000 + "[]" + "]" * 20_000 + "}}",
        '{"id":' + "9" * 5_000 + ',"method":"ping"}', '{"id":1,"id":2,"method":"ping"}', "\x00", "\ufeff{}",
        '{"id":1,"method":"playback.ack","params":{"played_ms":1e999}}', '{"id":1,"method":"ping","params":null}',
        '{"id":3,"method":"session.say","params":{"text":"\\ud83d"}}',
    ]
)  # fmt: skip
binaries = st.binary(max_size=80) | st.builds(
    lambda kind, flags, turn, at, body: HEADER.pack(kind, flags, 0, turn, at) + body,
    st.integers(0, 3), st.integers(0, 1), st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**64 - 1), st.binary(max_size=64),
)  # fmt: skip


def linked(text: str) -> int | None:
    """The id that an answer to this must have."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    number = message.get("id") if isinstance(message, dict) else None
    return number if type(number) is int and 0 <= number <= 2**53 else None


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(batch=st.lists(texts | texts | odd | binaries, min_size=20, max_size=60))
def test_a_linked_error_or_a_clean_close(live: Live, caplog: pytest.LogCaptureFixture, batch: list[str | bytes]) -> None:
    caplog.set_level(logging.WARNING)

    async def attack() -> None:
        async with live.server.line() as line:
            wanted: list[int] = []
            for message in batch:
                if line.ws.closed:
                    break
                try:
                    await (line.ws.send_bytes(message) if isinstance(message, bytes) else line.ws.send_str(message))
                except (ConnectionError, aiohttp.ClientError):
                    break
                number = linked(message) if isinstance(message, str) else None
                if number is not None:
                    wanted.append(number)
            if not line.ws.closed:
                await line.ws.send_str('{"id": 7777777, "method": "ping"}')

            def done() -> bool:
                got = {one.get("id") for one in line.told}
                return line.ws.closed or got >= {7777777, *wanted}

            await line.until(done)
            assert not line.ws.closed or line.ws.close_code in SHUTS
            told = json.dumps(line.told)
            assert CANARY not in told
            assert live.key["resume_token"] not in told
            for one in line.told:
                if "error" in one:
                    assert one["error"]["code"] != "internal", one
                    assert one["error"]["message"]
                    assert "Traceback" not in one["error"]["message"]

    async def others() -> None:
        history = (await live.victim.ask("session.history"))["history"]
        assert [one["text"] for one in history] == [CANARY, "Yes."]

    live.loop.run(asyncio.wait_for(attack(), 60))
    live.loop.run(asyncio.wait_for(others(), 10))
    bad = [one for one in caplog.records if one.levelno >= logging.ERROR or one.exc_info]
    assert not bad, bad[0].getMessage()


def test_what_is_too_large_or_no_text_is_closed_with_its_code(live: Live) -> None:
    async def work() -> None:
        for data, code in ((b"x" * ((1 << 20) + 1), 1009), (b"\xff\xfe", 1007)):
            async with live.server.line() as line:
                await line.until(lambda: line.told)
                await line.ws._writer.send_frame(data, aiohttp.WSMsgType.TEXT)  # noqa: SLF001
                await line.until(lambda: line.ws.closed)
                assert line.ws.close_code == code
        history = (await live.victim.ask("session.history"))["history"]
        assert len(history) == 2

    live.loop.run(asyncio.wait_for(work(), 30))


def test_a_flood_is_closed(live: Live) -> None:
    async def work() -> None:
        async with live.server.line() as line:
            try:
                for _ in range(4_000):
                    await line.ws.send_str('{"method": "ping"}')
            except (ConnectionError, aiohttp.ClientError):
                pass
            await line.until(lambda: line.ws.closed)
            assert line.ws.close_code == 1008
            assert line.told[-1]["closing"]["reason"] == "rate"
        assert (await live.victim.ask("ping")) == {}

    live.loop.run(asyncio.wait_for(work(), 30))


def test_whoever_says_nothing_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCARA_CONSENT", str(tmp_path / "consent"))

    async def work() -> None:
        allow()
        async with running(monkeypatch, idle_seconds=0.5) as server, server.line() as line:
            await line.ask("voice.session_start")
            await line.until(lambda: line.ws.closed)
            assert next(one["closing"]["reason"] for one in line.told if "closing" in one) == "idle"
            async with asyncio.timeout(10):
                while server.seats.taken:
                    await asyncio.sleep(0.02)

    asyncio.run(asyncio.wait_for(work(), 30))
