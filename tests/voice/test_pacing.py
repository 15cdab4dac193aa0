"""Where words lie in the sound of a voice that does not tell, and how fast it speaks."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.engines.contracts import WordMark
from locara.voice.pacing import Pace, plan, weight, word_ends
from locara.voice.speakable import speakable


def ends(clause: str, start: int = 0) -> list[str]:
    return [clause[: end - start] for _, end in plan(speakable(clause), clause, start).shares]


def test_a_plan_names_every_written_word_once_with_its_punctuation() -> None:
    assert ends(" Hello, you there.") == [" Hello,", " Hello, you", " Hello, you there."]
    assert ends("so.", 10) == ["so."]


def test_a_number_of_many_spoken_words_is_heard_as_one() -> None:
    assert ends("in 1999 it") == ["in", "in 1999", "in 1999 it"]
    assert ends("on 2024-05-01, yes") == ["on", "on 2024-05-01,", "on 2024-05-01, yes"]
    assert ends("only $3.50 now")[:2] == ["only", "only $3.50"]


def test_what_is_not_said_goes_with_the_word_before_it() -> None:
    assert ends("[Paris](https://x.org/a) 😊 and") == ["[Paris](https://x.org/a) 😊", "[Paris](https://x.org/a) 😊 and"]
    assert ends("**very** good") == ["**very**", "**very** good"]


def test_long_words_and_numbers_take_longer() -> None:
    assert weight("a") < weight("house") < weight("incorporated")
    assert weight("7") > weight("a")
    assert weight("GPS") > weight("gap")
    assert weight("so,") > weight("so")
    assert weight("你好") > weight("ab")
    assert weight("—") == 0


def test_a_script_without_blanks_is_planned_too() -> None:
    made = plan(speakable("你好世界。"), "你好世界。", 0)
    assert made.shares[-1][1] == 5


@given(st.text("ab 1,.*😊好\n$-", max_size=40), st.integers(0, 100))
def test_a_plan_rises_from_the_beginning_to_the_end(clause: str, start: int) -> None:
    spoken = speakable(clause)
    made = plan(spoken, clause, start)
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(made.shares))
    assert all(0 < share < 1 and start <= end <= start + len(clause) for share, end in made.shares)
    assert bool(made.shares) == bool(spoken.text)


def test_words_that_a_voice_runs_together_begin_halfway() -> None:
    clause = "in the house"
    marks = [WordMark(0, 0, 2), WordMark(1000, 7, 12)]
    spoken = speakable(clause)
    assert word_ends(marks, None, spoken, clause) == ((0, 2), (500, 6), (1000, 12))
    assert word_ends(marks[1:], marks[0], spoken, clause) == ((500, 6), (1000, 12))


def test_a_pace_is_learned_and_follows_a_voice_that_changes() -> None:
    pace = Pace()
    usual = pace.seconds(160)
    pace.learn(160, 20.0)
    assert pace.seconds(160) == pytest.approx(20.0) != usual
    for _ in range(40):
        pace.learn(160, 5.0)
    assert pace.seconds(160) == pytest.approx(5.0, rel=0.05)
    pace.learn(0, 1)
    pace.learn(10, 0)
    assert pace.seconds(0) == 0
