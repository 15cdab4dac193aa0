"""Recognised words against the voice they came from: what nobody can have said is not taken for said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.voice.doubt import doubt, loop, syllables
from locara.voice.evidence import says_nothing

WORDS = "what time is it yes no stop computer please turn the lights on in kitchen thank you".split()


@pytest.mark.parametrize(
    ("text", "voiced", "why"),
    [
        ("I would like to have ten large cups of coffee", 0.3, "no-speech"),
        ("I would like to have ten large cups of coffee", 2.0, None),
        ("turn it off", 0.1, None),
        ("stop", 0.0, None),
        ("computer", 0.06, None),
        ("", 0.0, None),
        ("...", 1.0, None),
    ],
)
def test_nobody_says_more_than_there_is_time_for(text: str, voiced: float, why: str | None) -> None:
    assert doubt(text, voiced=voiced) == why


@pytest.mark.parametrize(
    ("text", "voiced", "why"),
    [
        ("thank you. thank you. thank you.", 0.5, "hallucination"),
        ("thank you thank you thank you", 1.6, None),  # people do say that
        ("so and so and so and so and so", 1.0, "hallucination"),
        ("so and so and so and so and so", 3.0, None),
        ("come on come on come on", 1.2, None),
        ("no no no no no", 1.2, None),
        ("the the the the the the the the the", 1.0, "hallucination"),
        ("the the the the the the the the the", 3.0, None),
        ("well " * 200, 130.0, None),
        ("well " * 200, 2.0, "no-speech"),
        ("zero zero one zero zero one", 2.5, None),
    ],
)
def test_a_loop_is_a_decoder_that_goes_round_in_circles(text: str, voiced: float, why: str | None) -> None:
    assert doubt(text, voiced=voiced) == why


@pytest.mark.parametrize(
    ("text", "voiced", "confidence", "why"),
    [
        ("thanks for watching!", 0.2, None, "hallucination"),
        ("thanks for watching!", 1.0, None, None),
        ("thank you", 0.1, 0.2, "hallucination"),
        ("thank you", 0.1, 0.9, None),
        ("thank you", 0.1, None, None),  # two syllables and no other evidence: it was said
        ("thank you", 0.4, 0.2, None),
        ("you", 0.06, 0.9, None),
        ("turn it on", 0.1, 0.1, None),
    ],
)
def test_a_phrase_that_engines_invent_needs_other_evidence_to_fall(
    text: str, voiced: float, confidence: float | None, why: str | None
) -> None:
    assert doubt(text, voiced=voiced, confidence=confidence) == why


@pytest.mark.parametrize(
    ("text", "voiced", "confidence", "why"),
    [
        ("of", 0.06, 0.13, "no-speech"),
        ("but for that", 0.44, 0.21, "no-speech"),
        ("but for that", 0.44, 0.5, None),
        ("but for that", 0.44, None, None),
        ("but for that", 0.7, 0.21, None),
        ("what for", 0.3, 0.13, None),
        ("no", 0.06, 0.13, None),
        ("light", 0.06, 0.13, None),
    ],
)
def test_faint_words_of_a_short_voice_need_some_confidence(
    text: str, voiced: float, confidence: float | None, why: str | None
) -> None:
    assert doubt(text, voiced=voiced, confidence=confidence) == why


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=12), st.floats(4.0, 7.0), st.floats(0, 1))
def test_what_was_said_at_a_human_pace_is_believed(words: list[str], pace: float, confidence: float) -> None:
    text = " ".join(words)
    if loop(words)[0] >= 3:
        return
    seconds = sum(syllables(word) for word in words) / pace
    odd = text in ("thank you", "you") or says_nothing(tuple(words))
    if not odd:
        assert doubt(text, voiced=seconds, confidence=confidence) is None


@given(st.lists(st.sampled_from(WORDS), max_size=12), st.floats(0, 3), st.floats(0, 3))
def test_more_voice_never_makes_words_less_likely(words: list[str], voiced: float, more: float) -> None:
    if doubt(" ".join(words), voiced=voiced) is None:
        assert doubt(" ".join(words), voiced=voiced + more) is None


@pytest.mark.parametrize(
    ("word", "n"), [("stop", 1), ("computer", 3), ("the", 1), ("time", 1), ("table", 2), ("42", 2)]
)
def test_syllables(word: str, n: int) -> None:
    assert syllables(word) == n


@pytest.mark.parametrize(
    ("text", "times", "period"),
    [("a b a b a b", 3, 2), ("a b a b a", 2, 2), ("a a a", 3, 1), ("a b c", 1, 3), ("a", 1, 1), ("", 1, 0)],
)
def test_loops(text: str, times: int, period: int) -> None:
    assert loop(text.split()) == (times, period)
