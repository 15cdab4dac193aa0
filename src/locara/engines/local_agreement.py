"""Which words of a transcript that grows will stay: those that two successive decodes agree on.

What may live here: the rule LocalAgreement-2 of Machacek, Dabre and Bojar, "Turning Whisper into Real-Time Transcription
System" (2023, arXiv:2307.14743), after Liu, Spanakis and Niehues (2020): pure, without sound and without a clock. For
recognisers that cannot stream and decode the turn so far again and again.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

_OVERLAP = 5
"""Words of the stable text that are looked for in a decode that begins differently. The paper's authors use as many."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """``stable``: the words that stay, in their first agreed spelling. ``tail``: the newest words after them."""

    stable: tuple[str, ...] = ()
    tail: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """All words of the newest view."""
        return (*self.stable, *self.tail)


def agree(before: Agreement, decoded: tuple[str, ...]) -> Agreement:
    """The view after one more decode of the sound from the same beginning, ``decoded`` its words.

    What was stable stays as it is. Of the words after it, those become stable that the decode before had at the same
    places. Words are compared without case and punctuation: a full stop that comes and goes is no disagreement.
    """
    tail = _after(before.stable, decoded)
    same = 0
    for one, other in zip(before.tail, tail, strict=False):
        if not alike(one, other):
            break
        same += 1
    return Agreement(stable=before.stable + tail[:same], tail=tail[same:])


def alike(one: str, other: str) -> bool:
    """Whether two words are the same but for case and punctuation."""
    return _plain(one) == _plain(other)


def _plain(word: str) -> str:
    kept = "".join(sign for sign in word if unicodedata.category(sign)[0] in "LNM")
    return kept.casefold() or word


def _after(stable: tuple[str, ...], decoded: tuple[str, ...]) -> tuple[str, ...]:
    """The words of ``decoded`` that come after ``stable``: behind the latest place near its end where its last words
    stand again; if they stand nowhere, as many words as ``stable`` has are taken for it."""
    if not stable:
        return decoded
    if len(decoded) >= len(stable) and all(map(alike, stable, decoded)):
        return decoded[len(stable) :]
    for length in range(min(_OVERLAP, len(stable)), 1, -1):
        last = stable[-length:]
        # A word more or less than before, no further: the same phrase said again later is new.
        for end in sorted(range(length, len(decoded) + 1), key=lambda end: abs(end - len(stable))):
            if abs(end - len(stable)) <= _OVERLAP and all(map(alike, last, decoded[end - length : end])):
                return decoded[end:]
    return decoded[len(stable) :]
