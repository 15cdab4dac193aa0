"""The rule by which words become stable, as properties."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from locara.engines.local_agreement import Agreement, agree, alike

_words = st.lists(st.sampled_from(["the", "The", "cat", "sat.", "sat", "on", "mat", "—", "née"]), max_size=12).map(
    tuple
)
_decodes = st.lists(_words, max_size=8)


def _after(decodes: list[tuple[str, ...]]) -> Agreement:
    view = Agreement()
    for one in decodes:
        view = agree(view, one)
    return view


@given(_decodes, _words)
def test_stable_words_never_change_and_never_go(decodes: list[tuple[str, ...]], more: tuple[str, ...]) -> None:
    before = _after(decodes)
    after = agree(before, more)
    assert after.stable[: len(before.stable)] == before.stable


@given(_words)
def test_one_decode_alone_makes_nothing_stable_and_a_second_the_same_all(words: tuple[str, ...]) -> None:
    first = agree(Agreement(), words)
    assert first == Agreement((), words)
    assert agree(first, words) == Agreement(words, ())


@given(_words, _words)
def test_only_what_both_decodes_have_becomes_stable(one: tuple[str, ...], two: tuple[str, ...]) -> None:
    stable = _after([one, two]).stable
    assert all(map(alike, stable, one))
    assert all(map(alike, stable, two))
    longer = len(stable)
    assert longer == min(len(one), len(two)) or not alike(one[longer], two[longer])


@given(_decodes)
def test_nothing_is_invented(decodes: list[tuple[str, ...]]) -> None:
    said = {word for one in decodes for word in one}
    assert set(_after(decodes).words) <= said


def test_a_growing_sentence_becomes_stable_word_by_word() -> None:
    view = _after([("what",), ("what", "time"), ("what", "time", "is", "it"), ("what", "time", "is", "it?", "now")])
    assert view == Agreement(("what", "time", "is", "it?"), ("now",)) or view.stable == ("what", "time", "is", "it")
    assert view.tail == ("now",)


def test_a_word_that_is_heard_anew_at_the_beginning_does_not_double_the_rest() -> None:
    view = Agreement(("turn", "on", "the", "lights"), ())
    assert agree(view, ("please", "turn", "on", "the", "lights", "now")).words == ("turn", "on", "the", "lights", "now")


def test_case_and_punctuation_are_no_disagreement_but_signs_alone_are_words() -> None:
    assert alike("It", "it.")
    assert alike("straße", "STRASSE")
    assert not alike("—", "…")
