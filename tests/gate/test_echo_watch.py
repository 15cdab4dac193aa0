"""The watch: a canceller that fails is noticed, a user who speaks is not taken for one, and it comes back."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from locara.gate.echo_watch import EchoWatch, Listening, following


def loudness(n: int, seed: int) -> np.ndarray:
    """A voice's loudness in dB, one value a block."""
    random = np.random.default_rng(seed)
    syllables = random.uniform(-45.0, -15.0, n // 8 + 2)
    return np.interp(np.arange(n) / 8, np.arange(syllables.size), syllables)


def watched(played: np.ndarray, heard: np.ndarray, left: np.ndarray, *, spoken: float, watch: EchoWatch) -> Listening:
    random = np.random.default_rng(1)
    verdict = watch.verdict
    for one in zip(played, heard, left, strict=True):
        verdict = watch.push(
            played=float(one[0]), heard=float(one[1]), left=float(one[2]), spoken=bool(random.uniform() < spoken)
        )
    return verdict


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 25))
def test_what_is_left_of_our_voice_follows_it_at_any_delay_and_a_users_does_not(seed: int, lag: int) -> None:
    played, user = loudness(400, seed), loudness(400, seed + 1)
    assert following(played[lag:], played[: 400 - lag][: 400 - lag]) > 0.9 or lag == 0
    assert following(played, np.roll(played, lag) - 20.0) > 0.8
    assert following(played, user) < 0.65


def test_a_canceller_that_leaves_our_voice_in_is_noticed_within_four_seconds() -> None:
    watch, played = EchoWatch(), loudness(200, 1)
    heard = np.roll(played, 5) - 6.0
    assert watched(played, heard, heard - 3.0, spoken=0.6, watch=watch) is Listening.IN_TURNS


def test_a_working_canceller_and_a_user_who_talks_on_are_no_failure() -> None:
    watch, played, user = EchoWatch(), loudness(200, 2), loudness(200, 3)
    assert watched(played, user, user, spoken=0.9, watch=watch) is Listening.WHILE_SPEAKING
    watch = EchoWatch()
    assert watched(played, played - 6, played - 30, spoken=0.02, watch=watch) is Listening.WHILE_SPEAKING


def test_it_comes_back_when_the_echo_goes_and_not_before() -> None:
    watch, played = EchoWatch(), loudness(200, 4)
    watched(played, played - 6, played - 8, spoken=0.6, watch=watch)
    assert watch.verdict is Listening.IN_TURNS
    assert watched(played, played - 6, played - 14, spoken=0.0, watch=watch) is Listening.IN_TURNS
    assert watched(played, played - 6, played - 26, spoken=0.0, watch=watch) is Listening.WHILE_SPEAKING


def test_silence_proves_nothing() -> None:
    watch, played = EchoWatch(), loudness(200, 5)
    watched(played, played - 6, played - 8, spoken=0.6, watch=watch)
    quiet = np.full(200, -75.0)
    assert watched(played, quiet, quiet - 30, spoken=0.0, watch=watch) is Listening.IN_TURNS
