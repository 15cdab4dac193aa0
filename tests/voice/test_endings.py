"""Is the turn over: words, sound and silence against what they must come to."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.voice import doubt
from locara.voice.endings import (
    COUNTED,
    DIGIT_SECONDS,
    PATIENCE,
    SLOW,
    WHOLE_NUMBER,
    Clause,
    ending,
    heard_ending,
    said_one_by_one,
    silence_needed,
)
from locara.voice.evidence import words_of


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


FEW, MANY = (COUNTED + 0.5) * DIGIT_SECONDS, (WHOLE_NUMBER + 0.5) * DIGIT_SECONDS
"""Seconds of voice."""


@pytest.mark.parametrize(
    ("text", "voiced", "confidence", "how"),
    [
        ("they go", FEW, 0.2, Clause.COUNTING),  # "seven six six", as pocketsphinx understands it
        ("on the", FEW, 0.2, Clause.COUNTING),  # not a clause that hangs: there is no clause
        ("on the", MANY, 0.2, Clause.UNSURE),
        ("hey who did vote", MANY, 0.2, ending("hey who did vote")),
        ("they go", FEW, 0.5, Clause.UNSURE),  # surely those words, said slowly
        ("they go", FEW, None, Clause.UNSURE),  # a recogniser that does not tell how sure it is
        ("they go", (COUNTED - 0.5) * DIGIT_SECONDS, 0.2, Clause.UNSURE),  # too short for a number
        ("can i have some coffee", FEW, 0.2, Clause.FINISHED),  # as fast as speech
        ("thank you", FEW, 0.2, Clause.WHOLE),
        ("five five three four", MANY, 0.2, Clause.COUNTING),  # digits that were understood are counted by their words
        ("", FEW, 0.2, Clause.UNSURE),
        ("\u4f60\u597d", FEW, 0.2, Clause.UNSURE),  # "hello" in Chinese: two syllables, no Latin letter
    ],
)
def test_digits_that_are_not_understood_are_counted_by_their_time(
    text: str, voiced: float, confidence: float | None, how: Clause
) -> None:
    assert heard_ending(text, voiced, confidence) is how


def test_after_a_group_of_misheard_digits_the_next_is_waited_for_and_a_whole_number_is_answered() -> None:
    normal = PATIENCE["normal"]
    plain = silence_needed("they go ahead", normal, 0.5)
    group = silence_needed("they go ahead", normal, 0.5, voiced=FEW * 1.5, confidence=0.2)
    number = silence_needed("they go ahead", normal, 0.5, voiced=MANY, confidence=0.2)
    assert group > 1.5 > number == plain


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


_seconds = st.floats(0.0, 60.0)


@given(_texts, _seconds, _chances)
def test_misheard_digits_are_never_more_than_the_voice_has_time_for(
    text: str, voiced: float, confidence: float | None
) -> None:
    count = said_one_by_one(text, voiced, confidence)
    assert 0 <= count * DIGIT_SECONDS <= voiced + 1e-6
    if confidence is None or confidence >= doubt.FAINT:
        assert count == 0


@given(_texts, st.sampled_from(list(PATIENCE)), _chances, _seconds, _chances)
def test_a_voice_as_fast_as_speech_or_a_sure_recogniser_changes_nothing(
    text: str, name: str, finished: float | None, voiced: float, confidence: float | None
) -> None:
    plain = silence_needed(text, PATIENCE[name], finished)
    said = sum(doubt.syllables(word) for word in words_of(text))
    needed = silence_needed(text, PATIENCE[name], finished, voiced=voiced, confidence=confidence)
    assert PATIENCE[name].least <= needed <= PATIENCE[name].last
    if confidence is None or confidence >= doubt.FAINT or said >= SLOW * voiced:
        assert needed == plain
