"""One session as the server's operator sees it. What may live here: following a session's events for counts and spans."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from locara.server import tracing
from locara.server.counting import Counters
from locara.voice.events import Event


def observer(counters: Counters) -> Callable[[AsyncIterator[Event]], Coroutine[Any, Any, None]]:
    """For `Seats`: counts and traces what every session tells, and keeps none of its words."""
    numbers = itertools.count(1)
    tracer = tracing.tracer()

    async def observe(events: AsyncIterator[Event]) -> None:
        spans = tracing.TurnSpans(tracer, session=next(numbers))
        async for event in events:
            counters.event(event)
            spans.event(event)

    return observe
