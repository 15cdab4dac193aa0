"""Is the turn over: words, sound and silence against what they must come to."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.voice.dictating import DIGIT_SECONDS, WHOLE_NUMBER, misheard
from locara.voice.endings import PATIENCE, Clause, ending, silence_needed


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("yes", Clause.WHOLE),
        ("no", Clause.WHOLE),
        ("thank you", Clause.WHOLE),
        ("Stop!", Clause.WHOLE),
        ("what time is it", Clause.WHOLE),
        ("what for?", Clause.WHOLE),
        ("set a timer for five minutes", Clause.FINISHED),
        ("It rains.", Clause.FINISHED),
        ("my dog", Clause.UNSURE),
        ("pizza", Clause.UNSURE),
        ("what time", Clause.UNSURE),
        ("", Clause.UNSURE),
        ("?", Clause.UNSURE),
        ("i want the", Clause.HANGING),
        ("where are you from", Clause.UNSURE),
        ("yes please", Clause.UNSURE),
        ("oh no", Clause.UNSURE),
        ("my name is", Clause.HANGING),
        ("tell me about the weather and", Clause.HANGING),
        ("well,", Clause.HANGING),
        ("so I thought...", Clause.HANGING),
        ("I went to the -", Clause.HANGING),
        ("and", Clause.UNSURE),
        ("it is seven plus", Clause.HANGING),
        ("what's", Clause.UNSURE),
        ("I think what’s", Clause.HANGING),
    ],
)
def test_how_a_text_ends(text: str, how: Clause) -> None:
    assert ending(text) is how


TEXTS = {
    Clause.WHOLE: "what time is it",
    Clause.FINISHED: "can i have some tea",
    Clause.UNSURE: "my dog",
    Clause.HANGING: "my name is",
    Clause.COUNTING: "my number is five five three",
}


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("five five three", Clause.COUNTING),
        ("call five five three four nine oh", Clause.COUNTING),
        ("five five three four nine oh two", Clause.UNSURE),
        ("5 5 3 4", Clause.COUNTING),
        ("it is 5534902", Clause.UNSURE),
        ("i want two", Clause.UNSURE),
        ("nine too for to", Clause.HANGING),  # more words that only sound like digits than digits
        ("nine for five", Clause.COUNTING),
    ],
)
def test_a_number_being_dictated_is_not_over_before_it_can_be(text: str, how: Clause) -> None:
    assert ending(text) is how


FEW, MANY = 4 * DIGIT_SECONDS, (WHOLE_NUMBER + 0.5) * DIGIT_SECONDS
"""Seconds of voice: of some digits, and of a whole number."""


def test_after_a_group_of_misheard_digits_the_next_is_waited_for_and_a_whole_number_is_answered() -> None:
    normal = PATIENCE["normal"]
    group = silence_needed("they go", normal, 0.9, voiced=FEW, confidence=0.15, breaks=1)
    number = silence_needed("they go", normal, 0.9, voiced=MANY, confidence=0.15, breaks=1)
    assert group > 1.5 > number
    assert number > silence_needed("they go", normal, 0.9), "a digit that sounds finished is not the end of a number"


@pytest.mark.parametrize(
    ("text", "voiced", "confidence"),
    [
        ("they go", FEW, None),  # a recogniser that does not tell how sure it is
        ("they go", FEW / 3, 0.15),  # too short for a number
        ("thank you", FEW, 0.15),
        ("five five three four", FEW, 0.15),  # digits that were understood are counted by their words
        ("\u4f60\u597d", FEW, 0.15),  # "hello" in Chinese: two syllables, no Latin letter
    ],
)
def test_what_is_not_misheard_digits_is_taken_as_it_is(text: str, voiced: float, confidence: float | None) -> None:
    for finished in (None, 0.1, 0.9):
        plain = silence_needed(text, PATIENCE["normal"], finished, confidence=confidence)
        needed = silence_needed(text, PATIENCE["normal"], finished, voiced=voiced, confidence=confidence)
        assert needed == pytest.approx(plain)


def test_digits_of_which_some_were_understood_are_a_whole_number_by_their_time() -> None:
    needed = [silence_needed("nine nine two", PATIENCE["normal"], voiced=v, confidence=0.2) for v in (FEW, MANY)]
    assert needed[0] > 1.5 > needed[1]


@pytest.mark.parametrize("name", PATIENCE)
def test_the_less_finished_the_words_the_longer_the_silence(name: str) -> None:
    patience = PATIENCE[name]
    needed = [silence_needed(text, patience) for text in (*TEXTS.values(), None)]
    assert needed == sorted(needed)
    assert needed[0] < needed[1] < needed[3]
    assert needed[-1] == patience.last


def test_patience_is_ordered_as_its_names_say() -> None:
    quick, normal, patient = (dataclasses.astuple(PATIENCE[name]) for name in ("quick", "normal", "patient"))
    assert all(a < b < c for a, b, c in zip(quick, normal, patient, strict=True))


def test_who_sounds_finished_and_says_so_is_answered_at_once_and_who_sounds_unfinished_is_waited_for() -> None:
    normal = PATIENCE["normal"]
    sure = silence_needed(TEXTS[Clause.FINISHED], normal, finished=0.97)
    without = silence_needed(TEXTS[Clause.FINISHED], normal)
    doubtful = silence_needed(TEXTS[Clause.FINISHED], normal, finished=0.1)
    assert sure == normal.least < without < 0.5
    assert doubtful > 2 * without


def test_a_whole_question_is_not_held_back_for_long_by_a_melody_that_rises() -> None:
    assert silence_needed(TEXTS[Clause.WHOLE], PATIENCE["normal"], finished=0.0) < 0.7


def test_the_sound_outweighs_words_that_were_perhaps_misheard() -> None:
    normal = PATIENCE["normal"]
    assert silence_needed("they want the", normal, finished=0.97) < silence_needed("they want the", normal) / 2


_texts = st.one_of(st.sampled_from(list(TEXTS.values())), st.text(max_size=40))
_chances = st.one_of(st.none(), st.floats(0.0, 1.0))


@given(_texts, st.sampled_from(list(PATIENCE)), _chances)
def test_every_wait_has_its_bounds(text: str, name: str, finished: float | None) -> None:
    patience = PATIENCE[name]
    assert patience.least <= silence_needed(text, patience, finished) <= patience.last


@given(_texts, st.sampled_from(list(PATIENCE)), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_more_evidence_for_the_end_never_waits_longer(text: str, name: str, a: float, b: float) -> None:
    low, high = sorted((a, b))
    waits = [silence_needed(text, PATIENCE[name], finished=one) for one in (low, high)]
    assert waits[0] >= waits[1]


def test_a_clause_hangs_less_if_the_recogniser_is_unsure_of_it() -> None:
    normal = PATIENCE["normal"]
    hanging = [silence_needed(TEXTS[Clause.HANGING], normal, confidence=one) for one in (0.1, 0.3, 0.5, 0.9, None)]
    assert hanging[0] < hanging[1] < hanging[2] == hanging[3] == hanging[4]
    for clause in (Clause.WHOLE, Clause.FINISHED, Clause.UNSURE, Clause.COUNTING):
        unsure, sure = (silence_needed(TEXTS[clause], normal, confidence=one) for one in (0.1, 0.9))
        assert unsure == sure


_seconds = st.floats(0.0, 60.0)


@given(_texts, st.sampled_from(list(PATIENCE)), _chances, _seconds, _chances)
def test_a_voice_as_fast_as_speech_or_a_sure_recogniser_changes_next_to_nothing(
    text: str, name: str, finished: float | None, voiced: float, confidence: float | None
) -> None:
    needed = silence_needed(text, PATIENCE[name], finished, voiced=voiced, confidence=confidence)
    assert PATIENCE[name].least <= needed <= PATIENCE[name].last
    if misheard(text, voiced, confidence) < 0.001:
        assert needed == pytest.approx(silence_needed(text, PATIENCE[name], finished, confidence=confidence), rel=0.05)


@given(_texts, st.sampled_from(list(PATIENCE)), _seconds, _chances)
def test_more_evidence_for_the_end_never_waits_longer_for_digits_either(
    text: str, name: str, voiced: float, confidence: float | None
) -> None:
    waits = [
        silence_needed(text, PATIENCE[name], chance, voiced=voiced, confidence=confidence) for chance in (0.2, 0.8)
    ]
    assert waits[0] >= waits[1]
