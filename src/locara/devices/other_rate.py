"""A device that takes another rate than the one that is played.

What may live here: the change of rate between a pull and a device. It happens after a loss only, where the new device's
library does not convert (PortAudio); on the audio thread, as the pull itself does.
"""

from __future__ import annotations

import numpy as np

from locara.audio import Resampler, Samples, silence
from locara.devices.contracts import Pull


class OtherRate:
    """``pull`` at ``rate`` hertz, given at ``device_rate``. It runs some milliseconds ahead of what is
    heard: what the change of rate holds back."""

    def __init__(self, pull: Pull, rate: int, device_rate: int) -> None:
        self._pull = pull
        self._ratio = rate / device_rate
        self._resampler = Resampler(rate, device_rate)
        self._ready = silence(0)

    def __call__(self, n: int) -> Samples:
        """The next ``n`` samples at the device's rate."""
        while self._ready.size < n:
            piece = max(1, round((n - self._ready.size) * self._ratio))
            self._ready = np.concatenate((self._ready, self._resampler.push(self._pull(piece))))
        out, self._ready = self._ready[:n], self._ready[n:]
        return out
