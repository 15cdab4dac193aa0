"""What a turn's contours tell about its end, as named numbers: its last melody, loudness, rhythm and colour.

What may live here: pure functions from contours to features. A change here needs new weights: run
``benchmarks/train_prosody.py``.

Before a real end the pitch falls (or rises, in a question), the last syllable is drawn out, so the sound changes less from
frame to frame, and loudness fades; a pause inside running speech breaks off level: J. Pierrehumbert, "The phonology and
phonetics of English intonation" (1980); C. Wightman et al., doi 10.1121/1.402450 (1992); A. Gravano and J. Hirschberg,
doi 10.1016/j.csl.2010.10.003 (2011).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from locara.engines.prosody_contours import FRAME_SECONDS, Contours, Flags, Row

SPANS = ((0, 5), (5, 10), (10, 20), (20, 35), (35, 60), (60, 100))
"""Frames before the end over which contours are averaged: fine at the end, where the last syllable is, coarse before."""

COLOURED_FRAMES = 60
"""Colour is looked at up to here: what was said before the last syllables is no matter of melody."""

SPEECH_SECONDS = 1.8
"""A turn that has just begun is rarely over; from here on its length says nothing, or every pause of a long talk would look
like an end."""

SYLLABLES = 8
"""The same cap for the count of syllables: about 1.8 s of speech."""

LAST_PITCH = 10
"""Voiced frames whose median is the pitch the turn ends on."""

LATE = 30
"""Frames over which the last slope of the pitch is taken: one syllable or two."""

LONG = 80
"""Frames of the last phrase."""

SYLLABLE_DIP_DB = 3.0
"""Two peaks of loudness are two syllables if a dip this deep lies between them."""

SYLLABLE_LEVEL_DB = -18.0
"""A vowel is at most this far under the loud parts."""

NUCLEUS_DB = 8.0
"""A syllable's vowel reaches down to here under its peak."""

FADED_DB = 12.0
"""The last syllable has faded this far under its peak."""

USUAL_GAP = 20.0
"""Frames between syllables where a turn has too few of them to tell: five a second."""

USUAL_RUN = 10.0
"""Frames of voice in a row where a turn has none."""

STEEPEST = 60.0
"""Slopes beyond this, in units a second, are errors of measurement."""


def features(c: Contours) -> dict[str, float]:
    """The features by name, in a fixed order, all finite. What cannot be measured (no voiced frame) is a neutral 0."""
    return _lengths(c) | _spans(c) | _melody(c) | _loudness(c) | _rhythm(c)


def _lengths(c: Contours) -> dict[str, float]:
    return {
        "noise": c.noise,
        "mean_level": float(c.level[c.speech].mean()),
        "speech_seconds": min(float(c.speech.sum()) * FRAME_SECONDS, SPEECH_SECONDS),
        "speech_share": float(c.speech.mean()),
    }


def _spans(c: Contours) -> dict[str, float]:
    n = c.level.size
    voiced = c.voiced
    level, flux = float(c.level[c.speech].mean()), float(c.flux[c.speech].mean())
    out: dict[str, float] = {}
    for start, stop in SPANS:
        part = slice(max(0, n - stop), n - start) if n > start else slice(0, 1)
        name = f"{start}_{stop}"
        out[f"level_{name}"] = float(c.level[part].mean()) - level
        out[f"voicing_{name}"] = float(c.voicing[part].mean())
        out[f"flux_{name}"] = float(c.flux[part].mean()) - flux
        out[f"pitch_{name}"] = float(c.pitch[part][voiced[part]].mean()) if voiced[part].any() else 0.0
        if stop <= COLOURED_FRAMES:
            colour = c.bands[part].mean(axis=0)
            out |= {f"band{k}_{name}": float(one) for k, one in enumerate(colour - colour.mean())}
    return out


def _melody(c: Contours) -> dict[str, float]:
    n = c.level.size
    at = np.flatnonzero(c.voiced)
    if at.size < 2:
        return dict.fromkeys(_MELODY, 0.0)
    ordered = np.sort(c.pitch[at])
    low, high = np.percentile(ordered, (10, 90))
    last = float(np.median(c.pitch[at[-LAST_PITCH:]]))
    long = at[at >= at[-1] - LONG]
    half = at.size // 2
    values = (
        last,
        last - low,
        high - last,
        np.searchsorted(ordered, last) / at.size,
        c.pitch[long].max() - last,
        _slope(c.pitch, at[at >= at[-1] - LATE]),
        _slope(c.pitch, long),
        high - low,
        min(n - 1 - at[-1], 50) * FRAME_SECONDS,
        np.median(c.pitch[at[half:]]) - np.median(c.pitch[at[:half]]),
    )
    return {name: float(value) for name, value in zip(_MELODY, values, strict=True)}


