"""A recording as a microphone, a file as a speaker: the right samples at the right time."""

from __future__ import annotations

import asyncio
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from locara.audio import BLOCK, RATE, Samples, silence
from locara.devices.contracts import Sink, Source
from locara.devices.wav import WavSink, WavSource, read_wav, write_wav
from locara.errors import AudioError, ConfigError, DeviceError

from .test_wav_reading import FLOAT, chunk, encoded, fmt, riff
from .virtual_time import run


def noise(n: int) -> Samples:
    return np.random.default_rng(1).uniform(-0.5, 0.5, n).astype(np.float32)


def tone(seconds: float, rate: int) -> Samples:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


async def listen(source: Source, blocks: int) -> tuple[list[Samples], list[float], list[bool]]:
    """The blocks, when each came (seconds from the first request) and whether the source was exhausted then."""
    await source.open()
    loop = asyncio.get_running_loop()
    began = loop.time()
    got, times, exhausted = list[Samples](), list[float](), list[bool]()
    async for block in source.blocks():
        got.append(block)
        times.append(loop.time() - began)
        exhausted.append(source.exhausted)
        if len(got) == blocks:
            await source.close()
    return got, times, exhausted


def test_a_recording_is_heard_at_its_own_pace_and_then_silence(tmp_path: Path) -> None:
    path = tmp_path / "in.wav"
    said = noise(10 * BLOCK + 7)
    write_wav(path, [said], RATE)
    got, times, exhausted = run(listen(WavSource(path), 1000))
    heard = np.concatenate(got)
    assert np.abs(heard[: said.size] - said).max() < 1e-4
    assert not heard[said.size :].any()
    assert {block.shape for block in got} == {(BLOCK,)}
    assert np.allclose(times, (np.arange(1000) + 1) * 0.02, atol=1e-6)
    assert exhausted == [False] * 10 + [True] * 990


def test_real_time_is_kept_on_a_real_loop(tmp_path: Path) -> None:
    path = tmp_path / "in.wav"
    write_wav(path, [noise(RATE)], RATE)
    began = time.monotonic()
    _, times, _ = asyncio.run(listen(WavSource(path), 20))
    assert time.monotonic() - began >= 0.399
    early = [(k + 1) * 0.02 - t for k, t in enumerate(times)]
    assert max(early) <= max(0.001, time.get_clock_info("monotonic").resolution)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_any_rate_is_heard_at_the_sessions_rate(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "in.wav"
    write_wav(path, [tone(1.0, rate)], rate)
    got, _, exhausted = run(listen(WavSource(path), 50))
    heard = np.concatenate(got)
    assert exhausted.index(True) == 49
    assert np.abs(heard[800:-800] - tone(1.0, RATE)[800:-800]).max() < 0.02


def test_an_empty_recording_is_silence_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "in.wav"
    write_wav(path, [silence(0)], 48_000)
    got, _, exhausted = run(listen(WavSource(path), 3))
    assert not np.concatenate(got).any()
    assert exhausted == [True] * 3


def test_bad_samples_are_mended_and_counted_before_they_can_spread(tmp_path: Path) -> None:
    path = tmp_path / "in.wav"
    said = tone(0.5, 48_000).astype(np.float64)
    said[[1000, 2000, 3000]] = [np.nan, np.inf, 7.0]
    path.write_bytes(riff(fmt(FLOAT, 32, rate=48_000), chunk(b"data", encoded(said, FLOAT, 32))))
    source = WavSource(path)
    heard = np.concatenate(run(listen(source, 25))[0])
    assert source.mended == 3
    assert np.isfinite(heard).all()
    assert np.abs(heard).max() <= 1.0
    assert np.abs(heard[:300] - tone(0.5, RATE)[:300]).max() < 0.02


def test_a_source_says_what_is_wrong_with_its_use(tmp_path: Path) -> None:
    async def unopened() -> None:
        async for _ in WavSource(tmp_path / "in.wav").blocks():
            raise AssertionError

    with pytest.raises(DeviceError, match="before it was opened"):
        run(unopened())
    with pytest.raises(AudioError, match="there is no file"):
        asyncio.run(listen(WavSource(tmp_path / "in.wav"), 1))
    with pytest.raises(ConfigError, match="no pace 'fast'"):
        WavSource("in.wav", pace="fast")  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000, 11_025])
def test_a_file_gets_exactly_what_sounds(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "out.wav"
    played, at = noise(rate), 0

    def pull(n: int) -> Samples:
        nonlocal at
        at += n
        return played[at - n : at]

    async def play() -> Sink:
        sink: Sink = WavSink(path, rate)
        await sink.open(pull)
        for _ in range(7):
            sink.advance()
        sink.advance(3)
        await sink.close()
        await sink.close()
        sink.advance()
        return sink

    sink = asyncio.run(play())
    assert at == 10 * BLOCK * rate // RATE
    samples, got_rate = read_wav(path)
    assert got_rate == rate == sink.rate
    assert np.abs(samples - played[:at]).max() < 1e-4
    assert sink.underruns == 0
    assert not sink.own_clock


def test_a_file_is_playable_even_if_it_is_never_closed(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"

    def promised() -> int:
        """Samples that the header promises and the file has."""
        with wave.open(str(path)) as other:  # our own reader would forgive a header without sizes
            assert len(other.readframes(other.getnframes())) == 2 * other.getnframes()
            return int(other.getnframes())

    async def play() -> None:
        sink = WavSink(path)
        await sink.open(lambda n: np.full(n, 0.5, dtype=np.float32))
        assert promised() == 0
        for _ in range(235):  # 4.7 s
            sink.advance()
        # what a reader finds if the process died now
        assert promised() >= 3.7 * 24_000
        assert np.allclose(read_wav(path)[0], 0.5, atol=1e-3)
        await sink.close()

    asyncio.run(play())
    assert read_wav(path)[0].size == 235 * 480


def test_samples_that_are_no_number_are_written_as_silence(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"

    async def play() -> None:
        sink = WavSink(path)
        await sink.open(lambda n: np.full(n, np.nan, dtype=np.float32))
        sink.advance()
        await sink.close()

    asyncio.run(play())
    assert not read_wav(path)[0].any()


def test_a_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    for path, says in ((tmp_path / "no" / "out.wav", "no folder"), (tmp_path, "is a folder")):
        with pytest.raises(AudioError, match=says) as raised:
            asyncio.run(WavSink(path).open(silence))
        assert raised.value.hint
    with pytest.raises(DeviceError, match="before it was opened"):
        WavSink(tmp_path / "out.wav").advance()
