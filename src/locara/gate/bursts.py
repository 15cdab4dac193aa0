"""How often something loud may begin: what a broken or hostile app could do with many short sounds. Pure.

What may live here: the loudness of steps in, and how much is let through. The loudness ceilings of `limiter` hold for what
sounds on; a pistol shot every half second stays below them. An onset is loud after quiet, as every such sound begins, and
real speech has only so many of them.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

from locara.audio import gain
from locara.gate.limiter import STEP_SECONDS, loudness

LOUD = -24.0
"""LUFS of a step of 10 ms: the voiced middle of a syllable at an ordinary level."""

QUIET = -44.0
"""LUFS of a step: 20 dB below it is a pause."""

QUIET_SECONDS = 0.15
"""So long a pause makes the next loud step an onset. The closures of plosives inside a word are shorter (50 to 120 ms)."""

SPAN_SECONDS = 60.0

LOWERED_ONSETS = 100
"""Onsets in a minute from which everything is lower. Real speech that was measured has up to 33, a list of single words
read by the embedded voice 42."""

MUTED_ONSETS = 160
"""And from which nothing sounds any more."""

LOWERED_GAIN = gain(-15.0)


class Passing(Enum):
    """What is let through."""

    FREE = "free"
    LOWERED = "lowered"
    MUTED = "muted"


GAINS = {Passing.FREE: 1.0, Passing.LOWERED: LOWERED_GAIN, Passing.MUTED: 0.0}


class Bursts:
    """Counts onsets of one output, by its own clock. Sounds that were not let through count as well: whoever goes on is not
    let through again before a minute has fewer."""

    def __init__(self) -> None:
        self._now = 0  # steps
        self._quiet = round(QUIET_SECONDS / STEP_SECONDS)
        self._onsets: deque[int] = deque(maxlen=2 * MUTED_ONSETS)
        self.passing = Passing.FREE

    def push(self, power: float) -> None:
        """The K-weighted power of the next step of `STEP_SECONDS`."""
        self._now += 1
        level = loudness(power)
        if level < QUIET:
            self._quiet += 1
        elif level >= LOUD:
            if self._quiet >= QUIET_SECONDS / STEP_SECONDS:
                self._onsets.append(self._now)
            self._quiet = 0
        while self._onsets and self._now - self._onsets[0] >= SPAN_SECONDS / STEP_SECONDS:
            self._onsets.popleft()
        count = len(self._onsets)
        if count >= MUTED_ONSETS or (self.passing is Passing.MUTED and count >= LOWERED_ONSETS):
            self.passing = Passing.MUTED
        else:
            self.passing = Passing.LOWERED if count >= LOWERED_ONSETS else Passing.FREE

    @property
    def onsets(self) -> int:
        """In the last minute."""
        return len(self._onsets)
