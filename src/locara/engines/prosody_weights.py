"""The small model behind the prosody detector: what was learnt, and what it makes of a row of features.

What may live here: reading the weights file and the few lines that evaluate it. How it was made is in
``benchmarks/train_prosody.py``.

It is logistic regression on similarities to a few hundred examples (Gaussian kernel, Nystroem's method: C. Williams and
M. Seeger, "Using the Nystroem method to speed up kernel machines", NIPS 2000): numpy can run it, it is smooth, and far
from everything it has heard all similarities are small and it says about one half, which is what "unsure" should be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from locara.engines.prosody_contours import Row
from locara.errors import EngineFailed

LIMIT = 3.0
"""Features are held within this many standard deviations: an outlier is no more than very unusual."""

SUREST = 0.97
"""Nothing heard is surer than this: melody alone is wrong about one time in ten, and words must be able to outvote it."""


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """``names``: of the features. ``mean``, ``scale`` (features,); ``examples`` (m, features), standardised; ``width``: of
    the kernel; ``pull`` (m,) and ``bias``: log-odds."""

    names: tuple[str, ...]
    mean: Row
    scale: Row
    examples: Row
    width: float
    pull: Row
    bias: float

    def log_odds(self, rows: Row) -> Row:
        """(k,) natural log-odds of a finished turn for ``rows`` (k, features), when ends and pauses are equally common."""
        near = self.similarities(rows)
        out: Row = near @ self.pull + np.float32(self.bias)
        return out

    def similarities(self, rows: Row) -> Row:
        """(k, m) of ``rows`` to the examples, 0 to 1."""
        return similarities(standard(rows, self.mean, self.scale), self.examples, self.width)


def standard(rows: Row, mean: Row, scale: Row) -> Row:
    """``rows`` in standard deviations from the mean, held within ``LIMIT``."""
    out: Row = np.clip((rows - mean) / scale, -LIMIT, LIMIT).astype(np.float32)
    return out


def similarities(rows: Row, examples: Row, width: float) -> Row:
    """(k, m): ``exp(-width * squared distance)`` between standardised ``rows`` (k, d) and ``examples`` (m, d)."""
    squared = (rows**2).sum(axis=1)[:, None] + (examples**2).sum(axis=1) - 2.0 * rows @ examples.T
    out: Row = np.exp(-width * np.maximum(squared, 0.0)).astype(np.float32)
    return out


def probability(log_odds: float) -> float:
    """As 0 to 1, never surer than ``SUREST``."""
    return float(np.clip(1.0 / (1.0 + np.exp(-log_odds)), 1.0 - SUREST, SUREST))


def read(file: BinaryIO, names: Sequence[str]) -> Weights:
    """The weights in an ``.npz`` file. Raises ``EngineFailed`` if they were made for other features than ``names``."""
    with np.load(file, allow_pickle=False) as data:
        made_for = tuple(str(name) for name in data["names"])
        if made_for != tuple(names):
            raise EngineFailed(
                f"turn: the weights of prosody are for {len(made_for)} features, this version has {len(names)} or others",
                stage="turn",
                model="prosody",
                hint="reinstall locara; in a checkout run benchmarks/train_prosody.py",
            )
        mean, scale, examples, pull = (data[key].astype(np.float32) for key in ("mean", "scale", "examples", "pull"))
        return Weights(made_for, mean, scale, examples, float(data["width"]), pull, float(data["bias"]))


def write(file: BinaryIO, weights: Weights) -> None:
    """Into an ``.npz`` file, the large parts as float16."""
    np.savez_compressed(
        file,
        names=np.array(weights.names),
        mean=weights.mean,
        scale=weights.scale,
        examples=weights.examples.astype(np.float16),
        width=np.float64(weights.width),
        pull=weights.pull,
        bias=np.float64(weights.bias),
    )
