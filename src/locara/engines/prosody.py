"""End of turn from the sound itself: does the voice end, or only pause? About 3 ms of one core, numpy only.

What may live here: this one engine. What it hears is in `prosody_contours` and `prosody_features`, what it has learnt in
`prosody_weights` and ``prosody.npz``; docs/engines.md says from what, and how often it is right.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from locara.audio import RATE, Samples, clean, samples_in
from locara.engines.contracts import EngineInfo, TurnDetector
from locara.engines.lane import Lane
from locara.engines.prosody_contours import contours
from locara.engines.prosody_features import features, ordered
from locara.engines.prosody_weights import Weights, probability, read
from locara.errors import ConfigError, EngineFailed

MODELS = ("prosody",)

SECONDS = 4.0
"""Enough to know the speaker's usual pitch, loudness and pace; the end itself is in the last second."""

UNSURE = 0.5
"""What is answered where there is nothing to hear: no evidence, in either direction."""

_LOAD_SECONDS = 30.0
_ANSWER_SECONDS = 2.0
"""It takes milliseconds; on a machine so busy that it takes longer, the answer comes too late to be of use."""


def create(model: str, options: Mapping[str, Any]) -> TurnDetector | None:
    """The detector, or None when ``model`` is not one of `MODELS`. ``weights``: a file of your own, made by
    ``benchmarks/train_prosody.py`` from your own recordings."""
    if model not in ("", *MODELS):
        return None
    if unknown := set(options) - {"engine", "weights"}:
        raise ConfigError(
            f"prosody has no option {', '.join(map(repr, sorted(unknown)))}",
            hint="it knows weights: a file made by benchmarks/train_prosody.py",
        )
    weights = options.get("weights")
    if weights is not None and not isinstance(weights, str | os.PathLike):
        raise ConfigError(f"prosody: weights={weights!r} is no path", hint="name a file made by train_prosody.py")
    return Prosody(None if weights is None else Path(weights))


class Prosody:
    """See `locara.engines.contracts.TurnDetector`. ``weights``: a file instead of those of the package."""

    def __init__(self, weights: Path | None = None) -> None:
        self._file = weights
        self._lane: Lane | None = None
        self._weights: Weights | None = None

    @property
    def info(self) -> EngineInfo:
        """What it is."""
        return EngineInfo(engine="prosody", model="prosody", licence="Apache-2.0", streaming=False, sharing="shared")

    @property
    def seconds(self) -> float:
        """4 s."""
        return SECONDS

    async def load(self) -> None:
        """Reads the weights and listens once. Raises ``EngineFailed``."""
        if self._lane is None:
            self._lane = Lane("prosody", stage="turn", model="prosody")
        self._weights = await self._lane.run(lambda: _load(self._file), deadline=_LOAD_SECONDS)

    async def close(self) -> None:
        """Ends the thread."""
        lane, self._lane, self._weights = self._lane, None, None
        if lane is not None:
            lane.close()

    async def finished(self, samples: Samples) -> float:
        """How likely the speaker has finished, 0.03 to 0.97, if ends and pauses were equally common: its log-odds are
        evidence to add to other evidence. 0.5 where there is too little speech to tell.

        ``samples``: shape (n,), float32 at 16 kHz, ending 0.1 s or more after the last sound; only the last 4 s count.
        Raises ``EngineFailed`` before ``load`` and for another shape, ``EngineTimeout`` after 2 s.
        """
        lane, weights = self._lane, self._weights
        if lane is None or weights is None:
            raise EngineFailed("turn: prosody is not loaded", stage="turn", model="prosody", hint="await load() first")
        if samples.ndim != 1 or samples.dtype.kind != "f":
            raise EngineFailed(
                f"turn: prosody wants float32 samples of shape (n,), not {samples.dtype} of shape {samples.shape}",
                stage="turn",
                model="prosody",
                hint="pass one channel at 16 kHz; locara.audio.mono makes it of anything",
            )
        last = np.array(samples[-samples_in(SECONDS) :], dtype=np.float32)  # a copy: the caller's buffer moves on
        return await lane.run(lambda: hear(last, weights), deadline=_ANSWER_SECONDS)


def hear(samples: Samples, weights: Weights) -> float:
    """The same, where it stands: about 3 ms for 4 s of sound."""
    heard = contours(clean(samples)[0])
    if heard is None:
        return UNSURE
    return probability(float(weights.log_odds(ordered(features(heard))[None, :])[0]))


def _load(path: Path | None) -> Weights:
    """Reads the weights, and hears a first sound, so that the first turn pays nothing."""
    tone = _tone()
    first = contours(tone)
    assert first is not None
    try:
        with (files("locara.engines") / "prosody.npz" if path is None else path).open("rb") as file:
            weights = read(file, tuple(features(first)))  # type: ignore[arg-type]
    except (OSError, KeyError, ValueError) as error:
        raise EngineFailed(
            f"turn: the weights of prosody cannot be read: {error!r}",
            stage="turn",
            model="prosody",
            hint="pip install --force-reinstall locara" if path is None else f"make {path} anew with train_prosody.py",
        ) from error
    hear(tone, weights)
    return weights


@cache
def _tone() -> Samples:
    """Half a second of something voiced, and a pause."""
    at = np.arange(RATE // 2) / RATE
    voice = 0.1 * sum(np.sin(2 * np.pi * 120.0 * k * at) / k for k in range(1, 9))
    return np.concatenate((voice, np.zeros(RATE // 5))).astype(np.float32)
