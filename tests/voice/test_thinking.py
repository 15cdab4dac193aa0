"""Thoughts of a model are not its answer, wherever its stream is cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.voice.thinking import Thinking


def answer(pieces: list[str]) -> str:
    thinking = Thinking()
    return "".join([thinking.push(piece) for piece in pieces]) + thinking.flush()


CASES = [
    ("<think>a, b.\n</think>\n\nHello there.", "Hello there."),
    ("<thinking>a</thinking>Yes.<reasoning>b</reasoning> No.", "Yes. No."),
    ("Hi <think>never ends", "Hi "),
    ("so</think>Yes", "soYes"),
    ("[THINK]no[/THINK]Yes [1]", "Yes [1]"),
    ("◁think▷x◁/think▷y", "y"),
    ("a < b, <b>bold</b> <3 and [", "a < b, <b>bold</b> <3 and ["),
    ("plain <thin", "plain <thin"),
    (
        "<|channel|>analysis<|message|>User asks.<|end|><|start|>assistant<|channel|>final<|message|>Hello.<|return|>",
        "Hello.",
    ),
    ("<|channel|>commentary to=functions.x <|constrain|>json<|message|>{}<|call|>", ""),
]


@pytest.mark.parametrize(("text", "said"), CASES)
def test_thoughts_are_left_out(text: str, said: str) -> None:
    assert answer([text]) == said
    assert answer(list(text)) == said


@given(st.sampled_from([text for text, _ in CASES]), st.lists(st.integers(0, 200), max_size=9))
def test_where_the_stream_is_cut_changes_nothing(text: str, cuts: list[int]) -> None:
    at = sorted({one % (len(text) + 1) for one in cuts} | {0, len(text)})
    assert answer([text[a:b] for a, b in pairwise(at)]) == answer([text])


@given(st.text("ab <>|/[]◁\n.thinkTHINK", max_size=40).filter(lambda text: "think" not in text.lower()))
def test_plain_text_passes_whole(text: str) -> None:
    assert answer(list(text)) == text


def test_plain_text_is_given_at_once() -> None:
    thinking = Thinking()
    assert [thinking.push(one) for one in ("Sure", ". 3 < ", "4")] == ["Sure", ". 3 < ", "4"]


def test_a_stream_that_thinks_for_ever_is_not_kept() -> None:
    thinking = Thinking()
    thinking.push("<think>")
    for _ in range(1000):
        assert thinking.push("word " * 10) == ""
    assert len(thinking._text) < 1000
