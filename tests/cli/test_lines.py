"""Text in columns: nothing harmful is left of it, it is measured as a terminal does, and no word gets lost."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from locara.cli.lines import Line, broken, columns, plain

from .shown import NASTY


def test_escape_sequences_are_removed_whole() -> None:
    assert plain("a\x1b[31mred\x1b[0m b\x1b]0;title\x07c\x9b2Jd\x1bce") == "ared bcde"
    assert plain("one\ntwo\tthree\u202eevil\x85four") == "one two threeevil four"
    assert plain("naïve 漢字 e\u0301") == "naïve 漢字 e\u0301"


@given(NASTY)
def test_no_control_character_survives(text: str) -> None:
    assert not [one for one in plain(text) if unicodedata.category(one) == "Cc" or one in "\u202e\u2066"]


def test_wide_and_combining_characters_are_measured() -> None:
    assert columns("abc") == 3
    assert columns("漢字") == 4
    assert columns("e\u0301") == 1
    assert columns("👍") == 2


@given(NASTY, st.integers(12, 60))
def test_broken_lines_fit_and_lose_no_word(text: str, width: int) -> None:
    lines = broken(Line((("name   ", "name"), (text, "plain"))), width)
    whole = ["".join(piece for piece, _ in line.pieces) for line in lines]
    assert all(columns(line) <= width for line in whole)
    assert "".join("".join(whole).split()) == "".join(plain(f"name {text}").split())
