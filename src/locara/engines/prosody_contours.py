"""A turn's sound as contours, a value every 10 ms: how loud, of what colour, how fast it changes, at what pitch.

What may live here: pure functions from samples to contours. Everything is measured against the turn itself (its own
median pitch, its own loud parts), so that neither the speaker nor the microphone's level matters.

Pitch is the highest peak of the autocorrelation divided by that of its window: P. Boersma, "Accurate short-term analysis
of the fundamental frequency and the harmonics-to-noise ratio of a sampled sound", IFA Proceedings 17 (1993).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from locara.audio import RATE, Samples

Row = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

FRAME_SECONDS = 0.01
"""Between frames: a syllable (about 0.2 s) has 20 of them."""

VOICED = 0.45
"""Autocorrelation from which a frame is voiced (Praat's default)."""

MIN_SECONDS = 0.15
"""Less sound than this has no melody to hear."""

_RATE = RATE // 2
"""Hertz inside this file: nothing above 3.6 kHz is used, so that a telephone headset sounds like any other."""

_HOP = round(FRAME_SECONDS * _RATE)
_WINDOW = 320
"""Samples in a frame: 40 ms, which holds two periods of the lowest voice, under a Hann window."""

_FFT = 512
"""Over ``_WINDOW`` plus the longest lag, so that the autocorrelation does not wrap round."""

_LOWEST_HZ, _HIGHEST_HZ = 60.0, 400.0
"""Pitch of low and of high voices of grown-ups, in calm speech."""

_PITCH_HZ = 1500.0
"""Pitch is taken from below this: the harmonics of voices are strong there and hiss is not."""

_OCTAVE_COST = 0.02
"""Taken off per octave of longer lag, so that two periods are not taken for one (Praat's default: 0.01)."""

_SPAN_SEMITONES = 14.0
"""Pitch further than this from the turn's median is an error of an octave: it is held here."""

_BANDS_HZ = (120.0, 350.0, 600.0, 900.0, 1300.0, 1800.0, 2500.0, 3600.0)
"""Edges of the bands, about equally wide to the ear (mel)."""

_FLOOR_DB = 32.0
"""What is this far under the turn's loud parts is raised to here. So the silence itself, be it a noise or digital zeros,
is not heard, only the speech before it."""

_END_DB = 24.0
"""Speech ends with the last sound less than this under the turn's loud parts: the room's echo is further under it..."""

_OVER_NOISE_DB = 6.0
"""... that is also this much over the noise of the pause."""

_BURIED_DB = -3.0
"""With speech less than this over the noise there is nothing to measure."""

_PAUSE_FRAMES = 7
"""Frames at the end from which the noise of the pause is taken: 70 ms, less than a caller has waited."""

_LOUD_PERCENTILE = 95.0
"""The loud parts of a turn: its stressed vowels, not its loudest click."""

_FEWEST_VOICED = 4
"""Frames: with fewer voiced ones there is no median pitch to speak of."""

_TINY = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Contours:
    """A turn as ``n`` frames of 10 ms, from the first to the last sound of its speech.

    ``level`` (n,): decibels under the loud parts, about 0 to -32. ``bands`` (n, 7): decibels in each band against the turn's
    own mean. ``flux`` (n,): decibels by which the bands change in a frame. ``pitch`` (n,): semitones over the turn's
    median, 0 where there is no voice. ``voicing`` (n,): autocorrelation, 0 to 1. ``speech`` (n,): is there any sound.
    ``noise``: of the pause, decibels under the loud parts.
    """

    level: Row
    bands: Row
    flux: Row
    pitch: Row
    voicing: Row
    speech: Flags
    noise: float

    @property
    def voiced(self) -> Flags:
        """(n,): where there is a pitch."""
        return self.voicing > VOICED


def contours(samples: Samples) -> Contours | None:
    """The contours of ``samples``, shape (n,), float32 at 16 kHz, the pause at its end. None where no speech is found."""
    if samples.size < 2 * (_WINDOW + _HOP * (_PAUSE_FRAMES + 2)):
        return None
    power = _power(_halved(samples))
    bands = power @ _FILTERS
    total = bands.sum(axis=1)
    noise_bands = bands[-_PAUSE_FRAMES:].mean(axis=0)
    noise = float(noise_bands.sum())
    loud = float(np.percentile(total, _LOUD_PERCENTILE)) - noise
    if loud <= max(_TINY, noise * _ratio(_BURIED_DB)):
        return None
    floor = loud * _ratio(-_FLOOR_DB)
    level = _decibels((np.maximum(total - noise, 0.0) + floor) / (loud + floor))
    sounding = (level > -_END_DB) & (total > noise * _ratio(_OVER_NOISE_DB))
    sounding[1:-1] &= sounding[:-2] | sounding[2:]  # a click of one frame is no speech
    at = np.flatnonzero(sounding)
    if at.size < MIN_SECONDS / FRAME_SECONDS:
        return None
    turn = slice(int(at[0]), int(at[-1]) + 1)
    speech = sounding[turn]
    colour = _decibels(np.maximum(bands[turn] - noise_bands, 0.0) + floor / bands.shape[1])
    pitch, voicing = _pitch(power[turn], speech)
    return Contours(
        level=level[turn],
        bands=colour - colour[speech].mean(axis=0),
        flux=np.abs(np.diff(colour, axis=0, prepend=colour[:1])).mean(axis=1),
        pitch=pitch,
        voicing=voicing,
        speech=speech,
        noise=10.0 * float(np.log10((noise + floor) / (loud + floor))),
    )


def _ratio(decibels: float) -> float:
    return float(10.0 ** (decibels / 10.0))


def _decibels(power: Row) -> Row:
    out: Row = (10.0 * np.log10(np.maximum(power, _TINY))).astype(np.float32)
    return out


def _half_band(length: int = 32) -> Row:
    """Every other tap of a low-pass at a quarter of the rate, Hann-windowed; the taps between are 0, the middle 0.5."""
    at = np.arange(-length + 1, length, 2)
    taps: Row = (np.sin(np.pi * at / 2) / (np.pi * at) * np.cos(np.pi * at / (2 * length)) ** 2).astype(np.float32)
    return taps


def _halved(samples: Samples) -> Samples:
    """At 8 kHz: two taps at once, which takes a quarter of the work of a plain low-pass."""
    samples = samples[: samples.size // 2 * 2]
    out: Samples = 0.5 * samples[::2] + np.convolve(samples[1::2], _HALF_BAND, "same")
    return out


def _power(samples: Samples) -> Row:
    """(frames, _FFT // 2 + 1), the last frame ending with the last sample."""
    samples = samples[(samples.size - _WINDOW) % _HOP :]
    frames = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP]
    spectrum = np.fft.rfft(frames * _HANN, _FFT, axis=1)
    power: Row = (spectrum.real**2 + spectrum.imag**2).astype(np.float32, copy=False)
    return power


def _pitch(power: Row, speech: Flags) -> tuple[Row, Row]:
    """Semitones over the median (0 where unvoiced) and voicing, of each frame."""
    pitch, voicing = np.zeros(speech.size, dtype=np.float32), np.zeros(speech.size, dtype=np.float32)
    at = np.flatnonzero(speech)
    low = power[at]
    low[:, _PITCH_BINS:] = 0.0
    low[:, :_CALM_BINS] = 0.0
    correlation: Row = np.fft.irfft(low, _FFT, axis=1)[:, : _LONGEST + 2].astype(np.float32, copy=False)
    correlation /= np.maximum(correlation[:, :1], _TINY) * _HANN_CORRELATION
    best = np.argmax(correlation[:, _SHORTEST : _LONGEST + 1] - _LAG_COST, axis=1) + _SHORTEST
    rows = np.arange(at.size)
    left, here, right = correlation[rows, best - 1], correlation[rows, best], correlation[rows, best + 1]
    bend = np.minimum(left - 2.0 * here + right, -1e-6)
    hertz = _RATE / (best + np.clip(0.5 * (left - right) / bend, -0.5, 0.5))
    voicing[at] = np.where((best > _SHORTEST) & (best < _LONGEST), np.clip(here, 0.0, 1.0), 0.0)
    voiced = voicing[at] > VOICED
    if voiced.sum() < _FEWEST_VOICED:
        return pitch, voicing
    semitones = 12.0 * np.log2(hertz)
    semitones = np.clip(semitones - np.median(semitones[voiced]), -_SPAN_SEMITONES, _SPAN_SEMITONES)
    pitch[at[voiced]] = semitones[voiced]
    return pitch, voicing


def _filters() -> Row:
    hertz = np.fft.rfftfreq(_FFT, 1.0 / _RATE)
    return np.stack([(hertz >= low) & (hertz < high) for low, high in pairwise(_BANDS_HZ)], axis=1).astype(np.float32)


_HALF_BAND = _half_band()
_FILTERS = _filters()
_HANN: Row = np.hanning(_WINDOW).astype(np.float32)
_PITCH_BINS = round(_PITCH_HZ / _RATE * _FFT)
_CALM_BINS = round(_LOWEST_HZ / _RATE * _FFT)
_SHORTEST, _LONGEST = int(_RATE / _HIGHEST_HZ), int(_RATE / _LOWEST_HZ) + 1
_LAG_COST: Row = (_OCTAVE_COST * np.log2(np.arange(_SHORTEST, _LONGEST + 1) / _SHORTEST)).astype(np.float32)
_OVERLAP = np.fft.irfft(np.abs(np.fft.rfft(_HANN, _FFT)) ** 2, _FFT)[: _LONGEST + 2]
_HANN_CORRELATION: Row = (_OVERLAP / _OVERLAP[0]).astype(np.float32)
