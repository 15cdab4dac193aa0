"""What an attacker or a client with a mistake in it found once, through the doors of a server that runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from locara.server.ipc_session import ServedSession

from .ipc_running import Raw, allow, run, running, soon

START = "voice.session_start"


@pytest.fixture(autouse=True)
def own_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCARA_CONSENT", str(tmp_path / "consent"))


def test_more_events_than_may_wait_can_be_had_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that has missed much is not closed for what it has missed, which it could never get then."""

    async def work() -> None:
        allow()
        async with (
            running(monkeypatch, ("one two three four five six",) * 20, outgoing=40) as server,
            server.line() as line,
        ):
            await line.ask(START, reports=False)
            for number in range(6):
                await line.ask("session.send_text", text="go")
                await line.until(lambda n=number: len(line.events("turn-end")) >= 2 * (n + 1))  # type: ignore[misc]
            seen = len(line.events())
            assert seen > 40
            again = await line.ask("voice.session_events", after=0)
            assert again["missed"] == 0
            await line.until(lambda: len(line.events()) >= 2 * seen)
            assert (await line.ask("ping")) == {}

    run(work())


def test_a_session_whose_events_cannot_be_told_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would else hear its user, and hold its seat, for an hour."""

    async def work() -> None:
        allow()

        def broken(_: Any, __: Any) -> None:
            raise RuntimeError("not to be told")

        async with running(monkeypatch) as server, server.line() as line:
            await line.ask(START)
            await line.event("session-start")
            monkeypatch.setattr(ServedSession, "_tell", broken)
            await line.ask("session.send_text", text="go")
            await soon(lambda: server.seats.taken == 0)
            assert "error" in await line.ask("session.metrics")

    run(work())


@pytest.mark.parametrize("then", ["stop", "stop-and-go", "go", "reset"])
def test_a_client_that_goes_while_its_session_starts_leaves_nothing(then: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        allow()
        async with running(monkeypatch, hears="x") as server:
            for wait in (0.0, 0.002, 0.005, 0.01, 0.03):
                line = Raw(server.url)
                async with line:
                    starting = asyncio.create_task(line.ask(START))
                    await asyncio.sleep(wait)
                    if then.startswith("stop"):
                        await line.tell("voice.session_stop")
                    if then == "reset":
                        line.reset()
                    if then == "stop":
                        await asyncio.gather(starting, return_exceptions=True)
                    starting.cancel()
                    await asyncio.gather(starting, return_exceptions=True)
                    if then != "reset":
                        await line.ws.close()
                for served in [one.served for one in doors_of(server)]:  # what a reset leaves waits to be resumed
                    await served.stop("client-left")
                await soon(lambda: server.seats.taken == 0 and not server.seats.pool._out)
        left = [one.get_name() for one in asyncio.all_tasks() if one.get_name().startswith("locara")]
        assert not left

    run(work())


def doors_of(server: Any) -> list[Any]:
    for route in server.server.app.router.routes():
        door: Any = getattr(route.handler, "__self__", None)
        if hasattr(door, "_kept"):
            return list(door._kept.values())
    raise AssertionError("no such door")
