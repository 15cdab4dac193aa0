"""The voices of Windows, as far as they can be checked without one: the real worker, in a real process, against a stand-in
for the packages winrt-* that has the names of their type stubs."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from locara.engines import registry, windows_tts
from locara.engines.contracts import SpeaksLanguage
from locara.engines.windows_tts_worker import choose
from locara.errors import ConfigError, EngineFailed, EngineMissing, EngineTimeout

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in would hide the real packages")
FAKE = Path(__file__).with_name("fake_winrt")


@pytest.fixture
def winrt(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("PYTHONPATH", str(FAKE))
    monkeypatch.syspath_prepend(str(FAKE))
    return monkeypatch


@asynccontextmanager
async def _voice(model: str = "windows-tts", **options: Any) -> AsyncIterator[windows_tts.WindowsVoice]:
    before = set(threading.enumerate())
    voice = windows_tts.create(model, options)
    assert isinstance(voice, windows_tts.WindowsVoice)
    try:
        await voice.load()
        yield voice
    finally:
        await voice.close()
        await voice.close()
    new = set(threading.enumerate()) - before
    assert not [thread.name for thread in new if thread.name.startswith("locara")]


async def _said(voice: windows_tts.WindowsVoice, text: str) -> tuple[int, list[str], list[int]]:
    pieces = [piece async for piece in voice.speak(text)]
    marks = [word for piece in pieces for word in piece.words]
    size = sum(piece.samples.size for piece in pieces)
    assert not pieces or np.concatenate([piece.samples for piece in pieces]).dtype == np.float32
    return size, [text[word.start : word.end] for word in marks], [word.at for word in marks]


def _run(model: str = "windows-tts", text: str = "Hello.", **options: Any) -> tuple[int, list[str], list[int]]:
    async def run() -> tuple[int, list[str], list[int]]:
        async with _voice(model, **options) as voice:
            return await _said(voice, text)

    return asyncio.run(asyncio.wait_for(run(), 60))


def test_only_its_own_names_are_answered() -> None:
    assert windows_tts.create("windows-tts:Zira", {"engine": "windows-tts", "path": "x"}) is not None
    assert registry.create("tts", "windows-tts", {}).info.engine == "windows-tts"
    for model in ("", "native", "windows", "zira"):
        assert windows_tts.create(model, {}) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rate": 0.1}, "rate"),
        ({"pitch": "low"}, "pitch"),
        ({"langage": "de"}, "did you mean 'language'"),
        ({"language": "?"}, "language"),
        ({"voice": 1}, "voice"),
    ],
)
def test_bad_options_are_errors_that_name_the_option(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        windows_tts.create("windows-tts", options)
    assert said in caught.value.explain()


def test_elsewhere_it_is_missing_and_says_what_to_use() -> None:
    with pytest.raises(EngineMissing, match="part of Windows") as caught:
        _run()
    assert "use a voice" in caught.value.hint


def test_a_text_is_spoken_with_its_words(winrt: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with _voice(voice="microsoft david") as voice:
            assert voice.rate == 16_000
            assert voice.info.word_times
            assert not voice.info.streaming
            assert voice.info.model == "windows-tts:Microsoft David"
            assert isinstance(voice, SpeaksLanguage)
            assert voice.language == "en-US"
            text = "Hello \N{GRINNING FACE} naïve world."
            assert await _said(voice, text) == (4 * 1_600, text.split(), [0, 1_600, 3_200, 4_800])
            assert await _said(voice, " ") == (0, [], [])
            assert (await _said(voice, "half \ud83d\0pair"))[0] > 0
            long = await _said(voice, "word " * 300)
            assert long[0] == 300 * 1_600

    asyncio.run(run())


def test_a_voice_is_found_by_name_or_language(winrt: pytest.MonkeyPatch) -> None:
    from winrt.windows.media.speechsynthesis import VOICES

    def name(voice: str = "", language: str = "") -> str:
        return str(getattr(choose(VOICES, voice, language), "display_name", "the system's"))

    assert name() == "the system's"
    assert (
        name("Hedda") == name("Microsoft hedda") == name(language="de") == name(language="de-AT") == "Microsoft Hedda"
    )
    assert name(language="en-GB") == "Microsoft Hazel"
    assert name(language="en-IE") == "Microsoft David"
    for options, said in (({"voice": "Zira"}, "no voice 'Zira'"), ({"language": "fr"}, "no voice for 'fr'")):
        with pytest.raises(EngineFailed, match=said) as caught:
            _run(**options)
        assert "Microsoft Hazel (en-GB)" in caught.value.hint


@pytest.mark.parametrize(
    ("fault", "text", "said"),
    [
        ("no-voices", "", "no voice at all"),
        ("no-wav", "", "no WAV file|no sound that can be read"),
        ("dies", "now die", "exit status 7"),
        ("fails", "now fail", "remote procedure call"),
        ("changes-rate", "now", "22050 Hz after sound at 16000 Hz"),
    ],
)
def test_what_goes_wrong_is_said(winrt: pytest.MonkeyPatch, fault: str, text: str, said: str) -> None:
    winrt.setenv("FAKE_WINRT", fault)
    with pytest.raises(EngineFailed, match=said):
        _run(text=text)


def test_a_process_that_died_or_hangs_is_replaced(winrt: pytest.MonkeyPatch) -> None:
    async def run(text: str, error: type[Exception]) -> None:
        async with _voice(deadline=1.0) as voice:
            with pytest.raises(error):
                await _said(voice, text)
            assert (await _said(voice, "Back again."))[1] == ["Back", "again."]

    winrt.setenv("FAKE_WINRT", "dies")
    asyncio.run(run("now die", EngineFailed))
    winrt.setenv("FAKE_WINRT", "hangs")
    asyncio.run(run("now hang", EngineTimeout))


def test_a_voice_without_marks_has_no_word_times(winrt: pytest.MonkeyPatch) -> None:
    winrt.setenv("FAKE_WINRT", "no-marks")

    async def run() -> None:
        async with _voice() as voice:
            assert not voice.info.word_times
            assert (await _said(voice, "one two"))[:2] == (3_200, [])

    asyncio.run(run())
