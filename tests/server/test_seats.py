"""Seats: who may have a session, warm engines lent and given back, and devices at the client's end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, ClassVar

import pytest

from locara.audio import RATE, Samples
from locara.consent.asking import Answer, Question
from locara.engines.contracts import EngineInfo
from locara.errors import CapabilityDenied, ConfigError, EngineMissing, ModelNotDeclared
from locara.manifest import reading
from locara.manifest.values import DeclaredModel, Manifest
from locara.server.pool import Pool
from locara.server.seats import Busy, Seat, Seats, Wish
from locara.server.settings import Limits, Settings
from locara.testing import ScriptedBackend, ScriptedDuplex, ScriptedModel, ScriptedRecogniser, ScriptedVoice
from locara.voice.events import TurnEnd
from locara.voice.history import Said

APP = Manifest("com.example.app", "Example", "1")


@pytest.fixture(autouse=True)
def own_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's real grants."""
    monkeypatch.setenv("LOCARA_CONSENT", str(tmp_path / "consent"))


class Model(ScriptedModel):
    """Counts how often it was loaded and closed, and may be shared."""

    made: ClassVar[list[Model]] = []

    def __init__(self, sharing: Any = "in-turn") -> None:
        super().__init__(["Yes."], first_token=0.01)
        self.info = EngineInfo("scripted", "model", "Apache-2.0", sharing=sharing)
        self.loads = self.closes = 0
        Model.made.append(self)

    async def load(self) -> None:
        self.loads += 1

    async def close(self) -> None:
        self.closes += 1


class Made(Pool):
    """A pool of scripted engines."""

    def __init__(self, sharing: Any = "in-turn", **more: Any) -> None:
        super().__init__(**more)
        self.sharing = sharing

    async def _load(self, kind: Any, stage: Any) -> Any:
        if stage == "broken":
            raise ConfigError("no such thing", hint="take another")
        engine: Any = (
            ScriptedRecogniser([]) if kind == "stt" else ScriptedVoice() if kind == "tts" else Model(self.sharing)
        )
        await engine.load()
        return engine


def settings(sessions: int = 2) -> Settings:
    return Settings("token", stages={"turn": "silence"}, limits=Limits(sessions=sessions))


def yes(_question: Question) -> Answer:
    return Answer("once", by="page")


async def take(seats: Seats, **more: Any) -> Seat:
    return await seats.take(Wish(**{"app": APP, "granted": True, **more}), deliver=lambda _at, _samples: None)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    Model.made = []
    return asyncio.run(asyncio.wait_for(work, 60))


def test_more_sessions_than_seats_are_told_when_to_come_again() -> None:
    async def work() -> None:
        seats = Seats(settings(2), Made())
        one, two = await take(seats), await take(seats)
        assert seats.free == 0
        with pytest.raises(Busy) as told:
            await take(seats)
        assert 1.0 <= told.value.retry_after <= 300.0
        assert "again in" in told.value.hint
        await one.leave()
        await one.leave()
        three = await take(seats)
        await asyncio.gather(two.leave(), three.leave())
        assert seats.taken == 0
        await seats.close()

    run(work())


def test_an_engine_goes_to_one_session_after_another_without_loading_again() -> None:
    async def work() -> None:
        seats = Seats(settings(3), Made())
        for _ in range(3):
            await (await take(seats)).leave()
        assert [(one.loads, one.closes) for one in Model.made] == [(1, 0)]
        both = await asyncio.gather(take(seats), take(seats))
        assert len(Model.made) == 2, "two at once need two"
        await asyncio.gather(*(one.leave() for one in both))
        await seats.close()
        assert all(one.closes == 1 for one in Model.made)

    run(work())


def test_one_that_may_be_shared_is_loaded_once_for_all() -> None:
    async def work() -> None:
        seats = Seats(settings(4), Made("shared"))
        all_ = await asyncio.gather(*(take(seats) for _ in range(4)))
        await asyncio.gather(*(one.leave() for one in all_))
        assert [(one.loads, one.closes) for one in Model.made] == [(1, 0)]
        await seats.close()
        assert Model.made[0].closes == 1

    run(work())


def test_one_that_keeps_something_of_its_session_is_never_lent_twice() -> None:
    async def work() -> None:
        seats = Seats(settings(2), Made("own"))
        for _ in range(2):
            await (await take(seats)).leave()
        assert [(one.loads, one.closes) for one in Model.made] == [(1, 1), (1, 1)]
        await seats.close()

    run(work())


def test_what_cannot_be_loaded_costs_no_seat_and_no_engine() -> None:
    async def work() -> None:
        seats = Seats(settings(1), Made())
        with pytest.raises(ConfigError):
            await take(seats, stages={"tts": "broken"})
        assert seats.taken == 0
        await (await take(seats)).leave()
        await seats.close()
        assert all(one.closes == 1 for one in Model.made)

    run(work())


def test_who_is_cancelled_while_it_starts_leaves_nothing_behind() -> None:
    async def work() -> None:
        seats = Seats(settings(1), Made())
        starting = asyncio.create_task(take(seats))
        await asyncio.sleep(0)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        assert seats.taken == 0
        await seats.close()

    run(work())


def test_nobody_is_heard_who_was_not_allowed_and_nothing_is_loaded_for_him() -> None:
    async def work() -> None:
        seats = Seats(settings(1), Made())
        manifest = Manifest(APP.id, APP.name, APP.version, modalities=("voice-to-voice",))
        with pytest.raises(CapabilityDenied):
            await take(seats, app=manifest, granted=False)
        assert not Model.made
        asked: list[str] = []

        def ask(question: Question) -> Answer:
            asked.append(question.capability)
            return yes(question)

        wish = Wish(app=manifest)
        seat = await seats.take(wish, deliver=lambda _at, _samples: None, ask=ask)
        assert asked == ["device.microphone", "device.speaker"]
        await seat.leave()
        await seats.close()

    run(work())


