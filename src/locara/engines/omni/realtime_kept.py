"""The sound of a turn, kept until it is certain that the turn is over.

What may live here: this memory, bounded. Shapes: float32 ``(n,)`` at the server's input rate.
"""

from __future__ import annotations

from locara.audio import Samples

KEPT_SECONDS = 120.0
"""Longer turns are not kept: 24,000 samples of 4 bytes a second make 11.5 MB of it."""


class Kept:
    """What was pushed in this turn, and in the one before. ``held``: the server gets it from here, so that of a turn that is
    too long the latest part is kept, and of others nothing."""

    def __init__(self, rate: int, *, held: bool = False) -> None:
        self._held = held
        self._most = int(KEPT_SECONDS * rate)
        self._turn: list[Samples] = []
        self._open: list[Samples] = []
        self._lost = False
        self._turn_lost = False
        self.pushed = 0
        """Samples of the present turn."""

    @property
    def whole(self) -> bool:
        """Whether the last turn can be taken back."""
        return not self._turn_lost and not self._lost

    def push(self, samples: Samples) -> int:
        """The next samples of the turn. Returns how many of them will not be heard, because it is too long."""
        self.pushed += samples.size
        if self._held:
            self._open.append(samples)
            skipped = 0
            while self.pushed - skipped > self._most and len(self._open) > 1:
                skipped += self._open.pop(0).size
            self.pushed -= skipped
            return skipped
        if self.pushed > self._most:
            self._open.clear()
            self._lost = True
        if not self._lost:
            self._open.append(samples)
        return 0

    def commit(self) -> list[Samples]:
        """The turn is over, and this is its sound; empty where it was too long."""
        self._turn, self._turn_lost = self._open, self._lost
        self._open, self._lost, self.pushed = [], False, 0
        return list(self._turn)

    def revoke(self) -> list[Samples]:
        """The last turn goes on: this is its sound, from its beginning."""
        self._open = [*self._turn, *self._open]
        self._turn = []
        self.pushed = sum(one.size for one in self._open)
        return list(self._open)

    def forget(self) -> None:
        """What was pushed was no turn."""
        self._open, self._lost, self.pushed = [], False, 0
