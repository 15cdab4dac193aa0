"""When a model that works frame by frame makes its next step, and for whom.

What may live here: the queues of the sessions and the decision what to do next. No clock, no thread: times are given, in
seconds of any clock that does not go back. Frames may be anything.

One step takes the oldest frame of every session that has one. It costs nearly the same for one session as for thirty-two,
because the weights are read once, so sessions whose frames come at slightly different times should share steps: a frame
waits a little for those that are about to come. While a step is computed frames gather by themselves, and then nobody waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

F = TypeVar("F")

LATE_SECONDS = 0.5
"""A session whose frames that wait are worth more is brought back to the present: a reply that comes later than that is
talked into, while a hiccup of the machine or the network that is shorter is caught up with."""
GATHER_SECONDS = 0.010
"""A frame waits so long at most for the frames of others: an eighth of Mimi's 80 ms, and less than a step of any model takes
for which sharing is worth it."""

_SOON = 0.0005  # seconds; a rest of nothing would be a loop that spins


@dataclass(frozen=True, slots=True)
class Skip:
    """So many ``frames`` were dropped; the session was ``behind`` by so many seconds."""

    frames: int
    behind: float


@dataclass(frozen=True, slots=True)
class Step(Generic[F]):
    """Make a step for these sessions. ``skips``: what was dropped of them just before these frames."""

    frames: Mapping[int, F]
    skips: Mapping[int, Skip] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prompt:
    """Go one step on with opening this session."""

    session: int


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do for ``seconds``, or until something comes; None: until something comes."""

    seconds: float | None = None


@dataclass(slots=True)
class _Queue(Generic[F]):
    waiting: deque[tuple[float, F]] = field(default_factory=deque)
    last: float | None = None
    """When its latest frame came."""
    skip: Skip | None = None
    """What was dropped since its last step."""

    def catch_up(self, behind: float) -> None:
        """Drops all but the latest frame."""
        before = self.skip or Skip(0, 0.0)
        dropped = len(self.waiting) - 1
        self.skip = Skip(before.frames + dropped, max(before.behind, behind))
        self.waiting = deque([self.waiting[-1]])


class FrameClock(Generic[F]):
    """The sessions of one model. ``frame``: seconds of a frame. ``late``: see `LATE_SECONDS`; at least one frame may wait.
    ``gather``: see `GATHER_SECONDS`.

    A session is late in two ways: more sound waits than ``late`` (it came at once, after the network stood still), or the
    sound that is next came longer than ``late`` ago (the model is too slow). Either way all but its latest frame go."""

    def __init__(self, frame: float, *, late: float = LATE_SECONDS, gather: float = GATHER_SECONDS) -> None:
        self._frame = frame
        self._late = max(late, frame)
        self._most = max(1, int(late / frame + 1e-9))
        self._gather = gather
        self._open: dict[int, _Queue[F]] = {}
        self._opening: deque[int] = deque()
        self._prompted: float | None = None
        self._prompt_seconds = 0.0

    @property
    def waiting(self) -> Mapping[int, int]:
        """Session -> its frames that wait."""
        return {session: len(one.waiting) for session, one in self._open.items()}

    def begin(self, session: int) -> None:
        """A session that is to be opened, prompt by prompt."""
        self._opening.append(session)

    def opened(self, session: int) -> None:
        """Its prompt has been read: from now on its frames are stepped."""
        self._opening.remove(session)
        self._open[session] = _Queue()

    def end(self, session: int) -> None:
        """Forgets a session, opened or not; what waits of it is dropped."""
        self._open.pop(session, None)
        if session in self._opening:
            self._opening.remove(session)

    def push(self, session: int, frame: F, now: float) -> None:
        """The next frame of a session; of one that is not open it is dropped. Never more wait than ``late`` allows."""
        one = self._open.get(session)
        if one is None:
            return
        one.last = now
        one.waiting.append((now, frame))
        if len(one.waiting) > self._most:
            one.catch_up((len(one.waiting) - 1) * self._frame)

    def next(self, now: float) -> Step[F] | Prompt | Rest:
        """What is to be done at ``now``."""
        wait = self._wait(now)
        if self._opening and (wait != 0.0 or self._starved(now)) and not self._disturbs(now):
            session = self._opening[0]
            self._opening.rotate(-1)  # each in turn
            return Prompt(session)
        if wait == 0.0:
            return self._step(now)
        if self._opening and self._prompted is not None:
            again = max(_SOON, self._prompted + self._frame - now)
            wait = again if wait is None else min(wait, again)
        return Rest(wait)

    def prompted(self, began: float, ended: float) -> None:
        """How long the step of a `Prompt` took."""
        self._prompted, self._prompt_seconds = ended, ended - began

    def _step(self, now: float) -> Step[F]:
        frames: dict[int, F] = {}
        skips: dict[int, Skip] = {}
        for session, one in self._open.items():
            if not one.waiting:
                continue
            age = now - one.waiting[0][0]
            if age > self._late and len(one.waiting) > 1:
                one.catch_up(age)
            frames[session] = one.waiting.popleft()[1]
            if one.skip is not None:
                skips[session], one.skip = one.skip, None
        return Step(frames, skips)

    def _wait(self, now: float) -> float | None:
        """Seconds until a step is due; None: no frame waits."""
        heads = [one.waiting[0][0] for one in self._open.values() if one.waiting]
        if not heads:
            return None
        until = min(heads) + self._gather
        if now >= until:
            return 0.0
        for one in self._open.values():
            if not one.waiting and one.last is not None:
                expected = one.last + self._frame
                # One that should have come a while ago has stopped, and is waited for no longer.
                if now - self._gather <= expected <= until:
                    return until - now
        return 0.0

    def _starved(self, now: float) -> bool:
        """Whether openings have waited for as long as a frame lasts: they get a step then, however busy the others are."""
        return self._prompted is None or now - self._prompted >= self._frame

    def _disturbs(self, now: float) -> bool:
        """Whether a step of an opening would still run when the next frame of a session comes. It is then left to later."""
        if self._starved(now):
            return False
        coming = [one.last + self._frame for one in self._open.values() if one.last is not None]
        return any(now <= at < now + self._prompt_seconds for at in coming)
