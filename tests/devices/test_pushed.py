"""Pushed sound: nothing accepted is lost, jitter makes no gaps, and the clock is never overtaken."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locara.audio import BLOCK, RATE, Samples
from locara.devices.contracts import Source
from locara.devices.pushed import JITTER, PushedSource
from locara.errors import AudioError, ConfigError

from .virtual_time import run

Heard = list[tuple[float, Samples]]


def counted(first: int, n: int) -> Samples:
    """Samples that tell their place, and that no silence is: 1, 2, 3 ... scaled below full scale."""
    return ((np.arange(first, first + n) + 1) / 2**20).astype(np.float32)


def places(samples: Samples) -> list[int]:
    """The places of the samples that are not silence."""
    return [round(float(s) * 2**20) - 1 for s in samples if s]


async def listen(source: PushedSource, blocks: int) -> Heard:
    loop = asyncio.get_running_loop()
    began, got = loop.time(), Heard()
    await source.open()
    async for block in source.blocks():
        assert block.shape == (BLOCK,)
        got.append((loop.time() - began, block))
        if len(got) == blocks:
            await source.close()
    return got


async def at_times(source: PushedSource, times: list[float], size: int) -> None:
    """Pushes the next ``size`` samples at each of ``times`` (seconds from now)."""
    loop, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
    for number, due in enumerate(times):
        await asyncio.sleep(max(0.0, began + due - loop.time()))
        source.push(counted(number * size, size), RATE)


def conversation(times: list[float], size: int, blocks: int) -> Heard:
    async def both() -> Heard:
        source = PushedSource()
        pushing = asyncio.create_task(at_times(source, times, size))
        got = await listen(source, blocks)
        await pushing
        return got

    return run(both())


def in_one_piece(got: Heard) -> bool:
    sound = np.concatenate([block for _, block in got])
    there = np.flatnonzero(sound)
    return bool(there.size) and there[-1] - there[0] + 1 == there.size


@settings(deadline=None, max_examples=60)
@given(data=st.data(), size=st.sampled_from([100, 160, 320, 480, 1600]))
def test_jitter_below_200_ms_makes_no_gap_and_loses_nothing(data: st.DataObject, size: int) -> None:
    count = 60
    most = JITTER - size / RATE - 0.025  # late by less than 200 ms, with the time a block takes to fill
    late = data.draw(st.lists(st.floats(0, most), min_size=count, max_size=count))
    due = [0.5 + (k + 1) * size / RATE + extra for k, extra in enumerate(late)]
    times = list(np.maximum.accumulate(due))
    got = conversation(times, size, round((times[-1] + 1.0) / 0.02))
    assert in_one_piece(got)
    assert places(np.concatenate([block for _, block in got])) == list(range(count * size))


@settings(deadline=None, max_examples=60)
@given(
    pushes=st.lists(st.tuples(st.floats(0, 3), st.integers(1, 4000)), min_size=1, max_size=30),
)
def test_the_clock_is_never_overtaken_and_never_more_than_200_ms_late(pushes: list[tuple[float, int]]) -> None:
    async def both() -> Heard:
        source = PushedSource()

        async def push() -> None:
            at = 0
            for pause, size in pushes:
                await asyncio.sleep(pause)
                assert source.push(counted(at, size), RATE) == size
                at += size

        pushing = asyncio.create_task(push())
        total = sum(pause for pause, _ in pushes) + sum(size for _, size in pushes) / RATE
        got = await listen(source, round((total + 1) / 0.02))
        await pushing
        return got

    got = run(both())
    lateness = [when - (k + 1) * 0.02 for k, (when, _) in enumerate(got)]
    assert min(lateness) > -1e-6
    assert max(lateness) < JITTER + 0.02
    # every sample, once, in order
    assert places(np.concatenate([block for _, block in got])) == list(range(sum(size for _, size in pushes)))


def test_without_any_push_silence_keeps_the_pace() -> None:
    times = [when for when, _ in run(listen(PushedSource(), 500))]
    assert np.allclose(times, (np.arange(500) + 1) * 0.02, atol=1e-6)


def test_after_a_long_gap_the_clock_catches_up_at_once() -> None:
    got = conversation([0.01, 0.03, 0.05], BLOCK, 60)
    times = [when for when, _ in got]
    # three blocks of sound, 200 ms of patience, then what had become due in the meantime comes in one go
    assert times[3] == pytest.approx(0.08 + JITTER, abs=0.01)
    assert times[12] == pytest.approx(times[3], abs=0.011)
    assert times[-1] == pytest.approx(60 * 0.02, abs=1e-6)


def test_a_burst_is_heard_in_real_time() -> None:
    got = conversation([0.0], RATE, 60)
    sound = [k for k, (_, block) in enumerate(got) if block.any()]
    assert sound == list(range(50))
    assert [round(when, 6) for when, _ in got[:50]] == [round((k + 1) * 0.02, 6) for k in range(50)]


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100, 48_000])
def test_any_rate_and_shape_is_heard_whole(rate: int) -> None:
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype(np.float32)
    stereo = np.stack([tone, tone], axis=1)

    async def both() -> Heard:
        source = PushedSource()
        for at in range(0, rate, 441):
            piece = stereo[at : at + 441]
            assert source.push(piece if at % 2 else (piece * 32767).astype(np.int16), rate) == len(piece)
        source.finish()
        got = await listen(source, 52)
        assert source.exhausted
        return got

    sound = np.concatenate([block for _, block in run(both())])
    there = np.flatnonzero(np.abs(sound) > 1e-3)
    assert there[-1] - there[0] == pytest.approx(RATE, abs=8)
    spectrum = np.abs(np.fft.rfft(sound[:RATE]))
    assert spectrum.argmax() == 440
    assert spectrum[440] / RATE * 2 == pytest.approx(0.5, abs=0.02)


def test_the_rate_may_change_between_pushes() -> None:
    async def both() -> float:
        source = PushedSource()
        for rate in (48_000, 16_000, 8_000, 48_000):
            source.push(np.full(rate, 0.25, dtype=np.float32), rate)
        source.finish()
        return source.buffered

    assert run(both()) == 4.0


def test_a_full_buffer_refuses_and_counts_and_drain_makes_room() -> None:
    async def both() -> None:
        source = PushedSource(buffer=2.0)
        long = counted(0, 5 * RATE)
        at = source.push(long, RATE)
        assert at == 2 * RATE
        assert source.push(long[at:], RATE) == 0
        assert source.overruns == 2 * 3 * RATE // BLOCK
        listening = asyncio.create_task(listen(source, 300))
        while at < long.size:
            await source.drain()
            assert source.buffered < 1.0
            at += source.push(long[at:], RATE)
        got = await listening
        assert places(np.concatenate([block for _, block in got])) == list(range(long.size))

    run(both())


def test_drain_tells_when_nobody_listens_instead_of_hanging() -> None:
    async def alone() -> None:
        source = PushedSource()
        source.push(counted(0, 3 * RATE), RATE)
        await source.drain()

    with pytest.raises(AudioError, match=r"3\.0 s .* nobody takes"):
        run(alone())


def test_bad_samples_are_mended_and_counted() -> None:
    source = PushedSource()
    source.push(np.array([0.1, np.nan, np.inf, 9.0], dtype=np.float32), RATE)
    assert source.mended == 3


@pytest.mark.parametrize(
    "push",
    [
        lambda source: source.push(np.zeros((2, 2, 2), dtype=np.float32), RATE),
        lambda source: source.push(np.array(["a"]), RATE),
        lambda source: source.push(np.zeros(10, dtype=np.float32), 0),
        lambda source: source.push(np.zeros(10, dtype=np.float32), 10**9),
    ],
)
def test_what_is_no_sound_is_refused_and_changes_nothing(push: Callable[[PushedSource], int]) -> None:
    source = PushedSource()
    source.push(counted(0, 100), RATE)
    with pytest.raises(AudioError) as raised:
        push(source)
    assert raised.value.hint
    assert source.push(counted(100, 100), RATE) == 100
    assert source.buffered == 200 / RATE


def test_nothing_is_accepted_after_the_end() -> None:
    async def both() -> None:
        finished: Source = (source := PushedSource())
        source.finish()
        source.finish()
        assert source.push(counted(0, 10), RATE) == 0
        assert finished.exhausted
        closed = PushedSource()
        await closed.close()
        assert closed.push(counted(0, 10), RATE) == 0

    run(both())


def test_threads_may_push() -> None:
    source = PushedSource()
    threads = [
        threading.Thread(target=lambda: [source.push(counted(0, 160), RATE) for _ in range(100)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert source.buffered == 4 * 100 * 160 / RATE
    assert source.overruns == 0


def test_a_useless_buffer_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"0\.1 s"):
        PushedSource(buffer=0.1)
