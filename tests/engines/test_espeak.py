"""The embedded voice."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.audio import Samples, dbfs
from locara.engines import espeak
from locara.engines.contracts import SpeaksLanguage, Speech, WordMark
from locara.errors import ConfigError, EngineFailed


@asynccontextmanager
async def _voice(model: str = "espeak-ng", **options: Any) -> AsyncIterator[espeak.Espeak]:
    before = _threads()
    voice = espeak.create(model, options)
    assert isinstance(voice, espeak.Espeak)
    try:
        await voice.load()
        yield voice
    finally:
        await voice.close()
        await voice.close()
    assert _threads() == before


def _threads() -> list[str]:
    """Ours: asyncio's own pool may keep the thread that it lent for closing."""
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("locara"))


async def _said(voice: espeak.Espeak, text: str) -> tuple[Samples, list[WordMark]]:
    pieces = [piece async for piece in voice.speak(text)]
    assert all(piece.samples.dtype == np.float32 for piece in pieces)
    return np.concatenate([piece.samples for piece in pieces]), [mark for piece in pieces for mark in piece.words]


def test_only_its_own_names_are_answered() -> None:
    for model in ("", "espeak-ng", "espeak", "espeak-ng:en-gb"):
        assert espeak.create(model, {}) is not None
    for model in ("kokoro-82m", "espeak-ng-2", ":en-gb"):
        assert espeak.create(model, {}) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rate_wpm": 20}, "rate_wpm"),
        ({"pitch": "high"}, "pitch"),
        ({"speed": 1}, "speed"),
        ({"voice": "../../etc/passwd"}, "voice"),
        ({"voice": ""}, "voice"),
        ({"deadline": 0}, "deadline"),
    ],
)
def test_bad_options_are_errors_that_name_the_option(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        espeak.create("espeak-ng", options)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("model", "language"),
    [("espeak-ng", "en-us"), ("espeak-ng:de", "de"), ("espeak-ng:en-gb+f3", "en-gb"), ("espeak-ng:gmw/de", "")],
)
def test_it_says_which_language_its_voice_speaks(model: str, language: str) -> None:
    voice = espeak.create(model, {})
    assert isinstance(voice, SpeaksLanguage)
    assert voice.language == language


def test_two_different_voices_are_an_error() -> None:
    with pytest.raises(ConfigError, match="two voices"):
        espeak.create("espeak-ng:de", {"voice": "fr"})


def test_speech_comes_in_small_chunks_with_every_word_marked_where_it_begins() -> None:
    text = "Grüß Gott, naïve café \N{GRINNING FACE} said it costs 42 €, or 1234 dollars. don't stop-it now!"

    async def run() -> None:
        async with _voice() as voice:
            assert voice.rate == 22_050
            assert voice.info.where == "child process"
            assert "GPL" in voice.info.licence
            pieces: list[Speech] = [piece async for piece in voice.speak(text)]
        sizes = [piece.samples.size for piece in pieces]
        assert max(sizes) <= 0.121 * 22_050
        assert sizes[0] <= 0.061 * 22_050
        sound = np.concatenate([piece.samples for piece in pieces])
        assert 5 < sound.size / 22_050 < 12
        assert dbfs(sound) > -35
        assert float(np.max(np.abs(sound))) <= 1.0
        found = [mark for piece in pieces for mark in piece.words]
        assert [text[mark.start : mark.end] for mark in found] == text.split()
        assert [mark.at for mark in found] == sorted({mark.at for mark in found})
        # In the chunk in which it begins; a guessed word ("don't") may come a little later.
        starts = np.concatenate([[0], np.cumsum(sizes)])
        early = [mark for k, piece in enumerate(pieces) for mark in piece.words if mark.at < starts[k]]
        assert [text[mark.start : mark.end] for mark in early] in ([], ["don't"])
        assert all(mark.at < starts[k + 1] for k, piece in enumerate(pieces) for mark in piece.words)

    asyncio.run(run())


