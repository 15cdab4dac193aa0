"""What the server counts, and how `/metrics` tells it. What may live here: numbers, their names, and the text format.

The format is Prometheus' text exposition 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats). It is written here
and not by prometheus_client, because it is forty lines, and that package keeps one state for the whole process.

Nothing here ever holds a word, a token or a name of a person: labels come from fixed sets.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from locara.voice.events import BargeIn, Error, Event, Rejected, Resume, TurnEnd

Kind = Literal["counter", "gauge", "histogram"]

LATENCY_BUCKETS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Seconds, voice to voice: a conversation feels direct below half of one and broken above three."""

STALL_BUCKETS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0)
"""Seconds: from the first that is counted to what makes a client's ping give up."""

MOST_SERIES = 64
"""Of one metric. Labels come from fixed sets; should one not, the rest is counted as "other"."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One thing that is counted."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


METRICS: tuple[Metric, ...] = (
    Metric("locara_ready", "gauge", "1 while new sessions are taken."),
    Metric("locara_sessions", "gauge", "Sessions now."),
    Metric("locara_sessions_free", "gauge", "Sessions that could begin now."),
    Metric("locara_sessions_total", "counter", "Sessions that began.", ("door",)),
    Metric("locara_busy_total", "counter", "Sessions that were refused because no seat was free.", ("door",)),
    Metric("locara_turns_total", "counter", "Turns of users that were decided.", ("reason",)),
    Metric("locara_turn_latency_seconds", "histogram", "Voice to voice latency.", (), LATENCY_BUCKETS),
    Metric("locara_turn_part_seconds_total", "counter", "Where the latency went.", ("part",)),
    Metric("locara_barge_ins_total", "counter", "Replies that were interrupted by a user's voice."),
    Metric("locara_false_alarms_total", "counter", "Replies that stood still and went on."),
    Metric("locara_rejected_total", "counter", "Sounds and texts that were no turn.", ("reason",)),
    Metric("locara_session_errors_total", "counter", "Errors in sessions.", ("code",)),
    Metric("locara_refused_total", "counter", "Requests that the guard refused.", ("code",)),
    Metric("locara_connections", "gauge", "Open connections."),
    Metric("locara_connections_closed_total", "counter", "Connections that the server closed early.", ("why",)),
    Metric("locara_requests_total", "counter", "Requests that came in.", ("status",)),
    Metric("locara_received_bytes_total", "counter", "Bytes from all clients."),
    Metric("locara_sent_bytes_total", "counter", "Bytes of sound and messages to clients.", ("door",)),
    Metric("locara_stall_seconds", "histogram", "Times the event loop stood.", (), STALL_BUCKETS),
    Metric("locara_uptime_seconds", "gauge", "Since the start."),
)
"""Everything `/metrics` can tell."""

_KNOWN = {one.name: one for one in METRICS}


class Counters:
    """The numbers of one server. For the event loop's thread only."""

    def __init__(self) -> None:
        self._values: dict[str, dict[tuple[str, ...], float]] = {one.name: {} for one in METRICS}
        self._counts: dict[str, dict[tuple[str, ...], list[int]]] = {
            one.name: {} for one in METRICS if one.kind == "histogram"
        }

    def add(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Counts ``amount`` more. Raises ``KeyError`` for a name that is not declared."""
        values = self._values[name]
        key = self._key(name, labels)
        values[key] = values.get(key, 0.0) + amount

    def set(self, name: str, value: float, **labels: str) -> None:
        """A gauge stands at ``value``."""
        self._values[name][self._key(name, labels)] = value

    def observe(self, name: str, value: float, **labels: str) -> None:
        """One more value of a histogram."""
        key, buckets = self._key(name, labels), _KNOWN[name].buckets
        counts = self._counts[name].setdefault(key, [0] * (len(buckets) + 1))
        counts[bisect_left(buckets, value)] += 1
        self.add(name, value, **labels)

    def value(self, name: str, **labels: str) -> float:
        """What it stands at; of a histogram, the sum of its values."""
        return self._values[name].get(self._key(name, labels), 0.0)

    def event(self, event: Event) -> None:
        """Takes note of an event of a session."""
        match event:
            case TurnEnd(who="user", latency=latency, reason=reason):
                self.add("locara_turns_total", reason=reason)
                if latency is not None:
                    self.observe("locara_turn_latency_seconds", latency.total)
                    for part in type(latency).__dataclass_fields__:
                        self.add("locara_turn_part_seconds_total", getattr(latency, part), part=part)
            case BargeIn():
                self.add("locara_barge_ins_total")
            case Resume():
                self.add("locara_false_alarms_total")
            case Rejected(reason=reason):
                self.add("locara_rejected_total", reason=reason)
            case Error(code=code):
                self.add("locara_session_errors_total", code=code)

    def text(self) -> str:
        """All of it in Prometheus' text format."""
        return "".join(f"{line}\n" for one in METRICS for line in self._lines(one))

    def _lines(self, one: Metric) -> Iterator[str]:
        values = self._values[one.name]
        if one.labels and not values:
            return
        yield f"# HELP {one.name} {one.help}"
        yield f"# TYPE {one.name} {one.kind}"
        for key in sorted(values or {(): 0.0}):
            labels = dict(zip(one.labels, key, strict=True))
            value = values.get(key, 0.0)
            if one.kind != "histogram":
                yield f"{one.name}{_labelled(labels)} {_number(value)}"
                continue
            so_far, counts = 0, self._counts[one.name].get(key, [0] * (len(one.buckets) + 1))
            for bound, count in zip((*one.buckets, float("inf")), counts, strict=True):
                so_far += count
                yield f"{one.name}_bucket{_labelled({**labels, 'le': _number(bound)})} {so_far}"
            yield f"{one.name}_sum{_labelled(labels)} {_number(value)}"
            yield f"{one.name}_count{_labelled(labels)} {so_far}"

    def _key(self, name: str, labels: Mapping[str, str]) -> tuple[str, ...]:
        declared = _KNOWN[name].labels
        if set(labels) != set(declared):
            raise KeyError(f"{name} has the labels {declared}, not {tuple(labels)}")
        key = tuple(labels[one] for one in declared)
        known = self._values[name]
        return key if key in known or len(known) < MOST_SERIES else ("other",) * len(key)


def _labelled(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}" if labels else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) else f"{value:.6g}"
