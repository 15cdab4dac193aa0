"""What Whisper hears with: log-mel energies, as OpenAI's ``whisper/audio.py`` defines them.

What may live here: pure functions from samples to features, and the numbers of that definition; none is ours to tune.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from locara.audio import RATE, Samples

WINDOW = 400
"""Samples of one Fourier transform: 25 ms."""
HOP = 160
"""Samples from one frame to the next: 10 ms."""
_LEAST_ENERGY = 1e-10
"""What the logarithm starts from."""
_RANGE = 8.0
"""Powers of ten below the loudest point that are kept: the rest is raised to there."""
_LINEAR_UP_TO = 1000.0
"""Hertz up to which Slaney's mel scale is linear, 200/3 hertz a mel; from there on 27 mels multiply by 6.4."""


def log_mel(samples: Samples, *, bands: int, frames: int) -> npt.NDArray[np.float32]:
    """The features of ``samples`` (float32 mono at 16 kHz), filled up with silence to ``frames`` frames of 10 ms, or cut
    there. Returns float32 of shape ``(bands, frames)``, contiguous, roughly -1.5 to 2."""
    sound = np.zeros(frames * HOP, np.float32)
    part = samples[: sound.size]
    sound[: part.size] = part
    # The frames that see nothing but the filling are alike, and need not be computed.
    heard = min(frames, (part.size + WINDOW // 2) // HOP + 2)
    energies = np.zeros((frames, bands))
    energies[:heard] = power(sound, first=0, last=heard) @ mel_filters(bands)
    return compressed(energies)


def power(sound: Samples, *, first: int, last: int) -> npt.NDArray[np.float64]:
    """Power of each of the 201 frequencies in the frames ``first`` to ``last``, shape ``(last - first, 201)``. Frames are
    centred; both ends mirror."""
    padded = np.pad(sound.astype(np.float64), WINDOW // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][first:last]
    spectrum = np.fft.rfft(frames * _hann(), axis=1)
    squared: npt.NDArray[np.float64] = spectrum.real**2 + spectrum.imag**2
    return squared


def compressed(energies: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Energies ``(frames, bands)`` as the model takes them, ``(bands, frames)``: logarithms, of a limited range, scaled."""
    levels = np.log10(np.maximum(energies, _LEAST_ENERGY))
    levels = np.maximum(levels, levels.max() - _RANGE)
    return np.ascontiguousarray(((levels + 4.0) / 4.0).T, dtype=np.float32)


@functools.cache
def _hann() -> npt.NDArray[np.float64]:
    """The periodic Hann window."""
    return _frozen(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW))


@functools.cache
def mel_filters(bands: int) -> npt.NDArray[np.float64]:
    """Triangles of equal area, evenly spaced in mel from 0 to 8 kHz, shape ``(201, bands)``."""
    corners = _hertz(np.linspace(0.0, _mel(RATE / 2), bands + 2))
    frequencies = np.linspace(0.0, RATE / 2, WINDOW // 2 + 1)[:, None]
    low, middle, high = corners[:-2], corners[1:-1], corners[2:]
    rising = (frequencies - low) / (middle - low)
    falling = (high - frequencies) / (high - middle)
    return _frozen(np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (high - low))


def _mel(hertz: float) -> float:
    """Slaney's scale (Auditory Toolbox, 1998), above 1 kHz."""
    return 3 * _LINEAR_UP_TO / 200 + 27 * float(np.log(hertz / _LINEAR_UP_TO) / np.log(6.4))


def _hertz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Slaney's scale backwards, below and above 1 kHz."""
    corner = 3 * _LINEAR_UP_TO / 200
    above = _LINEAR_UP_TO * np.exp(np.log(6.4) / 27 * (mels - corner))
    return np.where(mels < corner, mels * 200 / 3, above)


def _frozen(array: Any) -> npt.NDArray[np.float64]:
    """What is cached must not be changed by anybody."""
    array.setflags(write=False)
    done: npt.NDArray[np.float64] = array
    return done
