"""Nothing of a session is left behind, whenever it is given up: no seat, no engine, no task."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from locara.consent.asking import Question
from locara.engines.contracts import EngineInfo
from locara.errors import LocaraError, SessionError, StageError
from locara.manifest.values import Manifest
from locara.server import pool as pools
from locara.server.pool import Pool
from locara.server.seats import KINDS, Seat, Seats, Wish, failed
from locara.server.settings import Limits, Settings
from locara.testing import Fault, ScriptedModel, ScriptedRecogniser, ScriptedVoice
from locara.voice.events import Error

APP = Manifest("com.example.app", "Example", "1")
STEPS = 40
"""Turns of the event loop: more than a start takes, apart from its threads."""


@pytest.fixture(autouse=True)
def own_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCARA_CONSENT", str(tmp_path / "consent"))


class Watched:
    """The engines of one pool, and whether each is open. ``slow``: turns of the loop that loading and closing take."""

    def __init__(self, slow: int = 3, sharing: Any = "own") -> None:
        self.slow = slow
        self.sharing = sharing
        self.open: set[int] = set()
        self.loads = 0
        self.broken = ""
        self.fault: Fault | None = None

    def watched(self, engine: Any, kind: str) -> Any:
        sharing = self.sharing.get(kind, "own") if isinstance(self.sharing, dict) else self.sharing
        engine.info = EngineInfo("scripted", kind, "Apache-2.0", sharing=sharing)

        async def load() -> None:
            self.open.add(id(engine))
            self.loads += 1
            for _ in range(self.slow):
                await asyncio.sleep(0)
            if kind == self.broken:
                raise StageError("it cannot", stage=kind, hint="no")

        async def close() -> None:
            for _ in range(self.slow):
                await asyncio.sleep(0)
            self.open.discard(id(engine))

        engine.load, engine.close = load, close
        return engine

    def made(self, kind: str, _stage: Any) -> Any:
        if kind == "stt":
            return self.watched(ScriptedRecogniser([]), kind)
        return self.watched(ScriptedVoice() if kind == "tts" else ScriptedModel(["Yes."], fault=self.fault), kind)


def seats_of(engines: Watched, monkeypatch: pytest.MonkeyPatch, sessions: int = 2) -> Seats:
    """Seats whose pool loads ``engines`` as it loads real ones."""
    monkeypatch.setattr(pools, "engine_for", engines.made)
    monkeypatch.setattr("locara.voice.choosing.unnamed", lambda stages: (stages, {}))
    return Seats(Settings("token", stages={"turn": "silence"}, limits=Limits(sessions=sessions)), Pool())


async def take(seats: Seats, **more: Any) -> Seat:
    return await seats.take(Wish(app=APP, granted=True), deliver=lambda _at, _samples: None, **more)


async def soon(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.002)


def nothing_left(seats: Seats, engines: Watched) -> list[str]:
    tasks = [one.get_name() for one in asyncio.all_tasks() if one is not asyncio.current_task()]
    loaded = {name: count for name, count in seats.pool.loaded.items() if count}
    found = {"seats": seats.taken, "engines": len(engines.open), "loaded": loaded, "out": len(seats.pool._out)}
    return [f"{name}: {one}" for name, one in found.items() if one] + tasks


def run(work: Coroutine[Any, Any, Any]) -> Any:
    async def limited() -> Any:
        async with asyncio.timeout(60):
            return await work

    return asyncio.run(limited())


async def steps(count: int) -> None:
    for number in range(count):
        await asyncio.sleep(0.0005 if number % 4 == 3 else 0)  # some with time for the threads that a start uses


@pytest.mark.parametrize("again", [None, 0, 1, 4, 9])
def test_a_start_that_is_cancelled_at_any_step_leaves_nothing(again: int | None, monkeypatch: Any) -> None:
    """``again``: cancelled a second time, so many steps later: a client that says stop, and then is gone."""

    async def work() -> None:
        came = 0
        for at in range(STEPS):
            engines = Watched()
            seats = seats_of(engines, monkeypatch)
            starting = asyncio.create_task(take(seats))
            await steps(at)
            starting.cancel()
            if again is not None:
                await steps(again)
                starting.cancel()
            got = (await asyncio.gather(starting, return_exceptions=True))[0]
            if isinstance(got, Seat):  # it was ready before
                came += 1
                await got.leave()
            else:
                assert isinstance(got, asyncio.CancelledError)
            await soon(lambda: not nothing_left(seats, engines))  # noqa: B023  called in this round
            assert not (await take_and_leave(seats)), at
            assert nothing_left(seats, engines) == [], at
            await seats.close()
        assert came < STEPS

    run(work())


async def take_and_leave(seats: Seats) -> int:
    """It can be used afterwards."""
    await (await take(seats)).leave()
    return seats.taken


@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
def test_a_start_that_fails_in_any_stage_leaves_nothing(stage: str, monkeypatch: Any) -> None:
    async def work() -> None:
        engines = Watched()
        engines.broken = stage
        seats = seats_of(engines, monkeypatch)
        with pytest.raises(StageError):
            await take(seats)
        assert nothing_left(seats, engines) == []
        assert not seats.pool._shelves, "names that nothing came of are forgotten"
        engines.broken = ""
        await take_and_leave(seats)
        assert nothing_left(seats, engines) == []
        await seats.close()

    run(work())


def test_a_server_that_stops_while_sessions_start_leaves_nothing(monkeypatch: Any) -> None:
    async def work() -> None:
        for at in range(0, STEPS, 2):
            engines = Watched(sharing={"stt": "own", "llm": "shared", "tts": "in-turn"})
            seats = seats_of(engines, monkeypatch)
            there = await take(seats)
            starting = asyncio.create_task(take(seats))
            await steps(at)
            await seats.close()
            got = (await asyncio.gather(starting, return_exceptions=True))[0]
            assert isinstance(got, Seat | LocaraError), got
            assert there.session.state is not None
            assert nothing_left(seats, engines) == [], at
            with pytest.raises(SessionError, match="stop"):
                await take(seats)

    run(work())


def test_leaving_is_not_cut_off_by_whoever_waits_for_it(monkeypatch: Any) -> None:
    async def work() -> None:
        for at in range(0, STEPS, 3):
            engines = Watched()
            seats = seats_of(engines, monkeypatch)
            seat = await take(seats)
            leaving = asyncio.create_task(seat.leave())
            await steps(at)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
            assert seats.taken or not engines.open, "a seat is free when its engines are closed, not before"
            await seats.close()
            assert nothing_left(seats, engines) == [], at

    run(work())


def test_a_shared_engine_that_is_lent_when_the_pool_closes_is_closed_when_it_comes_back(monkeypatch: Any) -> None:
    async def work() -> None:
        engines = Watched(sharing="shared")
        pool = seats_of(engines, monkeypatch).pool
        loan = await pool.take("llm", "x")
        await pool.close()
        assert engines.open
        await pool.give_back(loan)
        assert not engines.open

    run(work())


def test_names_that_clients_think_of_do_not_pile_up(monkeypatch: Any) -> None:
    async def work() -> None:
        pool = seats_of(Watched(), monkeypatch).pool
        for number in range(100):
            await pool.give_back(await pool.take("tts", {"model": "x", "voice": f"v{number}"}))
        assert not pool._shelves
        await pool.close()

    run(work())


def test_only_the_engine_that_failed_is_thrown_away(monkeypatch: Any) -> None:
    """A model's server that is down is no reason to load everybody's recogniser anew."""

    async def work() -> None:
        engines = Watched(sharing="in-turn")
        engines.fault = Fault("raises", "reply")
        seats = seats_of(engines, monkeypatch)
        seat = await take(seats)
        stream = seat.session.events()
        seat.session.send_text("hello")
        async for event in stream:
            if isinstance(event, Error):
                assert event.stage == "llm"
                break
        await seat.leave()
        loaded = {name.partition(":")[0] for name, count in seats.pool.loaded.items() if count}
        assert loaded == {"stt", "tts"}
        await seats.close()
        assert nothing_left(seats, engines) == []

    run(work())


def test_which_engines_failed_is_in_the_metrics() -> None:
    assert failed({"errors": 2.0, "errors_in_llm": 1.0, "errors_in_say": 1.0}) == {"llm"}
    assert failed({"errors": 1.0, "errors_in_session": 1.0}) == set(KINDS)
    assert failed({"errors": 0.0}) == set()


def test_a_person_who_is_asked_while_the_client_leaves_keeps_no_thread_and_no_seat(monkeypatch: Any) -> None:
    async def work() -> None:
        engines = Watched()
        seats = seats_of(engines, monkeypatch)
        asked, answered = asyncio.Event(), []
        loop = asyncio.get_running_loop()

        def ask(_question: Question) -> Any:
            loop.call_soon_threadsafe(asked.set)
            answered.append(1)
            raise SessionError("nobody is there", hint="no")

        manifest = Manifest(APP.id, APP.name, APP.version, modalities=("voice-to-voice",))
        wish = Wish(app=manifest)
        starting = asyncio.create_task(seats.take(wish, deliver=lambda _at, _samples: None, ask=ask))
        await asked.wait()
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        assert nothing_left(seats, engines) == []
        assert engines.loads == 0
        await seats.close()

    run(work())


def test_what_a_recogniser_learnt_in_one_session_does_not_go_into_the_next(monkeypatch: Any) -> None:
    async def work() -> None:
        engines = Watched(sharing="in-turn")
        pool = seats_of(engines, monkeypatch).pool
        loan = await pool.take("stt", "x")
        forgot: list[int] = []
        loan.engine.forget_session = lambda: forgot.append(1)  # type: ignore[attr-defined]
        await pool.give_back(loan)
        again = await pool.take("stt", "x")
        assert forgot == [1]
        assert again.engine is loan.engine

        def cannot() -> None:
            raise RuntimeError("no")

        again.engine.forget_session = cannot  # type: ignore[attr-defined]
        await pool.give_back(again)
        assert not engines.open, "what cannot forget is not lent again"
        await pool.close()

    run(work())
