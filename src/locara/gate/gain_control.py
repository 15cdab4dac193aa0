"""Automatic gain control for what the recogniser hears: far and near voices at one level. Never for decisions.

What may live here: this one control. It follows the level of voice only, so silence is not turned up.
"""

from __future__ import annotations

import numpy as np

from locara.audio import BLOCK, RATE, Samples, dbfs, gain

TARGET_DBFS = -23.0
"""Level of voice that is aimed at: that of most recordings recognisers are trained on (EBU R 128 for programmes)."""

MOST_DB = 24.0
"""Never turned up by more: beyond it there is mostly noise."""

LEAST_DB = -12.0
"""Never turned down by more: nobody is so loud."""

RISE_DB_PER_SECOND = 6.0
"""Slow enough that a word keeps its shape."""

FALL_DB_PER_SECOND = 30.0
"""Fast enough that the second word of somebody who came closer is right."""

VOICE = 0.5
"""Probability of speech from which a block is voice."""

CEILING = 0.97
"""No sample is made louder than this."""

_SECONDS = BLOCK / RATE


class GainControl:
    """Takes and gives blocks, not late. ``decibels``: what it adds at the moment."""

    def __init__(self) -> None:
        self.decibels = 0.0

    def push(self, block: Samples, probability: float) -> Samples:
        """The next block at its new level. ``probability``: of speech in it."""
        before = self.decibels
        if probability >= VOICE and block.any():
            wanted = min(MOST_DB, max(LEAST_DB, TARGET_DBFS - dbfs(block)))
            step = wanted - self.decibels
            self.decibels += min(RISE_DB_PER_SECOND * _SECONDS, max(-FALL_DB_PER_SECOND * _SECONDS, step))
        ramp = np.linspace(gain(before), gain(self.decibels), block.size, endpoint=False, dtype=np.float32)
        return np.asarray(np.clip(block * ramp, -CEILING, CEILING), dtype=np.float32)
