"""Where sound goes out: the one queue to the output, its level, its fades, and the clock of played samples.

Two threads meet here and neither waits for the other. The session's side puts chunks in and turns the knobs; the
output's side (an audio callback, or the session itself for files) calls `render`. Each field is written by one side only;
a deque's ``append`` and ``popleft`` are atomic.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from locara.audio import Samples, gain, silence

CEILING = gain(-1.0)
"""No sample leaves louder than this: room for the converter's overshoot."""

DUCK_GAIN = gain(-15.0)
"""A ducked reply: still there, clearly below a voice."""

RAMP_SECONDS = 0.015
"""How long a change of level takes: shorter clicks, longer is felt as late."""

FADE_SECONDS = 0.02
"""How long stopping and standing still take."""

AUDIBLE = gain(-60.0)
"""The first sample above this is the first that can be heard."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the output is: ``played`` samples of reply ``reply`` have left it. ``audible``: how many of them follow the
    first audible one (it included), or None if that one has not left yet."""

    reply: int
    played: int
    audible: int | None


def lead_of(samples: Samples) -> int:
    """How many samples pass before one can be heard; ``samples.size`` if none can."""
    loud = np.abs(samples) > AUDIBLE
    first = int(np.argmax(loud)) if loud.size else 0
    return first if loud.size and loud[first] else int(samples.size)


class Mouth:
    """The speaker gate. ``rate`` is the output's, in hertz."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._fade = max(1, round(FADE_SECONDS * rate))
        # written by the session's side
        self._queue: deque[tuple[int, Samples]] = deque()
        self._wanted = 1.0
        self._hold = False
        self._cut = -1
        # written by the output's side
        self._current: tuple[int, Samples] | None = None
        self._level = 1.0
        self._standing = False
        self._ending = 0
        self._progress = Progress(-1, 0, None)
        self._audible_from: int | None = None

    # --- the session's side -------------------------------------------------------------------------------------------

    def play(self, reply: int, samples: Samples) -> None:
        """Queues a chunk. Nothing of a reply that was hushed is taken any more."""
        if reply > self._cut and samples.size:
            self._queue.append((reply, samples))

    def duck(self) -> None:
        """Lowers the level, from the next block on."""
        self._wanted = DUCK_GAIN

    def hold(self) -> None:
        """Fades out and stands still; the samples of the fade will be played again."""
        self._hold = True

    def go_on(self) -> None:
        """Full level again, from the exact sample."""
        self._wanted = 1.0
        self._hold = False

    def hush(self, reply: int) -> None:
        """Fades out and throws away all that is left of this reply and those before it."""
        self._cut = max(self._cut, reply)
        self._wanted = 1.0
        self._hold = False

    @property
    def progress(self) -> Progress:
        """The clock of played samples."""
        return self._progress

    # --- the output's side --------------------------------------------------------------------------------------------

    def render(self, n: int) -> Samples:
        """The next ``n`` samples for the output. Never waits; silence where there is nothing to play."""
        out = silence(n)
        filled = 0
        if self._hold and not self._standing and self._sounding():
            self._stand(out)
        elif not self._hold:
            filled = self._fill(out)
        self._standing = self._hold
        if filled == 0 and not self._hold:
            self._level = self._wanted
        np.clip(out, -CEILING, CEILING, out=out)
        return out

    def _sounding(self) -> bool:
        current = self._head()
        return current is not None and current[0] > self._cut

    def _head(self) -> tuple[int, Samples] | None:
        if self._current is None and self._queue:
            self._current = self._queue.popleft()
            reply = self._current[0]
            if reply != self._progress.reply:
                self._progress = Progress(reply, 0, None)
                self._audible_from = None
        return self._current

    def _stand(self, out: Samples) -> None:
        """The beginning of standing still: what comes next is heard fading, and stays in the queue."""
        current = self._head()
        assert current is not None
        n = min(self._fade, out.size, current[1].size)
        out[:n] = current[1][:n] * np.linspace(self._level, 0.0, n, dtype=np.float32)
        self._level = 0.0

    def _fill(self, out: Samples) -> int:
        filled = 0
        while filled < out.size:
            current = self._head()
            if current is None:
                break
            reply, samples = current
            if reply <= self._cut:
                filled += self._end_of(samples, out[filled:])
                continue
            n = min(samples.size, out.size - filled)
            out[filled : filled + n] = samples[:n] * self._ramp(n)
            self._count(samples[:n])
            self._current = (reply, samples[n:]) if n < samples.size else None
            filled += n
        return filled

    def _end_of(self, samples: Samples, out: Samples) -> int:
        """A hushed reply fades out once, wherever it is, and is gone; later chunks of it go without a sound."""
        n = 0
        if self._ending < self._cut and self._progress.played:
            n = min(self._fade, samples.size, out.size)
            out[:n] = samples[:n] * np.linspace(self._level, 0.0, n, dtype=np.float32)
        self._ending = self._cut
        self._level = self._wanted
        self._current = None
        return n

    def _ramp(self, n: int) -> Samples | np.float32:
        if self._level == self._wanted:
            return np.float32(self._level)
        step = n / (RAMP_SECONDS * self.rate)
        reached = self._wanted if abs(self._wanted - self._level) <= step else (
            self._level + step if self._wanted > self._level else self._level - step
        )  # fmt: skip
        ramp: Samples = np.linspace(self._level, reached, n, dtype=np.float32)
        self._level = float(reached)
        return ramp

    def _count(self, samples: Samples) -> None:
        before = self._progress
        played = before.played + samples.size
        if self._audible_from is None:
            lead = lead_of(samples)
            if lead < samples.size:
                self._audible_from = before.played + lead
        audible = None if self._audible_from is None else played - self._audible_from
        self._progress = Progress(before.reply, played, audible)
