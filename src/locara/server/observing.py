"""One session as the server's operator sees it. What may live here: following a session's events for counts and spans."""

from __future__ import annotations

from collections.abc import AsyncIterator

from locara.server import tracing
from locara.server.counting import Counters
from locara.voice.events import Event


async def observe(events: AsyncIterator[Event], counters: Counters, *, door: str, session: str) -> None:
    """Follows ``session.events()`` to their end. To be run as a task beside the door's own; what is told there is counted
    and traced, and none of its words are kept. ``session``: an id, not a token."""
    counters.add("locara_sessions_total", door=door)
    spans = tracing.TurnSpans(tracing.tracer(), door=door, session=session)
    async for event in events:
        counters.event(event)
        spans.event(event)
