"""The features a Smart Turn v3 model hears with: log-mel energies as Whisper computes them, of the last 8 seconds.

What may live here: pure functions from samples to features. They follow the published definition, so that the model sees
what it was trained on: `WhisperFeatureExtractor(chunk_length=8)` of Hugging Face transformers with ``do_normalize=True``,
as Smart Turn's own ``inference.py`` calls it. Every number below is part of that definition and none is ours to tune.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from locara.audio import RATE, Samples
from locara.errors import AudioError

SECONDS = 8
"""Seconds of sound the model looks at. A shorter turn is padded with silence before it, so that its end is the end."""
LENGTH = SECONDS * RATE
"""Samples at 16 kHz of one input: 128,000."""
BANDS = 80
"""Mel bands."""
FRAMES = 800
"""Frames of one input: one every 10 ms."""

_WINDOW = 400
"""Samples of one Fourier transform: 25 ms."""
_HOP = 160
"""Samples from one frame to the next: 10 ms."""
_LEAST_VARIANCE = 1e-7
"""Keeps pure silence from being divided by nothing."""
_LEAST_ENERGY = 1e-10
"""What the logarithm starts from."""
_RANGE = 8.0
"""Powers of ten below the loudest point that are kept: the rest is raised to there."""
_LINEAR_UP_TO = 1000.0
"""Hertz up to which Slaney's mel scale is linear, 200/3 hertz a mel; from there on 27 mels multiply by 6.4."""


def features(samples: Samples) -> npt.NDArray[np.float32]:
    """The model's input for the end of a turn.

    ``samples``: float32 mono at 16 kHz, shape ``(n,)``; of more than 8 s the last 8 s count. Returns float32 of shape
    ``(80, 800)``, roughly -1.5 to 2. The level of the sound does not matter: it is scaled to unit variance first.
    Raises ``AudioError`` for samples of another shape, or none at all.
    """
    if samples.ndim != 1 or samples.size == 0:
        raise AudioError(
            f"the end of a turn is judged by its samples in one row, not by an array of shape {samples.shape}",
            hint="give float32 mono at 16 kHz, shape (n,), n > 0",
        )
    sound = np.zeros(LENGTH, np.float32)
    last = samples[-LENGTH:]
    sound[LENGTH - last.size :] = last
    # In float32, and over the padding too: so does the reference.
    sound = (sound - sound.mean()) / np.sqrt(sound.var() + _LEAST_VARIANCE)
    alike = _padded_frames(LENGTH - last.size)
    energies = _spectrum(sound, from_frame=alike) @ _mel_filters()
    levels = np.log10(np.maximum(energies, _LEAST_ENERGY))
    levels = np.concatenate([np.repeat(levels[:1], alike, axis=0), levels])
    levels = np.maximum(levels, levels.max() - _RANGE)
    return np.ascontiguousarray(((levels + 4.0) / 4.0).T, dtype=np.float32)


def _padded_frames(padding: int) -> int:
    """How many frames are the same as the one after them, because they too see nothing but padding: a turn is mostly
    shorter than 8 s, and what is known already need not be computed."""
    return max(0, (padding - _WINDOW // 2) // _HOP)


def _spectrum(sound: Samples, from_frame: int) -> npt.NDArray[np.float64]:
    """Power of each of the 201 frequencies in each frame, shape ``(800 - from_frame, 201)``. Frames are centred; both
    ends mirror."""
    padded = np.pad(sound.astype(np.float64), _WINDOW // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP][from_frame:FRAMES]
    spectrum = np.fft.rfft(frames * _hann(), axis=1)
    power: npt.NDArray[np.float64] = spectrum.real**2 + spectrum.imag**2
    return power


@functools.cache
def _hann() -> npt.NDArray[np.float64]:
    """The periodic Hann window."""
    return _frozen(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW))


@functools.cache
def _mel_filters() -> npt.NDArray[np.float64]:
    """Triangles of equal area, evenly spaced in mel from 0 to 8 kHz, shape ``(201, 80)``."""
    corners = _hertz(np.linspace(0.0, _mel(RATE / 2), BANDS + 2))
    frequencies = np.linspace(0.0, RATE / 2, _WINDOW // 2 + 1)[:, None]
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
