"""What a Smart Turn model hears: against numbers of the reference implementation, and what must hold for any sound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locara.audio import RATE, Samples
from locara.engines.smart_turn_features import BANDS, FRAMES, LENGTH, features
from locara.errors import AudioError

BAND = (0, 7, 19, 33, 52, 79)
FRAME = (0, 499, 500, 502, 560, 620, 700, 749, 751, 799)
REFERENCE = np.array(
    [
        [-0.0986, 0.3992, 1.3454, 0.8152, -0.0986, -0.0986, -0.0986, -0.0986, -0.0986, -0.0986],
        [-0.0986, 0.2986, 0.8295, 0.2117, -0.0986, -0.0986, -0.0986, -0.0569, -0.0568, -0.0986],
        [-0.0986, -0.0986, 0.3935, -0.0986, 1.3304, -0.0986, -0.0986, -0.0447, -0.0444, -0.0986],
        [-0.0986, -0.0986, 0.1530, -0.0986, -0.0986, 0.6211, -0.0986, -0.0040, -0.0043, -0.0986],
        [-0.0986, -0.0986, -0.0986, -0.0986, -0.0986, -0.0986, 0.4187, 0.2921, 0.3048, -0.0986],
        [-0.0986, -0.0986, -0.0986, -0.0986, -0.0986, -0.0986, -0.0986, -0.0986, -0.0986, -0.0986],
    ]
)
"""`compute_whisper_log_mel_features` of pipecat-ai 1.14 for `_sweep`, padded to 8 s as its analyzer does: some bands and
frames, rounded to four places."""


def _sweep() -> Samples:
    """Three seconds of a tone that rises from 100 Hz, loudest at 1.2 s, cut off at 2.5 s."""
    t = np.arange(3 * RATE) / RATE
    sound: Samples = (0.3 * np.sin(2 * np.pi * (100 * t + 600 * t * t)) * np.exp(-1.5 * np.abs(t - 1.2))).astype(
        np.float32
    )
    sound[40_000:] = 0
    return sound


def test_they_are_those_of_the_reference() -> None:
    found = features(_sweep())
    assert found.shape == (BANDS, FRAMES)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[np.ix_(BAND, FRAME)], REFERENCE, atol=2e-4)
    assert found.min() == pytest.approx(-0.098596, abs=1e-4)
    assert found.max() == pytest.approx(1.901404, abs=1e-4)
    assert found.mean() == pytest.approx(-0.056367, abs=1e-4)


@settings(max_examples=15, deadline=None)
@given(size=st.integers(1, LENGTH + 5_000), seed=st.integers(0, 99))
def test_a_short_turn_is_one_with_silence_before_it_and_of_a_long_one_the_end_counts(size: int, seed: int) -> None:
    sound = (np.random.default_rng(seed).standard_normal(size) * 0.1).astype(np.float32)
    whole = np.concatenate([np.zeros(LENGTH, np.float32), sound])[-LENGTH:]
    np.testing.assert_allclose(features(sound), features(whole), atol=1e-6)


@given(gain=st.floats(0.05, 20.0))
@settings(max_examples=10, deadline=None)
def test_the_level_of_the_sound_does_not_matter(gain: float) -> None:
    sound = _sweep()
    np.testing.assert_allclose(features(sound * np.float32(gain)), features(sound), atol=2e-2)


def test_silence_has_features_too() -> None:
    assert np.all(features(np.zeros(800, np.float32)) == -1.5)


def test_two_channels_or_none_are_refused() -> None:
    with pytest.raises(AudioError, match=r"\(2, 800\)") as refused:
        features(np.zeros((2, 800), np.float32))
    assert "mono" in refused.value.hint
    with pytest.raises(AudioError, match=r"\(0,\)"):
        features(np.zeros(0, np.float32))
