"""The silence that a voice puts before its first sound is not played: the user has waited long enough. Pure."""

from __future__ import annotations

import numpy as np

from locara.audio import Samples

INAUDIBLE = 10 ** (-60 / 20)
"""As a factor of full scale: what the ledger does not count as audible. Nothing that could be heard is cut."""

KEEP_SECONDS = 0.002
"""Kept before the first sound, so that it does not begin with a step."""

MOST_SECONDS = 1.0
"""A longer silence is meant, or the voice has nothing to say: the rest of it is played."""


class Opening:
    """The beginning of some speech. ``of`` takes its pieces in order, at ``rate`` hertz; at ``most`` so many seconds of
    it are cut."""

    def __init__(self, rate: int, *, most: float = MOST_SECONDS) -> None:
        self._keep = round(KEEP_SECONDS * rate)
        self._most = round(most * rate)
        self._open = True
        self.dropped = 0
        """Samples that were cut so far."""

    def of(self, samples: Samples) -> Samples:
        """What is to be played of the next piece: none as long as there is only silence, then everything."""
        if not self._open:
            return samples
        loud = np.abs(samples) > INAUDIBLE
        found = bool(loud.any())
        silent = max(0, int(np.argmax(loud)) - self._keep) if found else int(samples.size)
        cut = min(silent, self._most - self.dropped)
        self._open = not found and cut == silent
        self.dropped += cut
        return samples[cut:]
