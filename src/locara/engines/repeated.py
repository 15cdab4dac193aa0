"""Partial texts from a recogniser that hears a whole turn at once: when it pays to decode again, and where a long turn
may be cut.

What may live here: these two decisions, pure. Samples at 16 kHz, times in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from locara.audio import RATE, Samples

FIRST_SECONDS = 0.6
"""Of new sound before it is decoded again: a word or two; more often would flicker."""
SHARE = 0.35
"""Of the time, at most, that decoding for partials alone may take. The rest is for the other engines of the machine; a
settled text that is asked for meanwhile waits for one decoding at most."""
LONGEST_SECONDS = 4.0
"""Partials that come more rarely than this help nobody: then there are none, and only settled texts are computed."""
_QUIET_SECONDS = 0.1
"""The window whose loudness is compared when a cut is looked for: shorter than a syllable, longer than a plosive's gap."""


@dataclass(slots=True)
class Pace:
    """When to decode again. It learns what decoding costs; a longer turn costs more, so the interval grows with it."""

    cost: float = field(default=0.0)
    """Seconds that the last decoding took."""

    @property
    def interval(self) -> float:
        """Seconds of new sound to wait for."""
        return max(FIRST_SECONDS, self.cost / SHARE)

    def due(self, fresh: int) -> bool:
        """Whether to decode now, with ``fresh`` samples since the last time."""
        return self.interval <= LONGEST_SECONDS and fresh >= self.interval * RATE

    def took(self, seconds: float) -> None:
        """Decoding took this long."""
        self.cost = seconds

    def begin(self) -> None:
        """A new turn, or a new piece of a long one: it is short again, so its first decoding is tried at once."""
        self.cost = 0.0


def cut(samples: Samples, first: int, last: int) -> int:
    """Where to cut a long turn: the middle of the quietest tenth of a second that begins in ``first:last``.

    Both parts are then decoded on their own, so the cut should not go through a word. Returns an index.
    """
    size = int(_QUIET_SECONDS * RATE)
    first, last = max(first, 0), min(last, samples.size - size)
    if last <= first:
        return min(first, samples.size)
    energy = np.cumsum(np.concatenate(([0.0], samples[first : last + size].astype(np.float64) ** 2)))
    return first + int(np.argmin(energy[size:] - energy[:-size])) + size // 2
