"""How loud anything may leave: a look-ahead limiter for peaks, and two ceilings for loudness. Pure.

What may live here: samples in, samples out, and the state between. No device, no clock, no session.

Peaks: the gain that a sample needs is reached on a straight way of ``AHEAD_SECONDS`` before it, so nothing is clipped that
can be seen coming, and the waveform keeps its shape. It looks at what waits to be played instead of delaying what is
played: no sample leaves later because of it.

Loudness: K-weighted power (ITU-R BS.1770-5) over 400 ms and over 3 s, which EBU Tech 3341 calls momentary and short-term
loudness, taken in steps of 10 ms. The weighting is done on the spectrum of each step, not by the two filters of the
recommendation: that needs no filter written in Python, and differs by less than 0.5 dB from 200 Hz on (a test compares
the two).

Where nothing is above either ceiling, the very same array comes back.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from locara.audio import Samples, gain

CEILING = gain(-1.0)
"""No sample leaves louder than this: room for the converter's overshoot."""

AHEAD_SECONDS = 0.005
"""How far a peak is seen coming. Shorter ways sound like a crackle, longer ones like a level that breathes."""

RELEASE_SECONDS = 0.08
"""How long the gain takes from nothing to full after a peak."""

LOUDNESS_CEILING = -9.0
"""LUFS over 400 ms, one channel. Of 219 real recordings of speech, each with its peak at full scale, one was louder (-7.9;
the loudest of a speaker who reads answers of an assistant was -10.0). A square wave at full scale has +0.5."""

SUSTAINED_CEILING = -14.0
"""LUFS over 3 s. The same speaker had -15.5 at most, the embedded voice has -19: whatever sounds on without the pauses of
speech ends at the level of speech."""

STEP_SECONDS = 0.01
WINDOW_STEPS = 40  # 400 ms
SUSTAINED_STEPS = 300  # 3 s

OVERSHOOT_DB = 7.0
"""By so much the 400 ms may be above their ceiling when a sound begins: loudness is known only once there was some. It
follows from the window and from the highest level that there is; a property test holds it."""

_OFFSET = -0.691  # dB; BS.1770: a sine of 997 Hz at full scale in one channel is -3.01 LUFS
_MOMENTARY = 10.0 ** ((LOUDNESS_CEILING - _OFFSET) / 10.0)
_SUSTAINED = 10.0 ** ((SUSTAINED_CEILING - _OFFSET) / 10.0)


