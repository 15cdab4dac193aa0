"""The limiter: nothing above the ceilings leaves, nothing below them is touched, and it is all the same in which blocks."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locara.audio import Samples, gain, silence
from locara.gate.limiter import (
    AHEAD_SECONDS,
    CEILING,
    LOUDNESS_CEILING,
    OVERSHOOT_DB,
    SUSTAINED_CEILING,
    Limiter,
    loudness,
)

RATE = 8_000


def through(sound: Samples, blocks: list[int], rate: int = RATE) -> Samples:
    """The whole of ``sound``, in blocks of these sizes over and over, each with all that follows in sight."""
    limiter, out, at, turn = Limiter(rate), [silence(0)], 0, 0
    while at < sound.size:
        n = blocks[turn % len(blocks)]
        out.append(limiter.push(sound[at : at + n], sound[at + n : at + n + limiter.look]))
        at, turn = at + n, turn + 1
    return np.concatenate(out)


def tone(hertz: float, level: float, seconds: float, rate: int = RATE) -> Samples:
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def square(level: float, seconds: float, rate: int = RATE, hertz: float = 440.0) -> Samples:
    return (np.sign(tone(hertz, 1.0, seconds, rate)) * level).astype(np.float32)


@functools.cache
def response() -> np.ndarray:
    """What the two filters of BS.1770-5 for 48 kHz answer to one sample of 1, as they are written down there."""
    y = [1.0] + [0.0] * 9_599
    for b, a in (
        ((1.53512485958697, -2.69169618940638, 1.19839281085285), (-1.69065929318241, 0.73248077421585)),
        ((1.0, -2.0, 1.0), (-1.99004745483398, 0.99007225036621)),
    ):
        x1 = x2 = y1 = y2 = 0.0
        for i, x in enumerate(y):
            new = b[0] * x + b[1] * x1 + b[2] * x2 - a[0] * y1 - a[1] * y2
            x2, x1, y2, y1 = x1, x, y1, new
            y[i] = new
    return np.array(y)


def weighted(sound: Samples) -> np.ndarray:
    """K-weighted squares of a sound at 48 kHz."""
    size = sound.size + response().size
    spectrum = np.fft.rfft(sound.astype(np.float64), size) * np.fft.rfft(response(), size)
    return np.square(np.fft.irfft(spectrum, size)[: sound.size])


def loudest(sound: Samples, seconds: float) -> float:
    """LUFS of the loudest ``seconds`` of a sound at 48 kHz."""
    n = round(seconds * 48_000)
    sums = np.cumsum(np.concatenate(([0.0], weighted(sound))))
    return loudness(float((sums[n:] - sums[:-n]).max()) / n)


ANY = st.one_of(
    st.floats(width=32, allow_nan=True, allow_infinity=True),
    st.floats(-4, 4, width=32),
    st.sampled_from([3.4e38, -3.4e38, math.nan, math.inf, -math.inf, 1.0, -1.0]),
)
BLOCKS = st.lists(st.integers(1, 700), min_size=1, max_size=5)


@settings(max_examples=150)
@given(st.lists(ANY, min_size=1, max_size=60), st.integers(1, 40), BLOCKS, st.sampled_from([8_000, 24_000]))
def test_no_sample_leaves_above_the_ceiling_whatever_comes(
    values: list[float], times: int, blocks: list[int], rate: int
) -> None:
    sound = np.repeat(np.array(values, np.float32), times)
    out = through(sound, blocks, rate)
    assert out.shape == sound.shape
    assert out.dtype == np.float32
    assert np.all(np.isfinite(out))
    assert np.abs(out).max() <= CEILING


@given(st.lists(ANY, min_size=1, max_size=60), st.lists(ANY, max_size=60))
def test_nor_when_what_follows_is_not_what_was_in_sight(values: list[float], sight: list[float]) -> None:
    limiter = Limiter(RATE)
    for _ in range(3):
        out = limiter.push(np.array(values, np.float32), np.array(sight, np.float32))
        assert np.abs(out).max() <= CEILING


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.floats(0, 3.0), st.integers(1, 900)), min_size=1, max_size=8),
    BLOCKS,
    st.integers(0, 2**32 - 1),
)
def test_it_is_all_the_same_in_which_blocks_it_comes(
    levels: list[tuple[float, int]], blocks: list[int], seed: int
) -> None:
    noise = np.random.default_rng(seed)
    sound = np.concatenate([level * noise.uniform(-1, 1, n) for level, n in levels]).astype(np.float32)
    assert np.allclose(through(sound, blocks), through(sound, [sound.size]), atol=1e-6)


@settings(max_examples=60)
@given(st.lists(st.floats(-0.078125, 0.078125, width=32), min_size=1, max_size=400), st.integers(1, 30), BLOCKS)
def test_below_the_ceilings_nothing_is_touched(values: list[float], times: int, blocks: list[int]) -> None:
    sound = np.tile(np.array(values, np.float32), times)  # at all times: -18 LUFS at the most
    assert np.array_equal(through(sound, blocks), sound)


def test_what_need_not_be_touched_is_not_even_copied() -> None:
    sound = tone(440.0, 0.2, 0.02)
    assert Limiter(RATE).push(sound, sound) is sound


def test_speech_with_its_peaks_just_below_the_ceiling_is_not_touched() -> None:
    rate, noise = 24_000, np.random.default_rng(1)
    syllables = np.abs(np.sin(2 * np.pi * 2.0 * np.arange(6 * rate) / rate)) ** 3
    sound = noise.laplace(0.0, 1.0, 6 * rate) * syllables  # peaks 20 dB above the mean, as in speech
    sound = (sound / np.abs(sound).max() * CEILING * 0.99).astype(np.float32)
    assert np.array_equal(through(sound, [480], rate), sound)


@pytest.mark.parametrize("over", [1.05, 2.0, 30.0])
def test_a_peak_is_lowered_as_it_is_and_not_cut_flat(over: float) -> None:
    rate = 24_000
    sound = tone(100.0, 0.1, 0.3, rate)
    at = 3_600
    sound[at - 20 : at + 21] += (over * np.hanning(41)).astype(np.float32)
    out = through(sound, [480], rate)
    reach = round(AHEAD_SECONDS * rate)
    assert np.array_equal(out[: at - 20 - reach], sound[: at - 20 - reach]), "before it can be seen, nothing happens"
    assert np.argmax(out) == np.argmax(sound)
    assert np.count_nonzero(out >= CEILING - 1e-4) <= 3, "its top is flat"
    gains = out[at - 200 : at + 2_000] / sound[at - 200 : at + 2_000]
    steady = np.abs(sound[at - 200 : at + 2_000]) > 0.01
    assert np.abs(np.diff(gains))[steady[1:] & steady[:-1]].max() < 2.0 / reach, "the gain jumps"
    assert np.allclose(out[at + 2_400 :], sound[at + 2_400 :], atol=1e-6), "it comes back to what it was"


@pytest.mark.parametrize("hertz", [440.0, 1_000.0, 3_000.0])
def test_a_square_wave_at_full_scale_leaves_at_the_level_of_speech(hertz: float) -> None:
    out = through(square(1.0, 6.0, 48_000, hertz), [960], 48_000)
    assert loudest(out, 0.4) <= LOUDNESS_CEILING + OVERSHOOT_DB
    assert loudest(out[48_000:], 0.4) <= LOUDNESS_CEILING + 0.5
    assert loudest(out[3 * 48_000 :], 3.0 - 1e-3) <= SUSTAINED_CEILING + 0.5
    assert loudest(out[3 * 48_000 :], 3.0 - 1e-3) >= SUSTAINED_CEILING - 1.0, "lower than it must"


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(0.0, 1.0), st.integers(20, 900)), min_size=2, max_size=6), st.integers(0, 99))
def test_no_400_ms_are_louder_than_it_says(levels: list[tuple[float, int]], seed: int) -> None:
    noise = np.random.default_rng(seed)
    parts = [level * np.sign(noise.standard_normal(milliseconds * 48)) for level, milliseconds in levels]
    sound = np.concatenate([*parts, np.zeros(19_300)]).astype(np.float32)
    assert loudest(through(sound, [960], 48_000), 0.4) <= LOUDNESS_CEILING + OVERSHOOT_DB


def test_after_a_loud_sound_and_a_rest_all_is_as_it_was() -> None:
    limiter = Limiter(RATE)
    limiter.push(square(1.0, 2.0), silence(0))
    for _ in range(200):
        limiter.push(silence(160), silence(0))
    assert limiter.resting
    sound = tone(440.0, 0.2, 0.02)
    assert limiter.push(sound, sound) is sound


@pytest.mark.parametrize("hertz", [200.0, 400.0, 997.0, 2_000.0, 6_000.0, 12_000.0])
@pytest.mark.parametrize("rate", [24_000, 44_100, 48_000])
def test_loudness_is_that_of_the_recommendation(hertz: float, rate: int) -> None:
    if hertz > 0.45 * rate:
        pytest.skip("beyond this rate")
    limiter, powers = Limiter(rate), []
    sound = tone(hertz, 0.1, 1.0, rate)
    step = round(0.01 * rate)
    for at in range(0, sound.size - step, step):
        limiter.push(sound[at : at + step], silence(0))
        powers += limiter.steps
    expected = loudest(tone(hertz, 0.1, 1.0, 48_000), 0.4)
    assert loudness(float(np.mean(powers[40:80]))) == pytest.approx(expected, abs=0.5)


def test_a_sine_of_997_hz_is_3_lufs_below_its_level() -> None:
    assert loudest(tone(997.0, gain(-20.0), 1.0, 48_000), 0.4) == pytest.approx(-23.01, abs=0.1)
