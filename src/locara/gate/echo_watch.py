"""Watches the echo canceller: does what it leaves over still sound like us? Pure.

What may live here: the verdict whether the session may listen while it speaks. A canceller can fail (samples lost between
speaker and microphone, clocks that run apart, a speaker that distorts too much), and then the session would interrupt and
answer itself. That is told from a user who speaks by the loudness: what is left of our own voice goes up and down as our
voice does, a user's does not.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

import numpy as np

from locara.audio import BLOCK, RATE, samples_in

WINDOW_SECONDS = 3.0
"""Judged by the last so many seconds in which something of ours could be heard: about ten words."""

EVERY_SECONDS = 0.2
"""How often."""

LONGEST_DELAY_SECONDS = 0.6
"""Loudness is compared at every delay up to this."""

FOLLOWS = 0.5
"""Correlation (-1 to 1) of the two loudnesses, in dB, from which what is left follows what we play. Two voices that do not
hear each other stay under 0.3 at their best delay."""

SPOKEN_SHARE = 0.3
"""What is left must have passed for a voice during this share of the window: what sounds like nothing harms nobody."""

RECOVERED_DB = 12.0
"""The canceller works again when it takes away so much, over a whole window: its worst room in docs/echo.md gives 15."""

HEARD_DBFS = -60.0
"""A mean level at the microphone below this is no echo to judge by."""

_LEAST_DB = -80.0


class Listening(Enum):
    """Whether the session may listen while it speaks."""

    WHILE_SPEAKING = "cancel"
    IN_TURNS = "half-duplex"


class EchoWatch:
    """One verdict after each block."""

    def __init__(self) -> None:
        size = samples_in(WINDOW_SECONDS) // BLOCK
        self._played: deque[float] = deque(maxlen=size)
        self._heard: deque[float] = deque(maxlen=size)
        self._left: deque[float] = deque(maxlen=size)
        self._spoken: deque[bool] = deque(maxlen=size)
        self._since = 0
        self.verdict = Listening.WHILE_SPEAKING

    def push(self, *, played: float, heard: float, left: float, spoken: bool) -> Listening:
        """A block during which our own sound could be heard. Levels in dBFS: what was ``played``, what was ``heard``, and
        what was ``left`` of that for decisions; ``spoken``: it passed for a voice."""
        self._played.append(max(_LEAST_DB, played))
        self._heard.append(max(_LEAST_DB, heard))
        self._left.append(max(_LEAST_DB, left))
        self._spoken.append(spoken)
        self._since += BLOCK
        if len(self._played) == self._played.maxlen and self._since >= EVERY_SECONDS * RATE:
            self._since = 0
            self._judge()
        return self.verdict

    def _judge(self) -> None:
        heard, left = np.array(self._heard), np.array(self._left)
        if self.verdict is Listening.WHILE_SPEAKING:
            spoken = sum(self._spoken) / len(self._spoken)
            if spoken >= SPOKEN_SHARE and following(np.array(self._played), left) >= FOLLOWS:
                self._turn(Listening.IN_TURNS)
        elif heard.mean() > HEARD_DBFS and _mean_power(heard) - _mean_power(left) >= RECOVERED_DB:
            self._turn(Listening.WHILE_SPEAKING)

    def _turn(self, verdict: Listening) -> None:
        self.verdict = verdict
        for one in (self._played, self._heard, self._left, self._spoken):
            one.clear()


def following(played: np.ndarray, left: np.ndarray) -> float:
    """How much one loudness follows the other, at the delay where it does most: the greatest correlation coefficient.
    Both in dB, one value a block."""
    lags = min(samples_in(LONGEST_DELAY_SECONDS) // BLOCK, played.size // 2)
    best = 0.0
    for lag in range(lags + 1):
        one, other = played[: played.size - lag], left[lag:]
        if one.std() > 1.0 and other.std() > 1.0:  # dB: what does not move follows nothing
            best = max(best, float(np.corrcoef(one, other)[0, 1]))
    return best


def _mean_power(levels: np.ndarray) -> float:
    return float(10.0 * np.log10(np.mean(10.0 ** (levels / 10.0))))
