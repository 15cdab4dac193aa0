"""`/healthz` and `/metrics`. What may live here: these two doors. What is counted is in `counting`."""

from __future__ import annotations

import time

from aiohttp import web

from locara import __version__
from locara.server.guarding import DRAINING
from locara.server.runtime import RUNTIME

STARTED: web.AppKey[float] = web.AppKey("locara-started")
"""``time.monotonic()`` at the start."""


def routes() -> list[web.AbstractRouteDef]:
    """Both need the token, like everything else."""
    return [web.get("/healthz", healthz), web.get("/metrics", metrics)]


async def healthz(request: web.Request) -> web.Response:
    """200 while new sessions are taken, 503 once the server is about to stop: ``{"status": "ready" | "draining", "sessions",
    "free", "version", "uptime_seconds"}``."""
    seats = request.app[RUNTIME].seats
    draining = request.app[DRAINING].is_set()
    told = {
        "status": "draining" if draining else "ready",
        "sessions": seats.taken,
        "free": 0 if draining else seats.free,
        "version": __version__,
        "uptime_seconds": round(_uptime(request.app), 1),
    }
    return web.json_response(told, status=503 if draining else 200)


async def metrics(request: web.Request) -> web.Response:
    """Everything in `counting.METRICS`, as Prometheus reads it."""
    runtime = request.app[RUNTIME]
    counters, seats = runtime.counters, runtime.seats
    draining = request.app[DRAINING].is_set()
    counters.set("locara_ready", float(not draining))
    counters.set("locara_sessions", seats.taken)
    counters.set("locara_sessions_free", 0 if draining else seats.free)
    counters.set("locara_uptime_seconds", _uptime(request.app))
    return web.Response(body=counters.text().encode(), headers={"Content-Type": "text/plain; version=0.0.4"})


def _uptime(app: web.Application) -> float:
    return time.monotonic() - app[STARTED]
