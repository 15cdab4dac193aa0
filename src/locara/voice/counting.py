"""What ``session.metrics()`` counts, from the events and effects as they pass."""

from __future__ import annotations

import dataclasses
import statistics
from dataclasses import dataclass, field

from locara.voice.events import BargeIn, DeviceChanged, Error, Event, Rejected, Resume, TurnEnd

ERRORS_IN = "errors_in_"
"""What the metrics of a stage's errors begin with; a stage without any has none."""

_MOST_STAGES = 16


@dataclass(slots=True)
class Counters:
    """Counts of one session. ``prepared`` and ``wasted``: replies that were begun, and those begun for nothing."""

    turns: int = 0
    prepared: int = 0
    wasted: int = 0
    barge_ins: int = 0
    false_alarms: int = 0
    rejected: int = 0
    errors: int = 0
    errors_in: dict[str, int] = field(default_factory=dict)
    """Stage -> errors."""
    device_reopens: int = 0
    """Times a lost device was opened again, or the default one instead of it."""
    slowest_step: float = 0.0
    """The longest the loop took over one piece of news, in seconds."""
    latencies: list[float] = field(default_factory=list)

    def count(self, event: Event) -> None:
        """Takes note of an event."""
        match event:
            case TurnEnd(who="user", latency=latency):
                self.turns += 1
                if latency is not None:
                    self.latencies.append(latency.total)
            case BargeIn():
                self.barge_ins += 1
            case Resume():
                self.false_alarms += 1
            case Rejected():
                self.rejected += 1
            case DeviceChanged(change="back" | "replaced"):
                self.device_reopens += 1
            case Error(stage=stage):
                self.errors += 1
                if stage in self.errors_in or len(self.errors_in) < _MOST_STAGES:
                    self.errors_in[stage] = self.errors_in.get(stage, 0) + 1

    def as_metrics(self) -> dict[str, float]:
        """Name -> number; latencies in seconds."""
        numbers = dataclasses.asdict(self)
        latencies: list[float] = numbers.pop("latencies")
        errors_in: dict[str, int] = numbers.pop("errors_in")
        return {
            **{name: float(value) for name, value in numbers.items()},
            **{f"{ERRORS_IN}{stage}": float(count) for stage, count in errors_in.items()},
            "latency_median": statistics.median(latencies) if latencies else 0.0,
            "latency_worst": max(latencies, default=0.0),
        }
