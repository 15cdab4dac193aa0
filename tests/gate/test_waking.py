"""The wake word in a stream of blocks: every sample is given once, one word is noticed once, and where it ended."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from locara.audio import RATE, Samples
from locara.engines.contracts import EngineInfo
from locara.gate.waking import ONCE_SECONDS, Spotted, Waking


class Marks:
    """Takes a window for the word if it holds a sample of 1; says nothing at all about a window that holds a -1."""

    info = EngineInfo("marks", "marks", "Apache-2.0")
    word = "mark"
    window = 480
    threshold = 0.5
    lag = 0.1

    def __init__(self) -> None:
        self.given: list[Samples] = []

    async def load(self) -> None:
        """Ready."""

    async def close(self) -> None:
        """Nothing."""

    def probability(self, window: Samples) -> float | None:
        """See above."""
        assert window.shape == (self.window,)
        self.given.append(window.copy())
        return None if (window == -1.0).any() else float((window == 1.0).any())


def spotted(sound: Samples, sizes: list[int]) -> tuple[list[Spotted], Samples]:
    engine = Marks()
    waking = Waking(engine)
    found, at, n = [], 0, 0
    while at < sound.size:
        size = sizes[n % len(sizes)]
        one = waking.hear(sound[at : at + size])
        found += [one] if one is not None else []
        at, n = at + size, n + 1
    return found, np.concatenate([np.zeros(0, np.float32), *engine.given])


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=5), st.integers(0, 3 * RATE - 1))
def test_every_sample_is_given_once_in_order_and_a_word_noticed_once(sizes: list[int], mark: int) -> None:
    sound = np.linspace(0.0, 0.5, 3 * RATE, dtype=np.float32)
    sound[mark] = 1.0
    found, given_ = spotted(sound, sizes)
    assert np.array_equal(given_, sound[: given_.size])
    assert sound.size - given_.size < Marks.window
    window = mark // Marks.window
    if mark < given_.size:
        assert [one.ended for one in found] == [max(0, (window + 1) * Marks.window - round(Marks.lag * RATE))]
        assert found[0].word == "mark"
        assert found[0].probability == 1.0


def test_a_probability_that_stays_high_is_one_word_and_a_second_later_another_may_come() -> None:
    sound = np.zeros(4 * RATE, dtype=np.float32)
    sound[RATE : RATE + 8000 : 100] = 1.0
    sound[RATE + round(ONCE_SECONDS * RATE) + 480] = 1.0
    found, _ = spotted(sound, [320])
    assert len(found) == 2


def test_an_engine_that_knows_nothing_new_notices_nothing() -> None:
    assert spotted(np.full(RATE, -1.0, dtype=np.float32), [320])[0] == []
