"""Our own words come back: they are known again though misheard, and a user who repeats two of them is no echo."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.voice import echoes
from locara.voice.echoes import Sounding, aligned, is_echo, likeness, sounding
from locara.voice.ledger import ClauseSpan

TEXT = "The early train to the coast leaves at nine from platform two, and the later one carries bicycles on Sundays."
WORD_SECONDS = 0.3
VOCABULARY = sorted({one.strip(".,").lower() for one in TEXT.split()})
OTHERS = "could you please tell me what something else needs my friend wants breakfast tomorrow morning hello".split()


def _ours(text: str = TEXT) -> tuple[Sounding, ...]:
    words = [one.strip(".,").lower() for one in text.split()]
    return tuple(Sounding(word, WORD_SECONDS * n, WORD_SECONDS * (n + 1)) for n, word in enumerate(words))


@pytest.mark.parametrize(
    ("heard", "onset", "until", "echo"),
    [
        ("the early train to the coast", 0.0, 1.8, True),
        ("be surly train to because", 0.0, 1.8, True),  # as a recogniser hears it in a room
        ("leaves at nine", 1.8, 2.7, True),
        ("leaves it nine from", 2.0, 2.8, True),
        ("leaves at nine", 4.0, 4.4, False),  # a user repeats it more than a second later
        ("stop", 1.8, 2.2, False),
        ("what time is it", 1.8, 2.2, False),
        ("platform two really", 3.9, 4.3, False),  # they had to hear it first
        ("", 1.8, 2.2, False),
        ("my", 2.4, 2.7, False),  # near to "nine", but so is much
        ("nine", 2.4, 2.7, True),
        ("wait the coast is what i want", 1.5, 1.9, False),
    ],
)
def test_what_is_an_echo(heard: str, onset: float, until: float, echo: bool) -> None:
    assert is_echo(heard, _ours(), onset, until) is echo


@given(st.integers(0, 12), st.integers(3, 8), st.floats(0.0, 0.3), st.data())
def test_most_of_what_we_said_is_an_echo_though_a_quarter_is_misheard(
    first: int, n: int, delay: float, data: st.DataObject
) -> None:
    ours = _ours()[first : first + n]
    heard = [one.word for one in ours]
    for _ in range(len(heard) // 4):
        short = min(range(len(heard)), key=lambda at: len(heard[at]))
        heard[short] = data.draw(st.sampled_from(["oh", "it", "uh"]))
    assert is_echo(" ".join(heard), _ours(), ours[0].start + delay, ours[-1].end)


@given(st.integers(0, 14), st.floats(0.05, 1.5), st.lists(st.sampled_from(OTHERS), max_size=4))
def test_whoever_repeats_two_of_our_words_is_no_echo(first: int, later: float, more: list[str]) -> None:
    two = [one.word for one in _ours()[first : first + 2]]
    onset = _ours()[first + 1].end + echoes.DELAY_SECONDS + later
    first_sound = onset - echoes.DELAY_SECONDS - echoes.AROUND_SECONDS
    now = [one.word for one in _ours() if one.end > first_sound and one.start < onset + 0.3 + echoes.AROUND_SECONDS]
    if not aligned([*two, *more], now):  # else we say words like these just now ("the ... tell", "the later")
        assert not is_echo(" ".join([*two, *more]), _ours(), onset, onset + 0.3)


@given(st.lists(st.sampled_from(OTHERS), min_size=1, max_size=8), st.floats(0, 5))
def test_other_words_are_no_echo_whenever_they_come(words: list[str], onset: float) -> None:
    assert not is_echo(" ".join(words), _ours(), onset, onset + 1.0)


@given(st.lists(st.sampled_from(VOCABULARY + OTHERS), max_size=7), st.lists(st.sampled_from(VOCABULARY), max_size=7))
def test_an_alignment_is_in_order_and_only_of_words_that_are_alike(heard: list[str], ours: list[str]) -> None:
    pairs = aligned(heard, ours)
    assert pairs == sorted(pairs)
    for i, j in pairs:
        near = ["".join(heard[a : a + n]) for n in (1, 2) for a in (i - n + 1, i) if a >= 0]
        mine = ["".join(ours[b : b + n]) for n in (1, 2) for b in (j - n + 1, j) if b >= 0]
        assert max(likeness(one, other) for one in near for other in mine) >= echoes.ALIKE


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("coast", "ghost", True), ("nine", "mine", True), ("two", "to", True), ("platform", "flat form", True),
        ("stop", "train", False), ("wait", "platform", False), ("no", "nine", False), ("leaves", "early", False),
    ],
)  # fmt: skip
def test_words_that_sound_alike(one: str, other: str, alike: bool) -> None:
    assert (likeness(one, other.replace(" ", "")) >= echoes.ALIKE) is alike


@given(st.text("abcdefghijklmnopqrstuvwxyz'", max_size=8), st.text("abcdefghijklmnopqrstuvwxyz'", max_size=8))
def test_likeness_is_a_symmetric_share(one: str, other: str) -> None:
    assert 0.0 <= likeness(one, other) <= 1.0
    assert likeness(one, other) == pytest.approx(likeness(other, one))
    assert likeness(one, one) == 1.0


RATE = 1000


def test_words_sound_when_the_voice_says_so() -> None:
    text = "Good morning. It is noon."
    script = [
        ClauseSpan(0, 13, 0, 1000, ((100, 4), (500, 13)), True),
        ClauseSpan(13, 25, 1000, 900, ((1050, 16), (1200, 19), (1500, 25)), True),
    ]
    assert sounding(text, script, RATE, 0.0, 9.0) == (
        Sounding("good", 0.1, 0.5), Sounding("morning", 0.5, 1.0), Sounding("it", 1.05, 1.2),
        Sounding("is", 1.2, 1.5), Sounding("noon", 1.5, 1.9),
    )  # fmt: skip
    assert [one.word for one in sounding(text, script, RATE, 0.6, 1.1)] == ["morning", "it"]


def test_without_word_times_a_word_sounds_where_it_stands_in_its_clause() -> None:
    text = "one two three four"
    found = sounding(text, [ClauseSpan(0, 18, 0, 1800, (), True)], RATE, 0.0, 2.0)
    assert [one.word for one in found] == ["one", "two", "three", "four"]
    assert [round(one.start, 1) for one in found] == [0.0, 0.3, 0.7, 1.3]
    assert found[-1].end == 1.8


@given(st.text(max_size=60), st.floats(0, 3), st.floats(0, 3))
def test_any_text_can_sound(text: str, start: float, length: float) -> None:
    script = [ClauseSpan(0, len(text), 0, 3000, (), True)]
    for one in sounding(text, script, RATE, start, start + length):
        assert one.end >= one.start
