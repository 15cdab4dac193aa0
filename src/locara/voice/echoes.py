"""Is what was recognised what we were saying ourselves? Words against words, in time. Pure.

The second line against our own voice, behind the canceller: a recogniser that was given an echo writes down what we said,
more or less. So the recognised words are aligned with the words of ours that sounded at that time. An echo repeats *most*
of what it contains, and contains *most* of what sounded just then; a user who repeats two words of ours begins when they
are over, while we say others, and so fails the second half.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from locara.voice.evidence import words_of
from locara.voice.ledger import ClauseSpan

DELAY_SECONDS = 0.4
"""An echo reaches the recogniser at most this much later than the output was told to play: 0.02 to 0.25 s for the devices
and rooms in our recordings, and the start of voice activity. People need longer to repeat what they heard."""

_DELAYS = tuple(DELAY_SECONDS * step / 4 for step in range(5))

AROUND_SECONDS = 0.4
"""The recogniser is also given sound from before the onset of voice (`evidence.PREROLL_SECONDS`) and from after its end."""

AFTER_SECONDS = 0.8
"""Voice that goes on this long after the output stood still is no echo of it: the delay, the decay of a room, and the
hangover of voice activity."""

ALIKE = 0.6
"""Words whose sounds are this alike (1: the same) are taken for one word misheard."""

SURELY_ALIKE, LONG_LETTERS = 0.8, 5
"""At least one word must be ours letter for letter, or have so many letters and be this alike ("produce", "produced")."""

SHARE = 0.6
"""So much of what was recognised, by letters, must be ours. Recognisers get a third of the words of an echo wrong."""

COVERED = 0.5
"""So much of what we said just then must be in what was recognised."""


@dataclass(frozen=True, slots=True)
class Sounding:
    """A word of ours and when it sounds, in seconds of the reply."""

    word: str
    start: float
    end: float


def sounding(text: str, script: Sequence[ClauseSpan], rate: int, start: float, end: float) -> tuple[Sounding, ...]:
    """The words of the reply ``text`` that sound between ``start`` and ``end``, in seconds of its sound at ``rate``. Where
    the voice gave no word times, a word's place follows from its place in the clause's text."""
    out: list[Sounding] = []
    for span in script:
        if span.at / rate > end or (span.at + span.n) / rate < start:
            continue
        out += [one for one in _of_clause(text, span, rate) if one.end > start and one.start < end]
    return tuple(out)


def _of_clause(text: str, span: ClauseSpan, rate: int) -> list[Sounding]:
    begin, seconds = span.at / rate, span.n / rate
    found = [
        (word, match.end())
        for match in re.finditer(r"\S+", text[span.start : span.end])
        for word in words_of(match.group())
    ]
    if not found:
        return []
    letters = max(1, span.end - span.start)
    marks = {end - span.start: at / rate for at, end in span.words}
    starts: list[float] = []
    last = 0
    for _, end in found:
        told = next((at for mark, at in marks.items() if last < mark <= end), None)
        starts.append(begin + seconds * last / letters if told is None else told)
        last = end if end > last else last
    ends = [*starts[1:], begin + seconds]
    return [Sounding(word, at, max(at, to)) for (word, _), at, to in zip(found, starts, ends, strict=True)]


@functools.lru_cache(maxsize=64)  # asked again with every block, until something changes
def is_echo(heard: str, ours: tuple[Sounding, ...], onset: float, until: float) -> bool:
    """Whether ``heard`` is our own voice. There was voice while the output was from ``onset`` to ``until``, in seconds of
    the reply (beyond its end if it had ended). ``ours``: what had sounded by then, at least from ``DELAY_SECONDS +
    AROUND_SECONDS`` before ``onset`` on. How late the echo came is not known, so each delay is tried."""
    words = words_of(heard)
    return bool(words) and any(_repeats(words, ours, onset - delay, until - delay) for delay in _DELAYS)


def _repeats(words: Sequence[str], ours: Sequence[Sounding], first: float, last: float) -> bool:
    """Whether ``words`` are what sounded from ``first`` to ``last``."""
    now = [one for one in ours if one.end > first and one.start < last + AROUND_SECONDS]
    # What sounded for a part only of the voice may be missing: the first and the last word are cut through.
    whole = [one for one in now if one.start >= first and one.end <= last]
    near = [one for one in ours if one.end > first - AROUND_SECONDS and one.start < last + AROUND_SECONDS]
    near = near if whole else now
    pairs = aligned(words, [one.word for one in near])
    if not any(_certain(words[i], near[j].word) for i, j in pairs):
        return False  # nothing is surely ours: a few sounds alike are found in any two texts
    share = _letters(words[i] for i in {i for i, _ in pairs}) / _letters(words)
    covered = _letters(near[j].word for j in {j for _, j in pairs} if near[j] in whole)
    return share >= SHARE and covered >= COVERED * _letters(one.word for one in whole)


def _certain(heard: str, ours: str) -> bool:
    return heard == ours or (min(len(heard), len(ours)) >= LONG_LETTERS and likeness(heard, ours) >= SURELY_ALIKE)


def _letters(words: Iterable[str]) -> int:
    return sum(len(word) for word in words)


def aligned(heard: Sequence[str], ours: Sequence[str]) -> list[tuple[int, int]]:
    """The pairs (position in ``heard``, position in ``ours``) of words that are the same word, in order, that match the
    most letters. A word may match two neighbours ("indeed", "in deed")."""
    n, m = len(heard), len(ours)
    best = [[0.0] * (m + 1) for _ in range(n + 1)]
    step: list[list[tuple[int, int]]] = [[(0, 0)] * (m + 1) for _ in range(n + 1)]
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            best[i][j], step[i][j] = max((best[i - 1][j], (1, 0)), (best[i][j - 1], (0, 1)))
            for a, b in ((1, 1), (1, 2), (2, 1)):
                if i < a or j < b:
                    continue
                alike = likeness("".join(heard[i - a : i]), "".join(ours[j - b : j]))
                value = best[i - a][j - b] + alike * sum(map(len, heard[i - a : i]))
                if alike >= ALIKE and value >= best[i][j]:
                    best[i][j], step[i][j] = value, (a + 2, b + 2)
    pairs: list[tuple[int, int]] = []
    i, j = n, m
    while i and j:
        a, b = step[i][j]
        if a >= 2:
            a, b = a - 2, b - 2
            pairs += [(i - 1 - k, j - 1 - q) for k in range(a) for q in range(b)]
        i, j = i - a, j - b
    return pairs[::-1]


@functools.lru_cache(maxsize=4096)
def likeness(one: str, other: str) -> float:
    """How alike two words sound, 0 to 1: one less the edit distance of their sounds over the longer one's length.
    Short words are the same or they are not: half of all are one sound apart."""
    if one == other:
        return 1.0
    a, b = _sounds(one), _sounds(other)
    if min(len(a), len(b)) <= _SHORT:
        return float(a == b)
    return 1.0 - _distance(a, b) / max(len(a), len(b))


_SHORT = 2  # sounds
_MERGED = (("ph", "f"), ("ght", "t"), ("ck", "k"), ("qu", "kw"), ("x", "ks"), ("wr", "r"), ("kn", "n"), ("sh", "s"),
           ("ch", "s"), ("th", "t"))  # fmt: skip
_ONE = str.maketrans({"c": "k", "g": "k", "z": "s", "j": "s", "v": "f", "d": "t", "b": "p", "'": None, "h": None, "w": None,
                      "e": "i", "y": "i", "o": "a", "u": "a", "n": "m"})  # fmt: skip


def _sounds(word: str) -> str:
    """The word as sounds, roughly: voiced and unvoiced consonants, close vowels and doubled letters are one."""
    for spelling, sound in _MERGED:
        word = word.replace(spelling, sound)
    word = word.translate(_ONE) or word
    return re.sub(r"(.)\1+", r"\1", word)


def _distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, one in enumerate(a, start=1):
        before, row[0] = row[0], i
        for j, other in enumerate(b, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (one != other))
    return row[-1]
