"""What was heard, by word times and without; and a latency whose parts add up whatever came when."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.audio import RATE
from locara.voice.ledger import ClauseSpan, Milestones, heard_until, latency, with_chunk
from locara.voice.moves import Chunk

OUT = 24_000
WORDS = st.lists(
    st.sampled_from("a I to the well time answer seventeen o'clock Wednesday 3.5 co-operate".split()), min_size=1
)


@dataclasses.dataclass(frozen=True)
class Said:
    """A reply as a voice said it: which samples each word takes."""

    text: str
    script: tuple[ClauseSpan, ...]
    words: tuple[tuple[int, int, int, int], ...]  # begins and ends in samples, begins and ends in the text
    n: int

    def truly_heard(self, played: int) -> int:
        """Words that had sounded to their end."""
        return sum(1 for _, end, _, _ in self.words if end <= played)

    def begun(self, played: int) -> int:
        """Words of which something had sounded."""
        return sum(1 for start, _, _, _ in self.words if start < played)

    def words_in(self, at: int) -> int:
        """Words that a text cut at this character has begun."""
        return sum(1 for _, _, start, _ in self.words if start < at)

    def words_whole_in(self, at: int) -> int:
        return sum(1 for _, _, _, end in self.words if end <= at)


def say(clauses: list[list[str]], speed: float, *, word_times: bool, whole: int, jitter: list[float]) -> Said:
    """A reply spoken at ``speed`` characters a second, each word a little faster or slower; of the last clause only
    ``whole`` pieces in ten have been made."""
    text, at = "", 0
    script: tuple[ClauseSpan, ...] = ()
    words: list[tuple[int, int, int, int]] = []
    for number, clause in enumerate(clauses):
        start, begins, marks = len(text), at, []
        for word in clause:
            text += " " if text else ""
            n = round((len(word) + 1) / speed * jitter[len(words) % len(jitter)] * OUT)
            marks.append((at - begins, len(text) + len(word)))
            words.append((at, at + n, len(text), len(text) + len(word)))
            text += word
            at += n
        last = number == len(clauses) - 1
        made = (at - begins) * whole // 10 if last else at - begins
        told = tuple(mark for mark in marks if mark[0] < made) if word_times else ()
        script = (
            *script,
            ClauseSpan(
                start, len(text), begins, made, tuple((begins + a, e) for a, e in told), not last or whole == 10
            ),
        )
    return Said(text, script, tuple(words), at if whole == 10 else script[-1].at + script[-1].n)


REPLIES = st.builds(
    say,
    st.lists(WORDS, min_size=1, max_size=5),
    st.floats(9, 22),
    word_times=st.booleans(),
    whole=st.integers(1, 10),
    jitter=st.lists(st.floats(0.9, 1.1), min_size=1, max_size=7),
)


@given(REPLIES, st.lists(st.floats(0, 1.1), min_size=2, max_size=30))
def test_more_is_heard_the_more_is_played_from_nothing_to_everything(said: Said, shares: list[float]) -> None:
    heard = [heard_until(said.script, round(share * said.n), OUT, said.text) for share in sorted(shares)]
    assert heard == sorted(heard)
    assert all(0 <= one <= len(said.text) for one in heard)
    assert heard_until(said.script, 0, OUT, said.text) == 0
    assert heard_until((), 1000, OUT, said.text) == 0
    if said.script[-1].whole:
        assert heard_until(said.script, said.n, OUT, said.text) == len(said.text)


@given(REPLIES, st.floats(0, 1))
def test_nothing_of_a_clause_that_has_not_begun_is_heard(said: Said, share: float) -> None:
    played = round(share * said.n)
    begun = [span for span in said.script if span.at < played]
    assert heard_until(said.script, played, OUT, said.text) <= (begun[-1].end if begun else 0)


@given(REPLIES, st.floats(0, 1))
def test_what_was_heard_is_true_to_a_word_with_word_times_and_to_two_without(said: Said, share: float) -> None:
    played = round(share * said.n)
    at = heard_until(said.script, played, OUT, said.text)
    if said.script[-1].words or (len(said.script) > 1 and said.script[0].words):
        assert said.truly_heard(played) - 1 <= said.words_whole_in(at) <= said.begun(played)
    elif said.script[-1].whole:
        span = next((one for one in said.script if one.at + one.n >= played), said.script[-1])
        inside = said.words_in(span.end) - said.words_in(span.start)
        # The voice's pace within a clause is not known: two words, and of a long one a share.
        within = 2 + inside // 8
        assert said.truly_heard(played) - within <= said.words_in(at) <= said.begun(played) + within


@given(st.lists(WORDS, min_size=1, max_size=3), st.floats(0, 1))
def test_without_word_times_a_word_is_heard_whole_or_not_at_all(clauses: list[list[str]], share: float) -> None:
    plain = [[word for word in clause if word.isalpha()] or ["so"] for clause in clauses]
    said = say(plain, 15, word_times=False, whole=10, jitter=[1.0])
    at = heard_until(said.script, round(share * said.n), OUT, said.text)
    assert (
        not said.text[max(0, at - 1) : at + 1].isalpha() or at in (0, len(said.text)) or said.text[at - 1 : at] == " "
    )


def test_a_word_that_has_only_just_begun_was_not_heard() -> None:
    script = (ClauseSpan(0, 11, 0, 2 * OUT, ((0, 5), (OUT, 11)), whole=True),)
    for milliseconds, heard in ((0, 0), (110, 0), (130, 5), (999, 5), (1110, 5), (1130, 11)):
        assert heard_until(script, OUT * milliseconds // 1000, OUT, "hello world") == heard


def test_a_clause_whose_length_is_not_known_is_taken_to_be_spoken_at_the_usual_pace() -> None:
    text = "one two three four five six seven eight nine ten"  # 48 characters: 3.2 s
    script = (ClauseSpan(0, len(text), 0, OUT // 2, (), whole=False),)
    assert text[: heard_until(script, OUT // 2, OUT, text)].rstrip() == "one two"
    slow = (ClauseSpan(0, len(text), 0, 10 * OUT, (), whole=False),)
    assert text[: heard_until(slow, 5 * OUT, OUT, text)].rstrip() == "one two three four five"


# --- the script -------------------------------------------------------------------------------------------------------


def chunk(
    n: int, opens: bool, closes: bool, start: int = 0, end: int = 9, words: tuple[tuple[int, int], ...] = ()
) -> Chunk:
    return Chunk(np.full(n, 0.1, np.float32), start, end, words, opens, closes)


def test_the_script_grows_clause_by_clause() -> None:
    script: tuple[ClauseSpan, ...] = ()
    for one in (
        chunk(100, True, False, 0, 9, ((0, 4),)),
        chunk(50, False, False, 0, 9, ((120, 9),)),
        chunk(0, False, True, 0, 9),
        chunk(30, True, True, 9, 20, ((5, 20),)),
        chunk(7, True, False, 20, 25),
    ):
        script = with_chunk(script, one)
    assert script == (
        ClauseSpan(0, 9, 0, 150, ((0, 4), (120, 9)), True),
        ClauseSpan(9, 20, 150, 30, ((155, 20),), True),
        ClauseSpan(20, 25, 180, 7, (), False),
    )


def test_silence_around_a_clause_is_no_part_of_its_words() -> None:
    def sound(*parts: tuple[int, float]) -> np.ndarray:
        return np.concatenate([np.full(n, level, np.float32) for n, level in parts])

    script: tuple[ClauseSpan, ...] = ()
    for samples, opens, closes in (
        (sound((OUT, 0.0)), True, False),
        (sound((OUT // 2, 0.001), (OUT, 0.1)), False, False),
        (sound((100, 0.0), (OUT, 0.1), (50, 0.0)), False, False),
        (sound((OUT, 0.0)), False, True),
    ):
        script = with_chunk(script, Chunk(samples, 0, 11, (), opens, closes))
    [span] = script
    assert (span.lead, span.tail) == (OUT + OUT // 2, OUT + 50)
    assert heard_until(script, OUT + OUT // 2, OUT, "hello world") == 0
    assert heard_until(script, span.n - span.tail, OUT, "hello world") == 11


def test_a_clause_of_silence_alone_is_heard_when_it_has_passed() -> None:
    script = with_chunk((), Chunk(np.zeros(OUT, np.float32), 0, 5, (), opens=True, closes=True))
    assert heard_until(script, OUT // 2, OUT, "hello") == 0
    assert heard_until(script, OUT, OUT, "hello") == 5


def test_a_model_that_speaks_by_itself_lets_its_clause_grow() -> None:
    script: tuple[ClauseSpan, ...] = ()
    for number in range(1, 4):
        one = np.full(OUT, 0.1, np.float32)
        script = with_chunk(script, Chunk(one, 0, 5 * number, (), opens=number == 1, closes=number == 3))
    assert heard_until(script, 3 * OUT, OUT, "one, two, six") == 15


def test_short_words_are_heard_when_half_of_them_was() -> None:
    script = (ClauseSpan(0, 6, 0, OUT, ((0, 1), (OUT // 10, 6)), whole=True),)
    for milliseconds, heard in ((40, 0), (60, 1), (210, 1), (230, 6)):
        assert heard_until(script, OUT * milliseconds // 1000, OUT, "I went") == heard


@given(st.lists(st.tuples(st.integers(0, 500), st.booleans(), st.booleans()), min_size=1, max_size=20))
def test_every_sample_lies_in_one_clause(chunks: list[tuple[int, bool, bool]]) -> None:
    script: tuple[ClauseSpan, ...] = ()
    for n, opens, closes in chunks:
        script = with_chunk(script, chunk(n, opens, closes))
    at = 0
    for span in script:
        assert span.at == at
        at += span.n
    assert at == sum(n for n, _, _ in chunks)
    assert script[-1].whole == chunks[-1][2]


# --- latency ----------------------------------------------------------------------------------------------------------

MOMENT = st.integers(0, 10**6)
MAYBE = st.one_of(st.none(), MOMENT)


@given(MOMENT, MOMENT, MAYBE, MAYBE, MAYBE, MAYBE, MAYBE, MAYBE)
def test_the_parts_of_the_latency_are_never_negative_and_add_up(
    speech_end: int,
    decided: int,
    understood: int | None,
    token: int | None,
    clause: int | None,
    sound: int | None,
    handed: int | None,
    audible: int | None,
) -> None:
    got = latency(Milestones(speech_end, decided, understood, token, clause, sound, handed, audible))
    if audible is None:
        assert got is None
        return
    assert got is not None
    assert all(part >= 0 for part in dataclasses.astuple(got))
    assert got.total == pytest.approx(max(0, audible - speech_end) / RATE, abs=1e-9)


def test_each_part_is_the_time_after_all_parts_before_it() -> None:
    got = latency(Milestones(0, 7200, 3200, 8000, 9600, 9600, 9920, 12_000))
    assert got is not None
    assert dataclasses.astuple(got) == pytest.approx((0.45, 0.0, 0.05, 0.1, 0.0, 0.02, 0.13))


def test_what_was_never_needed_costs_nothing() -> None:
    got = latency(Milestones(1600, 1600, None, None, None, 3200, None, 4800))
    assert got is not None
    assert dataclasses.astuple(got) == pytest.approx((0, 0, 0, 0, 0.1, 0, 0.1))
