"""What is left of the echo: how much of it there must be, how to quieten it, and whether there is a voice besides. Pure.

What may live here: powers in, gains and evidence out. No device, no clock, no session.

The filter of `echo_path` takes away what is linear and short. What is left (a speaker that distorts, the end of a long
reverberation, a room not learned yet) follows the loudness of the predicted echo. How much of it is left is learned for
each band from what is heard while we speak, quickly upwards and slowly downwards, so that it stays near the upper edge.
Enzner and Vary 2006 and Kuech et al. 2014 ("State-space architecture of the partitioned-block-based acoustic echo
controller") take the filter's own doubt for it, which is right in the first seconds and too small later on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from locara.audio import BLOCK, RATE
from locara.gate.lapped import BIN_HERTZ, BINS

Power = npt.NDArray[np.float32]

_FRAME_SECONDS = BLOCK / RATE

LOWEST_HERTZ = 130.0
"""Below this a small speaker plays hardly anything but its own rattle, and a voice can be told without it."""

VOICE_HERTZ = (240.0, 4350.0)
"""Where a voice besides the echo is looked for: below is hum, above is hiss."""

LEAK_AT_FIRST = 0.3
"""Residual echo as a share of the predicted one, before anything was heard."""

LEAK_RISE = 12.0
"""dB a second by which the learned residual follows a louder one: within half a second of the first word."""

LEAK_RISE_UNSURE = 6.0
"""The same while there is likely a voice besides: a word must not be learned as echo."""

LEAK_FALL = 1.5
"""dB a second by which it comes down, so that it stands near the loudest residual of the last seconds."""

DOUBTED = 3.0
"""The filter's own doubt is taken so many times: it thinks of frames as independent, and they overlap."""

TAIL = 0.85
"""How much of its power the echo of a room keeps from one frame to the next: 35 dB a second, a large living room."""

OVER = 3.0
"""Residual power is taken this many times before it is taken away, for decisions: what is left of it must not sound like
speech. A voice of the same power is then still there."""

FLOOR = 0.03
"""Nothing is quietened more than to this factor: -30 dB."""

KIND_OVER = 1.0
KIND_FLOOR = 0.1
"""The same two for what the recogniser hears, which suffers more from a damaged voice than from a little echo."""

OVER_RESIDUAL = 4.0
"""A band that is this many times (6 dB) over the expected residual has something else in it."""

EVIDENT_SHARE = 0.18
"""With so large a share of the bands over the residual, there is as likely a voice as not. Echo alone reaches it for
single frames, a voice at the echo's own level for most of its syllables."""

LEAST_ECHO = 0.01
"""Where there can be an echo at all, it is never surely none."""

SHARE_SMOOTHING = 0.8
"""How much of the last frame counts: five frames, half a syllable. What echo leaves over lasts one to three."""

SHARE_HOLD = 0.92
"""How much of the strongest evidence is still believed one frame later: syllables have gaps."""

AUDIBLE_POWER = 1e-4
"""Power of a band below which there is nothing to judge: the noise of a good microphone (-70 dBFS)."""


def _bands() -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """25 bands as wide as the ear's: begins of each, lower edges in hertz, and which are looked at for a voice."""
    edges = np.unique(np.round(np.geomspace(3, BINS - 1, 26)).astype(np.intp))
    hertz = (edges[:-1] * BIN_HERTZ).astype(np.float32)
    return edges, hertz, (hertz >= VOICE_HERTZ[0]) & (hertz < VOICE_HERTZ[1])


_EDGES, _HERTZ, _LOOKED_AT = _bands()
_LOW = _HERTZ < LOWEST_HERTZ
_BAND_OF_BIN = np.clip(np.searchsorted(_EDGES, np.arange(BINS), side="right") - 1, 0, _HERTZ.size - 1)
_RISE = np.float32(10 ** (LEAK_RISE * _FRAME_SECONDS / 10))
_RISE_UNSURE = np.float32(10 ** (LEAK_RISE_UNSURE * _FRAME_SECONDS / 10))
_FALL = np.float32(10 ** (-LEAK_FALL * _FRAME_SECONDS / 10))


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One frame. ``strict`` and ``kind``: factors for its bins, shape ``(BINS,)``, for decisions and for recognition.
    ``echo``: how surely what is heard is only echo, 0 (there can be none) to 1; above 0.5 it explains more than a voice
    would."""

    strict: Power
    kind: Power
    echo: float


def banded(power: Power) -> Power:
    """Powers of bins summed in bands."""
    return np.add.reduceat(power, _EDGES[:-1])[: _HERTZ.size].astype(np.float32)


class Residual:
    """Learns how much echo is left, frame by frame."""

    def __init__(self) -> None:
        self._leak = np.full(_HERTZ.size, LEAK_AT_FIRST, np.float32)
        self._reverberating = np.zeros(_HERTZ.size, np.float32)
        self._share = 0.0
        self._held = 0.0

    def judge(self, left: Power, predicted: Power, doubt: Power) -> Judged:
        """``left``: power of each bin without the predicted echo. ``predicted``: of that echo. ``doubt``: by how much it
        may be wrong, as the filter says."""
        there = banded(left)
        self._reverberating = np.maximum(banded(predicted), np.float32(TAIL) * self._reverberating)
        expected = np.maximum(np.float32(DOUBTED) * banded(doubt), self._leak * self._reverberating)
        self._learn(there)
        strict = _gains(there, expected, OVER, FLOOR)
        strict[_LOW] = FLOOR
        kind = _gains(there, expected, KIND_OVER, KIND_FLOOR)
        return Judged(strict[_BAND_OF_BIN], kind[_BAND_OF_BIN], self._echo(there, expected))

    def _learn(self, there: Power) -> None:
        playing = self._reverberating > AUDIBLE_POWER
        more = there > self._leak * self._reverberating
        learned = np.clip(
            self._leak * np.where(more, _RISE_UNSURE if self._held > EVIDENT_SHARE else _RISE, _FALL), 1e-4, 4.0
        )
        self._leak = np.where(playing, learned, self._leak).astype(np.float32)

    def _echo(self, there: Power, expected: Power) -> float:
        over = (there > OVER_RESIDUAL * expected) & (there > AUDIBLE_POWER)
        share = float(over[_LOOKED_AT].mean())
        self._share = SHARE_SMOOTHING * self._share + (1.0 - SHARE_SMOOTHING) * share
        self._held = max(self._share, SHARE_HOLD * self._held)
        if expected.max() <= AUDIBLE_POWER:
            return 0.0
        return max(LEAST_ECHO, 1.0 - self._held / (2.0 * EVIDENT_SHARE))


def _gains(there: Power, expected: Power, over: float, floor: float) -> Power:
    """Wiener's rule on amplitudes: what is left when so much of the power is taken away."""
    kept = 1.0 - np.float32(over) * expected / (there + np.float32(1e-12))
    return np.sqrt(np.clip(kept, np.float32(floor * floor), np.float32(1.0)))
