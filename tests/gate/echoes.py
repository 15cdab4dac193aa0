"""What the tests of echo cancellation share: sound through a room, and through a canceller."""

from __future__ import annotations

import numpy as np

from locara.audio import BLOCK, Samples, dbfs
from locara.gate.canceller import Canceller, Cleaned


def through(sound: Samples, response: Samples) -> Samples:
    """The sound as it comes back."""
    size = sound.size + response.size
    return np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(response, size), size)[: sound.size].astype(np.float32)


def blocks(sound: Samples) -> list[Samples]:
    """Whole blocks only."""
    return [sound[at : at + BLOCK] for at in range(0, sound.size - BLOCK + 1, BLOCK)]


def cancelled(canceller: Canceller, heard: Samples, played: Samples) -> list[Cleaned]:
    """Block after block."""
    return [canceller.hear(one, other) for one, other in zip(blocks(heard), blocks(played), strict=True)]


def joined(pieces: list[Samples]) -> Samples:
    """One array."""
    return np.concatenate(pieces)


def quieter(before: Samples, after: Samples) -> float:
    """By how many dB."""
    return dbfs(before) - dbfs(after)
