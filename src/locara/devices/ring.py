"""A ring of samples between an audio thread and the event loop.

What may live here: the ring. One thread writes, one thread reads; neither ever waits for the other, there is no lock, and
nothing is allocated after the start. That is what a sound card's callback may afford.
"""

from __future__ import annotations

import numpy as np

from locara.audio import Samples
from locara.errors import AudioError


class Ring:
    """Holds at most ``capacity`` samples.

    Safe without a lock because each position is written by one side only, after its samples have been copied: the
    reader can see too little for a moment, never samples that are not there yet.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise AudioError(f"a ring of {capacity} samples holds nothing", hint="ask for one sample or more")
        self._store: Samples = np.zeros(capacity, dtype=np.float32)
        self._capacity = capacity
        self._written = 0  # in all, by the writer only
        self._taken = 0  # in all, by the reader only

    @property
    def capacity(self) -> int:
        """Samples it can hold."""
        return self._capacity

    @property
    def written(self) -> int:
        """Samples that have ever been written: grows for as long as the writer lives."""
        return self._written

    @property
    def filled(self) -> int:
        """Samples that can be read now."""
        return self._written - self._taken

    @property
    def free(self) -> int:
        """Samples that can be written now."""
        return self._capacity - self.filled

    def write(self, samples: Samples) -> int:
        """Writer: copies as many of ``samples`` (shape ``(n,)``) as there is room for, the first ones, and returns how
        many. What is in the ring is never overwritten."""
        written = self._written
        count = min(samples.size, self._capacity - (written - self._taken))
        at = written % self._capacity
        first = min(count, self._capacity - at)
        self._store[at : at + first] = samples[:first]
        if count > first:
            self._store[: count - first] = samples[first:count]
        self._written = written + count
        return count

    def read(self, count: int) -> Samples:
        """Reader: the oldest samples as a new array, ``count`` of them or as many as there are."""
        count = min(count, self.filled)
        out = np.empty(count, dtype=np.float32)
        at = self._taken % self._capacity
        first = min(count, self._capacity - at)
        out[:first] = self._store[at : at + first]
        if count > first:
            out[first:] = self._store[: count - first]
        self._taken += count
        return out

    def discard(self, count: int) -> int:
        """Reader: drops the oldest ``count`` samples, or as many as there are, and returns how many."""
        count = min(count, self.filled)
        self._taken += count
        return count
