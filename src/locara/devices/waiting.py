"""Sound that waits, in as much memory as it takes. What may live here: `Waiting`.

`locara.devices.ring.Ring` never allocates, as an audio thread must not, and so has all of its memory from the start: two
minutes for each of a server's clients, who have hardly anything waiting, are 8 MB each.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from locara.audio import Samples

PIECE = 8_192
"""Samples allocated at once: half a second at 16 kHz."""


class Waiting:
    """First in, first out. One writer and one reader, which may be two threads: each position is written before ``written``
    says so, and a piece is given up only by the reader, once it is full and read."""

    def __init__(self) -> None:
        self._pieces: deque[Samples] = deque()
        self._written = 0
        self._taken = 0

    @property
    def written(self) -> int:
        """Samples that have ever been written."""
        return self._written

    @property
    def filled(self) -> int:
        """Samples that can be read now."""
        return self._written - self._taken

    @property
    def held(self) -> int:
        """Samples that memory is held for."""
        return PIECE * len(self._pieces)

    def write(self, samples: Samples) -> int:
        """Writer: copies all of ``samples`` (shape ``(n,)``); returns how many they were."""
        done = 0
        while done < samples.size:
            at = self._written % PIECE
            if at == 0:
                self._pieces.append(np.empty(PIECE, dtype=np.float32))
            many = min(samples.size - done, PIECE - at)
            self._pieces[-1][at : at + many] = samples[done : done + many]
            self._written += many
            done += many
        return done

    def read(self, count: int) -> Samples:
        """Reader: the oldest samples as a new array, ``count`` of them or as many as there are."""
        count = min(count, self.filled)
        out = np.empty(count, dtype=np.float32)
        done = 0
        while done < count:
            at = self._taken % PIECE
            many = min(count - done, PIECE - at)
            out[done : done + many] = self._pieces[0][at : at + many]
            self._taken += many
            done += many
            if self._taken % PIECE == 0:
                self._pieces.popleft()
        return out
