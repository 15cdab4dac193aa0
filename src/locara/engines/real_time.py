"""Whether a machine keeps up with a model that has its own clock, and how long its steps take.

What may live here: numbers in, a verdict and words out. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MARGIN = 0.9
"""Of a frame's length, for the median step: the rest is for the steps that take longer than it, and for the pipes."""
CHECK_STEPS = 25
"""Steps that are measured: two seconds of Mimi's frames."""
CHECK_SECONDS = 10.0
"""The check lasts no longer, however slow the machine; some steps are measured always."""
_REMEMBERED = 1000  # steps: 80 s of one session


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds of a step: half of them took no longer than ``median``, 19 of 20 no longer than ``p95``."""

    median: float
    p95: float
    worst: float


def pace(seconds: Sequence[float]) -> Pace:
    """What so many steps took; zeros where there are none."""
    if not seconds:
        return Pace(0.0, 0.0, 0.0)
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return Pace(ordered[last // 2], ordered[min(last, round(0.95 * last))], ordered[-1])


def refusal(found: Pace, frame: float) -> str:
    """Why a machine with this pace cannot run a model whose frames last ``frame`` seconds; empty: it can."""
    if found.median <= MARGIN * frame:
        return ""
    much = found.median / frame
    how = f"{much:.1f} times too slow" if much > 1.05 else "which leaves nothing for the slower ones"
    return (
        f"a frame of {_ms(frame)} takes {_ms(found.median)} here (19 of 20 at most {_ms(found.p95)}): {how}; "
        f"it must take at most {_ms(MARGIN * frame)}"
    )


REMEDY = (
    "use a faster GPU, a smaller quantisation or model, a remote server, or the pipeline (locara talk without --omni); "
    'realtime="ignore" runs it nevertheless, and it will skip what you say'
)


class Counts:
    """What a backend has done since it was loaded, for whoever shows numbers."""

    def __init__(self) -> None:
        self.steps = 0
        self.frames = 0
        self.skipped = 0
        """Samples that no model heard."""
        self._taken: deque[float] = deque(maxlen=_REMEMBERED)

    def step(self, seconds: float, frames: int, skipped: Iterable[int]) -> None:
        """One step was made for so many sessions."""
        self.steps += 1
        self.frames += frames
        self.skipped += sum(skipped)
        self._taken.append(seconds)

    @property
    def pace(self) -> Pace:
        """Of the latest steps."""
        return pace(tuple(self._taken))


def _ms(seconds: float) -> str:
    milliseconds = 1000 * seconds
    return f"{milliseconds:.0f} ms" if milliseconds >= 10 else f"{milliseconds:.1f} ms"
