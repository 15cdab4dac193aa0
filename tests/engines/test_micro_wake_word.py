"""The wake word for real: synthetic speech through the real models. Runs where the extra ``wake`` is installed."""

from __future__ import annotations

import asyncio
import builtins
import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from locara.audio import BLOCK, RATE, Samples, resample, silence
from locara.engines import registry
from locara.engines.contracts import Voice, WakeWord
from locara.engines.espeak import create as espeak
from locara.engines.micro_wake_word import MODELS, WINDOW, create
from locara.errors import ConfigError, EngineFailed, EngineMissing
from locara.gate.waking import Spotted, Waking


@pytest.fixture(scope="module")
def library() -> Any:
    return pytest.importorskip("pymicro_wakeword", reason="pip install 'locara[wake]'")


async def said(*texts: str) -> Samples:
    """Each text spoken by espeak-ng, with a second of silence before and after it."""
    voice = espeak("espeak-ng", {})
    assert voice is not None
    await voice.load()
    try:
        pieces = [silence(RATE)]
        for text in texts:
            pieces += [await _spoken(voice, text), silence(RATE)]
        return np.concatenate(pieces)
    finally:
        await voice.close()


async def _spoken(voice: Voice, text: str) -> Samples:
    return resample(np.concatenate([piece.samples async for piece in voice.speak(text)]), voice.rate, RATE)


async def loaded(word: str = "", **options: Any) -> WakeWord:
    engine = create(word, options)
    assert engine is not None
    await engine.load()
    return engine


def listened(engine: WakeWord, sound: Samples) -> list[Spotted]:
    waking = Waking(engine)
    found = [waking.hear(sound[at : at + BLOCK]) for at in range(0, sound.size, BLOCK)]
    return [one for one in found if one is not None]


@pytest.mark.parametrize("word", ["okay nabu", "alexa"])
def test_the_word_is_noticed_each_time_and_other_words_are_not(library: Any, word: str) -> None:
    async def main() -> None:
        engine = await loaded(word)
        try:
            sound = await said(f"{word}.", f"{word}.")
            assert len(listened(engine, sound)) == 2
            assert not listened(engine, await said("The weather is nice today.", "Okay, and what about tomorrow?"))
        finally:
            await engine.close()

    asyncio.run(main())


def test_where_the_word_ended_is_known_well_enough_to_cut_there(library: Any) -> None:
    async def main() -> None:
        engine = await loaded("alexa")
        try:
            sound = await said("alexa.")
            (spotted,) = listened(engine, sound)
        finally:
            await engine.close()
        end = int(np.flatnonzero(np.abs(sound) > 0.05 * np.abs(sound).max())[-1])
        assert abs(spotted.ended - end) < 0.2 * RATE

    asyncio.run(main())


def test_a_model_of_ones_own_is_given_by_its_path(library: Any) -> None:
    path = Path(library.__file__).with_name("models") / "alexa.json"

    async def main() -> None:
        engine = await loaded(str(path))
        try:
            assert engine.word == "alexa"
            assert engine.info.licence == ""
            assert listened(engine, await said("alexa."))
        finally:
            await engine.close()

    asyncio.run(main())


def test_the_threshold_is_the_models_unless_another_is_asked_for(library: Any) -> None:
    async def main() -> None:
        for asked, wanted in ((None, 0.9), (0.4, 0.4)):
            engine = await loaded("alexa", **({} if asked is None else {"threshold": asked}))
            assert engine.threshold == pytest.approx(wanted)
            await engine.close()
            await engine.close()

    asyncio.run(main())


@pytest.mark.parametrize(("content", "code"), [(None, EngineMissing), ("{}", EngineFailed), ("no json", EngineFailed)])
def test_a_path_that_leads_to_no_model_is_said_so(
    library: Any, tmp_path: Path, content: str | None, code: type[Exception]
) -> None:
    path = tmp_path / "hey_you.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(code) as caught:
        asyncio.run(loaded(str(path)))
    assert "hey_you.json" in str(caught.value)
    assert getattr(caught.value, "hint", "")


def test_windows_of_another_size_and_an_engine_that_is_not_loaded_are_refused(library: Any) -> None:
    engine = create("", {})
    assert engine is not None
    with pytest.raises(EngineFailed):
        engine.probability(silence(WINDOW))
    asyncio.run(engine.load())
    with pytest.raises(EngineFailed):
        engine.probability(silence(160))
    asyncio.run(engine.close())


def test_without_the_extra_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def missing(name: str, package: str | None = None) -> Any:
        if name == "pymicro_wakeword":
            raise builtins.ModuleNotFoundError("No module named 'pymicro_wakeword'")
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(EngineMissing) as caught:
        asyncio.run(loaded())
    assert caught.value.stage == "wake"
    assert "pip install 'locara[wake]'" in caught.value.hint


def test_it_is_found_by_its_words_and_refuses_options_it_does_not_know() -> None:
    assert registry.create("wake", "", {}).info.model == MODELS[0]
    assert registry.create("wake", "okay nabu", {"engine": "micro-wake-word"}).info.model == "okay nabu"
    assert create("hey computer", {}) is None
    with pytest.raises(ConfigError):
        create("alexa", {"sensitivity": 0.5})


RECORDINGS = Path(os.environ.get("LOCARA_SHARED", "")) / "audio" / "shortwords"


@pytest.mark.skipif(not os.environ.get("LOCARA_SHARED"), reason="LOCARA_SHARED names no folder of recordings")
def test_people_who_say_alexa_are_noticed_and_people_who_say_other_words_are_not(library: Any) -> None:
    sf = pytest.importorskip("soundfile")

    async def main() -> dict[str, list[int]]:
        engine = await loaded("alexa")
        noticed: dict[str, list[int]] = {}
        for path in sorted(RECORDINGS.glob("*.flac")):
            sound = np.concatenate([silence(RATE), sf.read(path, dtype="float32")[0], silence(RATE)])
            noticed.setdefault(path.name.partition("_")[0], []).append(len(listened(engine, sound)))
        await engine.close()
        return noticed

    noticed = asyncio.run(main())
    assert sum(noticed.pop("alexa")) >= 3
    assert not any(sum(times) for times in noticed.values())