_MELODY = tuple(
    """pitch_last pitch_over_low pitch_under_high pitch_rank pitch_fall pitch_slope pitch_slope_long pitch_spread
    pitch_gone pitch_drift""".split()
)


def _loudness(c: Contours) -> dict[str, float]:
    n = c.level.size
    return {
        "level_slope": _slope(c.level, np.arange(max(0, n - 20), n)),
        "level_slope_long": _slope(c.level, np.arange(max(0, n - LONG), n)),
        "tail_share": float(c.speech[-LATE:].mean()),
        "flux_end_max": float(c.flux[-6:].max()),
    }


def _rhythm(c: Contours) -> dict[str, float]:
    n = c.level.size
    smooth: Row = np.convolve(c.level, np.full(5, 0.2, dtype=np.float32), "same")
    at = _syllables(smooth)
    last = int(at[-1])
    gaps = np.diff(at)
    gap = float(np.median(gaps)) if gaps.size >= 2 else USUAL_GAP
    under = smooth < smooth[last] - NUCLEUS_DB
    before, after = np.flatnonzero(under[:last]), np.flatnonzero(under[last:])
    nucleus = (int(after[0]) if after.size else n - last) + last - (int(before[-1]) + 1 if before.size else 0)
    faded = np.flatnonzero(c.level[last:] < smooth[last] - FADED_DB)
    runs = _runs(c.voiced)
    run = min(runs[-1] if runs else 0, LONG)
    return {
        "syllables": float(min(at.size, SYLLABLES)),
        "rate": at.size / max(1.0, float(c.speech.sum())) * 100.0,
        "rate_late": float((at >= n - 100).sum()) / min(1.0, n / 100.0),
        "nucleus_to_end": (n - last) / gap,
        "nucleus_to_end_seconds": min(n - last, 60) * FRAME_SECONDS,
        "nucleus_seconds": min(nucleus, 60) * FRAME_SECONDS,
        "last_gap": float(gaps[-1]) / gap if gaps.size else 1.0,
        "nucleus_level": float(smooth[last]) - float(smooth[at].mean()),
        "voiced_run": run / max(float(np.median(runs)) if runs else USUAL_RUN, 3.0),
        "voiced_run_seconds": run * FRAME_SECONDS,
        "fade_seconds": (int(faded[0]) if faded.size else n - last) * FRAME_SECONDS,
    }


def _syllables(smooth: Row) -> npt.NDArray[np.intp]:
    """The frames at which syllables are loudest; at least one."""
    inner = smooth[1:-1]
    tops = np.flatnonzero((inner >= smooth[:-2]) & (inner > smooth[2:]) & (inner > SYLLABLE_LEVEL_DB)) + 1
    found: list[int] = []
    for top in tops.tolist():
        if not found or smooth[found[-1] : top + 1].min() <= min(smooth[found[-1]], smooth[top]) - SYLLABLE_DIP_DB:
            found.append(top)
        elif smooth[top] > smooth[found[-1]]:
            found[-1] = top
    return np.array(found or [int(np.argmax(smooth))])


def _runs(on: Flags) -> list[int]:
    """Lengths of the stretches of at least 3 frames, over gaps of one."""
    bridged = on.copy()
    bridged[1:-1] |= on[:-2] & on[2:]
    edges = np.flatnonzero(np.diff(np.concatenate(([0], bridged.astype(np.int8), [0]))))
    return [int(stop - start) for start, stop in zip(edges[::2], edges[1::2], strict=True) if stop - start >= 3]


def _slope(values: Row, at: npt.NDArray[np.intp]) -> float:
    """Units a second of a straight line through ``values[at]``."""
    if at.size < 4:
        return 0.0
    t = (at - at.mean()) * FRAME_SECONDS
    return float(np.clip((t * (values[at] - values[at].mean())).sum() / (t * t).sum(), -STEEPEST, STEEPEST))


def ordered(named: Mapping[str, float]) -> Row:
    """The features as the row of numbers that the weights know."""
    return np.array(list(named.values()), dtype=np.float32)
