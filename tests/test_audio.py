"""Sound as plain values: levels, conversions, mending, and rates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from locara import audio
from locara.audio import Resampler, Samples, clean, dbfs, from_pcm16, gain, mono, pcm16, resample
from locara.errors import AudioError

ANY_FLOATS = arrays(np.float32, st.integers(0, 60), elements=st.floats(width=32, allow_nan=True, allow_infinity=True))
SOUND = arrays(np.float32, st.integers(0, 60), elements=st.floats(-1, 1, width=32))


def sine(seconds: float, rate: int, pitch: float = 440.0, level: float = 0.5) -> Samples:
    return (level * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def spectrum_peak(samples: Samples, rate: int) -> float:
    """The loudest frequency, in hertz."""
    return float(np.argmax(np.abs(np.fft.rfft(samples)))) * rate / samples.size


# --- levels and lengths -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "level"),
    [
        (np.ones(100), 0.0),
        (np.full(100, 0.5), -6.0206),
        (np.full(100, -0.1), -20.0),
        (sine(1.0, 16_000, level=1.0), -3.0103),
        (np.zeros(100), audio.FLOOR_DBFS),
        (np.zeros(0), audio.FLOOR_DBFS),
        (np.full(10, 1e-7), audio.FLOOR_DBFS),
    ],
)
def test_a_level_is_the_root_mean_square_under_full_scale(samples: Samples, level: float) -> None:
    assert dbfs(samples.astype(np.float32)) == pytest.approx(level, abs=0.01)


@given(st.floats(-80, 20))
def test_a_gain_in_decibels_changes_the_level_by_as_many(decibels: float) -> None:
    tone = np.full(64, 0.01, dtype=np.float32)
    assert dbfs((tone * gain(decibels)).astype(np.float32)) - dbfs(tone) == pytest.approx(decibels, abs=0.01)


@given(st.integers(0, 10**9), st.sampled_from([8_000, 16_000, 22_050, 44_100, 48_000]))
def test_samples_and_seconds_are_the_same_time(n: int, rate: int) -> None:
    assert audio.samples_in(audio.seconds(n, rate), rate) == n


def test_silence_is_float32_zeros() -> None:
    assert audio.silence(3).dtype == np.float32
    assert audio.silence(3).tolist() == [0.0, 0.0, 0.0]


# --- mono -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (np.array([-32768, 0, 16384], np.int16), [-1.0, 0.0, 0.5]),
        (np.array([-32768, 16384], ">i2"), [-1.0, 0.5]),
        (np.array([-(2**31), 2**30], np.int32), [-1.0, 0.5]),
        (np.array([-128, 64], np.int8), [-1.0, 0.5]),
        (np.array([0, 128, 192], np.uint8), [-1.0, 0.0, 0.5]),
        (np.array([0.25, -0.5]), [0.25, -0.5]),
        (np.array([0.25], np.float16), [0.25]),
        (np.array([0.25], ">f4"), [0.25]),
        ([0.5, -0.5], [0.5, -0.5]),
        (np.array([[0.5, 0.0], [1.0, -1.0]], np.float32), [0.25, 0.0]),
        (np.array([[16384, 0], [-32768, -32768]], np.int16), [0.25, -1.0]),
        (np.zeros((3, 1), np.float32), [0.0, 0.0, 0.0]),
        (np.arange(6, dtype=np.float32)[::2], [0.0, 2.0, 4.0]),
    ],
)
def test_anything_like_samples_becomes_mono_float32(given_: object, expected: list[float]) -> None:
    made = mono(given_)  # type: ignore[arg-type]
    assert made.dtype == np.float32
    assert made.dtype.isnative
    assert made.flags["C_CONTIGUOUS"]
    assert made.tolist() == expected


@pytest.mark.parametrize(
    "given_", [np.zeros((2, 2, 2)), np.float32(1.0), np.array([True]), np.array([1j]), np.array(["a"])]
)
def test_what_is_no_sound_is_refused_with_a_hint(given_: object) -> None:
    with pytest.raises(AudioError) as caught:
        mono(given_)  # type: ignore[arg-type]
    assert caught.value.hint


# --- mending ----------------------------------------------------------------------------------------------------------


@given(ANY_FLOATS)
def test_cleaned_sound_is_finite_within_full_scale_and_the_mended_are_counted(samples: Samples) -> None:
    before = samples.copy()
    made, mended = clean(samples)
    assert np.array_equal(samples, before, equal_nan=True), "the app's own array was changed"
    assert made.shape == samples.shape
    good = np.isfinite(samples) & (np.abs(samples) <= 1.0)
    assert mended == samples.size - int(np.count_nonzero(good))
    assert np.array_equal(made[good], samples[good])
    assert not made[~np.isfinite(samples)].any()
    loud = np.isfinite(samples) & ~good
    assert np.array_equal(made[loud], np.sign(samples[loud]))


# --- 16-bit PCM -------------------------------------------------------------------------------------------------------


@given(SOUND)
def test_pcm16_is_true_to_half_a_step(samples: Samples) -> None:
    data = pcm16(samples)
    assert len(data) == 2 * samples.size
    back = from_pcm16(data)
    assert back.dtype == np.float32
    assert np.all(np.abs(back - samples) <= 1.6 / 32768)


def test_pcm16_is_little_endian_and_clips() -> None:
    assert pcm16(np.array([1.0, 2.0, -2.0, 0.0], np.float32)) == b"\xff\x7f\xff\x7f\x01\x80\x00\x00"
    assert from_pcm16(b"\x00\x80\x00\x40").tolist() == [-1.0, 0.5]


# --- rates ------------------------------------------------------------------------------------------------------------

RATES = [(16_000, 24_000), (24_000, 16_000), (22_050, 24_000), (48_000, 16_000), (8_000, 48_000), (44_100, 16_000)]


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_a_recording_at_another_rate_is_as_long_and_sounds_the_same(rate_in: int, rate_out: int) -> None:
    made = resample(sine(0.5, rate_in), rate_in, rate_out)
    assert made.dtype == np.float32
    assert made.size == round(0.5 * rate_out)
    assert spectrum_peak(made, rate_out) == pytest.approx(440, abs=3)
    assert dbfs(made) == pytest.approx(dbfs(sine(0.5, rate_in)), abs=0.3)


@given(st.integers(0, 300), st.sampled_from(RATES))
def test_the_length_of_a_resampled_recording_is_exact(n: int, rates: tuple[int, int]) -> None:
    assert resample(np.zeros(n, np.float32), *rates).size == round(n * rates[1] / rates[0])


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_a_stream_loses_nothing_however_it_is_cut(rate_in: int, rate_out: int) -> None:
    sound = sine(0.5, rate_in)
    random = np.random.default_rng(3)
    resampler, pieces, at = Resampler(rate_in, rate_out), [], 0
    while at < sound.size:
        n = int(random.integers(1, 700))
        pieces.append(resampler.push(sound[at : at + n]))
        at += n
    pieces.append(resampler.push(audio.silence(0), last=True))
    made = np.concatenate(pieces)
    assert abs(made.size - 0.5 * rate_out) <= 0.003 * rate_out
    whole = resample(sound, rate_in, rate_out)
    n = min(made.size, whole.size) - round(0.002 * rate_out)
    best = min(float(np.max(np.abs(made[shift:n] - whole[: n - shift]))) for shift in range(round(0.002 * rate_out)))
    assert best < 0.05, "the stream does not sound like the whole"


def test_the_same_rate_changes_no_sample() -> None:
    sound = sine(0.1, 16_000)
    assert np.array_equal(Resampler(16_000, 16_000).push(sound), sound)
    assert Resampler(16_000, 16_000).push(audio.silence(0), last=True).size == 0
    assert np.array_equal(resample(sound, 16_000, 16_000), sound)


@pytest.mark.parametrize("rates", [(0, 16_000), (16_000, -1), (16_000, 10**6), (999, 16_000)])
def test_a_rate_that_is_none_is_refused(rates: tuple[int, int]) -> None:
    with pytest.raises(AudioError, match="sample rate"):
        Resampler(*rates)
