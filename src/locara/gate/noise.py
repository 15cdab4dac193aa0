"""Noise suppression for what the recogniser hears. Never for decisions: it made voice activity worse under echo.

What may live here: this one suppressor. Wiener's rule on a decision-directed signal-to-noise ratio (Ephraim and Malah
1984; Scalart and Filho 1996), the noise from the least power of the last seconds (after Martin 2001, "Noise power spectral
density estimation based on optimal smoothing and minimum statistics").
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from locara.audio import BLOCK, RATE, Samples, samples_in
from locara.gate.lapped import BINS, LAG, Apart, Together

Power = npt.NDArray[np.float32]

MEMORY_SECONDS = 1.5
"""The least power of so long is noise: no syllable lasts longer, and a fan that starts is known after that."""

MINIMUM_BIAS = 3.0
"""The least of many smoothed powers is so many times below their mean, by measurement on white noise."""

SMOOTHING = 0.6
"""Of the powers of which the least is taken: two to three frames."""

DECISION = 0.96
"""How much of the last frame's clean estimate counts: less leaves single tones behind, more blurs onsets."""

LEAST_GAIN = 0.18
"""Noise is lowered by 15 dB and never to nothing: recognisers are trained on rooms, not on gaps."""

_PARTS = 5  # of the memory: the oldest part is forgotten at once


class NoiseSuppressor:
    """Takes and gives blocks of ``BLOCK`` samples, ``LAG`` samples late."""

    lag = LAG

    def __init__(self) -> None:
        self._apart, self._together = Apart(), Together()
        self._smooth: Power | None = None
        self._parts: list[Power] = [np.full(BINS, np.inf, np.float32)] * _PARTS
        self._in_part = 0
        self._clean = np.zeros(BINS, np.float32)

    def push(self, block: Samples) -> Samples:
        """The next block with less noise."""
        spectrum = np.fft.rfft(self._apart.push(block)).astype(np.complex64)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        noise = self._noise(power) + np.float32(1e-12)
        now = np.maximum(power / noise - 1.0, 0.0)
        ratio = DECISION * self._clean / noise + (1.0 - DECISION) * now
        gain = np.maximum(ratio / (1.0 + ratio), LEAST_GAIN).astype(np.float32)
        self._clean = np.square(gain) * power
        return self._together.push(np.fft.irfft(spectrum * gain).astype(np.float32))

    def _noise(self, power: Power) -> Power:
        old = power if self._smooth is None else self._smooth
        self._smooth = smooth = np.asarray(SMOOTHING * old + (1.0 - SMOOTHING) * power, dtype=np.float32)
        self._parts[-1] = np.minimum(self._parts[-1], smooth)
        self._in_part += BLOCK
        if self._in_part >= samples_in(MEMORY_SECONDS / _PARTS, RATE):
            self._in_part = 0
            self._parts = [*self._parts[1:], smooth.copy()]
        return np.asarray(MINIMUM_BIAS * np.minimum.reduce(self._parts), dtype=np.float32)
