"""Digits, understood or not: how likely they are, and how many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.voice.dictating import DIGIT_SECONDS, digits_at_the_end, misheard, said
from locara.voice.evidence import words_of


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("five five three", 3),
        ("call five five three four nine oh", 6),
        ("5 5 34", 4),
        ("nine for five", 3),
        ("nine too for to", 0),  # more words that only sound like digits than digits
        ("nine nine two or", 0),
        ("", 0),
    ],
)
def test_digits_at_the_end_are_counted(text: str, count: int) -> None:
    assert digits_at_the_end(words_of(text)) == count


@pytest.mark.parametrize(
    ("text", "voiced", "confidence", "breaks"),
    [  # as pocketsphinx heard them
        ("they go", 1.24, 0.18, 0),
        ("your fault you want it", 2.4, 0.21, 1),
        ("for one or", 1.96, 0.16, 0),
        ("one nine here agree", 1.94, 0.27, 0),
        ("nine nine two or you", 3.5, 0.36, 1),
        ("that you are a", 2.62, 0.42, 2),
    ],
)
def test_dictated_digits_are_told_from_how_they_are_said(
    text: str, voiced: float, confidence: float, breaks: int
) -> None:
    assert misheard(text, voiced, confidence, breaks) > 0.5


@pytest.mark.parametrize(
    ("text", "voiced", "confidence"),
    [
        ("ok now switch the main language to chinese", 2.1, 0.45),
        ("i want a dark worlds latte", 1.72, 0.28),
        ("set a timer for five minutes", 1.7, 0.35),
        ("the world you'd lose young lad he would", 1.78, 0.18),
    ],
)
def test_orders_are_not_taken_for_digits(text: str, voiced: float, confidence: float) -> None:
    assert misheard(text, voiced, confidence) < 0.2


_texts = st.text(max_size=60) | st.lists(st.sampled_from("they go seven nine 5 to want unbelievable".split())).map(
    " ".join
)
_voiced = st.floats(0.0, 60.0)
_sure = st.none() | st.floats(0.0, 1.0)


@given(_texts, _voiced, _sure)
def test_a_chance_is_a_chance_and_needs_time_for_a_few_digits(text: str, voiced: float, sure: float | None) -> None:
    chance = misheard(text, voiced, sure)
    assert 0.0 <= chance < 1.0
    if sure is None or not words_of(text) or voiced < 2 * DIGIT_SECONDS:
        assert chance == 0.0


@given(_texts, _voiced, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_the_surer_the_recogniser_the_less_it_misheard(text: str, voiced: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert misheard(text, voiced, low) >= misheard(text, voiced, high)


@given(_texts, st.floats(2 * DIGIT_SECONDS, 30.0), st.floats(0.0, 30.0), st.floats(0.0, 1.0), st.integers(0, 50))
def test_the_slower_and_the_more_broken_the_likelier(
    text: str, voiced: float, more: float, sure: float, breaks: int
) -> None:
    assert misheard(text, voiced + more, sure) >= misheard(text, voiced, sure)
    assert misheard(text, voiced, sure, breaks + 1) >= misheard(text, voiced, sure, breaks)


@given(_texts, _voiced)
def test_what_was_understood_was_said_and_never_more_than_the_voice_has_time_for_besides(
    text: str, voiced: float
) -> None:
    understood = digits_at_the_end(words_of(text))
    assert said(text, voiced) >= understood
    assert said(text, voiced) == understood or said(text, voiced) * DIGIT_SECONDS <= voiced + 1e-6
