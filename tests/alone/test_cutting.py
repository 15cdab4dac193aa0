"""Where utterances begin and end: nothing lost, nothing twice, never longer than it may be."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from locara.audio import BLOCK, RATE
from locara.transcribe.cutting import BEFORE_SECONDS, LONG_SECONDS, MOST_SECONDS, PAUSE_SECONDS, Began, Cutter, Ended


def spans(probabilities: Sequence[float]) -> list[tuple[int, int]]:
    cutter = Cutter()
    found: list[tuple[int, int]] = []
    start = None
    for probability in probabilities:
        change = cutter.push(probability)
        if isinstance(change, Began):
            assert start is None
            start = change.start
        elif isinstance(change, Ended):
            assert start is not None
            found.append((start, change.end))
            start = None
    ended = cutter.finish()
    if ended is not None:
        assert start is not None
        found.append((start, ended.end))
    return found


def blocks(seconds: float) -> int:
    return round(seconds * RATE / BLOCK)


def test_an_utterance_has_a_lead_and_ends_after_a_pause() -> None:
    ((start, end),) = spans([0.0] * blocks(1) + [0.9] * blocks(1) + [0.1] * blocks(2))
    assert start == RATE - round(BEFORE_SECONDS * RATE)
    assert end == 2 * RATE + round(PAUSE_SECONDS * RATE)


def test_a_click_begins_nothing_and_a_short_pause_ends_nothing() -> None:
    assert spans([0.0] * 50 + [0.9] * 2 + [0.0] * 50) == []
    assert len(spans([0.9] * 50 + [0.1] * blocks(PAUSE_SECONDS - 0.1) + [0.9] * 50)) == 1


def test_long_speech_is_cut_at_a_quiet_moment_or_else_at_the_latest() -> None:
    (first, second) = spans([0.9] * blocks(LONG_SECONDS + 1) + [0.1] * 2 + [0.9] * 100)
    assert abs(first[1] / RATE - (LONG_SECONDS + 1)) < 0.1
    assert second[0] == first[1]
    found = spans([0.9] * blocks(3 * MOST_SECONDS))
    assert [end - start for start, end in found][:2] == [round(MOST_SECONDS * RATE)] * 2
    assert all(after[0] == before[1] for before, after in itertools.pairwise(found))


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.2, 0.4, 0.6, 1.0]), st.integers(1, 400)), max_size=20))
def test_utterances_never_overlap_and_never_grow_too_long(runs: list[tuple[float, int]]) -> None:
    probabilities = [chance for chance, n in runs for _ in range(n)]
    found = spans(probabilities)
    assert all(0 <= start < end <= len(probabilities) * BLOCK for start, end in found)
    assert all(end - start <= round(MOST_SECONDS * RATE) + BLOCK for start, end in found)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(found))
