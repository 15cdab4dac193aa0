"""Where an utterance begins and ends in sound that nobody answers. Pure; positions in samples at 16 kHz.

What may live here: this one decision. It is not the session's end of turn: nobody waits here, so it can be calmer.
"""

from __future__ import annotations

from dataclasses import dataclass

from locara.audio import BLOCK, RATE

SPEECH = 0.5
"""Probability from which a block is speech; the detector's own threshold."""

QUIET = 0.35
"""Probability below which it is not: between the two, what was goes on."""

BEGIN_BLOCKS = 3
"""60 ms of speech begin an utterance: shorter than any word, longer than a click."""

PAUSE_SECONDS = 0.7
"""A pause that ends an utterance. Recognisers want whole clauses; pauses inside one are mostly shorter."""

BEFORE_SECONDS = 0.3
"""Kept from before the first block of speech: soft beginnings, and the detector's own delay."""

LONG_SECONDS = 20.0
"""From here on the next quiet block ends it: Whisper hears at most 30 s at once, and a word has to be waited for."""

MOST_SECONDS = 28.0
"""Here it ends, pause or not."""


@dataclass(frozen=True, slots=True)
class Began:
    """An utterance begins at ``start``: before the present block."""

    start: int


@dataclass(frozen=True, slots=True)
class Ended:
    """It ended at ``end``; ``whole``: with a pause, not in the middle of speech."""

    end: int
    whole: bool


class Cutter:
    """Hears one probability of speech for each block of 20 ms."""

    def __init__(self) -> None:
        self._at = 0
        self._start: int | None = None
        self._spoken = 0  # blocks of speech in a row, before an utterance
        self._until = 0  # the end of the last block of speech
        self._free_from = 0  # what belongs to the last utterance does not belong to the next

    def push(self, probability: float) -> Began | Ended | None:
        """The next block."""
        self._at += BLOCK
        if self._start is None:
            return self._before(probability)
        if probability >= QUIET:
            self._until = self._at
        length = (self._at - self._start) / RATE
        pause = (self._at - self._until) / RATE
        if pause >= PAUSE_SECONDS or (length >= LONG_SECONDS and probability < QUIET):
            return self._end(whole=True)
        return self._end(whole=False) if length >= MOST_SECONDS else None

    def finish(self) -> Ended | None:
        """No more sound comes."""
        return None if self._start is None else self._end(whole=True)

    def _before(self, probability: float) -> Began | None:
        self._spoken = self._spoken + 1 if probability >= SPEECH else 0
        if self._spoken < BEGIN_BLOCKS:
            return None
        first = self._at - self._spoken * BLOCK
        self._start = max(self._free_from, first - round(BEFORE_SECONDS * RATE), 0)
        self._until, self._spoken = self._at, 0
        return Began(self._start)

    def _end(self, *, whole: bool) -> Ended:
        self._start, self._free_from = None, self._at
        if not whole:
            self._spoken = BEGIN_BLOCKS  # the next one begins where this one was cut
        return Ended(self._at, whole)
