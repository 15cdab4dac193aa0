"""When a microphone that gives digital zeros is told to be dead, and when to sound again.

What may live here: that decision, as numbers in and a verdict out. That there are zeros, the ear knows.
"""

from __future__ import annotations

from locara.audio import RATE
from locara.gate.ear import ZEROS_SECONDS

GATED_FACTOR = 2.0
"""Each time a microphone falls silent again soon after it sounded, so many times longer zeros are needed to tell it: one
with a noise gate gives digital zeros between any two sentences, and is not dead."""

GATED_SECONDS = 10.0
"""A microphone that has sounded for so long without such zeros is taken for an ordinary one again."""


class DeadMicrophone:
    """Judges block after block; tells each death once, and each return."""

    def __init__(self) -> None:
        self._needed = ZEROS_SECONDS
        self._zeros = 0.0  # seconds
        self._sounded = 0.0  # seconds
        self._told = False

    def judge(self, size: int, *, dead: bool) -> bool | None:
        """``dead``: the ear has heard nothing but zeros for ``ZEROS_SECONDS``, up to the end of this block of ``size``
        samples. True when it is to be told that it is dead, False when it sounds again after that, else None."""
        if not dead:
            self._zeros = 0.0
            self._sounded += size / RATE
            if self._sounded >= GATED_SECONDS:
                self._needed = ZEROS_SECONDS
            told, self._told = self._told, False
            return False if told else None
        self._sounded = 0.0
        self._zeros = self._zeros + size / RATE if self._zeros else ZEROS_SECONDS
        if self._told or self._zeros < self._needed:
            return None
        self._told = True
        self._needed *= GATED_FACTOR
        return True
