"""Whisper's features: what is heard when, and that the frames of silence are left out only where they are silent."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.audio import RATE, silence
from locara.engines.whisper_features import HOP, compressed, log_mel, mel_filters, power


@pytest.mark.parametrize("bands", [80, 128])
def test_a_click_stands_in_its_frames_in_all_bands(bands: int) -> None:
    sound = silence(RATE)
    sound[RATE // 2] = 0.5
    features = log_mel(sound, bands=bands, frames=200)
    assert features.shape == (bands, 200)
    assert features.flags.c_contiguous
    assert features.dtype == np.float32
    loud = np.flatnonzero(features.max(axis=0) > features.max() - 0.2)
    assert set(loud) <= {49, 50, 51}
    assert 50 in loud


@pytest.mark.parametrize(("hertz", "band"), [(200, 4), (1000, 26), (4000, 62)])
def test_a_tone_stands_in_its_band_of_slaneys_scale(hertz: float, band: int) -> None:
    """The bands' middles were worked out by hand from the scale: 45.2 mels over 81 steps up to 8 kHz."""
    sound = np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE).astype(np.float32)
    middle = log_mel(sound, bands=80, frames=100)[:, 50]
    assert abs(int(np.argmax(middle)) - band) <= 1


@given(st.integers(0, 5000), st.integers(10, 60))
def test_leaving_out_silent_frames_changes_nothing(size: int, frames: int) -> None:
    sound = (0.1 * np.random.default_rng(size).standard_normal(size)).astype(np.float32)
    padded = np.zeros(frames * HOP, np.float32)
    padded[: min(size, padded.size)] = sound[: padded.size]
    whole = compressed(power(padded, first=0, last=frames) @ mel_filters(80))
    assert np.array_equal(log_mel(sound, bands=80, frames=frames), whole)


def test_silence_is_level() -> None:
    assert np.all(log_mel(silence(0), bands=80, frames=50) == -1.5)
