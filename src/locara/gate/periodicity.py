"""Does a sound have a pitch? Voices do in every vowel; doors, keyboards and hiss do not, whatever was done to them. Pure.

What may live here: one number for each block. What follows from it is decided in `voice/evidence.py`.

Where our own echo is taken out of a noise, what is left goes up and down as speech does, and voice activity takes it for
one: in each syllable of ours more is taken away. No such modulation makes a pitch. A quieter copy of our own voice has
one, but not in the sound for decisions and in the sound for the recogniser at once, of which different parts are left.

The pitch's strength is the highest peak of the autocorrelation divided by that of its window (P. Boersma, "Accurate
short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a sampled sound", IFA Proceedings 17,
1993).
"""

from __future__ import annotations

import numpy as np

from locara.audio import BLOCK, RATE, Samples

WINDOW = 2 * BLOCK
"""Samples looked at: 40 ms, three periods of the lowest voice that is looked for."""

PITCH_HERTZ = (70.0, 400.0)
"""Where voices have their pitch."""

_LAGS = slice(round(RATE / PITCH_HERTZ[1]), round(RATE / PITCH_HERTZ[0]) + 1)
_SIZE = 1024  # of the transform: no lag that is looked at comes round (WINDOW + 230 samples)
_SHAPE = np.hanning(WINDOW).astype(np.float32)
_SILENT = 1e-9  # energy of a window (-116 dBFS) below which there is only rounding


def _autocorrelation(samples: Samples) -> Samples:
    spectrum = np.fft.rfft(samples, _SIZE)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    return np.fft.irfft(power, _SIZE)[: _LAGS.stop].astype(np.float32)


_OF_SHAPE = (_autocorrelation(_SHAPE) / _autocorrelation(_SHAPE)[0])[_LAGS]


def periodicity(samples: Samples) -> float:
    """How periodic ``WINDOW`` samples at 16 kHz are at the pitch of a voice: 0 (not at all) to 1 (a tone)."""
    shaped = (samples - samples.mean()) * _SHAPE
    correlation = _autocorrelation(shaped)
    if correlation[0] <= _SILENT:
        return 0.0
    strongest = float((correlation[_LAGS] / _OF_SHAPE).max() / correlation[0])
    return min(1.0, max(0.0, strongest))


class Pitch:
    """The same, block by block, for several views of one sound: what has a pitch has it in all of them."""

    def __init__(self, views: int) -> None:
        self._past = [np.zeros(BLOCK, np.float32) for _ in range(views)]

    def push(self, *blocks: Samples) -> float:
        """The next block of each view, shape ``(BLOCK,)``. Returns the least periodicity of all over ``WINDOW`` samples."""
        least = 1.0
        for view, block in enumerate(blocks):
            least = min(least, periodicity(np.concatenate((self._past[view], block))))
            self._past[view] = block
        return least

    def skip(self, *blocks: Samples) -> None:
        """The same without a look at it: only what comes next will be looked at."""
        self._past = list(blocks)
