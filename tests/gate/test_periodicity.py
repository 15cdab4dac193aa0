"""Has a sound a pitch? Made sounds with and without, loud and soft, and what modulation makes of a noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.audio import BLOCK, RATE, Samples, silence
from locara.gate.canceller import Canceller
from locara.gate.periodicity import PITCH_HERTZ, WINDOW, Pitch, periodicity
from locara.testing.babble import answer, babble
from locara.voice.evidence import PITCHED

from .echoes import blocks, through


def _vowel(hertz: float, n: int = WINDOW, level: float = 0.1) -> Samples:
    at = np.arange(n) / RATE
    return np.asarray(level * sum(np.cos(2 * np.pi * k * hertz * at + k) / k for k in range(1, 12)), dtype=np.float32)


def _noise(seed: int, n: int = WINDOW, level: float = 0.1) -> Samples:
    return (level * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


@given(st.floats(PITCH_HERTZ[0] + 5, PITCH_HERTZ[1] - 5), st.floats(1e-3, 1.0))
def test_a_vowel_has_a_pitch_at_every_height_and_level(hertz: float, level: float) -> None:
    assert periodicity(_vowel(hertz, level=level)) > PITCHED + 0.1


@given(st.integers(0, 10_000))
def test_noise_has_none(seed: int) -> None:
    assert periodicity(_noise(seed)) < PITCHED - 0.1


def test_a_voice_that_begins_after_blocks_nobody_looked_at_has_the_same_pitch() -> None:
    sound = np.concatenate((_noise(1, 4 * BLOCK), _vowel(150.0, 4 * BLOCK)))
    always, sometimes = Pitch(views=1), Pitch(views=1)
    for at in range(0, sound.size, BLOCK):
        block = sound[at : at + BLOCK]
        looked = always.push(block)
        if at < 4 * BLOCK:
            sometimes.skip(block)
        else:
            assert sometimes.push(block) == looked
    assert looked > PITCHED


def test_silence_and_a_constant_have_none() -> None:
    assert periodicity(silence(WINDOW)) == 0.0
    assert periodicity(np.full(WINDOW, 0.5, np.float32)) == 0.0


def test_noise_that_goes_up_and_down_like_syllables_has_none_either() -> None:
    sound = babble(4.0, 5)
    strengths = [periodicity(sound[at : at + WINDOW]) for at in range(0, sound.size - WINDOW, WINDOW)]
    assert np.mean(np.array(strengths) >= PITCHED) < 0.02


def test_a_vowel_in_noise_has_less_of_it() -> None:
    clean, noisy = _vowel(120.0), _vowel(120.0) + _noise(1, level=0.1)
    assert periodicity(clean) > periodicity(noisy) > periodicity(_noise(1))


def test_a_pitch_must_be_in_every_view_and_lasts_over_two_blocks() -> None:
    vowel, noise = _vowel(150.0, 4 * BLOCK), _noise(2, 4 * BLOCK)
    both, one = Pitch(views=2), Pitch(views=2)
    for at in range(0, vowel.size, BLOCK):
        part = slice(at, at + BLOCK)
        together, apart = both.push(vowel[part], vowel[part]), one.push(vowel[part], noise[part])
    assert together == pytest.approx(periodicity(vowel[-WINDOW:]))
    assert together > PITCHED > apart


def test_only_what_is_left_of_a_voice_besides_our_own_has_a_pitch() -> None:
    """Our own voice is babble; besides it a noise, or a vowel as loud, in the second half."""
    played = babble(6.0, 3)
    heard = through(played, answer(1, delay=0.06))
    half = heard.size // 2
    pitched = {}
    for name, besides in (
        ("nobody", 0 * heard),
        ("noise", _noise(4, heard.size, 0.05)),
        ("vowel", _vowel(140.0, heard.size)),
    ):
        canceller = Canceller()
        mixed = heard + np.where(np.arange(heard.size) < half, 0, besides).astype(np.float32)
        cleaned = [canceller.hear(a, b) for a, b in zip(blocks(mixed), blocks(played), strict=False)]
        pitched[name] = np.mean([one.pitch >= PITCHED for one in cleaned[half // BLOCK + 5 :]])
    assert pitched["nobody"] < 0.05
    assert pitched["noise"] < 0.05
    assert pitched["vowel"] > 0.5
