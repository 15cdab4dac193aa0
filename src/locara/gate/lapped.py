"""Blocks to overlapping windowed frames and back, with one block of delay.

What may live here: the windows, and the two buffers that use them. Pure arithmetic on samples.

A frame is 60 ms, so that a filter in the frequency domain has fine enough bins (17 Hz) for speech; with the usual
symmetric windows its sound would come back 40 ms late. Here the analysis window rises over two blocks and falls over one,
and synthesis uses only the last two blocks, which costs one block (Mauler and Martin 2007, "A low delay, variable
resolution, perfect reconstruction spectral analysis-synthesis system").
"""

from __future__ import annotations

import numpy as np

from locara.audio import BLOCK, RATE, Samples, silence

FRAME = 3 * BLOCK
"""Samples in a frame: 60 ms."""

BINS = FRAME // 2 + 1
"""Frequencies in a frame's spectrum, 17 Hz apart."""

LAG = BLOCK
"""Samples by which sound that was taken apart and put together again comes late: 20 ms."""

BIN_HERTZ = RATE / FRAME


def _windows() -> tuple[Samples, Samples]:
    rise = FRAME - BLOCK
    up = 0.5 - 0.5 * np.cos(np.pi * (np.arange(rise) + 0.5) / rise)
    step = 0.5 - 0.5 * np.cos(np.pi * (np.arange(BLOCK) + 0.5) / BLOCK)
    analysis = np.sqrt(np.concatenate((up, step[::-1])))
    # Where two frames overlap in the output, analysis times synthesis adds up to one.
    synthesis = np.concatenate((step / analysis[rise - BLOCK : rise], analysis[rise:]))
    return analysis.astype(np.float32), synthesis.astype(np.float32)


ANALYSIS, _SYNTHESIS = _windows()


class Apart:
    """Blocks in, windowed frames out."""

    def __init__(self) -> None:
        self._past = silence(FRAME)

    def push(self, block: Samples) -> Samples:
        """The frame of shape ``(FRAME,)`` that ends with this block of ``BLOCK`` samples."""
        self._past = np.concatenate((self._past[BLOCK:], block))
        return self._past * ANALYSIS


class Together:
    """Windowed frames in, blocks out, ``LAG`` samples late. Unchanged frames give the sound back to rounding."""

    def __init__(self) -> None:
        self._over = silence(BLOCK)

    def push(self, frame: Samples) -> Samples:
        """The next block of shape ``(BLOCK,)``."""
        ending = frame[FRAME - 2 * BLOCK :] * _SYNTHESIS
        out = self._over + ending[:BLOCK]
        self._over = ending[BLOCK:]
        return np.asarray(out, dtype=np.float32)
