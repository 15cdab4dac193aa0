"""Blocks to frames and back: what nobody changes comes back unchanged, one block later."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from locara.audio import BLOCK
from locara.gate.lapped import BINS, FRAME, LAG, Apart, Together


@given(st.integers(0, 2**32 - 1), st.integers(3, 12))
def test_unchanged_frames_give_the_sound_back_one_block_late(seed: int, count: int) -> None:
    sound = np.random.default_rng(seed).uniform(-1, 1, count * BLOCK).astype(np.float32)
    apart, together = Apart(), Together()
    out = []
    for at in range(0, sound.size, BLOCK):
        spectrum = np.fft.rfft(apart.push(sound[at : at + BLOCK]))
        assert spectrum.size == BINS
        out.append(together.push(np.fft.irfft(spectrum, FRAME).astype(np.float32)))
    assert all(one.dtype == np.float32 and one.shape == (BLOCK,) for one in out)
    assert np.allclose(np.concatenate(out)[LAG:], sound[: sound.size - LAG], atol=1e-5)
