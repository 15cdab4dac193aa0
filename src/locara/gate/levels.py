"""Where sound ends, to five milliseconds: an energy follower beside the voice-activity model, which lets go late."""

from __future__ import annotations

import math

import numpy as np

from locara.audio import RATE, Samples

STEP = 80
"""Samples at ``RATE`` in one reading: 5 ms."""

RISE_DB_PER_SECOND = 3.0
"""How fast the floor follows a room that gets louder; it follows a quieter one at once."""

FALL_DB_PER_SECOND = 8.0
"""How fast the memory of the loudest speech fades."""

SMOOTHING = 0.12
"""How much of each reading enters the level from which the floor is taken: about 40 ms. Noise of 5 ms each jumps by 10 dB,
and the lowest of many such readings is far below the room."""

OVER_FLOOR_DB = 7.0
"""Sound this much over the room's floor is sound."""

UNDER_PEAK_DB = 34.0
"""Sound this much under the loudest recent speech is its echo in the room, not speech: decays of 34 dB take 0.2 s even
in a living room (0.35 s reverberation time)."""

_LOWEST_DB = -80.0


class Loudness:
    """Follows floor and peak of a stream of samples at ``RATE``; ``until`` is where the last sound above them ended."""

    def __init__(self) -> None:
        self.until = 0
        self.over_floor = 0.0
        """dB by which the loudest reading of the newest samples was above the room's floor."""
        self._at = 0
        self._floor: float | None = None
        self._smooth = 0.0
        self._peak = _LOWEST_DB
        self._rest = np.zeros(0, dtype=np.float32)

    def push(self, samples: Samples) -> int:
        """The next samples. Returns ``until``, in samples since the first one."""
        if self._rest.size:
            samples = np.concatenate((self._rest, samples))
        whole = samples.size // STEP
        self.over_floor = 0.0
        self._rest = samples[whole * STEP :]
        if whole:
            steps = samples[: whole * STEP].reshape(whole, STEP)
            power = np.einsum("ij,ij->i", steps, steps) / STEP
            for one in power.tolist():
                self._step(one)
        return self.until

    def pass_over(self, n: int) -> int:
        """``n`` samples that are no sound of the room (muted): time passes, floor and peak stay as they were."""
        self._at += (self._rest.size + n) // STEP * STEP
        self._rest = np.zeros((self._rest.size + n) % STEP, dtype=np.float32)
        self.over_floor = 0.0
        return self.until

    def _step(self, power: float) -> None:
        self._at += STEP
        seconds = STEP / RATE
        level = max(_decibels(power), _LOWEST_DB)
        self._smooth += (power - self._smooth) * SMOOTHING if self._floor is not None else power
        calm = max(_decibels(self._smooth), _LOWEST_DB)
        floor = calm if self._floor is None else min(calm, self._floor + RISE_DB_PER_SECOND * seconds)
        self._floor = floor
        self.over_floor = max(self.over_floor, level - floor)
        self._peak = max(level, self._peak - FALL_DB_PER_SECOND * seconds)
        if level > max(floor + OVER_FLOOR_DB, self._peak - UNDER_PEAK_DB):
            self.until = self._at


def _decibels(power: float) -> float:
    return 10.0 * math.log10(power) if power > 1e-12 else -120.0
