"""Where sound ends: to five milliseconds, over any room, however the stream is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locara.audio import RATE, Samples, gain, silence
from locara.gate.levels import STEP, Loudness
from locara.testing.scripted import tone


def room(seconds: float, dbfs: float, seed: int = 1) -> Samples:
    return (gain(dbfs) * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def spoken(noise_dbfs: float, ends: float, seconds: float, level: float = 0.2) -> Samples:
    """Noise, and in it one second of a voice that ends at ``ends``."""
    sound = room(seconds, noise_dbfs)
    at = round((ends - 1.0) * RATE)
    sound[at : at + RATE] += tone(1.0, RATE, level=level)
    return sound


def until(sound: Samples, block: int = 320) -> int:
    loudness = Loudness()
    for at in range(0, sound.size, block):
        loudness.push(sound[at : at + block])
    return loudness.until


@pytest.mark.parametrize("noise", [-80.0, -60.0, -50.0, -40.0])
def test_the_end_of_a_voice_is_found_to_two_readings_in_any_room(noise: float) -> None:
    assert until(spoken(noise, 2.5, 4.0)) == pytest.approx(2.5 * RATE, abs=2 * STEP)


def test_in_perfect_silence_the_end_is_found_to_one_reading() -> None:
    sound = silence(3 * RATE)
    sound[RATE : RATE + 5000] = tone(5000 / RATE, RATE)
    assert 0 <= until(sound) - (RATE + 5000) < STEP


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 2000))
def test_how_the_stream_is_cut_changes_nothing(block: int) -> None:
    sound = spoken(-50, 1.5, 2.0)
    assert until(sound, block) == until(sound, 320)


def test_until_never_lies_in_the_future_and_never_goes_back() -> None:
    loudness, last, sound = Loudness(), 0, spoken(-45, 2.0, 3.0)
    for at in range(0, sound.size, 200):
        now = loudness.push(sound[at : at + 200])
        assert last <= now <= at + 200
        assert now == loudness.until
        last = now


def test_nothing_but_silence_or_a_steady_room_is_no_sound() -> None:
    assert until(silence(RATE)) == 0
    assert until(room(3.0, -50)) < 3.0 * RATE - 0.2 * RATE
    assert Loudness().push(silence(0)) == 0


def test_the_echo_of_a_loud_voice_in_the_room_is_not_speech() -> None:
    decay = np.exp(-np.arange(RATE) / RATE * 6.9 / 0.35).astype(np.float32)  # 60 dB in 0.35 s
    sound = spoken(-85, 2.0, 3.0)
    sound[2 * RATE :] += 0.1 * decay * np.random.default_rng(2).standard_normal(RATE).astype(np.float32)
    assert until(sound) == pytest.approx(2.0 * RATE + 0.17 * RATE, abs=0.06 * RATE)


def test_a_room_that_gets_louder_is_the_new_floor_after_a_while() -> None:
    sound = np.concatenate((room(1.0, -65), room(10.0, -50, seed=2)))
    assert until(sound[: 3 * RATE]) > 2.9 * RATE, "at first it is sound"
    assert until(sound) < 7 * RATE, "later it is the room"


def test_a_quieter_room_is_the_floor_at_once() -> None:
    sound = np.concatenate((room(2.0, -40), room(0.5, -70, seed=2), np.zeros(0, np.float32)))
    whisper = (gain(-52) * np.random.default_rng(4).standard_normal(RATE // 2)).astype(np.float32)
    heard = np.concatenate((sound, whisper, room(0.5, -70, seed=5)))
    assert until(heard) == pytest.approx(3.0 * RATE, abs=2 * STEP)


@pytest.mark.parametrize(("noise", "over"), [(-80.0, 50.0), (-60.0, 35.0), (-40.0, 15.0)])
def test_how_far_a_voice_is_over_the_room_is_told(noise: float, over: float) -> None:
    loudness = Loudness()
    sound = spoken(noise, 2.5, 4.0)
    for at in range(0, sound.size, 320):
        loudness.push(sound[at : at + 320])
        if 1.6 * RATE < at < 2.4 * RATE:
            assert loudness.over_floor > over
    assert loudness.over_floor < 10.0
    loudness.pass_over(320)
    assert loudness.over_floor == 0.0
