"""Engines in a process of their own: the same answers, cancelling, dying, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from locara import voice
from locara.engines import registry
from locara.engines.contracts import LanguageModel, Message, ReadsAhead, Recogniser, Tool, ToolCall, Voice
from locara.engines.hosting import HostedModel, HostedRecogniser, HostedVoice
from locara.errors import ConfigError, EngineFailed, EngineMissing
from locara.testing import EnergyDetector, ScriptedRecogniser, ScriptedVoice

_PLUGIN = """
import asyncio, os
import numpy as np
from locara.engines.contracts import EngineInfo, Speech, ToolCall, Transcript, WordMark
from locara.errors import EngineMissing

{settings}

def create(model, options):
    if not model.startswith("toy"):
        return None
    return Toy(model, options)

class Toy:
    rate = 8000
    language = "de"

    def __init__(self, model, options):
        self.info = EngineInfo("toy", model, "Apache-2.0")
        self.options = options

    async def load(self):
        if self.info.model == "toy-missing":
            raise EngineMissing("stt: no such package", stage="stt", model=self.info.model, hint="pip install toy")
        if self.info.model == "toy-crash":
            os.abort()

    async def close(self):
        pass

    # recogniser
    def open(self):
        return Hearing()

    # language model
    async def reply(self, messages, tools=()):
        said = messages[-1].content
        if said == "crash":
            os._exit(3)
        if said == "hang":
            yield "wait"
            await asyncio.sleep(60)
        if said == "fail":
            raise LookupError("no such thing")
        if said == "tool":
            yield ToolCall("1", tools[0].name, {{"x": 1}})
        for n in range(10_000 if said == "long" else 3):
            yield str(n)
        yield os.environ.get("TOY", "")

    async def read(self, messages, tools=()):
        return messages[-1].content == "read me"

    # voice
    async def speak(self, text):
        for n, word in enumerate(text.split()):
            yield Speech(np.full(4, n / 8, np.float32), (WordMark(4 * n, 0, len(word)),))

class Hearing:
    def __init__(self):
        self.n = 0

    async def push(self, samples):
        self.n += samples.size
        if samples.size and samples[0] == 7:
            os._exit(3)
        return str(self.n) if self.n % 2 == 0 else None

    async def settle(self):
        return Transcript(f"{{self.n}} samples", 0.5)

    async def close(self):
        pass
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """A plugin that this process and its children find."""

    def add(kind: str, settings: str = "") -> None:
        (tmp_path / f"toy_{kind}.py").write_text(_PLUGIN.format(settings=settings), encoding="utf-8")
        info = tmp_path / f"toy_{kind}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: toy_{kind}\nVersion: 1.0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[locara.{kind}]\ntoy = toy_{kind}:create\n", encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return cast("Callable[[str, str], None]", add)


Install = Callable[..., None]


def _model(**options: Any) -> HostedModel:
    engine = registry.create("llm", "toy", {"process": "own", **options})
    assert isinstance(engine, HostedModel)
    return engine


async def _reply(model: LanguageModel, text: str, tools: tuple[Tool, ...] = ()) -> list[str | ToolCall]:
    return [item async for item in model.reply([Message("user", text)], tools)]


def test_a_hosted_recogniser_hears_what_it_is_given_and_may_be_settled_twice(install: Install) -> None:
    install("stt")

    async def turn() -> None:
        engine = registry.create("stt", "toy", {"process": "own"})
        assert isinstance(engine, HostedRecogniser)
        await engine.load()
        try:
            assert engine.info.where == "child process"
            assert engine.pid not in (None, os.getpid())
            one = cast(Recogniser, engine).open()
            assert await one.push(np.zeros(3, np.float32)) is None
            assert await one.push(np.zeros(1, np.float32)) == "4"
            assert (await one.settle()).text == "4 samples"
            assert await one.push(np.zeros(2, np.float32)) == "6"
            got = await one.settle()
            assert (got.text, got.confidence) == ("6 samples", 0.5)
            await one.close()
            await one.close()
            with pytest.raises(EngineFailed, match="has ended"):
                await one.settle()
            assert (await cast(Recogniser, engine).open().settle()).text == "0 samples"
        finally:
            await engine.close()
            await engine.close()

    asyncio.run(turn())


def test_a_recogniser_that_dies_in_a_turn_is_an_error_then_and_there_again_for_the_next(install: Install) -> None:
    install("stt")

    async def turns() -> None:
        engine = cast(Recogniser, registry.create("stt", "toy", {"process": "own"}))
        await engine.load()
        try:
            one = engine.open()
            with pytest.raises(EngineFailed, match="process has died"):
                await one.push(np.full(1, 7, np.float32))
            with pytest.raises(EngineFailed, match="died during this turn"):
                await one.settle()
            await one.close()
            assert await engine.open().push(np.zeros(2, np.float32)) == "2"
        finally:
            await engine.close()

    asyncio.run(turns())


