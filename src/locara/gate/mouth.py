"""Where sound goes out: the one queue to the output, its level, its fades, and the clock of played samples.

Two threads meet here and neither waits for the other. The session's side puts chunks in and turns the knobs; the
output's side (an audio callback, or the session itself for files) calls `render`. Each field is written by one side only;
a deque's ``append`` and ``popleft`` are atomic.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from locara.audio import Samples, gain, silence
from locara.gate.bursts import GAINS, Bursts, Passing
from locara.gate.limiter import CEILING, Limiter

__all__ = ["CEILING", "FADE_IN_SECONDS", "Mouth", "Progress", "lead_of"]

DUCK_GAIN = gain(-15.0)
"""A ducked reply: still there, clearly below a voice."""

RAMP_SECONDS = 0.015
"""How long a change of level takes: shorter clicks, longer is felt as late."""

ABRUPT = gain(-46.0)
"""A reply whose first sample is above this begins with a click. The embedded voice begins at -52 dBFS: it is not touched."""

FADE_IN_SECONDS = 0.005
"""How long a reply that begins abruptly takes to come up: the click is gone, and of a plosive, whose burst takes 5 to 20 ms,
the most is still there."""

FADE_SECONDS = 0.02
"""How long stopping and standing still take."""

SHUT_SECONDS = 0.005
"""How long it takes to fall silent when sound is not allowed any more: a quarter of a block, and hardly a click."""

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
    """The speaker gate. ``rate`` is the output's, in hertz. ``allowed``: looked at for every block; from the first one in
    which it gives False nothing sounds any more, and what waits goes on waiting. ``fade_in``: seconds in which a reply comes
    up that does not begin in silence."""

    def __init__(
        self, rate: int, allowed: Callable[[], bool] | None = None, *, fade_in: float = FADE_IN_SECONDS
    ) -> None:
        self._fade_in = fade_in
        self.rate = rate
        self._allowed = allowed
        # written by the session's side
        self._queue: deque[tuple[int, Samples]] = deque()
        self._wanted = 1.0
        self._hold = False
        self._cut = -1
        # written by the output's side
        self._current: tuple[int, Samples] | None = None
        self._level = 1.0
        self._rise = RAMP_SECONDS
        self._limiter = Limiter(rate)
        self._bursts = Bursts()
        self._through = 1.0
        self._faded: list[Samples] = []  # heard fading on the way to standing still; comes again
        self._shut = False
        self._progress = Progress(-1, 0, None)
        self._audible_from: int | None = None

    # --- the session's side -------------------------------------------------------------------------------------------

    def play(self, reply: int, samples: Samples) -> None:
        """Queues a chunk. Nothing of a reply that was hushed is taken any more."""
        if reply > self._cut and samples.size:
            self._queue.append((reply, np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)))

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
        """The clock of played samples. It stands while nothing may sound."""
        return self._progress

    @property
    def shut(self) -> bool:
        """True while sound is not ``allowed``: revoked, or switched off for all sessions of this user."""
        return self._shut

    # --- the output's side --------------------------------------------------------------------------------------------

    def render(self, n: int) -> Samples:
        """The next ``n`` samples for the output. Never waits; silence where there is nothing to play."""
        was, self._shut = self._shut, self._allowed is not None and not self._allowed()
        if self._shut and was:
            return silence(n)
        out = self._rendered(n)
        if self._shut:  # just now: this block fades out, and the next are silent
            last = min(n, round(SHUT_SECONDS * self.rate))
            out[:last] *= np.linspace(1.0, 0.0, last, dtype=np.float32)
            out[last:] = 0.0
            self._level = 0.0  # if it goes on it comes up from nothing
        return out

    def _rendered(self, n: int) -> Samples:
        hold, cut, wanted = (
            self._hold,
            self._cut,
            self._wanted,
        )  # one look at each: the other side may turn them meanwhile
        out = silence(n)
        filled = 0
        while filled < n:
            current = self._head()
            if current is None:
                break
            reply, samples = current
            room = out[filled:]
            if reply <= cut:
                filled += self._fade_away(samples, room, cut, wanted)
            elif hold:
                if self._level <= 0.0 or not (self._progress.played or self._faded):
                    break  # it stands, or has not begun
                filled += self._come_to_a_stand(samples, room)
            else:
                filled += self._go_through(samples, room, wanted)
        if filled < n:
            self._run_dry(hold, wanted)
        ahead = silence(0) if hold or filled < n else self._ahead(cut, wanted)
        limited = self._let_through(self._limiter.push(out, ahead))
        np.clip(limited, -CEILING, CEILING, out=out)  # the last line; the limiter has left nothing to do
        return out

    def _let_through(self, out: Samples) -> Samples:
        """What is left of it where too many loud sounds have begun; a change of that takes one block."""
        for power in self._limiter.steps:
            self._bursts.push(power)
        before, self._through = self._through, GAINS[self._bursts.passing]
        if before == self._through == 1.0 or not out.size:
            return out
        way = np.linspace(before, self._through, out.size, dtype=np.float32)
        return np.asarray(out * way, dtype=np.float32)

    @property
    def passing(self) -> Passing:
        """Whether so many loud sounds began in the last minute that they are lowered, or not let through."""
        return self._bursts.passing

    def _ahead(self, cut: int, wanted: float) -> Samples:
        """What will be played next, as far as it is known and the limiter wants to see it."""
        pieces, missing = [], self._limiter.look
        waiting = [] if self._current is None else [self._current]
        for at in range(len(self._queue) + len(waiting)):
            reply, samples = waiting[at] if at < len(waiting) else self._queue[at - len(waiting)]
            if missing <= 0:
                break
            if reply > cut:
                pieces.append(samples[:missing] * np.float32(wanted))
                missing -= samples.size
        return np.concatenate(pieces) if pieces else silence(0)

    def _head(self) -> tuple[int, Samples] | None:
        if self._current is None and self._queue:
            self._current = self._queue.popleft()
            reply = self._current[0]
            if reply != self._progress.reply:
                self._progress = Progress(reply, 0, None)
                self._audible_from = None
                self._faded = []
                self._level = self._wanted  # every reply begins anew
                if self._fade_in and abs(float(self._current[1][0])) > ABRUPT:
                    self._level, self._rise = self._level / (self._fade_in * self.rate), self._fade_in
        return self._current

    def _consume(self, samples: Samples, n: int) -> None:
        assert self._current is not None
        self._current = (self._current[0], samples[n:]) if n < samples.size else None

    def _go_through(self, samples: Samples, room: Samples, wanted: float) -> int:
        self._count_faded()
        n = min(samples.size, room.size)
        room[:n] = samples[:n] * self._envelope(n, wanted, self._rise)
        if self._level == wanted:
            self._rise = RAMP_SECONDS
        self._count(samples[:n])
        self._consume(samples, n)
        return n

    def _come_to_a_stand(self, samples: Samples, room: Samples) -> int:
        n = min(samples.size, room.size, self._fade_left())
        room[:n] = samples[:n] * self._envelope(n, 0.0, FADE_SECONDS)
        self._faded.append(samples[:n])
        self._consume(samples, n)
        if self._level <= 0.0:
            self._put_back()
        return n

    def _put_back(self) -> None:
        """What was heard fading comes again: the reply stands where the fade began."""
        if not self._faded:
            return
        rest = [] if self._current is None else [self._current[1]]
        self._current = (self._progress.reply, np.concatenate((*self._faded, *rest)))
        self._faded = []

    def _fade_away(self, samples: Samples, room: Samples, cut: int, wanted: float) -> int:
        """A hushed reply fades out, over as many chunks and blocks as it takes; the rest of it goes without a sound."""
        self._faded = []
        n = 0
        if self._progress.played and self._level > 0.0:
            n = min(samples.size, room.size, self._fade_left())
            room[:n] = samples[:n] * self._envelope(n, 0.0, FADE_SECONDS)
            self._consume(samples, n)
        if self._level <= 0.0 or not self._progress.played:
            self._current = None
        if self._current is None:
            following = self._head()
            if following is None or following[0] > cut:
                self._level = wanted  # whatever comes next begins anew
        return n

    def _run_dry(self, hold: bool, wanted: float) -> None:
        """Nothing more to play in this block, or standing: whatever level was on its way is reached in silence."""
        if not hold:
            self._count_faded()
            self._level = wanted
        elif self._progress.played or self._faded:
            self._level = 0.0
            self._put_back()

    def _count_faded(self) -> None:
        """It went on before it stood: then these were heard, and do not come again."""
        for heard in self._faded:
            self._count(heard)
        self._faded = []

    def _fade_left(self) -> int:
        return max(1, math.ceil(self._level * FADE_SECONDS * self.rate - 1e-6))

    def _envelope(self, n: int, wanted: float, seconds: float) -> Samples | np.float32:
        """The level during the next ``n`` samples, on its way to ``wanted``."""
        if self._level == wanted:
            return np.float32(wanted)
        step = math.copysign(1.0 / (seconds * self.rate), wanted - self._level)
        levels = self._level + step * np.arange(n + 1)  # the last one is where the next block begins
        low, high = sorted((self._level, wanted))
        envelope: Samples = np.clip(levels[:-1], low, high).astype(np.float32)
        reached = float(np.clip(levels[-1], low, high))
        self._level = wanted if abs(reached - wanted) < 1e-6 else reached
        return envelope

    def _count(self, samples: Samples) -> None:
        before = self._progress
        played = before.played + samples.size
        if self._audible_from is None:
            lead = lead_of(samples)
            if lead < samples.size:
                self._audible_from = before.played + lead
        audible = None if self._audible_from is None else played - self._audible_from
        self._progress = Progress(before.reply, played, audible)
