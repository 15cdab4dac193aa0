"""Sound that is like speech to an echo canceller, and rooms to hear it in: made, the same each time.

What may live here: making sound. The tones of `ScriptedVoice` hold a few frequencies only, from which no canceller can
learn a room.
"""

from __future__ import annotations

import numpy as np

from locara.audio import RATE, Samples


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
    return np.asarray(level * sound / np.sqrt(np.mean(sound**2)), dtype=np.float32)


def answer(seed: int, *, delay: float = 0.06, loss_db: float = 6.0, decay: float = 0.15) -> Samples:
    """The answer of a room: a direct sound after ``delay`` seconds and a tail that falls by 60 dB in ``decay``."""
    random = np.random.default_rng(seed)
    tail = random.standard_normal(round(decay * RATE)) * 10 ** (-3 * np.arange(round(decay * RATE)) / (decay * RATE))
    tail *= 0.3
    tail[0] = 1.0
    tail *= 10 ** (-loss_db / 20) / np.sqrt(np.sum(tail**2))
    return np.concatenate((np.zeros(round(delay * RATE)), tail)).astype(np.float32)