class Limiter:
    """One stream at ``rate`` hertz. ``ahead`` of `push` may be as long as ``look`` samples; more is not looked at."""

    def __init__(self, rate: int) -> None:
        self._step = max(8, round(STEP_SECONDS * rate))
        self._reach = max(2, round(AHEAD_SECONDS * rate))
        self.look = self._step + self._reach
        self._weights = _k_weights(self._step, rate)
        self._powers = np.zeros(SUSTAINED_STEPS)
        self._at = 0  # samples into the present step
        self._from, self._to = 1.0, 1.0  # gain at its beginning and end
        self._newest = 0
        self._held = np.ones(self._reach - 1)  # wanted gains of the newest samples, released
        self._rise = 1.0 / (RELEASE_SECONDS * rate)
        self.loudness_gain = 1.0
        """What the loudness ceiling takes at present, as a factor."""
        self.steps: list[float] = []
        """K-weighted power of each step that began in the newest block, as it is let out; as if each were at its peak's
        ceiling already."""

    @property
    def resting(self) -> bool:
        """Whether silence would leave everything as it is."""
        return self._to == 1.0 and self._from == 1.0 and not self._powers.any() and bool(self._held.min() == 1.0)

    def push(self, samples: Samples, ahead: Samples) -> Samples:
        """The next ``samples`` as they may leave, as many, none above ``CEILING``. ``ahead``: what follows them, as far as
        it is known. Whatever is no number counts as silence."""
        n = samples.size
        self.steps = []
        if n == 0:
            return samples
        known = np.concatenate((samples, ahead[: self.look])) if ahead.size else samples
        if not known.any() and self.resting:
            self.steps = [0.0] * ((self._at + n - 1) // self._step - (self._at - 1) // self._step)
            self._at = (self._at + n) % self._step
            return samples
        peak = float(np.abs(known).max())
        mended = not peak <= 1e30
        if mended:  # NaN is not either; the squares of anything larger would be infinite
            known = np.nan_to_num(known, nan=0.0, posinf=0.0, neginf=0.0)
            known = np.clip(known, -1e30, 1e30)
            peak = float(np.abs(known).max())
        loudness = self._loudness_gains(known, n)
        limiting = peak > CEILING or float(self._held.min()) < 1.0
        if loudness is None and not limiting:
            return known[:n] if mended else samples
        out = known[:n].astype(np.float64)
        if limiting:
            out *= self._peak_gains(known, n)
        if loudness is not None:
            out *= loudness
        return np.clip(out, -CEILING, CEILING).astype(np.float32)  # the last line, should rounding go over it

    def _peak_gains(self, known: Samples, n: int) -> npt.NDArray[np.float64]:
        """The gain of each of ``n`` samples: for each the lowest that any of the next ``reach`` wants, released slowly
        upwards, and the mean of so many. The mean reaches what a peak wants exactly at that peak."""
        reach = self._reach
        size = np.abs(known[: n + reach - 1].astype(np.float64))
        wanted = np.ones(n + reach - 1)
        np.divide(CEILING, size, out=wanted[: size.size], where=size > CEILING)
        lowest = np.lib.stride_tricks.sliding_window_view(wanted, reach).min(axis=1)
        slope = self._rise * np.arange(1, n + 1)
        # e[i] = min(lowest[i], e[i-1] + rise), all at once
        released = np.minimum(np.minimum.accumulate(lowest - slope), self._held[-1]) + slope
        released = np.minimum(released, 1.0)
        line = np.concatenate((self._held, released))
        self._held = line[-(reach - 1) :]
        sums = np.cumsum(np.concatenate(([0.0], line)))
        means: npt.NDArray[np.float64] = (sums[reach:] - sums[:-reach]) / reach
        return np.minimum(means, 1.0)

    def _loudness_gains(self, known: Samples, n: int) -> npt.NDArray[np.float64] | None:
        """The gain of each of ``n`` samples, or None where all are 1."""
        gains: npt.NDArray[np.float64] | None = None
        done = 0
        while done < n:
            if self._at == 0:
                self._begin_step(known[done : done + self._step])
            many = min(n - done, self._step - self._at)
            if self._from < 1.0 or self._to < 1.0:
                gains = np.ones(n) if gains is None else gains
                way = np.arange(self._at + 1, self._at + many + 1) / self._step
                gains[done : done + many] = self._from + (self._to - self._from) * way
            done += many
            self._at = (self._at + many) % self._step
        return gains

    def _begin_step(self, samples: Samples) -> None:
        power = self._power(samples)
        self._newest = (self._newest + 1) % SUSTAINED_STEPS
        self._powers[self._newest] = power
        first = self._newest + 1 - WINDOW_STEPS
        window = float(self._powers[max(0, first) : self._newest + 1].sum())
        window += float(self._powers[first:].sum()) if first < 0 else 0.0
        over = max(window / WINDOW_STEPS / _MOMENTARY, float(self._powers.mean()) / _SUSTAINED, 1.0)
        self._from = self._to
        self._to = self.loudness_gain = 1.0 / math.sqrt(over)
        self.steps.append(power / over)

    def _power(self, samples: Samples) -> float:
        """K-weighted mean square of a step, as if it were limited already; one that is not known to its end counts as
        silent there."""
        if not samples.any():
            return 0.0
        spectrum = np.fft.rfft(np.clip(samples, -CEILING, CEILING), self._step)
        return float(np.dot(self._weights, np.square(spectrum.real) + np.square(spectrum.imag)))


def _k_weights(step: int, rate: int) -> npt.NDArray[np.float64]:
    """For each bin of a spectrum of ``step`` samples: its share in the K-weighted mean square. The two filters are those of
    BS.1770-5, tables 1 and 2, given for 48 kHz."""
    hertz = np.minimum(np.fft.rfftfreq(step, 1.0 / rate), 23_999.0)
    z = np.exp(-2j * np.pi * hertz / 48_000.0)
    shelf = (1.53512485958697 - 2.69169618940638 * z + 1.19839281085285 * z**2) / (
        1.0 - 1.69065929318241 * z + 0.73248077421585 * z**2
    )
    highpass = (1.0 - 2.0 * z + z**2) / (1.0 - 1.99004745483398 * z + 0.99007225036621 * z**2)
    sides = np.full(hertz.size, 2.0)
    sides[0] = 1.0
    if step % 2 == 0:
        sides[-1] = 1.0
    weights: npt.NDArray[np.float64] = sides * np.square(np.abs(shelf * highpass)) / step**2
    return weights


def loudness(power: float) -> float:
    """K-weighted power as LUFS of one channel; -120 for silence."""
    return _OFFSET + 10.0 * math.log10(power) if power > 1e-12 else -120.0
