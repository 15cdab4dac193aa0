"""A test tone on its way from the speaker to the microphone: the tone, and finding it again.

What may live here: the signal, and pure arithmetic on samples. A sweep, because its correlation with itself is one sharp
peak, and because a room that swallows one pitch does not swallow all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from locara.audio import Samples

SWEEP_SECONDS = 0.4
SWEEP_HERTZ = (500.0, 4_000.0)
"""What small speakers can play and every microphone hears."""
LEVEL = 0.15
"""Of full scale, -16 dBFS: clearly heard, and not a fright."""
SURE = 8.0
"""The peak must be so many times the median of the correlation; noise alone reaches about 5."""


@dataclass(frozen=True, slots=True)
class Loop:
    """``delay``: seconds from the playing of the tone to its being heard. ``gain``: dB of what was heard against what was
    played; negative where it is quieter."""

    delay: float
    gain: float


def sweep(rate: int) -> Samples:
    """The test tone at ``rate`` hertz: a sweep with soft ends, of `SWEEP_SECONDS`."""
    at = np.arange(round(SWEEP_SECONDS * rate)) / rate
    low, high = SWEEP_HERTZ
    phase = 2 * np.pi * (low * at + (high - low) / (2 * SWEEP_SECONDS) * at**2)
    fade = np.minimum(1.0, np.minimum(at, at[::-1]) / 0.02)
    tone: Samples = (LEVEL * fade * np.sin(phase)).astype(np.float32)
    return tone


def found(heard: Samples, rate: int, played_at: float) -> Loop | None:
    """Where the tone is in ``heard`` (at ``rate`` hertz), of which second ``played_at`` is when it was given to the output;
    None where it is not."""
    tone = sweep(rate)
    if heard.size < tone.size:
        return None
    size = 1 << (heard.size + tone.size).bit_length()
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(tone, size))
    correlation = np.abs(np.fft.irfft(spectrum, size)[: heard.size - tone.size + 1])
    first = max(0, round(played_at * rate))
    if first >= correlation.size:
        return None
    late = correlation[first:]
    at = int(np.argmax(late))
    if late[at] <= 0.0 or late[at] < SURE * float(np.median(late)):
        return None
    gain = float(late[at]) / float(np.sum(tone.astype(np.float64) ** 2))
    return Loop(at / rate, 20.0 * float(np.log10(gain)))
