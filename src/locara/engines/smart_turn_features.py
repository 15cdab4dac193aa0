"""The features a Smart Turn v3 model hears with: log-mel energies as Whisper computes them, of the last 8 seconds.

What may live here: pure functions from samples to features. They follow the published definition, so that the model sees
what it was trained on: `WhisperFeatureExtractor(chunk_length=8)` of Hugging Face transformers with ``do_normalize=True``,
as Smart Turn's own ``inference.py`` calls it. Every number below is part of that definition and none is ours to tune.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from locara.audio import RATE, Samples
from locara.engines.whisper_features import HOP, WINDOW, compressed, mel_filters, power
from locara.errors import AudioError

SECONDS = 8
"""Seconds of sound the model looks at. A shorter turn is padded with silence before it, so that its end is the end."""
LENGTH = SECONDS * RATE
"""Samples at 16 kHz of one input: 128,000."""
BANDS = 80
"""Mel bands."""
FRAMES = 800
"""Frames of one input: one every 10 ms."""

_LEAST_VARIANCE = 1e-7
"""Keeps pure silence from being divided by nothing."""


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
    energies = power(sound, first=alike, last=FRAMES) @ mel_filters(BANDS)
    return compressed(np.concatenate([np.repeat(energies[:1], alike, axis=0), energies]))


def _padded_frames(padding: int) -> int:
    """How many frames are the same as the one after them, because they too see nothing but padding: a turn is mostly
    shorter than 8 s, and what is known already need not be computed."""
    return max(0, (padding - WINDOW // 2) // HOP)