def test_a_model_that_the_manifest_does_not_declare_is_not_lent() -> None:
    async def work() -> None:
        seats = Seats(settings(1), Made())
        manifest = Manifest(APP.id, "x", "1", models=(DeclaredModel("espeak-ng", "tts"),), path="locara.toml")
        with pytest.raises(ModelNotDeclared):
            await take(seats, app=manifest, stages={"tts": "kokoro-82m"})
        await seats.close()

    run(work())


def test_other_speakers_need_their_own_leave() -> None:
    async def work() -> None:
        seats = Seats(settings(1), Made())
        asked: list[str] = []

        def ask(question: Question) -> Answer:
            asked.append(question.capability)
            return yes(question)

        manifest = reading.parse(
            '[app]\nid = "com.example.other"\nname = "Other"\nversion = "1"\n[modalities]\nuse = ["voice-to-voice"]\n'
            '[capabilities."device.speaker.select"]\nreason = "you choose the headphones"\n'
        )
        wish = Wish(app=manifest, other_speaker=True)
        seat = await seats.take(wish, deliver=lambda _at, _samples: None, ask=ask)
        assert "device.speaker.select" in asked
        await seat.leave()
        await seats.close()

    run(work())


def test_a_conversation_in_a_seat_with_the_engines_that_come_with_it() -> None:
    """Typed, so that it needs no recording: the built-in responder answers, espeak-ng speaks, the client hears it."""

    async def work() -> tuple[list[Any], int]:
        seats = Seats(Settings("token", stages={"llm": "built-in"}))
        await seats.warm()
        heard: list[Samples] = []
        wish = Wish(app=APP, granted=True)
        seat = await seats.take(wish, deliver=lambda _at, samples: heard.append(samples))
        events: list[Any] = []
        stream = seat.session.events()
        seat.session.send_text("what is two plus three")
        async for event in stream:
            events.append(event)
            if isinstance(event, TurnEnd) and event.who == "assistant":
                break
        said = [one.text for one in seat.session.history if isinstance(one, Said) and one.role == "assistant"]
        await seat.leave()
        await seats.close()
        assert "five" in said[0].lower() or "5" in said[0]
        return events, sum(one.size for one in heard)

    events, samples = run(work())

    assert [one.reason for one in events if isinstance(one, TurnEnd)] == ["typed", "finished"]
    assert samples > 0.3 * RATE


class Backends(Made):
    """A pool with one model that hears and speaks."""

    def __init__(self) -> None:
        super().__init__()
        self.backend = ScriptedBackend(["Yes."])

    async def _load(self, kind: Any, stage: Any) -> Any:
        return self.backend if kind == "omni" else await super()._load(kind, stage)


def test_sessions_share_one_model_that_hears_and_speaks_each_with_its_own_instructions() -> None:
    async def go() -> None:
        pool = Backends()
        stages = {"turn": "silence", "omni": {"model": "scripted", "instructions": "Be brief."}, "stt": "scripted"}
        seats = Seats(Settings("token", stages=stages, limits=Limits(sessions=2)), pool=pool)
        assert set(await seats.warm()) == {"omni", "turn", "stt"}
        one = await take(seats)
        other = await take(seats, system="Be polite.")
        assert [told.instructions for told in pool.backend.begun] == ["Be brief.", "Be polite."]
        assert set(one.session.plan) == {"vad", "omni", "stt"}
        assert one.session.capabilities["final-transcript"] == "exact"
        await one.leave()
        await other.leave()
        await seats.close()

    asyncio.run(go())


def test_seats_beyond_the_places_of_the_one_model_are_not_offered() -> None:
    class Led(Made):
        def __init__(self) -> None:
            super().__init__()
            self.backend = ScriptedDuplex(["Yes."], max_sessions=1)

        async def _load(self, kind: Any, stage: Any) -> Any:
            return self.backend if kind == "omni" else await super()._load(kind, stage)

    async def go(omni: Any) -> list[int]:
        seats = Seats(
            Settings("token", stages={"turn": "silence", "omni": omni}, limits=Limits(sessions=8)), pool=Led()
        )
        await seats.warm()
        free = [seats.free]
        one = await take(seats)
        free.append(seats.free)
        if free[-1] == 0:
            with pytest.raises(Busy, match="no place") as told:
                await take(seats)
            assert told.value.retry_after >= 1.0
        await one.leave()
        free.append(seats.free)
        await seats.close()
        return free

    assert run(go({"model": "scripted"})) == [1, 0, 1]
    assert run(go({"model": "scripted", "fallback": True})) == [8, 7, 8], "a pipeline stands in for who comes too late"


def test_a_server_whose_model_cannot_be_had_serves_the_pipeline_where_that_was_asked_for() -> None:
    class Without(Made):
        async def _load(self, kind: Any, stage: Any) -> Any:
            if kind == "omni":
                raise EngineMissing("omni: no such card here", stage="omni", model="m", hint="buy one")
            return await super()._load(kind, stage)

    async def go(omni: Any) -> set[str]:
        seats = Seats(Settings("token", stages={"turn": "silence", "omni": omni}, limits=Limits()), pool=Without())
        try:
            warm = await seats.warm()
            seat = await take(seats)
            assert set(seat.session.plan) == {"vad", "stt", "llm", "tts"}
            await seat.leave()
            return set(warm)
        finally:
            await seats.close()

    with pytest.raises(EngineMissing, match="no such card"):
        run(go({"model": "m"}))
    assert {"stt", "llm", "tts"} <= run(go({"model": "m", "fallback": True}))
