"""Speech faster or slower at the same pitch: waveform-similarity overlap-add. Pure.

What may live here: this one method. W. Verhelst and M. Roelands, "An overlap-add technique based on waveform similarity
(WSOLA) for high quality time-scale modification of speech", ICASSP 1993. It works on any voice, also on one that knows no
speed of its own, and without loading it again.
"""

from __future__ import annotations

import numpy as np

from locara.audio import Samples, silence

WINDOW_SECONDS = 0.03
"""Three periods of a low voice: shorter windows break it up, longer ones repeat whole sounds."""
SEARCH_SECONDS = 0.0075
"""How far to either side the window may be moved so that it continues what is there: half a period of 67 Hz."""


class Tempo:
    """One stream at ``rate`` hertz, ``speed`` times as fast: 0.5 makes it twice as long. At 1 nothing is touched."""

    def __init__(self, rate: int, speed: float) -> None:
        self._speed = speed
        self._hop = round(WINDOW_SECONDS * rate / 2)
        self._search = round(SEARCH_SECONDS * rate)
        n = np.arange(2 * self._hop)
        self._window = (0.5 - 0.5 * np.cos(np.pi * (n + 0.5) / self._hop)).astype(
            np.float32
        )  # sums to 1 at half overlap
        self._in = silence(0)
        self._begins = 0  # which sample of the stream `_in` begins with
        self._at = 0.0  # where the next window is wanted
        self._follows: int | None = None  # where the last window would have gone on
        self._tail = silence(self._hop)

    def push(self, samples: Samples) -> Samples:
        """The next samples, shape ``(n,)``, as far as they are ready."""
        if self._speed == 1.0 or not samples.size:
            return samples
        self._in = np.concatenate((self._in, samples))
        made: list[Samples] = []
        while (window := self._next()) is not None:
            made.append(window)
        return np.concatenate(made) if made else silence(0)

    def finish(self) -> Samples:
        """The last samples: no more comes."""
        if self._speed == 1.0:
            return silence(0)
        out = self.push(silence(2 * self._hop + 2 * self._search))
        return np.concatenate((out, self._tail))

    def _next(self) -> Samples | None:
        """Half a window of sound, or None where more has to come first."""
        hop, search = self._hop, self._search
        wanted = round(self._at) - self._begins
        last = max(wanted + search, 0 if self._follows is None else self._follows - self._begins)
        if last + 2 * hop > self._in.size:
            return None
        start = wanted if self._follows is None else self._best(wanted, self._follows - self._begins)
        piece = self._in[start : start + 2 * hop] * self._window
        first = self._follows is None
        out = self._in[start : start + hop].copy() if first else self._tail + piece[:hop]
        self._tail = piece[hop:]
        self._follows = self._begins + start + hop
        self._at += hop * self._speed
        self._forget()
        return out

    def _best(self, wanted: int, follows: int) -> int:
        """Where near ``wanted`` the sound is most like what followed the last window."""
        low = max(0, wanted - self._search)
        template = self._in[follows : follows + self._hop].astype(np.float64)
        around = self._in[low : wanted + self._search + self._hop].astype(np.float64)
        likeness = np.correlate(around, template, "valid")
        squares = np.concatenate((np.zeros(1), np.cumsum(around * around)))
        power = squares[self._hop :] - squares[: -self._hop]
        return low + int(np.argmax(likeness / np.sqrt(np.maximum(power, 1e-12))))

    def _forget(self) -> None:
        """Drops what no window reaches any more."""
        assert self._follows is not None
        keep = min(round(self._at) - self._search, self._follows) - self._begins
        if keep > 0:
            self._in = self._in[keep:]
            self._begins += keep
