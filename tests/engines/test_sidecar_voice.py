"""The dialogue with a voice in a sidecar, against a program that keeps the protocol and one that breaks it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.engines.contracts import EngineInfo, SpeaksLanguage, Speech, WordMark
from locara.engines.sidecar_voice import Positions, SidecarVoice, mark
from locara.errors import EngineFailed, EngineTimeout

FAKE = Path(__file__).with_name("fake_sidecar.py")
LONG = "word " * 20_000


@asynccontextmanager
async def _voice(fault: str = "", *, deadline: float = 10.0, first: float = 10.0) -> AsyncIterator[SidecarVoice]:
    before = set(threading.enumerate())
    voice = SidecarVoice(
        EngineInfo("fake", "fake-mouth", ""),
        lambda: [sys.executable, str(FAKE), "tts", fault],
        language="",
        deadline=deadline,
        first_deadline=first,
        start_deadline=20.0,
    )
    try:
        await voice.load()
        yield voice
    finally:
        await voice.close()
        await voice.close()
        assert not voice.sidecar.alive
    new = set(threading.enumerate()) - before
    assert not [thread.name for thread in new if thread.name.startswith("locara")]


def _run(work: Callable[[SidecarVoice], Awaitable[None]], fault: str = "", **deadlines: float) -> None:
    async def whole() -> None:
        async with _voice(fault, **deadlines) as voice:
            await work(voice)

    asyncio.run(asyncio.wait_for(whole(), 60))


async def _said(voice: SidecarVoice, text: str) -> tuple[int, list[str]]:
    pieces = [piece async for piece in voice.speak(text)]
    marks = [word for piece in pieces for word in piece.words]
    assert [word.at for word in marks] == sorted(word.at for word in marks)
    return sum(piece.samples.size for piece in pieces), [text[word.start : word.end] for word in marks]


@given(st.text(max_size=30))
def test_utf16_positions_lead_to_the_characters(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    positions = Positions(text)
    for index in range(len(text) + 1):
        assert positions.character(len(text[:index].encode("utf-16-le")) // 2) == index
    assert positions.character(10_000) == len(text)


@pytest.mark.parametrize(
    "message",
    [
        {"at": 1, "start": 3, "end": 3},
        {"at": 1, "start": -1, "end": 3},
        {"at": 1, "start": 9, "end": 12},
        {"at": -1, "start": 0, "end": 3},
        {"at": 1.5, "start": 0, "end": 3},
        {"at": True, "start": 0, "end": 3},
        {"start": 0, "end": 3},
    ],
)
def test_a_word_whose_numbers_make_no_sense_is_left_out(message: dict[str, object]) -> None:
    assert mark({"type": "word", **message}, Positions("one two"), 7, 0) is None
    assert mark({"type": "word", "at": 5, "start": 4, "end": 7}, Positions("one two"), 7, 0) == WordMark(5, 4, 7)
    assert mark({"type": "word", "at": 5, "start": 4, "end": 7}, Positions("one two"), 7, 6) is None


def test_a_text_is_spoken_with_its_words_and_loading_tells_what_the_voice_can() -> None:
    async def work(voice: SidecarVoice) -> None:
        assert voice.rate == 22_050
        assert voice.info.word_times
        assert isinstance(voice, SpeaksLanguage)
        assert voice.language == "en-US"
        assert [one["name"] for one in voice.voices] == ["Alex"]
        text = "Hello \N{GRINNING FACE}\N{GRINNING FACE} naïve world."
        size, words = await _said(voice, text)
        assert words == text.split()
        assert size == 4 * (22_050 // 20)
        assert await _said(voice, " \n") == (0, [])
        assert (await _said(voice, "half \ud83d pair"))[1] == ["half", "\ud83d", "pair"]

    _run(work)


@pytest.mark.parametrize("fault", ["", "does-not-stop"])
def test_closing_the_iterator_stops_the_work_and_the_next_text_is_its_own(fault: str) -> None:
    async def work(voice: SidecarVoice) -> None:
        for _ in range(3):
            long = cast("AsyncGenerator[Speech, None]", voice.speak("long " * 2_000))
            await anext(long)
            await asyncio.wait_for(long.aclose(), 5)
            assert (await asyncio.wait_for(_said(voice, "short and whole"), 20))[1] == ["short", "and", "whole"]

    _run(work, fault)


def test_cancelling_the_task_that_listens_leaves_the_voice_usable() -> None:
    async def work(voice: SidecarVoice) -> None:
        async def listen() -> None:
            async for _ in voice.speak(LONG):
                await asyncio.sleep(0)

        task = asyncio.create_task(listen())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await asyncio.wait_for(_said(voice, "Hello."), 5))[1] == ["Hello."]

    _run(work)


def test_a_slow_listener_makes_the_program_wait_and_loses_nothing() -> None:
    async def work(voice: SidecarVoice) -> None:
        speech = voice.speak("word " * 2_000)
        first = await anext(speech)
        await asyncio.sleep(0.3)
        assert len(voice._waiting) <= 64
        rest = [piece async for piece in speech]
        assert first.samples.size + sum(piece.samples.size for piece in rest) == 2_001 * (22_050 // 20)

    _run(work)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_program_is_an_error_and_the_next_text_starts_it_again() -> None:
    async def work(voice: SidecarVoice) -> None:
        speech = voice.speak(LONG)
        await anext(speech)
        assert voice.sidecar.pid is not None
        os.kill(voice.sidecar.pid, signal.SIGKILL)
        with pytest.raises(EngineFailed, match="SIGKILL"):
            async for _ in speech:
                pass
        assert (await _said(voice, "Back again."))[1] == ["Back", "again."]

    _run(work)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("dies-mid-text", "exit status 9"),
        ("changes-rate", "16000 Hz after sound at 22050 Hz"),
        ("bad-pcm", "not base64"),
        ("fails-a-text", "this voice was removed"),
    ],
)
def test_a_program_that_breaks_in_a_text_costs_this_text(fault: str, said: str) -> None:
    async def work(voice: SidecarVoice) -> None:
        with pytest.raises(EngineFailed, match=said) as caught:
            await _said(voice, "one two three")
        assert caught.value.hint
        if fault == "fails-a-text":
            assert (await _said(voice, "one two"))[1] == ["one", "two"]

    _run(work, fault)


def test_a_voice_that_renders_nothing_is_an_error_after_its_time() -> None:
    async def work(voice: SidecarVoice) -> None:
        with pytest.raises(EngineTimeout, match=r"within 1\.5 s"):
            await _said(voice, "Hello.")
        assert not voice.sidecar.alive

    _run(work, "silent", first=1.5)


def test_a_long_text_has_all_its_sound() -> None:
    async def work(voice: SidecarVoice) -> None:
        size, words = await _said(voice, "word " * 1_000)
        assert len(words) == 1_000
        assert size == 1_001 * (22_050 // 20)
        assert np.isfinite(size)

    _run(work)