def test_a_hosted_voice_gives_the_same_samples_and_words(install: Install) -> None:
    install("tts")

    async def speak() -> None:
        voice = registry.create("tts", "toy", {"process": "own"})
        assert isinstance(voice, HostedVoice)
        await voice.load()
        try:
            assert (voice.rate, getattr(voice, "language", "")) == (8000, "de")
            got = [speech async for speech in cast(Voice, voice).speak("one two")]
            assert [speech.samples.tolist() for speech in got] == [[0.0] * 4, [0.125] * 4]
            assert [(mark.at, mark.end) for speech in got for mark in speech.words] == [(0, 3), (4, 3)]
        finally:
            await voice.close()

    asyncio.run(speak())


def test_a_hosted_model_replies_calls_tools_and_reads_ahead(install: Install) -> None:
    install("llm", 'PROCESS, ENVIRONMENT = "own", {"TOY": "set before it was imported"}')

    async def talk() -> None:
        model = registry.create("llm", "toy", {})
        assert isinstance(model, HostedModel)  # the module says so itself
        assert isinstance(model, ReadsAhead)
        tool = Tool("count", "counts", {"type": "object"}, lambda: None)
        await model.load()
        try:
            assert await _reply(model, "hi") == ["0", "1", "2", "set before it was imported"]
            assert (await _reply(model, "tool", (tool,)))[0] == ToolCall("1", "count", {"x": 1})
            assert await model.read([Message("user", "read me")])
            assert not await model.read([Message("user", "something else")])
            with pytest.raises(EngineFailed, match="no such thing"):
                await _reply(model, "fail")
            assert len(await _reply(model, "long")) == 10_001
        finally:
            await model.close()

    asyncio.run(talk())


def test_closing_a_reply_stops_the_engine_at_once_and_it_can_be_asked_again(install: Install) -> None:
    install("llm")

    async def talk() -> None:
        model = _model()
        await model.load()
        try:
            for said in ("hang", "long", "hang"):
                stream = cast(Any, model.reply([Message("user", said)]))
                assert await anext(stream)
                await stream.aclose()
                began = time.monotonic()
                assert len(await _reply(model, "hi")) == 4
                assert time.monotonic() - began < 20  # the hanging one sleeps for 60
        finally:
            await model.close()

    asyncio.run(talk())


def test_a_model_that_dies_in_a_reply_is_started_again_for_the_next(install: Install) -> None:
    install("llm")

    async def talk() -> None:
        model = _model()
        await model.load()
        try:
            with pytest.raises(EngineFailed, match="process has died"):
                await _reply(model, "crash")
            assert len(await _reply(model, "hi")) == 4
            assert model.pid is not None
            os.kill(model.pid, signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
            for _ in range(2):  # the first call may meet the death, the second may not
                try:
                    assert len(await _reply(model, "hi")) == 4
                    break
                except EngineFailed:
                    continue
            else:
                pytest.fail("it was not started again")
        finally:
            await model.close()

    asyncio.run(talk())


@pytest.mark.parametrize(("model", "kind", "text"), [("toy-missing", EngineMissing, "no such package")])
def test_what_the_engine_raises_while_loading_is_raised_here(
    install: Install, model: str, kind: type[Exception], text: str
) -> None:
    install("stt")

    async def load() -> None:
        engine = registry.create("stt", model, {"process": "own"})
        try:
            with pytest.raises(kind, match=text) as caught:
                await engine.load()
            assert getattr(caught.value, "hint", "") == "pip install toy"
        finally:
            await engine.close()

    asyncio.run(load())


def test_an_engine_that_crashes_while_loading_costs_an_error_and_not_us(install: Install) -> None:
    install("stt")

    async def load() -> None:
        engine = registry.create("stt", "toy-crash", {"process": "own"})
        try:
            with pytest.raises(EngineFailed, match="process has died"):
                await engine.load()
        finally:
            await engine.close()

    asyncio.run(load())


def test_what_cannot_be_hosted_says_why(install: Install) -> None:
    install("llm")
    with pytest.raises(ConfigError, match="plain data"):
        _model(callback=print)
    with pytest.raises(ConfigError, match="its own tools need this process"):
        registry.create("llm", "built-in", {"process": "own"})
    with pytest.raises(ConfigError, match="not possible for vad"):
        registry.create("vad", "silero", {"process": "own"})
    with pytest.raises(ConfigError, match="is not known"):
        registry.create("llm", "toy", {"process": "elsewhere"})


def test_a_session_survives_the_death_of_a_hosted_model_in_the_middle_of_a_reply(install: Install) -> None:
    install("llm")

    async def talk() -> tuple[list[Any], list[str]]:
        session = voice.session(
            stt=ScriptedRecogniser([]), vad=EnergyDetector(), turn_detection="silence", tts=ScriptedVoice(),
            llm={"model": "toy", "process": "own"}, input="none", output="none",
        )  # fmt: skip
        errors: list[Any] = []
        said: list[str] = []
        stream = session.events()
        async with session, asyncio.timeout(60):
            session.send_text("crash")
            async for event in cast("AsyncIterator[Any]", stream):
                if event.type == "error":
                    errors.append(event)
                    session.send_text("hi")
                if event.type == "llm-token":
                    said.append(event.text)
                if event.type == "turn-end" and event.who == "assistant" and said:
                    break
        return errors, said

    errors, said = asyncio.run(talk())
    assert [(one.stage, one.fatal) for one in errors] == [("llm", False)]
    assert "".join(said).startswith("012")
