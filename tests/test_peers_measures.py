"""The measures of the comparison with peers: what they say of recordings whose truth is known."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

PEERS = Path(__file__).resolve().parent.parent / "benchmarks" / "peers"


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    sys.path.insert(0, str(PEERS))
    try:
        yield importlib.import_module("script")
    finally:
        sys.path.remove(str(PEERS))


@pytest.fixture(scope="module")
def stage(script: ModuleType) -> ModuleType:
    return importlib.import_module("stage")


def _audible(*spans: tuple[float, float]) -> np.ndarray:
    return np.concatenate([np.arange(start, end, 1 / 24_000) for start, end in spans])


def test_a_stop_is_the_last_sample_before_a_silence(script: ModuleType) -> None:
    loud = _audible((1.0, 2.0), (2.05, 3.0), (4.5, 5.0))
    stopped, resumed = script.gap_after(loud, 1.5, 9.0)
    assert (stopped, resumed) == (pytest.approx(3.0, abs=1e-3), pytest.approx(4.5, abs=1e-3))
    assert script.gap_after(loud, 4.6, 9.0) == (pytest.approx(5.0, abs=1e-3), None)
    assert script.gap_after(loud, 4.6, 5.01) is None  # it may still go on
    assert script.gap_after(loud, 3.5, 9.0)[0] == pytest.approx(4.99, abs=0.02)


def test_words_that_sounded_are_counted(script: ModuleType, stage: ModuleType) -> None:
    for reply in (stage.ONE_WORD, stage.FOURTEEN, stage.LONG, stage.SHORT):
        sound = stage.spoken(reply.text)
        assert np.abs(sound).min() > stage.AUDIBLE * 10  # also when it is ducked by 18 dB
        loud = np.arange(sound.size) / stage.RATE_OUT
        assert script.heard_between(loud, 0.0, 1e9) == reply.words
    assert script.heard_between(_audible((0.0, 0.95)), 0.0, 9.0) == 5


def test_only_words_of_the_long_answer_are_counted_as_remembered(script: ModuleType, stage: ModuleType) -> None:
    assert script.remembered([]) == 0
    assert script.remembered([("assistant", stage.LONG.text), ("assistant", "Very well.")]) == stage.LONG.words
    assert script.remembered([("assistant", "The northern railway"), ("user", "the northern railway")]) == 3


def test_the_engines_time_is_that_of_an_ideal_system(stage: ModuleType) -> None:
    assert stage.ONE_WORD.parts == pytest.approx(0.45)
    assert stage.FOURTEEN.parts == pytest.approx(0.71)
    for reply in (stage.ONE_WORD, stage.FOURTEEN):
        assert len(reply.text.split(".")[0].split()) == reply.first


def test_what_is_said_into_the_microphone_comes_out_where_it_says(stage: ModuleType) -> None:
    async def record() -> tuple[np.ndarray, list[tuple[float, float]]]:
        microphone = stage.Microphone(stage.Clock(), seed=1)
        line = stage.Line("tone", np.full(1_000, 0.5, np.float32), (), ())
        frames, said = [], []
        async for frame in microphone.frames():
            frames.append(frame)
            if len(frames) in (2, 9):
                one = microphone.say(line)
                said.append((one.start, one.end))
            microphone.closed = len(frames) == 16
        return np.concatenate(frames), said

    sound, said = asyncio.run(record())
    for start, end in said:
        first, last = round(start * 16_000), round(end * 16_000)
        assert np.abs(sound[first:last]).min() > 0.4
        assert max(abs(sound[first - 1]), abs(sound[last])) < 0.1


def test_a_driver_gives_what_was_written_and_stands_still_when_paused(stage: ModuleType) -> None:
    buffer = stage.Buffer()
    buffer.write(np.ones(300, np.float32))
    buffer.write(np.full(300, 2, np.float32))
    assert buffer.pull(400).tolist() == [1.0] * 300 + [2.0] * 100
    buffer.paused = True
    assert not buffer.pull(10).any()
    buffer.paused = False
    assert buffer.filled == pytest.approx(200 / 24_000)
    buffer.clear()
    assert not buffer.pull(10).any()
