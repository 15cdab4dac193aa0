"""When a whole-turn recogniser decodes again, and where a long turn is cut."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from locara.audio import RATE
from locara.engines.repeated import FIRST_SECONDS, LONGEST_SECONDS, SHARE, Pace, cut


def test_the_first_decoding_comes_early_and_a_dear_one_is_rare() -> None:
    pace = Pace()
    assert not pace.due(int(FIRST_SECONDS * RATE) - 1)
    assert pace.due(int(FIRST_SECONDS * RATE))
    pace.took(0.7)
    assert not pace.due(int(1.9 * RATE))
    assert pace.due(2 * RATE)


def test_a_machine_that_cannot_keep_up_gets_no_partials_until_the_next_turn() -> None:
    pace = Pace()
    pace.took(3.0)
    assert not pace.due(1000 * RATE)
    pace.begin()
    assert pace.due(RATE)


@given(st.lists(st.floats(0.0, 5.0), max_size=30))
def test_decoding_never_takes_more_than_its_share(costs: list[float]) -> None:
    """However dear each decoding turns out: what was spent is at most the share of what was heard, but for the last."""
    pace, heard, spent, last = Pace(), 0.0, 0.0, 0.0
    for cost in costs:
        if pace.interval > LONGEST_SECONDS:
            break
        heard += pace.interval
        assert spent <= SHARE * heard + 1e-9
        spent, last = spent + cost, cost
        pace.took(cost)
    assert spent - last <= SHARE * heard + 1e-9


def test_a_long_turn_is_cut_in_its_pause() -> None:
    sound = np.random.default_rng(0).standard_normal(10 * RATE).astype(np.float32)
    sound[6 * RATE : 6 * RATE + 3200] *= 0.01
    assert 6 * RATE <= cut(sound, 4 * RATE, 9 * RATE) <= 6 * RATE + 3200


@given(st.integers(0, 5000), st.integers(-10, 5000), st.integers(-10, 6000))
def test_a_cut_lies_in_the_sound(size: int, first: int, last: int) -> None:
    at = cut(np.zeros(size, np.float32), first, last)
    assert 0 <= at <= size
