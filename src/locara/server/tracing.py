"""A span for each turn, with the parts of its latency as children: for whoever collects OpenTelemetry traces.

What may live here: turning a `turn-end` into spans. Needs ``pip install "locara[otel]"``; where they go is `trace_export`.
No span holds a word: numbers, reasons and ids only.
"""

from __future__ import annotations

import dataclasses
import importlib
import time
from typing import Any

from locara.voice.events import BargeIn, Event, TurnEnd

_NANO = 1_000_000_000


def tracer() -> Any:
    """OpenTelemetry's tracer for us, or None where the package is missing."""
    try:
        trace: Any = importlib.import_module("opentelemetry.trace")
    except ImportError:
        return None
    from locara import __version__

    return trace.get_tracer("locara", __version__)


class TurnSpans:
    """The spans of one session. ``event`` is given every event as it happens."""

    def __init__(self, tracer: Any, *, door: str, session: str) -> None:
        self._tracer = tracer
        self._facts = {"locara.door": door, "locara.session": session}

    def event(self, event: Event, now_ns: int | None = None) -> None:
        """Takes note of it; ``now_ns``: the time of day, in nanoseconds since 1970."""
        if self._tracer is None:
            return
        now = time.time_ns() if now_ns is None else now_ns
        match event:
            case TurnEnd(who="user"):
                self._user(event, now)
            case TurnEnd(who="assistant", reason=reason):
                self._moment("locara.reply-end", now, event, reason=reason)
            case BargeIn(heard_ms=heard):
                self._moment("locara.barge-in", now, event, heard_ms=heard)

    def _user(self, event: TurnEnd, now: int) -> None:
        """From the user's last sample of speech to the first audible one of the reply; the parts lie one after another, in
        the ledger's order, and add up to it."""
        if event.latency is None or event.speech_end is None:
            self._moment("locara.turn", now, event, reason=event.reason)
            return
        total = round(event.latency.total * _NANO)
        began = now - total  # the event comes with the first audible sample
        facts = {**self._facts, "locara.turn": event.turn or 0, "locara.reason": event.reason}
        span = self._tracer.start_span("locara.turn", start_time=began, attributes=facts)
        trace: Any = importlib.import_module("opentelemetry.trace")
        inside = trace.set_span_in_context(span)
        at = began
        for field in dataclasses.fields(event.latency):
            part = round(getattr(event.latency, field.name) * _NANO)
            if part > 0:
                child = self._tracer.start_span(
                    f"locara.{field.name}", context=inside, start_time=at, attributes=self._facts
                )
                child.end(end_time=at + part)
                at += part
        span.end(end_time=began + total)

    def _moment(self, name: str, now: int, event: Event, **facts: Any) -> None:
        told = {f"locara.{key}": value for key, value in facts.items()}
        attributes = {**self._facts, "locara.turn": -1 if event.turn is None else event.turn, **told}
        self._tracer.start_span(name, start_time=now, attributes=attributes).end(end_time=now)
