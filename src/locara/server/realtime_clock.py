"""Two clocks: the session's, which counts what was heard, and the client's, which counts what it appended. Pure.

What may live here: the way from the one to the other. The session fills what a client does not send with silence, so its
clock runs on; ``audio_start_ms`` and ``audio_end_ms`` are counted in sound that was really appended.
"""

from __future__ import annotations

from collections import deque

SAME = 0.03
"""Seconds. One block of 20 ms is under way at any time, so the offset is never known better than that."""

MOST = 256
"""Gaps that are remembered. Only the latest turn is asked for."""


class AppendClock:
    """`appended` says what came when; `milliseconds` asks."""

    def __init__(self) -> None:
        self._total = 0.0
        self._anchors: deque[tuple[float, float]] = deque(maxlen=MOST)  # (session's clock, seconds appended before it)

    @property
    def total(self) -> float:
        """Seconds appended so far."""
        return self._total

    def appended(self, seconds: float, heard: float) -> None:
        """``seconds`` of sound were appended; the first of it will be ``heard`` at this second of the session's clock."""
        if not self._anchors or abs((heard - self._anchors[-1][0]) - (self._total - self._anchors[-1][1])) > SAME:
            self._anchors.append((heard, self._total))
        self._total += seconds

    def milliseconds(self, at: float) -> int:
        """How much had been appended up to this second of the session's clock."""
        until = self._total
        for heard, before in reversed(self._anchors):
            if heard <= at:
                return round(1000 * min(until, before + at - heard))
            until = before
        return 0
