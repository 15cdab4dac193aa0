"""How much a client may send in a time: a token bucket. What may live here: arithmetic on times that are given to it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

AVERAGED_SECONDS = 10.0
"""Limits "a second" hold on average over so long: a client that was held up by the network may catch up."""


@dataclass(slots=True)
class Bucket:
    """Of anything that is counted: messages, bytes, wrong tokens. Refills at ``rate`` a second, holds at most ``burst``.

    Times are seconds of any clock that does not go back, the same for all calls.
    """

    rate: float
    burst: float
    _level: float = field(init=False)
    _at: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if not (self.rate > 0 and self.burst > 0):
            raise ValueError(f"a bucket of rate {self.rate} and burst {self.burst} lets nothing through")
        self._level = self.burst

    def take(self, amount: float, now: float) -> float:
        """Takes ``amount`` if it is there, and returns 0. Otherwise takes nothing and returns the seconds until it would
        be there: infinity for more than the bucket ever holds."""
        level = self.level(now)
        if amount <= level:
            self._level = level - amount
            return 0.0
        return (amount - level) / self.rate if amount <= self.burst else math.inf

    def level(self, now: float) -> float:
        """What could be taken at ``now``."""
        if self._at is None:
            self._at = now
        # A clock that goes back gives nothing and takes nothing.
        self._level = min(self.burst, self._level + max(0.0, now - self._at) * self.rate)
        self._at = max(self._at, now)
        return self._level


def averaged(per_second: float, over: float = AVERAGED_SECONDS) -> Bucket:
    """A limit of so much a second on average ``over`` seconds."""
    return Bucket(per_second, per_second * over)
