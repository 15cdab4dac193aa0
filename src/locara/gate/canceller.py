"""Acoustic echo cancellation: what was played is taken out of what is heard, and what is left is judged.

What may live here: one block's way through path and residual, and the figures about it. See docs/echo.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from locara.audio import BLOCK, RATE, Samples, gain, samples_in
from locara.gate.echo_path import EchoPath
from locara.gate.lapped import FRAME, LAG, Apart, Together
from locara.gate.periodicity import Pitch
from locara.gate.residual import Residual

PLAYED = gain(-70.0)
"""A block played below this level is silence: nothing of it can be heard back."""

REVERBERATION_SECONDS = 0.5
"""An echo may come for so long after the last sound of ours, besides its delay: the rooms measured fall by 30 dB in it."""

WORSE = 2.0
"""An output this many times the power of the input means that the room is another one now."""

WORSE_SECONDS = 0.3
"""For so long, before everything learned is thrown away: a door that opens, a volume turned down."""

FAINT = -22.0
"""dB of what is left for decisions, relative to our loudest echo of late, below which no pitch in it counts: the canceller's
own leavings. A user 10 dB under our echo has vowels above it, though what is surely echo is taken away three times over."""

LATE_FADES = 0.98
"""How much of the power of our loudest echo counts one frame later: 4 dB a second, so that a gap between two words of ours
does not make what is left of the first one loud."""

LEFT_FADES = 0.8
"""The same of what is left: 50 dB a second, a syllable that dies away, so that one block under the echo breaks no vowel."""

LEARNING_SECONDS = 1.0
"""For so long after the first sound of ours, a pitch in what the echo explains better than a voice is our own: half a second
until the way back is learned, and as much for the longest delays."""

_FAINT = 10 ** (FAINT / 10)
_FIGURES = 0.99  # how much of the past counts in the figures: 2 s of playing


@dataclass(frozen=True, slots=True, eq=False)
class Cleaned:
    """One block. ``sound``: what is to be recognised, ``LAG`` samples late. ``decisive``: the same for decisions, echo
    taken out harder; while nothing of ours can be heard it is the block itself, not late. ``echo``: how surely what is
    heard is only our own echo, 0 to 1; 0 where there can be none. ``pitch``: how periodic what is left is, 0 to 1; 0 where
    it is `FAINT` or surely ours (`LEARNING_SECONDS`), and not looked at where no echo is ``expected``."""

    sound: Samples
    decisive: Samples
    echo: float
    expected: bool
    pitch: float = 0.0


class Canceller:
    """Takes blocks of ``BLOCK`` samples at ``RATE``: what was heard, and what was played meanwhile. About 1 ms a block
    while we speak, next to nothing otherwise."""

    lag = LAG

    def __init__(self) -> None:
        self._heard, self._played = Apart(), Apart()
        self._sound, self._decisive = Together(), Together()
        self._path, self._residual = EchoPath(), Residual()
        self._pitch = Pitch(views=2)
        self._expect = 0  # samples for which an echo may still come
        self._worse = 0
        self._taught = 0  # samples in which an echo of ours could be heard
        self._filled = 0
        self._loudest = self._left = 0.0  # power of our echo, and of what was left, of late
        self._powers = np.zeros(4)  # of what was played, predicted, heard and left
        self.restarts = 0
        """Times the room had changed so much that learning began anew."""

    @property
    def delay(self) -> float:
        """Seconds from playing to hearing, to about 10 ms; 0 as long as nothing is known."""
        return self._path.delay

    @property
    def echo_return_loss(self) -> float:
        """dB by which the echo is weaker at the microphone than what was played (ITU-T G.122); 0 if nothing is known."""
        return _decibels(self._powers[0], self._powers[1])

    @property
    def enhancement(self) -> float:
        """dB by which the echo is weaker in ``sound`` than at the microphone while only we speak (ERLE)."""
        return _decibels(self._powers[2], self._powers[3])

    def forget(self) -> None:
        """Another room or another device: nothing of what was learned is true any more."""
        self._path.forget()
        self._residual = Residual()
        self._loudest = self._left = 0.0
        self._taught = 0
        self._worse = 0
        self.restarts += 1

    def hear(self, heard: Samples, played: Samples) -> Cleaned:
        """The next block, without the echo of what was played. ``heard`` all zeros (muted) teaches nothing."""
        if math.sqrt(float(np.dot(played, played)) / BLOCK) > PLAYED:
            self._expect = samples_in(REVERBERATION_SECONDS + self._path.delay) + FRAME
        near, far = self._heard.push(heard), self._played.push(played)
        expected, self._expect = self._expect > 0, max(0, self._expect - BLOCK)
        if not expected:
            if self._filled:  # the past of the path becomes silence, without the cost of predicting from it
                self._filled -= 1
                self._path.played(np.fft.rfft(far).astype(np.complex64))
            sound = self._sound.push(near)
            self._decisive.push(near)
            return Cleaned(sound, heard, 0.0, False)
        self._filled = 64
        return self._cancel(near, far, learn=bool(heard.any()))

    def _cancel(self, near: Samples, far: Samples, *, learn: bool) -> Cleaned:
        spectrum = np.fft.rfft(near).astype(np.complex64)
        self._path.played(np.fft.rfft(far).astype(np.complex64))
        echo, doubt = self._path.predict(spectrum, learn=learn)
        left = spectrum - echo
        sources = (self._path.sounding, echo, spectrum, left)
        powers = [np.square(one.real) + np.square(one.imag) for one in sources]
        judged = self._residual.judge(powers[3], powers[1], doubt)
        self._loudest = max(float(powers[1].sum()), LATE_FADES * self._loudest)
        self._left = max(float((powers[3] * np.square(judged.strict)).sum()), LEFT_FADES * self._left)
        powers[3] = powers[3] * np.square(judged.kind)
        self._note(np.array([float(one.sum()) for one in powers]), judged.echo, learn=learn)
        sound = self._sound.push(np.fft.irfft(left * judged.kind).astype(np.float32))
        decisive = self._decisive.push(np.fft.irfft(left * judged.strict).astype(np.float32))
        pitch = self._pitch.push(sound, decisive)
        self._taught += BLOCK if learn else 0
        ours = judged.echo > 0.5 and self._taught < LEARNING_SECONDS * RATE
        if ours or self._left < _FAINT * self._loudest:
            pitch = 0.0
        return Cleaned(sound, decisive, judged.echo, True, pitch)

    def _note(self, powers: np.ndarray, echo: float, *, learn: bool) -> None:
        if not learn:
            return
        if echo >= 0.5 and powers[1] > 0.5 * powers[2]:  # only we speak, and the path is known
            self._powers = _FIGURES * self._powers + (1.0 - _FIGURES) * powers
        self._worse = self._worse + BLOCK if powers[3] > WORSE * powers[2] else 0
        if self._worse >= WORSE_SECONDS * RATE:
            self.forget()


def _decibels(above: float, below: float) -> float:
    return 10.0 * math.log10(above / below) if above > 0.0 and below > 0.0 else 0.0
