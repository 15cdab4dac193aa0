"""Thousands of messages that are none, against a live server: a linked error or a clean close, and nobody else notices."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from locara.client.frames import HEADER
from locara.server import ipc_connection
from locara.server import ipc_wire as wire

from .ipc_running import MANIFEST, Raw, Running, allow, running, soon

CANARY = "my grandmother's recipe"
SEEDS = 500 if "LOCARA_EXPLORE" in os.environ else 50
"""A hundred messages each. Not hypothesis: it traces every line of the server, and shrinks for minutes."""
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
        # Else the connection is closed after twenty, and the rest would prove nothing: see test_ipc for that.
        patch.setattr(ipc_connection, "MOST_FAULTS", 1000)
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


LEAVES: list[Any] = [
    None, True, False, 0, 1, -1, 2**53 + 1, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf"), "", "once", "quick",
    "open", "push-to-talk", "x" * 300, "\ud800", "\x00", "../../etc/passwd", "/bin/sh", "\u202e", "dev.locara.page",
    MANIFEST, 16000, 24000, "AAAA", "stt", {"model": "x", "path": "/"}, {"mode": "wake-word"},
    {"even": 1, "least": 2, "last": 3},
]  # fmt: skip
"""What fields are filled with: right for some, wrong for others."""

ODD = [
    "[" * 100_000, '{"a":' * 5_000, '{"id":1,"method":"ping","params":' + "[" * 900 + "]" * 900 + "}", "NaN", "1e999", "",
    "{", '{"id":1,"method":"tool.result","params":{"call":"c","result":' + "[[]," * 20_000 + "[]" + "]" * 20_000 + "}}",
    '{"id":1,"method":"tool.result","params":{"call":"c","result":' + "[" * 40 + "]" * 40 + "}}",
    '{"id":' + "9" * 5_000 + ',"method":"ping"}', '{"id":1,"id":2,"method":"ping"}', "\x00", "\ufeff{}", "null", "[]", '"x"',
    '{"id":1,"method":"playback.ack","params":{"played_ms":1e999}}', '{"id":1,"method":"ping","params":null}',
    '{"id":3,"method":"session.say","params":{"text":"\\ud83d"}}', '{"method":"ping"}', '{"id":5,"method":"ping","x":1}',
]  # fmt: skip


def value(dice: random.Random, depth: int = 0) -> Any:
    kind = dice.random()
    if kind < 0.8 or depth > 3:
        return dice.choice(LEAVES)
    if kind < 0.9:
        return [value(dice, depth + 1) for _ in range(dice.randrange(4))]
    return {
        dice.choice(["model", "name", "a", "\u00e9", "path"]): value(dice, depth + 1) for _ in range(dice.randrange(4))
    }


def nearly(dice: random.Random) -> str:
    """A request that is right, or almost."""
    method = dice.choice([*wire.METHODS])
    fields = [one.name for one in dataclasses.fields(wire.METHODS[method][0])]
    params: Any = {name: value(dice) for name in fields if dice.random() < 0.7}
    message: dict[str, Any] = {"id": dice.randrange(1, 10**6), "method": method, "params": params}
    change = dice.random()
    if change < 0.1:
        message[dice.choice(["id", "method", "params", "more"])] = value(dice)
    elif change < 0.2:
        params[dice.choice([*fields, "more", "__class__"])] = value(dice)
    elif change < 0.25:
        message["method"] = "".join(dice.sample(method, len(method)))
    text = json.dumps(message)
    return text if change < 0.95 else text[: dice.randrange(len(text))]


def broken(seed: int) -> list[str | bytes]:
    """A hundred messages: requests that are almost right, texts that are none, binary frames of all kinds."""
    dice = random.Random(seed)
    batch: list[str | bytes] = []
    for _ in range(100):
        kind = dice.random()
        if kind < 0.75:
            batch.append(nearly(dice))
        elif kind < 0.85:
            batch.append(dice.choice(ODD))
        elif kind < 0.9:
            batch.append(dice.randbytes(dice.randrange(80)))
        else:
            head = (
                dice.choice([1, 1, 2, 9]),
                dice.choice([0, 0, 1]),
                0,
                dice.randrange(-5, 5),
                dice.choice([0, 7, 2**64 - 1]),
            )
            batch.append(HEADER.pack(*head) + dice.randbytes(dice.randrange(64)))
    return batch


def _none(name: str) -> Any:
    raise ValueError(name)


def linked(text: str) -> int | None:
    """The id that an answer to this must have."""
    try:
        message = json.loads(text, parse_constant=_none)  # NaN and Infinity are no JSON
    except (ValueError, RecursionError):
        return None
    number = message.get("id") if isinstance(message, dict) else None
    return number if type(number) is int and 0 <= number <= 2**53 else None


@pytest.mark.parametrize("first", range(0, SEEDS, 10))
def test_a_linked_error_or_a_clean_close(live: Live, caplog: pytest.LogCaptureFixture, first: int) -> None:
    for seed in range(first, first + 10):
        attack(live, caplog, broken(seed), talks=seed % 2 == 1)


def attack(live: Live, caplog: pytest.LogCaptureFixture, batch: list[str | bytes], *, talks: bool) -> None:
    """``talks``: in the middle of a conversation."""
    caplog.set_level(logging.WARNING)

    async def send() -> None:
        async with live.server.line() as line:
            wanted: list[int] = []
            if talks:
                assert "session" in await line.ask("voice.session_start")
                await line.ask("session.send_text", text="go")
                line.told.clear()
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

            try:
                await line.until(done, 15)
            except TimeoutError:
                got = {one.get("id") for one in line.told}
                left = [one for one in batch if isinstance(one, str) and linked(one) in {*wanted} - got]
                raise AssertionError(f"not answered: {left}") from None
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

    live.loop.run(asyncio.wait_for(send(), 60))
    live.loop.run(asyncio.wait_for(others(), 10))
    bad = [one for one in caplog.records if one.levelno >= logging.ERROR or one.exc_info]
    assert not bad, bad[0].getMessage()


def test_what_is_too_large_or_no_text_is_closed_with_its_code(live: Live) -> None:
    async def work() -> None:
        for data, code in ((b"x" * ((1 << 20) + 1), 1009), (b"\xff\xfe", 1007)):
            async with live.server.line() as line:
                await line.until(lambda: line.told)
                await line.ws._writer.send_frame(data, aiohttp.WSMsgType.TEXT)
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
            await soon(lambda: not server.seats.taken)

    asyncio.run(asyncio.wait_for(work(), 30))
