"""The ear: what everybody hears, what the decisions hear, and the past to the exact sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locara.audio import BLOCK, FLOOR_DBFS, RATE, Samples, dbfs, gain, silence
from locara.gate.canceller import Canceller
from locara.gate.ear import MEMORY_SECONDS, ZEROS_SECONDS, Ear, Impression
from locara.testing import EnergyDetector
from locara.testing.babble import answer, babble
from locara.testing.scripted import tone

from .echoes import blocks, quieter, through


class Listening(EnergyDetector):
    """Remembers every window it was given; its probability is the window's number, so that each can be told."""

    def __init__(self, window: int = 512) -> None:
        super().__init__()
        self.window = window
        self.windows: list[Samples] = []
        self.answers: list[float] = []

    def probability(self, window: Samples) -> float:
        self.windows.append(window.copy())
        return self.answers[len(self.windows) - 1] if self.answers else super().probability(window)


def counted(first: int, n: int) -> Samples:
    """Samples that tell where they lie."""
    return ((1 + first + np.arange(n)) / 1e6).astype(np.float32)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 700), st.booleans(), st.booleans()), max_size=40),
    st.sampled_from([1, 160, 512, 1536]),
)
def test_everybody_gets_the_blocks_and_the_detector_every_sample_once(
    blocks: list[tuple[int, bool, bool]], window: int
) -> None:
    detector = Listening(window)
    ear, decided, at = Ear(detector), list[Samples](), 0
    begun = [0]  # where windows begin anew: with each muting and unmuting
    for n, muted, deaf in blocks:
        if muted != ear.muted:
            ear.muted = muted
            begun.append(at)
        ear.deaf = deaf
        block, like = ear.hear(counted(at, n))
        assert np.array_equal(block, silence(n) if muted else counted(at, n))
        decided.append(silence(n) if muted or deaf else counted(at, n))
        at += n
        assert like.n == n
        assert ear.heard == at
        assert 0 <= like.loud_until <= at
    everything = np.concatenate([silence(0), *decided])
    assert all(one.size == window for one in detector.windows)
    whole = [
        everything[one : one + (end - one) // window * window] for one, end in zip(begun, [*begun[1:], at], strict=True)
    ]
    assert np.array_equal(np.concatenate([silence(0), *detector.windows]), np.concatenate(whole))
    for start in {0, 1, at // 3, at - 1, at, at + 5}:
        begins, samples = ear.since(start)
        assert begins == min(max(start, 0), at)
        assert np.array_equal(samples, everything[begins:])


def test_the_past_is_kept_for_fifteen_seconds_and_no_longer() -> None:
    ear = Ear(EnergyDetector())
    blocks = round(MEMORY_SECONDS * RATE / BLOCK) + 30
    for number in range(blocks):
        ear.hear(counted(number * BLOCK, BLOCK))
    begins, samples = ear.since(0)
    assert samples.size == MEMORY_SECONDS * RATE
    assert begins == ear.heard - samples.size
    assert np.array_equal(samples, counted(begins, samples.size))
    later, rest = ear.since(begins + 1000)
    assert later == begins + 1000
    assert np.array_equal(rest, samples[1000:])


def test_before_anything_was_heard_there_is_no_past() -> None:
    begins, samples = Ear(EnergyDetector()).since(0)
    assert (begins, samples.size) == (0, 0)


def test_broken_samples_are_mended_before_anybody_gets_them_and_counted() -> None:
    ear = Ear(Listening())
    block, _ = ear.hear(np.array([np.nan, 2.0, -0.5, -np.inf], np.float32))
    assert block.tolist() == [0.0, 1.0, -0.5, 0.0]
    assert ear.mended == 3
    assert ear.since(0)[1].tolist() == [0.0, 1.0, -0.5, 0.0]
    ear.hear(np.array([3.0], np.float32))
    assert ear.mended == 4


def test_the_newest_window_tells_and_of_several_the_likeliest() -> None:
    detector = Listening(100)
    detector.answers = [0.2, 0.9, 0.1, 0.4]
    ear = Ear(detector)
    heard = [ear.hear(silence(n))[1].probability for n in (99, 1, 200, 50, 50)]
    assert heard == [0.0, 0.2, 0.9, 0.9, 0.4]


def test_the_level_is_that_of_what_everybody_gets() -> None:
    ear = Ear(EnergyDetector())
    loud = np.full(BLOCK, 0.1, np.float32)
    ear.deaf = True
    assert ear.hear(loud)[1].level == pytest.approx(-20, abs=0.01)
    ear.muted = True
    assert ear.muted
    assert ear.hear(loud)[1] == Impression(BLOCK, 0.0, 0, FLOOR_DBFS)


def test_a_window_that_was_begun_before_muting_is_never_judged() -> None:
    detector = Listening(100)
    detector.answers = [0.9, 0.0]
    ear = Ear(detector)
    assert ear.hear(silence(150))[1].probability == 0.9
    ear.muted = True
    assert ear.hear(silence(50))[1].probability == 0.0, "what was heard before still decides"
    assert len(detector.windows) == 1


# --- a microphone that gives nothing ----------------------------------------------------------------------------------


def test_digital_zeros_for_long_enough_are_a_dead_microphone_until_there_is_sound() -> None:
    ear = Ear(EnergyDetector())
    needed = round(ZEROS_SECONDS * RATE / BLOCK)
    for number in range(1, needed + 3):
        ear.hear(silence(BLOCK))
        assert ear.dead == (number >= needed)
    faint = silence(BLOCK)
    faint[7] = 1e-6
    ear.hear(faint)
    assert not ear.dead
    for _ in range(needed - 1):
        ear.hear(silence(BLOCK))
    assert not ear.dead, "zeros from before the sound were counted"


def test_a_muted_microphone_is_not_a_dead_one_and_neither_is_a_deaf_ear() -> None:
    for muted, deaf in ((True, False), (False, True)):
        ear = Ear(EnergyDetector())
        ear.muted, ear.deaf = muted, deaf
        for _ in range(100):
            ear.hear(np.full(BLOCK, 0.01, np.float32))
        assert not ear.dead


# --- where speech ends ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["open", "deaf", "muted"])
def test_the_end_of_speech_is_found_as_exactly_after_a_time_of_deafness(state: str) -> None:
    random, ear = np.random.default_rng(1), Ear(EnergyDetector())
    sound = (0.004 * random.standard_normal(5 * RATE)).astype(np.float32)
    sound[3 * RATE : 4 * RATE] += tone(1.0, RATE, level=0.1)
    until = 0
    for at in range(0, sound.size, BLOCK):
        if state != "open":
            setattr(ear, state, RATE <= at < 2 * RATE)
        until = ear.hear(sound[at : at + BLOCK])[1].loud_until
    assert until == pytest.approx(4 * RATE, abs=0.01 * RATE)


def test_what_is_recognised_has_no_echo_and_what_is_shown_is_the_microphone() -> None:
    played = babble(3.0, 1)
    echo = through(played, answer(2))
    ear = Ear(EnergyDetector(), Canceller())
    shown = [ear.hear(one, other)[0] for one, other in zip(blocks(echo), blocks(played), strict=True)]
    assert np.array_equal(np.concatenate(shown), echo)
    _, recognised = ear.since(2 * RATE)
    assert quieter(echo[2 * RATE :], recognised) > 15.0
    ear.device_changed()
    assert ear.canceller is not None
    assert ear.canceller.delay == 0.0


def test_our_own_echo_is_told_and_leaves_no_voice_for_decisions() -> None:
    played = babble(3.0, 3)
    echo = through(played, answer(4))
    ear, plain = Ear(EnergyDetector(), Canceller()), Ear(EnergyDetector())
    for one, other in zip(blocks(echo), blocks(played), strict=True):
        _, like = ear.hear(one, other)
        _, unlike = plain.hear(one)
        if ear.heard > 2 * RATE and unlike.probability:
            assert like.echo >= 0.5 or not like.probability
            assert unlike.echo == 0.0


@pytest.mark.parametrize(("setting", "change"), [("gain_control", 10.0), ("noise_suppression", -6.0)])
def test_what_is_made_better_is_what_is_recognised(setting: str, change: float) -> None:
    noise = (gain(-40.0) * np.random.default_rng(5).standard_normal(4 * RATE)).astype(np.float32)
    chosen: dict[str, Any] = {setting: True}
    ear, plain = Ear(EnergyDetector(), None, **chosen), Ear(EnergyDetector())
    for one in blocks(noise):
        assert ear.hear(one)[1] == plain.hear(one)[1], "decisions hear the microphone"
    assert np.array_equal(plain.since(3 * RATE)[1], noise[3 * RATE :])
    by = dbfs(ear.since(3 * RATE)[1]) - dbfs(noise[3 * RATE :])
    assert by > change if change > 0 else by < change


def test_a_voice_is_told_with_its_pitch_and_how_far_it_is_over_the_room() -> None:
    """Also where there is no canceller; what is no voice is not looked at."""
    noise = (gain(-50.0) * np.random.default_rng(3).standard_normal(3 * RATE)).astype(np.float32)
    noise[RATE : 2 * RATE] += tone(1.0, RATE, pitch=140.0, level=0.2)
    ear = Ear(EnergyDetector())
    heard = [ear.hear(block)[1] for block in blocks(noise)]
    before, voice = heard[: len(heard) // 3], heard[len(heard) // 3 + 4 : 2 * len(heard) // 3 - 4]
    assert all(one.pitch == 0.0 for one in before)
    assert max(one.over_floor for one in before[10:]) < 10.0
    assert min(one.pitch for one in voice) > 0.8
    assert min(one.over_floor for one in voice) > 25.0
