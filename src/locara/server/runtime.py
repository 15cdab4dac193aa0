"""What all doors of one server share. What may live here: the object that carries it, and nothing that acts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from locara.server.settings import Settings

if TYPE_CHECKING:
    from locara.server.counting import Counters
    from locara.server.guard import Guard
    from locara.server.questions import Questions
    from locara.server.seats import Seats


@dataclass(frozen=True, slots=True)
class Runtime:
    """``seats``: sessions and who may have one. ``guard``: who may come in. ``counters``: what `/metrics` tells.
    ``questions``: consent that is asked on the page."""

    settings: Settings
    seats: Seats
    guard: Guard
    counters: Counters
    questions: Questions


RUNTIME: web.AppKey[Runtime] = web.AppKey("locara-runtime")
"""Where a request finds it: ``request.app[RUNTIME]``."""
