"""The way from the speaker to the microphone, learned: a filter for each frequency that predicts the echo.

What may live here: the filter, and the search for its delay. No decision is made here.

Each bin of the spectrum has a filter over the last ``TAPS`` frames of what was played, found by recursive least squares
(Haykin, "Adaptive Filter Theory", ch. 13) that weighs each frame by the power of what it could not explain. So a frame in
which somebody else speaks teaches little: that is what lets it run through double talk without a detector for it
(weighted recursive least squares: Nakatani et al. 2010; for echo: Wang, Na et al. 2021, "Weighted recursive least square
filter and neural network based residual echo suppression for the AEC-challenge"). Least squares with the whole covariance
reach in half a second what a gradient or a diagonal Kalman filter needs three for, because speech is far from white:
measured in docs/echo.md.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from locara.audio import BLOCK, RATE, samples_in
from locara.gate.lapped import BIN_HERTZ, BINS

Spectrum = npt.NDArray[np.complex64]
"""Shape ``(BINS,)``."""
Power = npt.NDArray[np.float32]

TAPS = 12
"""Frames of the past that the filter sees: 240 ms of the room's answer. What is left of a longer one is residual echo."""

WANDER = 2e-3
"""By how much of its power the room's answer may have changed from one frame to the next: a head that moves, and above all
two clocks that run apart (100 parts in a million turn 3 kHz by 0.05 rad a frame)."""

UNKNOWN = 0.3
"""How strong, in power and for each tap, an echo may be before anything was heard of it. Large, so that the first frames
teach most, and so that nothing is believed to be a voice that a loud speaker close to the microphone could explain."""

NOISE_SMOOTHING = 0.7
"""How much of the last frame's unexplained power counts in this one's weight: about three frames."""

LEAST_POWER = 1e-6
"""Power of a bin below which there is only rounding: far under the noise of any microphone (-87 dBFS)."""

_TAP = np.arange(TAPS)
_RENEW = 50
"""Frames between repairs of the covariance: 1 s. Rounding makes it unsymmetric, and frequencies that are never played
make it grow without end."""

_MOST = 1.0
"""The covariance of a tap is not let grow beyond this: three times `UNKNOWN`."""

SEARCHED_SECONDS = 1.0
"""The longest delay between playing and hearing that is looked for: wireless speakers have up to 0.3 s."""

_LAGS = samples_in(SEARCHED_SECONDS) // BLOCK
_SPEECH = slice(round(250 / BIN_HERTZ), round(3600 / BIN_HERTZ), 2)
_SEEN = 0.97  # how much of the past counts in the search: about 0.7 s
_COHERENT = 0.05  # mean coherence (0 to 1) of a lag that explains something: three times that of two strangers
_STANDS_OUT = 2.0  # times the median of all lags: over 100 frequencies a stranger's best lag has 1.4 times
_FEWEST = 4.0  # frames
_LEAST_CROSS = 1e-7  # power below which a phase is only rounding
_SURE_FRAMES = 4  # that must agree before the filter is moved
_SEARCH_FRAMES = 100  # 2 s of our own sound: without any answer in so long there is no echo, as with headphones
_LEAD = 1  # frames: the filter begins this much before the strongest answer


class DelayFinder:
    """Which lag of what was played explains most of what is heard: where their phases go together (generalised
    cross-correlation with phase transform, Knapp and Carter 1976, over lags of frames). Phases alone, because loudness
    would let a single loud syllable of the user go with anything that was played. Costs 0.1 ms a frame."""

    def __init__(self) -> None:
        self._together = np.zeros((_LAGS, len(range(*_SPEECH.indices(BINS)))), np.complex64)
        self._weight = np.zeros(_LAGS, np.float32)
        self._best = -1
        self._agreed = 0

    def push(self, played: npt.NDArray[np.complex64], heard: Spectrum) -> int | None:
        """``played``: the spectra of the last frames, newest first, shape ``(lags, BINS)``. Returns the lag of the
        strongest answer in frames once several frames agree, else None."""
        then, now = played[:_LAGS, _SPEECH], heard[_SPEECH]
        cross = now * then.conj()
        size = np.abs(cross)
        self._together *= np.float32(_SEEN)
        self._together += cross / (size + np.float32(_LEAST_CROSS))
        self._weight *= np.float32(_SEEN)
        self._weight += size.mean(axis=1) > _LEAST_CROSS
        coherence = _power(self._together).mean(axis=1) / np.square(np.maximum(self._weight, _FEWEST))
        best = int(np.argmax(coherence))
        if coherence[best] < max(_COHERENT, _STANDS_OUT * float(np.median(coherence))):
            return None
        self._agreed = self._agreed + 1 if best == self._best else 0
        self._best = best
        return best if self._agreed >= _SURE_FRAMES else None


