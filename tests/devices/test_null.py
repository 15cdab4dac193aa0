"""Silence at the right pace, and a sink that takes exactly what sounds."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.audio import BLOCK, RATE, Samples, silence
from locara.devices.contracts import Sink, Source
from locara.devices.null import NullSink, Pulled, SilentSource
from locara.errors import ConfigError, DeviceError

from .virtual_time import run


def test_silence_comes_every_20_ms_without_drift() -> None:
    async def listen() -> list[float]:
        source: Source = SilentSource()
        await source.open()
        began, times = asyncio.get_running_loop().time(), list[float]()
        async for block in source.blocks():
            assert block.shape == (BLOCK,)
            assert not block.any()
            times.append(asyncio.get_running_loop().time() - began)
            await asyncio.sleep(0.007)  # a consumer that takes its time must not slow the clock
            if len(times) == 5000:
                await source.close()
        assert not source.exhausted
        assert source.overruns == 0
        return times

    times = run(listen())
    assert np.allclose(times, (np.arange(5000) + 1) * 0.02, atol=1e-6)


def test_a_late_consumer_catches_up_with_the_clock() -> None:
    async def listen() -> list[float]:
        source, times, loop = SilentSource(), list[float](), asyncio.get_running_loop()
        async for _ in source.blocks():
            times.append(round(loop.time(), 6))
            if len(times) == 1:
                await asyncio.sleep(0.1)
            if len(times) == 8:
                await source.close()
        return times

    assert run(listen()) == [0.02, 0.12, 0.12, 0.12, 0.12, 0.12, 0.14, 0.16]


@given(rate=st.integers(1_000, 768_000), advances=st.lists(st.integers(0, 100), max_size=30))
def test_a_sink_takes_exactly_the_samples_that_sound(rate: int, advances: list[int]) -> None:
    pulled, taken = Pulled(rate), 0
    for blocks in advances:
        taken += pulled.take(silence, blocks).size
    assert taken == sum(advances) * BLOCK * rate // RATE
    assert pulled.underruns == 0


def test_a_short_pull_is_an_underrun_and_is_filled_up() -> None:
    def half(n: int) -> Samples:
        return np.ones(n // 2, dtype=np.float32)

    pulled = Pulled(24_000)
    got = pulled.take(half, 1)
    assert got.size == 480
    assert got.sum() == 240
    assert pulled.underruns == 1


def test_the_null_sink_pulls_when_time_advances_and_rests_when_closed() -> None:
    asked: list[int] = []

    def pull(n: int) -> Samples:
        asked.append(n)
        return silence(n)

    async def play() -> None:
        sink: Sink = NullSink()
        assert (sink.rate, sink.own_clock, sink.delay) == (24_000, False, 0.0)
        with pytest.raises(DeviceError, match="before it was opened"):
            sink.advance()
        await sink.open(pull)
        sink.advance()
        sink.advance(3)
        await sink.close()
        await sink.close()
        sink.advance()

    asyncio.run(play())
    assert asked == [480, 1440]


def test_an_impossible_output_rate_is_refused() -> None:
    with pytest.raises(ConfigError, match="12 Hz"):
        NullSink(12)
