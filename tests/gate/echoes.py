"""Sound for the tests of echo cancellation: noise with the rhythm of speech, and rooms.

What may live here: making sound, the same each time.
"""

from __future__ import annotations

import numpy as np

from locara.audio import BLOCK, RATE, Samples, dbfs
from locara.gate.canceller import Canceller, Cleaned


def babble(seconds: float, seed: int, *, level: float = 0.1) -> Samples:
    """Coloured noise in syllables of about 0.2 s with pauses between: the spectrum and the rhythm of speech."""
    random = np.random.default_rng(seed)
    n = round(seconds * RATE)
    sound = random.standard_normal(n)
    spectrum = np.fft.rfft(sound)
    hertz = np.fft.rfftfreq(n, 1 / RATE)
    spectrum *= 1.0 / (1.0 + (hertz / 500.0) ** 1.5) * (hertz > 100)
    sound = np.fft.irfft(spectrum, n)
    steps = random.uniform(0.0, 1.0, n // (RATE // 5) + 2)
    steps[random.uniform(size=steps.size) < 0.25] = 0.0
    envelope = np.interp(np.arange(n) / (RATE / 5), np.arange(steps.size), steps)
    sound *= envelope
    voiced: Samples = (level * sound / np.sqrt(np.mean(sound**2))).astype(np.float32)
    return voiced


def room(seed: int, *, delay: float = 0.06, loss_db: float = 6.0, decay: float = 0.15) -> Samples:
    """The answer of a room: a direct sound after ``delay`` seconds and a tail that falls by 60 dB in ``decay``."""
    random = np.random.default_rng(seed)
    tail = random.standard_normal(round(decay * RATE)) * 10 ** (-3 * np.arange(round(decay * RATE)) / (decay * RATE))
    tail *= 0.3
    tail[0] = 1.0
    tail *= 10 ** (-loss_db / 20) / np.sqrt(np.sum(tail**2))
    return np.concatenate((np.zeros(round(delay * RATE)), tail)).astype(np.float32)


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
