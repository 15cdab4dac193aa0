"""The doors of one server behind one guard. What may live here: collecting them.

A door is a module with ``routes() -> list[web.AbstractRouteDef]``. It finds what it shares with the others at
``request.app[RUNTIME]``, and translates between its protocol and a session; nothing else.
"""

from __future__ import annotations

import importlib
import time

from aiohttp import web

from locara.server import guarding, underway
from locara.server.codes import CODES, Codes
from locara.server.health import STARTED
from locara.server.runtime import RUNTIME, Runtime

DOORS = ("codes", "health", "ipc", "realtime", "rest", "page")
"""Modules of this package, in the order in which their routes are asked."""

_FORM_BYTES = 1 << 16
"""The fields of an upload, beside its file."""


def make(runtime: Runtime, codes: Codes | None = None) -> web.Application:
    """The application: every door, behind the guard."""
    app = web.Application(client_max_size=runtime.settings.limits.upload_bytes + _FORM_BYTES)
    app[RUNTIME] = runtime
    app[CODES] = Codes() if codes is None else codes
    app[STARTED] = time.monotonic()
    guarding.install(app)
    underway.install(app)
    for door in DOORS:
        app.router.add_routes(importlib.import_module(f"locara.server.{door}").routes())
    return app
