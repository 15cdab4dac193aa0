"""Text as phonemes: sentences, punctuation, the spelling of each family, and espeak-ng's program."""

from __future__ import annotations

import os
import re
import signal
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.engines.phonemes import LONGEST, Phonemiser, joined, kokoro, piper, sentences
from locara.errors import EngineFailed


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("  \n ", []),
        ("One", ["One"]),
        ("One. Two!  Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ('He said "go." Then left.', ['He said "go.', "Then left."]),
        ("Version 3.5 is out.", ["Version 3.5 is out."]),
        ("好。", ["好。"]),
    ],
)
def test_a_text_is_cut_into_sentences(text: str, parts: list[str]) -> None:
    assert sentences(text) == parts


@given(st.text("ab .,;!?\n", max_size=1000), st.integers(1, 300))
def test_no_word_is_lost_and_no_sentence_is_too_long(text: str, longest: int) -> None:
    parts = sentences(text, longest)
    assert all(0 < len(part) <= longest for part in parts)
    assert re.sub(r"\s", "", "".join(parts)) == re.sub(r"\s", "", text)


def test_a_long_sentence_is_cut_at_a_comma() -> None:
    text = "a" * 100 + ", " + "b " * 100
    assert sentences(text)[0] == "a" * 100 + ","
    assert all(len(one) <= LONGEST for one in sentences(text))


def test_the_punctuation_is_put_back() -> None:
    # As espeak-ng gives it: with each clause's text comes the next one's first character.
    clauses = [["həlˈoʊ", "Hello, w"], ["wˈɜːld", "orld. H"], ["hˈaʊ", "ow?"]]
    assert joined(clauses) == "həlˈoʊ, wˈɜːld. hˈaʊ?"
    assert joined([["aɪɐm dˈɑːktɚ", "I am Dr. S"], ["smˈɪθ", "mith"]]) == "aɪɐm dˈɑːktɚ smˈɪθ"
    assert joined([["", "..."]]) == ""
    assert joined([["mˈɔːɹ", "more..."]]) == "mˈɔːɹ…"
    assert joined([["(en)ˈaɪfoʊn(de)", "iPhone"]]) == "ˈaɪfoʊn"


def test_pipers_spelling_takes_accents_apart() -> None:
    assert piper("\u00e7") == "c\u0327"


def test_kokoros_spelling_has_a_letter_for_each_diphthong() -> None:
    assert kokoro("həlˈo^ʊ maɪ bˈɔ^ɪ ɡɹˈe^ɪt t^ʃˈɛɹ", "en-us") == "həlˈO maɪ bˈY ɡɹˈAt ʧˈɛɹ"
    assert kokoro("ɡˈə^ʊ wˈɜːd", "en-gb") == "ɡˈQ wˈɜːd"
    assert kokoro("wˈɜːɹd", "en-us") == "wˈɜɹd"
    assert kokoro("pero^ʊ", "es") == "perO"


def test_the_program_gives_phonemes_for_each_text_and_is_started_again_when_it_died() -> None:
    phonemiser = Phonemiser("en-us", stage="tts", model="test")
    try:
        assert phonemiser.phonemes(["Hello, world.", "", "Go!"]) == ["həlˈoʊ, wˈɜːld.", "", "ɡˈoʊ!"]
        assert phonemiser.phonemes(["oil"], tie="^") == ["ˈɔ^ɪl"]
        pid = phonemiser._child.pid
        assert pid is not None
        os.kill(pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
        for _ in range(100):
            if not phonemiser._child.alive:
                break
            time.sleep(0.05)
        assert phonemiser.phonemes(["Go"]) == ["ɡˈoʊ"]
        long = "word " * 3000
        assert phonemiser.phonemes([long])[0].count("wˈɜːd") == 3000
        assert phonemiser.phonemes(["half \ud83d pair"])
    finally:
        phonemiser.kill()
        phonemiser.kill()


def test_an_unknown_language_is_an_error() -> None:
    phonemiser = Phonemiser("xx-none", stage="tts", model="test")
    try:
        with pytest.raises(EngineFailed, match="xx-none"):
            phonemiser.phonemes(["Hello"])
    finally:
        phonemiser.kill()
