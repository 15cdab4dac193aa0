"""Faster and slower speech."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.audio import Samples
from locara.speech.tempo import Tempo

RATE = 24_000


def hum(seconds: float, hertz: float = 140.0) -> Samples:
    at = np.arange(round(seconds * RATE)) / RATE
    return (0.2 * np.sin(2 * np.pi * hertz * at) + 0.1 * np.sin(6 * np.pi * hertz * at)).astype(np.float32)


def through(samples: Samples, speed: float, step: int) -> Samples:
    tempo = Tempo(RATE, speed)
    pieces = [tempo.push(samples[at : at + step]) for at in range(0, samples.size, step)]
    return np.concatenate([*pieces, tempo.finish()])


@given(st.floats(0.25, 4.0), st.integers(1, 7000), st.floats(0.05, 1.0))
def test_it_is_as_long_as_the_speed_says_however_it_comes(speed: float, step: int, seconds: float) -> None:
    sound = hum(seconds)
    made = through(sound, speed, max(step, sound.size // 50))
    assert abs(made.size - sound.size / speed) <= 0.06 * RATE + 0.03 * RATE / speed
    assert np.abs(made).max() <= 0.31


@pytest.mark.parametrize("speed", [0.25, 0.7, 1.4, 3.0])
def test_the_pitch_stays_and_no_click_comes_in(speed: float) -> None:
    made = through(hum(2.0), speed, 2400)[1000:-2500]
    spectrum = np.abs(np.fft.rfft(made * np.hanning(made.size)))
    assert np.argmax(spectrum) * RATE / made.size == pytest.approx(140, abs=4)
    assert np.abs(np.diff(made)).max() < 1.3 * np.abs(np.diff(hum(1.0))).max()


def test_in_pieces_it_is_the_same_as_at_once() -> None:
    sound = hum(0.7)
    np.testing.assert_allclose(through(sound, 1.3, 100), through(sound, 1.3, sound.size), atol=1e-6)


def test_at_its_own_speed_nothing_is_touched() -> None:
    sound = hum(0.3)
    assert through(sound, 1.0, 1000) is not sound
    np.testing.assert_array_equal(through(sound, 1.0, 1000), sound)
