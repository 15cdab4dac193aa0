"""A model for everything that cannot be had, or dies: a pipeline takes over where that was asked for."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from locara import voice
from locara.engines.contracts import Engine
from locara.errors import ConfigError, EngineMissing, StageError
from locara.testing import (
    EnergyDetector,
    Fault,
    Line,
    Mishap,
    Room,
    ScriptedDuplex,
    ScriptedModel,
    ScriptedRecogniser,
    ScriptedVoice,
    Spoken,
    run,
)
from locara.testing.scripted import speech_like
from locara.voice import Deadlines, Session
from locara.voice.brain import Brain
from locara.voice.events import Event
from locara.voice.falling_back import FallingBack
from locara.voice.pipeline import PipelineBrain

LINES = (Line(0.5, "what time is it now"), Line(7.0, "and what day is it now"))
SHORT = Deadlines(load=1.0, push=0.5, close=0.5)


class _Watched(ScriptedVoice):
    loaded = closed = 0

    async def load(self) -> None:
        self.loaded += 1

    async def close(self) -> None:
        self.closed += 1


def _play(first: ScriptedDuplex, *, broken: bool = False) -> tuple[list[Event], Session, _Watched]:
    tts = _Watched(fault=Fault("raises", "load") if broken else None)
    script = [Spoken(one.at, one.end, one.text) for one in LINES]
    kept: list[Session] = []

    def second() -> Brain:
        llm = ScriptedModel(["It is Sunday."], fault=Fault("raises", "load") if broken else None)
        return PipelineBrain(ScriptedRecogniser(script), llm, tts, deadlines=SHORT)

    async def main() -> list[Event]:
        room = Room(speech_like(script, 9.0))
        plain = voice.session(omni=first, vad=EnergyDetector(), input=room.microphone, output=room.speaker)
        parts = plain._parts
        brain = FallingBack(parts.brain, second, SHORT)
        session = Session(dataclasses.replace(parts, brain=brain, deadlines=SHORT))
        kept.append(session)
        events: list[Event] = []

        async def collect() -> None:
            async for one in session.events():
                events.append(one)

        tap = asyncio.create_task(collect())
        try:
            async with session:
                await asyncio.wait([asyncio.create_task(session.wait_ended())], timeout=13.0)
        finally:
            await asyncio.wait([tap], timeout=1.0)
        return events

    return run(main()), kept[0], tts


def _ends(events: list[Event]) -> list[tuple[str, str]]:
    return [(one.who, one.reason) for one in events if one.type == "turn-end"]  # type: ignore[attr-defined]


def test_a_model_that_is_there_is_used_and_the_pipeline_never_loaded() -> None:
    events, session, tts = _play(ScriptedDuplex(["It is noon."]))
    assert not [one for one in events if one.type == "error"]
    assert tts.loaded == 0
    assert set(session.plan) == {"vad", "omni"}


@pytest.mark.parametrize("where", ["load", "start_session"])
def test_one_that_cannot_be_had_is_told_and_the_pipeline_speaks_from_the_start(where: str) -> None:
    events, session, tts = _play(ScriptedDuplex(fault=Fault("raises", where)))
    del session
    if where == "load":
        pass
    errors = [one for one in events if one.type == "error"]
    assert [(one.stage, one.fatal) for one in errors] == [("omni", False)]  # type: ignore[attr-defined]
    assert "pipeline" in errors[0].hint  # type: ignore[attr-defined]
    assert ("assistant", "finished") in _ends(events)
    assert any(one.type == "final-transcript" for one in events)
    assert (tts.loaded, tts.closed) == (1, 1)


def test_one_that_dies_for_good_is_replaced_within_the_conversation() -> None:
    dying = ScriptedDuplex(
        ["It is noon now and it will be for a long time."],
        mishaps=[Mishap(3.0)],
        fault=Fault("raises", "start_session", 1, lasting=True),
    )
    events, session, tts = _play(dying)
    kinds = [one.type for one in events]
    assert "plan-changed" in kinds
    assert kinds[-1] == "session-end"
    assert events[-1].reason == "stopped"  # type: ignore[attr-defined]
    assert "".join(one.text for one in events if one.type == "llm-token").endswith("It is Sunday.")  # type: ignore[attr-defined]
    assert _ends(events)[-1] == ("assistant", "finished")
    assert (tts.loaded, tts.closed) == (1, 1)
    assert session.metrics()["fallbacks"] == 1.0


def test_where_the_pipeline_cannot_be_had_either_that_is_the_news() -> None:
    with pytest.raises(StageError, match="llm"):
        _play(ScriptedDuplex(fault=Fault("raises", "start_session")), broken=True)


def test_the_engines_of_both_are_closed() -> None:
    class Closing(ScriptedDuplex):
        closed = 0

        async def close(self) -> None:
            self.closed += 1
            await super().close()

    model: Engine = Closing(mishaps=[Mishap(1.0)], fault=Fault("raises", "start_session", 1, lasting=True))
    _play(model)  # type: ignore[arg-type]
    assert model.closed >= 1  # type: ignore[attr-defined]


def test_it_is_asked_for_in_one_word_or_with_the_stages_that_stand_in() -> None:
    script = [Spoken(one.at, one.end, one.text) for one in LINES]

    async def main() -> list[Event]:
        room = Room(speech_like(script, 9.0))
        session = voice.session(
            omni={
                "model": ScriptedDuplex(fault=Fault("raises", "start_session")),
                "fallback": {"stt": ScriptedRecogniser(script), "llm": ScriptedModel(["Yes."]), "tts": ScriptedVoice()},
            },
            vad=EnergyDetector(),
            turn_detection="silence",
            input=room.microphone,
            output=room.speaker,
        )
        events: list[Event] = []

        async def collect() -> None:
            async for one in session.events():
                events.append(one)

        tap = asyncio.create_task(collect())
        async with session:
            assert set(session.plan) == {"vad", "stt", "llm", "tts"}
            await asyncio.sleep(13.0)
        await tap
        return events

    assert ("assistant", "finished") in _ends(run(main()))


def test_a_model_that_cannot_even_be_made_here_is_told_and_the_pipeline_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    script = [Spoken(one.at, one.end, one.text) for one in LINES]
    why = EngineMissing("omni: it needs an accelerator", stage="omni", model="big", hint="use a smaller one")

    def refuse(*_: object) -> Engine:
        raise why

    monkeypatch.setattr("locara.voice.naming.named", refuse)
    stages = {"stt": ScriptedRecogniser(script), "llm": ScriptedModel(["Yes."]), "tts": ScriptedVoice()}

    async def main() -> list[Event]:
        room = Room(speech_like(script, 9.0))
        session = voice.session(
            omni={"model": "big", "fallback": stages},
            vad=EnergyDetector(),
            turn_detection="silence",
            input=room.microphone,
            output=room.speaker,
        )
        events: list[Event] = []

        async def collect() -> None:
            async for one in session.events():
                events.append(one)

        tap = asyncio.create_task(collect())
        async with session:
            await asyncio.sleep(13.0)
        await tap
        return events

    events = run(main())
    told = [one for one in events if one.type == "error"]
    assert [(one.code, one.fatal) for one in told] == [(why.code, False)]  # type: ignore[attr-defined]
    assert ("assistant", "finished") in _ends(events)
    with pytest.raises(EngineMissing):
        voice.session(omni="big", input="none", output="none")


def test_after_the_pipeline_has_taken_over_it_can_be_changed_and_told_like_any_other() -> None:
    script = [Spoken(one.at, one.end, one.text) for one in LINES]
    old = ScriptedModel(["It is Sunday."])

    async def main() -> None:
        room = Room(speech_like(script, 9.0))
        session = voice.session(
            omni={
                "model": ScriptedDuplex(fault=Fault("raises", "start_session")),
                "fallback": {"stt": ScriptedRecogniser(script), "llm": old, "tts": ScriptedVoice()},
            },
            vad=EnergyDetector(),
            turn_detection="silence",
            input=room.microphone,
            output=room.speaker,
        )
        async with session:
            session.configure(system="Be brief.", answers="asked", interruptible=False)
            session.configure(answers="auto")
            await session.change(llm=ScriptedModel(["It is Monday."]))
            await asyncio.sleep(13.0)
            said = [one.text for one in session.history if isinstance(one, voice.Said) and one.role == "assistant"]
        assert said
        assert set(said) == {"It is Monday."}

    run(main())


def test_before_that_what_only_a_pipeline_can_do_is_refused() -> None:
    async def main() -> None:
        session = voice.session(
            omni={"model": ScriptedDuplex(), "fallback": True}, vad=EnergyDetector(), input="none", output="none"
        )
        async with session:
            with pytest.raises(ConfigError, match="one model for everything"):
                session.configure(system="Be brief.")
            with pytest.raises(ConfigError, match="one model for everything"):
                await session.change(llm=ScriptedModel(["x"]))

    run(main())


def test_what_cannot_stand_in_is_refused() -> None:
    with pytest.raises(ConfigError, match="fallback"):
        voice.session(omni={"model": ScriptedDuplex(), "fallback": {"omni": "x"}}, input="none", output="none")
