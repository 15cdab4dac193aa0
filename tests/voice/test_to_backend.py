"""The way of the user's sound to a model that hears all the time: a frame is whole with its last block."""

from __future__ import annotations

import numpy as np
import pytest

from locara.audio import BLOCK, RATE, Resampler, Samples
from locara.voice.to_backend import filled_up


def _pushed(sound: Samples, rate: int) -> list[Samples]:
    resampler = Resampler(RATE, rate)
    first, *rest = sound.reshape(-1, BLOCK)
    return [filled_up(resampler.push(first), BLOCK, resampler), *(resampler.push(block) for block in rest)]


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 48_000])
def test_after_each_block_the_model_has_as_much_sound_as_was_heard(rate: int) -> None:
    blocks = _pushed(np.random.default_rng(1).normal(0.0, 0.1, 3000 * BLOCK).astype(np.float32), rate)
    assert {block.size for block in blocks} == {BLOCK * rate // RATE}


@pytest.mark.parametrize("rate", [8_000, 24_000, 48_000])
def test_what_is_filled_up_is_silence_of_a_millisecond_or_so_and_nothing_is_lost(rate: int) -> None:
    sound = np.sin(np.arange(50 * BLOCK) * (2 * np.pi * 440 / RATE)).astype(np.float32)
    resampler = Resampler(RATE, rate)
    plain = np.concatenate([resampler.push(block) for block in sound.reshape(-1, BLOCK)])
    filled = np.concatenate(_pushed(sound, rate))
    more = filled.size - plain.size
    assert 0 < more < 0.0025 * rate
    assert not filled[:more].any()
    assert (filled[more:] == plain).all()
