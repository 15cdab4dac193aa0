"""How long words take to say, for voices that do not tell when each of theirs begins. Pure: text in, shares out.

What may live here: the length of a word by how it is written, where the words of a clause lie in its sound, and how fast
a voice has spoken so far. What was heard is then decided in `ledger`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from locara.engines.contracts import WordMark
from locara.voice.marked import Spoken

USUAL_UNITS_PER_SECOND = 16.0
"""How fast voices speak before anything is known of this one, in letters and blanks (espeak-ng at 175 words a minute: 14
to 17 in five languages)."""

_DIGIT = 4.5
"""Letters that a digit is read as: "seven" has five, "17" nine, "1,250" twenty-six."""
_WIDE = 3.0
"""Letters that a character of Chinese, Japanese or Korean is read as: a syllable."""
_SPELLED = 3.0
"""Letters that one of "GPS" is read as."""
_BREATH = 2.0
"""Letters that fit into the pause of a comma or the like within a clause."""

_WORD = re.compile(r"\S+")


def weight(word: str) -> float:
    """How long a written word takes, in letters of ordinary ones; the blank after it is included."""
    letters = sum(map(str.isalpha, word))
    units = letters + _DIGIT * sum(map(str.isdigit, word))
    units += (_WIDE - 1) * sum(map(_is_wide, word))
    if letters > 1 and word.isupper() and letters <= 5:
        units += (_SPELLED - 1) * letters
    if not units:
        return 0.0  # a dash, a quotation mark: not said
    return units + 1 + (_BREATH if word[-1] in ",;:—)" else 0.0)


def _is_wide(char: str) -> bool:
    return "\u2e80" <= char <= "\u9fff" or "\uac00" <= char <= "\ud7a3"


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the words of a clause will probably lie in its sound.

    ``shares``: (share of the clause's sound at which half of a word has been said, end of that word in the reply), both
    rising. ``units``: how long all of it takes, as `weight` counts.
    """

    shares: tuple[tuple[float, int], ...] = ()
    units: float = 0.0


def plan(spoken: Spoken, clause: str, start: int) -> Plan:
    """``start``: where the clause begins in the reply."""
    found = [(one, weight(one.group())) for one in _WORD.finditer(spoken.text)]
    units = sum(size for _, size in found)
    shares: list[tuple[float, int]] = []
    before = 0.0
    for one, size in found:
        if size:
            end = start + _said(spoken, clause, one.end())
            if shares and shares[-1][1] == end:  # one written word, said in several
                shares.pop()
            shares.append(((before + size / 2) / units, end))
            before += size
    return Plan(tuple(shares), units)


def written_end(clause: str, at: int, following: int) -> int:
    """How much of ``clause`` has been said when a spoken word that comes from before ``at`` is over, and the next one comes
    from ``following``: whole written words, with what is not said at all between the two (an emoji, a link's address)."""
    if following < len(clause) and at > 0 and not clause[at - 1].isspace() and _is_wide(clause[at - 1]):
        return at  # no blanks between words
    begins = clause[: following + 1].rfind(" ") + 1 if following < len(clause) else following
    begins = max(begins, clause[: following + 1].rfind("\n") + 1)
    return len(clause[: min(begins, following)].rstrip())


def _said(spoken: Spoken, clause: str, end: int) -> int:
    """How much of the clause has been said after the characters before ``end`` of its spoken text."""
    found = _WORD.search(spoken.text, end)
    return written_end(clause, spoken.original(end), spoken.original(found.start()) if found else len(clause))


class Pace:
    """How fast one voice speaks, learned from the clauses it has spoken. Kept for a session."""

    def __init__(self) -> None:
        self._units = 0.0
        self._seconds = 0.0

    def learn(self, units: float, seconds: float) -> None:
        """A clause of so many units took so long."""
        if units > 0 and seconds > 0:
            # What is long ago counts less: the app may have changed the voice's speed.
            self._units = self._units * _KEPT + units
            self._seconds = self._seconds * _KEPT + seconds

    def seconds(self, units: float) -> float:
        """How long so many units will probably take."""
        known = self._units / self._seconds if self._seconds else USUAL_UNITS_PER_SECOND
        return units / known


_KEPT = 0.9


def word_ends(
    marks: Sequence[WordMark], before: WordMark | None, spoken: Spoken, clause: str
) -> tuple[tuple[int, int], ...]:
    """Word marks as (sample of the voice, end of the word in the clause), rising; ``before`` is the mark before them.

    A voice may run words together ("in the") and mark only the first: those between two marks begin halfway between.
    """
    ends: list[tuple[int, int]] = []
    last = before
    for mark in marks:
        if last is not None and any(map(str.isalnum, spoken.text[last.end : mark.start])):
            between = len(spoken.text[: mark.start].rstrip())
            ends.append(((last.at + mark.at) // 2, _said(spoken, clause, between)))
        ends.append((mark.at, _said(spoken, clause, mark.end)))
        last = mark
    return tuple(ends)
