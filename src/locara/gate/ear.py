"""Where sound comes in: muting before anything else, voice activity, the recent past for pre-roll.

What may live here: what happens to every block before anyone decides anything. One pass, no waiting: a block costs about
a tenth of a millisecond.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from locara.audio import BLOCK, RATE, Samples, clean, dbfs, silence
from locara.engines.contracts import Detector
from locara.gate.levels import Loudness

MEMORY_SECONDS = 15.0
"""How much of the past is kept, so that a turn can be recognised from its very beginning, or again."""

ZEROS_SECONDS = 0.4
"""Exact digital zeros for this long come from a switch or a refused permission: every real microphone has noise."""


@dataclass(frozen=True, slots=True)
class Impression:
    """What one block was like. Positions in samples at ``RATE`` since the first block."""

    n: int
    probability: float
    loud_until: int
    level: float
    """dB relative to full scale."""


class Ear:
    """One stream of blocks, heard. ``muted``: zeros from here on, for everyone. ``deaf``: zeros for the decisions only
    (half duplex: our own voice would be heard)."""

    def __init__(self, detector: Detector) -> None:
        self._muted = False
        self.deaf = False
        self.mended = 0
        self.dead = False
        """True while the input has given nothing but digital zeros for ``ZEROS_SECONDS``."""
        self._detector = detector
        self._loudness = Loudness()
        self._probability = 0.0
        self._window = np.zeros(0, dtype=np.float32)
        self._past: deque[Samples] = deque(maxlen=round(MEMORY_SECONDS * RATE / BLOCK))
        self._heard = 0
        self._zeros = 0

    @property
    def muted(self) -> bool:
        """Zeros from here on, and nothing of what sounded before decides anything any more."""
        return self._muted

    @muted.setter
    def muted(self, muted: bool) -> None:
        self._muted = muted
        self._window = np.zeros(0, dtype=np.float32)
        self._probability = 0.0
        self._detector.reset()

    @property
    def heard(self) -> int:
        """Samples so far."""
        return self._heard

    def device_changed(self) -> None:
        """Another device is heard, or played on: what was learned of the old one is void."""
        self._zeros, self.dead = 0, False

    def hear(self, block: Samples) -> tuple[Samples, Impression]:
        """The next block as everybody gets it, and what it was like."""
        block, mended = clean(block)
        self.mended += mended
        if self.muted:
            block = silence(block.size)
        elif block.any():
            self._zeros, self.dead = 0, False
        else:
            self._zeros += block.size
            self.dead = self._zeros >= ZEROS_SECONDS * RATE
        kept = silence(block.size) if self.deaf else block
        self._past.append(kept)
        self._heard += block.size
        unheard = self.muted or self.deaf
        until = self._loudness.pass_over(block.size) if unheard else self._loudness.push(kept)
        return block, Impression(block.size, self._voice(kept), until, dbfs(block))

    def _voice(self, block: Samples) -> float:
        window = np.concatenate((self._window, block))
        size = self._detector.window
        newest = 0.0
        seen = False
        while window.size >= size:
            newest = max(newest, self._detector.probability(window[:size]))
            window = window[size:]
            seen = True
        self._window = window
        if seen:
            self._probability = newest
        return self._probability

    def since(self, start: int) -> tuple[int, Samples]:
        """Everything heard from sample ``start`` on, as far as it is remembered: (where it begins, the samples)."""
        begins = self._heard
        blocks: list[Samples] = []
        for block in reversed(self._past):
            if begins <= start:
                break
            blocks.append(block)
            begins -= block.size
        if not blocks:
            return self._heard, silence(0)
        samples = np.concatenate(blocks[::-1])
        skip = max(0, start - begins)
        return begins + skip, samples[skip:]
