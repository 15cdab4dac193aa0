"""Noise suppression and gain control: less noise, one level, and nothing else changed."""

from __future__ import annotations

import numpy as np
import pytest

from locara.audio import BLOCK, RATE, dbfs, gain, silence
from locara.gate.gain_control import CEILING, TARGET_DBFS, GainControl
from locara.gate.lapped import LAG
from locara.gate.noise import NoiseSuppressor
from locara.testing.babble import babble

from .echoes import blocks, joined, quieter


def hiss(seconds: float, dbfs_: float) -> np.ndarray:
    return (gain(dbfs_) * np.random.default_rng(1).standard_normal(round(seconds * RATE))).astype(np.float32)


def test_steady_noise_is_lowered_and_a_voice_is_not() -> None:
    noise, voice = hiss(6.0, -45.0), babble(6.0, 2, level=0.1)
    voice[: 3 * RATE] = 0.0
    suppressor = NoiseSuppressor()
    out = joined([suppressor.push(one) for one in blocks(noise + voice)])
    assert quieter(noise[2 * RATE : 3 * RATE], out[2 * RATE : 3 * RATE]) > 9.0
    kept = out[3 * RATE + LAG :]
    assert float(np.corrcoef(kept, voice[3 * RATE : -LAG])[0, 1]) > 0.95
    assert quieter(voice[3 * RATE :], kept) < 2.0


def test_silence_stays_silence() -> None:
    suppressor = NoiseSuppressor()
    assert not joined([suppressor.push(silence(BLOCK)) for _ in range(50)]).any()


@pytest.mark.parametrize("level", [-40.0, -23.0, -14.0])
def test_near_and_far_voices_come_to_one_level(level: float) -> None:
    voice = hiss(6.0, level)
    control = GainControl()
    out = joined([control.push(one, 0.9) for one in blocks(voice)])
    assert dbfs(out[5 * RATE :]) == pytest.approx(TARGET_DBFS, abs=1.0)
    assert float(np.abs(out).max()) <= CEILING


def test_what_is_no_voice_is_not_turned_up() -> None:
    control = GainControl()
    noise = hiss(3.0, -60.0)
    assert np.array_equal(joined([control.push(one, 0.1) for one in blocks(noise)]), noise)
