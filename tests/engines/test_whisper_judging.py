"""What is asked of every Whisper: windows, limits, doubt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.engines import whisper_judging as judging
from locara.engines.whisper_tokens import Vocabulary
from locara.errors import ConfigError


@given(st.floats(0, 60))
def test_a_window_shows_the_sound_and_a_margin_and_is_never_larger_than_whispers(seconds: float) -> None:
    positions = judging.positions(seconds)
    assert positions <= judging.MOST_POSITIONS
    assert positions == judging.MOST_POSITIONS or positions / 50 >= seconds + judging.MARGIN_SECONDS
    assert positions / 50 <= seconds + judging.MARGIN_SECONDS + 64 / 50 + 0.02


def test_a_second_of_sound_costs_a_tenth_of_the_whole_window() -> None:
    assert judging.positions(1.0) <= judging.MOST_POSITIONS * 0.13


@given(st.floats(0, 60), st.booleans())
def test_a_second_attempt_differs_from_the_first(seconds: float, whole: bool) -> None:
    first, second = judging.attempts(seconds, whole_window=whole)
    assert first != second
    assert first[1] == 0.0


@given(st.floats(0, 30), st.booleans())
def test_a_loop_is_stopped_by_what_can_have_been_said(seconds: float, english: bool) -> None:
    most = judging.most_tokens(seconds, english=english)
    assert 16 <= most <= judging.MOST_TOKENS
    assert most >= min(judging.MOST_TOKENS, 7 * seconds)


def test_a_loop_is_doubtful_and_is_said_once() -> None:
    loop = "thank you very much " * 12
    assert judging.doubtful(loop, -0.1)
    assert judging.unlooped("well " + loop + "bye") == "well thank you very much bye"


@pytest.mark.parametrize("text", ["no, no, no", "ha ha ha", "seven of clubs and seven of hearts", "", "a b a b a b"])
def test_what_people_say_is_left_alone(text: str) -> None:
    assert not judging.doubtful(text, -0.3)
    assert judging.unlooped(text) == text


@given(st.lists(st.sampled_from("abc"), max_size=30))
def test_unlooping_only_takes_away(words: list[str]) -> None:
    left = judging.unlooped(" ".join(words)).split()
    rest = iter(words)
    assert all(word in rest for word in left)


@given(st.floats(-20, 0), st.floats(0, 1))
def test_confidence_is_a_probability_and_falls_with_silence(logprob: float, silent: float) -> None:
    assert 0 <= judging.confidence(logprob, silent) <= judging.confidence(logprob, 0.0) <= 1


def test_nobody_spoke_only_if_the_words_are_unsure_too() -> None:
    assert judging.silent(0.9, -1.5)
    assert not judging.silent(0.9, -0.2)
    assert not judging.silent(0.2, -1.5)


# --- tokens -----------------------------------------------------------------------------------------------------------


def _tokens(*texts: str, english: bool = False) -> Vocabulary:
    filled = list(texts) + [f"t{at}" for at in range(len(texts), 50256 if english else 50257)]
    special = ["endoftext", "startoftranscript", "en", "de", "translate", "transcribe", "notimestamps"]
    return Vocabulary.of(filled + [f"<|{name}|>" for name in special])


def test_text_is_put_together_byte_by_byte() -> None:
    vocabulary = _tokens("Ġgr", "Ã", "¼", "n", "Ġis", "âĤ", "¬")
    assert vocabulary.text([0, 1, 2, 3, 4]) == "grün is"
    assert vocabulary.text([5, 6]) == "€"
    assert vocabulary.text([5]) == "\ufffd"
    assert vocabulary.words([0, 1, 2, 3, 4]) == [("grün", 0), ("is", 4)]


def test_scripts_without_spaces_give_a_word_for_each_group_of_whole_letters() -> None:
    vocabulary = _tokens("ä½", "ł", "å¥½")
    assert vocabulary.text([0, 1, 2]) == "你好"
    assert vocabulary.words([0, 1, 2]) == [("你", 0), ("好", 2)]


def test_the_prompt_names_language_and_task_only_where_the_model_knows_them() -> None:
    several = _tokens()
    assert several.prompt("de") == [
        several.ids[f"<|{x}|>"] for x in ("startoftranscript", "de", "transcribe", "notimestamps")
    ]
    alone = _tokens(english=True)
    assert alone.english
    assert alone.prompt("en") == [alone.ids["<|startoftranscript|>"], alone.ids["<|notimestamps|>"]]


def test_a_language_that_the_model_does_not_know_is_told() -> None:
    _tokens().check_language("m", "de")
    _tokens().check_language("m", "")
    with pytest.raises(ConfigError) as caught:
        _tokens().check_language("m", "dee")
    assert "'de'" in caught.value.hint
    with pytest.raises(ConfigError, match="only knows English"):
        _tokens(english=True).check_language("m", "de")


@pytest.mark.parametrize("tokens", [None, {}, [1], ["a", "b"]])
def test_another_files_content_is_no_vocabulary(tokens: object) -> None:
    with pytest.raises(ValueError, match="token"):
        Vocabulary.of(tokens)
