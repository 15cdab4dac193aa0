"""Words and phonemes are matched in order, whatever was written as one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from locara.engines.word_alignment import Stretch, starts

STRETCHES = st.lists(st.builds(Stretch, st.integers(1, 20), st.booleans()), min_size=1, max_size=12)


def _of(text: str) -> list[Stretch]:
    return [Stretch(len(word), word.endswith((",", "."))) for word in text.split()]


def test_as_many_as_there_are_words_are_matched_one_to_one() -> None:
    assert starts(_of("a bb ccc"), _of("a b c")) == [(0, 0.0), (1, 0.0), (2, 0.0)]


def test_two_words_that_are_said_as_one_share_it() -> None:
    found = starts(_of("the top of the stove."), _of("ðə tˈɑp ʌvðə stˈOv."))
    assert [number for number, _ in found] == [0, 1, 2, 2, 3]
    assert found[3][1] == 0.4


def test_a_number_that_is_said_as_several_begins_with_the_first() -> None:
    found = starts([Stretch(2), Stretch(12, ends=True), Stretch(2), Stretch(3)], _of("ɪn nˈIntin ˈAɾi fˈɔɹ, ɪt wʌz"))
    assert [number for number, _ in found] == [0, 1, 4, 5]


def test_nothing_is_matched_with_nothing() -> None:
    assert starts([], _of("a")) == starts(_of("a"), []) == []


@given(STRETCHES, STRETCHES)
def test_every_word_has_its_place_and_none_goes_back(words: list[Stretch], sounds: list[Stretch]) -> None:
    found = starts(words, sounds)
    assert len(found) == len(words)
    assert found == sorted(found)
    assert found[0] == (0, 0.0)
    assert all(0 <= number < len(sounds) and 0.0 <= part < 1.0 for number, part in found)