class EchoPath:
    """Predicts what of a frame is echo, and learns from what it got wrong."""

    def __init__(self) -> None:
        self._keep = _LAGS + TAPS + 1
        self._ring = np.zeros((2 * self._keep, BINS), np.complex64)  # each frame twice, so that the past is one piece
        self._at = 0
        self._finder = DelayFinder()
        self._scratch = np.empty((BINS, TAPS, TAPS), np.complex64)
        self.skipped = 0
        """Frames by which the filter begins late: the part of the delay that needs no taps."""
        self.forget()

    def forget(self) -> None:
        """Nothing is known of the room any more."""
        self._filter = np.zeros((BINS, TAPS), np.complex64)
        self._noise = np.zeros(BINS, np.float32)
        self._searching = _SEARCH_FRAMES
        self._doubt_again()

    def _doubt_again(self) -> None:
        self._covariance = np.zeros((BINS, TAPS, TAPS), np.complex64)
        self._covariance[:, _TAP, _TAP] = UNKNOWN
        self._updates = 0

    @property
    def delay(self) -> float:
        """Seconds from playing to hearing, to about 10 ms: where the filter has its strongest tap."""
        strength = _power(self._filter[_SPEECH]).sum(axis=0)
        return (self.skipped + int(np.argmax(strength))) * BLOCK / RATE if strength.any() else 0.0

    @property
    def sounding(self) -> Spectrum:
        """What was played by the time its echo is loudest now."""
        frame: Spectrum = self._ring[self._at + round(self.delay * RATE / BLOCK)]
        return frame

    def played(self, frame: Spectrum) -> None:
        """What was played during the frame that is heard next."""
        self._at = (self._at - 1) % self._keep
        self._ring[self._at] = self._ring[self._at + self._keep] = frame

    def predict(self, heard: Spectrum, *, learn: bool) -> tuple[Spectrum, Power]:
        """The echo in the frame ``heard``, and in which power (of each bin) that may be wrong, by what is known of the
        room so far. It is never louder than what was heard, so a filter that has gone astray is never a sound of its
        own. With ``learn`` the filter is better afterwards."""
        past = self._ring[self._at : self._at + self._keep]
        if learn:
            lag = self._finder.push(past, heard)
            self._searching = max(0, self._searching - 1) if lag is None else 0
            self._align(lag)
        played = np.ascontiguousarray(past[self.skipped : self.skipped + TAPS].T)
        echo: Spectrum = np.einsum("ft,ft->f", self._filter, played)
        conjugate = played.conj()
        gain = np.matmul(self._covariance, conjugate[:, :, None])[:, :, 0]
        doubt: Power = np.maximum(np.einsum("ft,ft->f", played, gain).real, 0)
        if learn:
            self._learn(heard - echo, gain, doubt)
        if self._searching:  # whatever was played in the last second may be what is heard now
            doubt = np.maximum(doubt, np.float32(UNKNOWN) * _power(past).max(axis=0))
        most, size = np.abs(heard), np.abs(echo)
        return (echo * np.where(size > most, most / (size + np.float32(1e-12)), np.float32(1.0))).astype(
            np.complex64
        ), doubt

    def _learn(self, error: Spectrum, gain: npt.NDArray[np.complex64], doubt: Power) -> None:
        keep = np.float32(NOISE_SMOOTHING)
        self._noise = keep * self._noise + (1 - keep) * _power(error)
        weight = np.float32(1.0) / (self._noise + np.float32(LEAST_POWER) + doubt)
        step = gain * weight[:, None]
        self._filter += step * error[:, None]
        np.multiply(step[:, :, None], gain.conj()[:, None, :], out=self._scratch)
        self._covariance -= self._scratch
        self._covariance[:, _TAP, _TAP] += np.float32(WANDER) * np.minimum(_power(self._filter), np.float32(_MOST))
        self._updates += 1
        if self._updates % _RENEW == 0:
            self._renew()

    def _renew(self) -> None:
        half = self._covariance * np.float32(0.5)
        self._covariance = half + half.conj().transpose(0, 2, 1)
        size = np.einsum("ftt->f", self._covariance).real
        over = size > TAPS * _MOST
        if over.any():
            self._covariance[over] *= (TAPS * _MOST / size[over])[:, None, None].astype(np.float32)

    def _align(self, lag: int | None) -> None:
        """Moves the filter to where the echo is, if it lies elsewhere; what it has learned moves along."""
        if lag is None:
            return
        begin = max(0, lag - _LEAD)
        by = begin - self.skipped
        if -1 <= by <= 1 and by >= 0:
            return
        moved = np.zeros_like(self._filter)
        if 0 < by < TAPS:
            moved[:, : TAPS - by] = self._filter[:, by:]
        elif 0 < -by < TAPS:
            moved[:, -by:] = self._filter[:, :by]
        self._filter = moved
        self.skipped = begin
        self._doubt_again()


def _power(spectrum: npt.NDArray[np.complex64]) -> Power:
    return np.square(spectrum.real) + np.square(spectrum.imag)
