"""The user's turns as they sounded, for a model that hears them itself: what is kept of a turn that is open, what stays in
the conversation afterwards, and for how long.

What may live here: this keeping, and its budget. What is made of the sound is the brains' business.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from locara.audio import RATE, Samples, silence
from locara.engines.contracts import Sound
from locara.voice.streams import Fresh

KEPT_TURNS = 8
"""Turns of the user that stay in the conversation as sound; of older ones the model only knows that they were."""

KEPT_SECONDS = 40.0
"""The same in seconds: about 1,000 tokens of a model that makes 25 of a second. The newest turn is always whole."""


class KeptSound:
    """All samples are float32 mono, shape ``(n,)``, at 16 kHz."""

    def __init__(self, *, turns: int = KEPT_TURNS, seconds: float = KEPT_SECONDS) -> None:
        self._most_turns = turns
        self._most_samples = round(seconds * RATE)
        self._open: dict[int, tuple[Fresh, list[Samples]]] = {}
        self._sounds: dict[int, Sound] = {}
        """What a reply was asked with, by turn, the oldest first."""

    def begin(self, turn: int) -> bool:
        """From now on the sound of ``turn`` is kept. False: it was already."""
        if turn in self._open:
            return False
        self._open[turn] = (Fresh(), [])
        return True

    def is_open(self, turn: int) -> bool:
        """Whether ``turn`` has begun, and is not over."""
        return turn in self._open

    def hear(self, turn: int, at: int, samples: Samples) -> None:
        """The next block of a turn that has begun; none is kept twice."""
        if turn in self._open:
            fresh, blocks = self._open[turn]
            if (new := fresh.of(at, samples)).size:
                blocks.append(new)  # the turn machine ends a turn that is too long: that is the bound

    def so_far(self, turn: int) -> Samples:
        """Everything of a turn that is open; nothing of one that is not."""
        blocks = self._open[turn][1] if turn in self._open else []
        return np.concatenate(blocks) if blocks else silence(0)

    def ask(self, turn: int) -> Sound | None:
        """The sound of an open turn as it goes into the conversation, also again when the turn went on; None: there is
        none."""
        samples = self.so_far(turn)
        if not samples.size:
            return None
        self._sounds.pop(turn, None)
        sound = self._sounds[turn] = Sound(samples)
        return sound

    def of(self, turn: int) -> Sound | None:
        """What a reply was asked with in this turn, as long as it is kept."""
        return self._sounds.get(turn)

    def end(self, turn: int, *, answered: bool) -> None:
        """The turn is over. Where a reply answers it, what that was asked with stays."""
        self._open.pop(turn, None)
        if not answered:
            self._sounds.pop(turn, None)

    def trim(self) -> None:
        """A turn has come into the conversation: the oldest may have to go."""
        for turn in over_budget(self._sounds, self._most_turns, self._most_samples):
            del self._sounds[turn]


def over_budget(sounds: Mapping[int, Sound], turns: int, samples: int) -> tuple[int, ...]:
    """The turns whose sound goes: the oldest, until half of what may be kept is left; never the newest.

    Half, so that in between the conversation only grows at its end: a model need not read it all again after each turn.
    """
    left = [(turn, sound.samples.size) for turn, sound in sounds.items()]
    if len(left) <= turns and sum(size for _, size in left) <= samples:
        return ()
    gone: list[int] = []
    while len(left) > 1 and (len(left) > turns // 2 or sum(size for _, size in left) > samples // 2):
        gone.append(left.pop(0)[0])
    return tuple(gone)
