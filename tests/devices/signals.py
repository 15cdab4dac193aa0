"""Known sounds, and finding them again in a recording.

What may live here: signals and measurements for the tests with a real sound server.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from locara.audio import Samples


def noise(seconds: float, rate: int) -> Samples:
    """Noise between 300 and 3000 Hz, the same every time: it fits itself at one place only."""
    spectrum = np.fft.rfft(np.random.default_rng(7).standard_normal(round(seconds * rate)))
    hertz = np.fft.rfftfreq(round(seconds * rate), 1 / rate)
    spectrum[(hertz < 300) | (hertz > 3000)] = 0
    sound = np.fft.irfft(spectrum, round(seconds * rate))
    return np.asarray(0.5 * sound / np.abs(sound).max(), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Found:
    """``at``: where the sound begins, in samples. ``likeness``: the normalised correlation there, 1 for a perfect copy."""

    at: int
    likeness: float


def find(sound: Samples, recording: Samples) -> Found:
    """Where ``sound`` (both at the same rate) is in ``recording``."""
    size = 1 << int(np.ceil(np.log2(sound.size + recording.size)))
    product = np.fft.rfft(recording, size) * np.conj(np.fft.rfft(sound, size))
    likely = np.fft.irfft(product, size)[: max(1, recording.size - sound.size + 1)]
    at = int(np.argmax(np.abs(likely)))
    piece = recording[at : at + sound.size].astype(np.float64)
    norm = float(np.linalg.norm(piece) * np.linalg.norm(sound.astype(np.float64)))
    return Found(at, abs(float(np.dot(piece, sound[: piece.size]))) / norm if norm else 0.0)


def share_found(sound: Samples, recording: Samples, rate: int) -> float:
    """How much of ``sound`` is in ``recording``, 0 to 1: the share of its pieces of 50 ms that are there unharmed, where
    they should be or, after a gap, up to a second later."""
    piece, begins = rate // 20, find(sound, recording).at
    found = 0
    for at in range(0, sound.size - piece + 1, piece):
        near = recording[max(0, begins + at - rate) : begins + at + rate]
        found += find(sound[at : at + piece], near).likeness > 0.9
    return found / (sound.size // piece)
