"""Where the wake word is noticed: the blocks that are heard, in windows, through one cheap engine, all the time.

What may live here: from blocks to "the word has just been said". What follows from it is decided in the turn machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from locara.audio import RATE, Samples, samples_in
from locara.engines.contracts import WakeWord

ONCE_SECONDS = 1.0
"""One word is noticed once: its probability stays high for some windows (0.3 s with microWakeWord), and nobody says a
wake word twice within a second."""


@dataclass(frozen=True, slots=True)
class Spotted:
    """The word was said. ``ended``: the sample, since the first block, at which it ended, as far as the engine can tell."""

    word: str
    ended: int
    probability: float


class Waking:
    """One stream of blocks, listened to for one word. ``hear`` raises whatever the engine raises."""

    def __init__(self, engine: WakeWord) -> None:
        self._engine = engine
        self._window = np.zeros(0, dtype=np.float32)
        self._heard = 0
        self._deaf_until = 0

    def hear(self, block: Samples) -> Spotted | None:
        """The next block at ``RATE``; what was spotted in it."""
        engine = self._engine
        window = np.concatenate((self._window, block))
        self._heard += block.size
        spotted = None
        while window.size >= engine.window:
            probability = engine.probability(window[: engine.window])
            window = window[engine.window :]
            at = self._heard - window.size
            if probability is not None and probability >= engine.threshold and at >= self._deaf_until:
                self._deaf_until = at + samples_in(ONCE_SECONDS)
                spotted = Spotted(engine.word, max(0, at - round(engine.lag * RATE)), probability)
        self._window = window
        return spotted
