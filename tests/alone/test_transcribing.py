"""Speech to text alone: real engines on a real recording, scripted ones where time matters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from tests.cli.talking import QUESTION, SENTENCES

from locara import testing, transcribe
from locara.audio import RATE, Samples, silence
from locara.devices.wav import read_wav, write_wav
from locara.engines.contracts import EngineInfo, Transcript
from locara.errors import AudioError, EngineFailed, EngineMissing, EngineTimeout, SessionError
from locara.testing import EnergyDetector
from locara.voice.brain import Deadlines


class Counting:
    """A recogniser that says how many samples of sound each utterance had, and where they came from."""

    info = EngineInfo("counting", "counting", "Apache-2.0")

    def __init__(self, *, fault: str = "") -> None:
        self.heard: list[Samples] = []
        self.open_ones = 0
        self.fault = fault

    async def load(self) -> None: ...

    async def close(self) -> None: ...

    def open(self) -> CountingOne:
        self.heard.append(silence(0))
        self.open_ones += 1
        return CountingOne(self)


class CountingOne:
    def __init__(self, of: Counting) -> None:
        self.of = of

    async def push(self, samples: Samples) -> str | None:
        self.of.heard[-1] = np.concatenate((self.of.heard[-1], samples))
        return f"{self.of.heard[-1].size}"

    async def settle(self) -> Transcript:
        if self.of.fault == "hangs":
            await asyncio.sleep(1e6)
        if self.of.fault == "raises":
            raise EngineFailed("stt: counting failed", stage="stt", hint="count again")
        return Transcript(f"{self.of.heard[-1].size} samples", 0.5)

    async def close(self) -> None:
        self.of.open_ones -= 1


def tones(*spoken: tuple[float, float], seconds: float) -> Samples:
    """Sound from each start to each end, quiet elsewhere; every sample another value, so that none can be swapped."""
    sound = np.random.default_rng(1).uniform(-1e-4, 1e-4, round(seconds * RATE)).astype(np.float32)
    for start, end in spoken:
        sound[round(start * RATE) : round(end * RATE)] *= 3000
    return sound


async def in_blocks(sound: Samples, size: int, pace: float = 0.0) -> AsyncIterator[Samples]:
    for start in range(0, sound.size, size):
        await asyncio.sleep(pace)
        yield sound[start : start + size]


def test_a_recording_is_transcribed_by_the_embedded_engines() -> None:
    got = asyncio.run(transcribe.from_file(QUESTION))
    assert got.text == " ".join(SENTENCES)
    assert [segment.text for segment in got.segments] == list(SENTENCES)
    assert got.engine.engine == "pocketsphinx"
    assert got.segments[0].end <= got.segments[1].start <= got.seconds
    assert all(0 <= (segment.confidence or 0) <= 1 for segment in got.segments)


def test_a_stream_tells_text_while_it_comes_and_then_the_final_text() -> None:
    sound, rate = read_wav(QUESTION)

    async def listen() -> list[transcribe.Segment]:
        return [one async for one in transcribe.stream(in_blocks(sound, 1_000, pace=1_000 / rate), rate)]

    segments = testing.run(listen())
    assert [one.text for one in segments if one.final] == list(SENTENCES)
    first = [one for one in segments if one.start == segments[0].start]
    assert len(first) > 1
    assert [one.final for one in first] == [False] * (len(first) - 1) + [True]


def test_every_sample_of_an_utterance_reaches_the_recogniser_once_in_order() -> None:
    sound = tones((1.0, 2.0), (4.0, 5.5), seconds=8.0)

    async def listen() -> tuple[Counting, transcribe.Transcription]:
        engine = Counting()
        async with transcribe.transcriber(stt=engine, vad=EnergyDetector()) as one:
            return engine, await one.from_samples(sound, RATE)

    engine, got = asyncio.run(listen())
    assert len(engine.heard) == len(got.segments) == 2
    assert engine.open_ones == 0
    for heard, segment in zip(engine.heard, got.segments, strict=True):
        start = round(segment.start * RATE)
        assert np.array_equal(heard, sound[start : start + heard.size])
        assert round(segment.end * RATE) == start + heard.size
    assert abs(got.segments[0].start - 0.7) < 0.05
    assert abs(got.segments[0].end - 2.7) < 0.05
    assert got.seconds == 8.0


@pytest.mark.parametrize("size", [1, 7, 333, 320, 100_000])
def test_the_size_of_the_blocks_makes_no_difference(size: int) -> None:
    sound = tones((0.2, 0.5), seconds=1.5 if size < 10 else 3.0)

    async def listen() -> list[str]:
        async with transcribe.transcriber(stt=Counting(), vad=EnergyDetector()) as one:
            return [segment.text async for segment in one.stream(in_blocks(sound, size), RATE) if segment.final]

    (text,) = asyncio.run(listen())
    assert abs(int(text.split()[0]) - 1.2 * RATE) < 0.2 * RATE


def test_silence_has_no_text_and_another_rate_and_channels_are_understood(tmp_path: Path) -> None:
    write_wav(tmp_path / "quiet.wav", [silence(48_000), silence(48_000)], 48_000)
    got = asyncio.run(transcribe.from_file(tmp_path / "quiet.wav", stt=Counting(), vad=EnergyDetector()))
    assert (got.text, got.segments, got.seconds) == ("", (), 1.0)


def test_two_streams_of_one_transcriber_at_once_are_refused_and_a_closed_one_frees_it() -> None:
    sound = tones((0.2, 2.0), seconds=3.0)

    async def listen() -> None:
        engine = Counting()
        async with transcribe.transcriber(stt=engine, vad=EnergyDetector()) as one:
            first = one.stream(in_blocks(sound, 1600), RATE)
            assert await anext(first)
            with pytest.raises(SessionError, match="in use"):
                await one.from_samples(sound, RATE)
            await first.aclose()
            assert engine.open_ones == 0
            assert (await one.from_samples(sound, RATE)).segments

    asyncio.run(listen())


def test_an_engine_that_hangs_or_fails_says_so_in_time() -> None:
    sound = tones((0.2, 1.0), seconds=2.0)

    async def listen(fault: str) -> None:
        async with transcribe.transcriber(
            stt=Counting(fault=fault), vad=EnergyDetector(), deadlines=Deadlines(settle=3.0)
        ) as one:
            await one.from_samples(sound, RATE)

    with pytest.raises(EngineTimeout, match="no answer within"):
        testing.run(listen("hangs"))
    with pytest.raises(EngineFailed, match="counting failed"):
        testing.run(listen("raises"))


def test_bad_input_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "no.wav").write_bytes(b"RIFF but nothing else")
    for name in ("no.wav", "absent.wav"):
        with pytest.raises(AudioError):
            asyncio.run(transcribe.from_file(tmp_path / name))
    with pytest.raises(EngineMissing, match="no installed engine knows"):
        asyncio.run(transcribe.from_file(QUESTION, stt="whisper-gigantic"))

    async def at_zero_hertz() -> None:
        async for _ in transcribe.stream(in_blocks(silence(10), 10), 0, stt=Counting(), vad=EnergyDetector()):
            pass

    with pytest.raises(AudioError, match="sample_rate=0"):
        asyncio.run(at_zero_hertz())