def test_a_words_position_is_exact_to_the_sample() -> None:
    """After a sentence's pause the sound begins where the mark says, on its own evidence."""

    async def run() -> None:
        async with _voice() as voice:
            sound, found = await _said(voice, "Stop. Go.")
        second = found[1].at
        step = 110  # 5 ms
        loud = [dbfs(sound[at : at + step]) > -50 for at in range(0, sound.size - step, step)]
        before = [at for at in range(second // step - 20, second // step - 2) if loud[at]]
        assert not before  # 90 ms of silence up to the mark
        assert any(loud[second // step : second // step + 24])  # "g" holds its breath before it sounds

    asyncio.run(run())


def test_the_same_text_gives_the_same_speech_and_faster_is_shorter() -> None:
    async def run() -> None:
        async with _voice() as voice:
            first, marks = await _said(voice, "One two three.")
            again, marks_again = await _said(voice, "One two three.")
            # The library's oscillators run on from text to text: a few samples, never more.
            assert [mark.start for mark in marks] == [mark.start for mark in marks_again]
            assert np.allclose([mark.at for mark in marks], [mark.at for mark in marks_again], atol=50)
            assert abs(first.size - again.size) < 50
        async with _voice("espeak-ng:en-gb", rate_wpm=350, pitch=80) as voice:
            fast, _ = await _said(voice, "One two three.")
            assert voice.info.model == "espeak-ng:en-gb"
        assert fast.size < 0.7 * first.size

    asyncio.run(run())


@pytest.mark.parametrize(
    "text", ["\0", "\ud83d", "[[h@'loU]] <speak>&", "a\0b c", "\u202e" * 50, "x" * 3000, "é" * 200]
)
def test_strange_texts_are_spoken_or_silent_and_never_an_error(text: str) -> None:
    async def run() -> None:
        async with _voice() as voice:
            pieces = [piece async for piece in voice.speak(text)]
            assert all(0 <= mark.start < mark.end <= len(text) for piece in pieces for mark in piece.words)
            assert [piece async for piece in voice.speak(" \n")] == []

    asyncio.run(run())


def test_closing_the_iterator_stops_the_work_and_the_next_text_is_whole() -> None:
    async def run() -> None:
        async with _voice() as voice:
            long = cast("AsyncGenerator[Speech, None]", voice.speak("word " * 20_000))
            await anext(long)
            await asyncio.wait_for(long.aclose(), 2)
            sound, found = await asyncio.wait_for(_said(voice, "Hello there."), 5)
            assert len(found) == 2
            assert sound.size / 22_050 < 2

    asyncio.run(run())


def test_cancelling_the_task_that_listens_leaves_the_voice_usable() -> None:
    async def run() -> None:
        async with _voice() as voice:

            async def listen() -> None:
                async for _ in voice.speak("word " * 20_000):
                    await asyncio.sleep(0)

            task = asyncio.create_task(listen())
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            _, found = await asyncio.wait_for(_said(voice, "Hello."), 5)
            assert len(found) == 1

    asyncio.run(run())


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_program_is_an_error_and_the_next_text_starts_it_again() -> None:
    async def run() -> None:
        async with _voice() as voice:
            speech = voice.speak("word " * 20_000)
            await anext(speech)
            assert voice._child.pid is not None
            os.kill(voice._child.pid, signal.SIGKILL)
            with pytest.raises(EngineFailed, match="died") as caught:
                async for _ in speech:
                    pass
            assert caught.value.stage == "tts"
            _, found = await asyncio.wait_for(_said(voice, "Back again."), 10)
            assert len(found) == 2

    asyncio.run(run())


def test_an_unknown_voice_is_an_error_that_suggests_others() -> None:
    async def run() -> None:
        async with _voice("espeak-ng:zz"):
            pass

    with pytest.raises(EngineFailed, match="no voice 'zz'") as caught:
        asyncio.run(run())
    assert "en-us" in caught.value.hint


@pytest.mark.parametrize("deep", [False, True])
def test_a_data_folder_that_cannot_be_used_is_an_error_and_not_an_exit(tmp_path: Path, deep: bool) -> None:
    folder = tmp_path / ("d" * 80) / ("e" * 80) if deep else tmp_path
    folder.mkdir(parents=True, exist_ok=True)

    async def run() -> None:
        async with _voice(data=str(folder)):
            pass

    with pytest.raises(EngineFailed, match="bytes, it can handle" if deep else "could not read its data"):
        asyncio.run(run())


def test_the_library_is_never_loaded_into_our_process() -> None:
    async def run() -> None:
        async with _voice() as voice:
            await _said(voice, "Hello.")

    asyncio.run(run())
    assert not any("espeakng_loader" in name for name in sys.modules)
    maps = Path("/proc/self/maps")
    if maps.exists():
        assert "espeak" not in maps.read_text(encoding="utf-8")


@given(st.text(alphabet=st.sampled_from("ab1., \n"), max_size=30), st.data())
def test_marks_are_written_words_in_order_each_once(text: str, data: st.DataObject) -> None:
    size = max(1, len(text))
    events = data.draw(st.lists(st.tuples(st.integers(0, 999), st.integers(0, size)), max_size=12))
    words = espeak.Words(text)
    found = [mark for at, character in sorted(events) for mark in words.mark(at, character)] + words.rest()
    assert all(text[mark.start : mark.end] in text.split() for mark in found)
    assert [mark.start for mark in found] == sorted({mark.start for mark in found})
    assert [mark.at for mark in found] == sorted(mark.at for mark in found)


def test_an_event_at_the_space_before_a_word_counts_unless_the_word_has_its_own() -> None:
    words = espeak.Words("one  two three")
    assert words.mark(10, 4) == []  # a guess at "two"
    assert words.mark(20, 9) == [WordMark(10, 5, 8), WordMark(20, 9, 14)]
    words = espeak.Words("one two")
    assert words.mark(10, 3) == []
    assert words.mark(30, 4) == [WordMark(30, 4, 7)]
    assert words.rest() == []
