"""Whether a stretch of sound after a pause can hold speech at all, judged against the loudness of its own turn.

What may live here: this pure judgement on levels. Recognisers ask it before they decode the same words again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from locara.audio import BLOCK, Samples, dbfs

QUIET_BELOW_LOUDEST = 30.0
"""dB: breath and room, where the turn's speech is the loudest."""
QUIET_DBFS = -60.0
NEAR_NOTHING = 960
"""Samples, 60 ms, louder than that: no syllable is shorter."""


def levels(samples: Samples) -> list[float]:
    """The level of each block of 20 ms, dBFS."""
    return [dbfs(samples[start : start + BLOCK]) for start in range(0, samples.size, BLOCK)]


def is_nothing(levels: Sequence[float], loudest: float) -> bool:
    """Whether 20 ms blocks of these levels (dBFS) after a pause hold no speech, in a turn as loud as ``loudest``."""
    floor = max(QUIET_DBFS, loudest - QUIET_BELOW_LOUDEST)
    return int(np.count_nonzero(np.asarray(levels) > floor)) * BLOCK < NEAR_NOTHING


def quietest(samples: Samples, first: int, last: int, span: int = 10 * BLOCK) -> int:
    """Where to cut: the middle of the quietest ``span`` samples between ``first`` and ``last``."""
    energies = np.array([float(np.dot(block, block)) for block in _blocks(samples[first:last])])
    width = max(1, span // BLOCK)
    if energies.size <= width:
        return (first + last) // 2
    sums = np.convolve(energies, np.ones(width), mode="valid")
    return first + (int(np.argmin(sums)) + width // 2) * BLOCK


def _blocks(samples: Samples) -> list[Samples]:
    return [samples[start : start + BLOCK] for start in range(0, samples.size - BLOCK + 1, BLOCK)]
