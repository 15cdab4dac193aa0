"""OpenAI's REST for sound: ``/v1/models``, ``/v1/audio/transcriptions``, ``/v1/audio/speech``. See docs/rest.md.

What may live here: the routes, and which handler serves which. Who may come in is decided before, by the guard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from locara.server.rest_answering import answering, refuse
from locara.server.rest_desk import Desk
from locara.server.rest_errors import Refusal, of_status, wrong
from locara.server.rest_jobs import Jobs
from locara.server.rest_models import Models
from locara.server.rest_openapi import document
from locara.server.rest_speech import speak
from locara.server.rest_transcriptions import transcribe
from locara.server.runtime import RUNTIME, Runtime

PATHS = {
    "/v1/models": ("GET",),
    "/v1/models/{model}": ("GET",),
    "/v1/audio/transcriptions": ("POST",),
    "/v1/audio/translations": ("POST",),
    "/v1/audio/speech": ("POST",),
    "/openapi.json": ("GET",),
}
"""Path -> its methods (HEAD goes with GET)."""

NO_TRANSLATIONS = "nothing here translates: POST /v1/audio/transcriptions gives the words in their own language"

Handled = Callable[[Desk, web.Request], Awaitable[web.StreamResponse]]


def routes() -> list[web.AbstractRouteDef]:
    """Every route of this door. Each call makes one server's own line of jobs."""
    desks = _Desks()

    def at(handled: Handled) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handler(request: web.Request) -> web.StreamResponse:
            return await handled(desks.of(request.app[RUNTIME]), request)

        return answering(handler)

    return [
        web.get("/v1/models", at(_list)),
        web.get("/v1/models/{model:.+}", at(_model)),  # an id of the hub has a slash in it
        web.post("/v1/audio/transcriptions", at(transcribe)),
        web.post("/v1/audio/translations", at(_translate)),
        web.post("/v1/audio/speech", at(speak)),
        web.get("/openapi.json", answering(_openapi)),
        *(web.route("*", path, _unknown) for path in ("/v1/models", "/v1/audio/{tail:.*}", "/v1/{tail:.*}")),
    ]


class _Desks:
    """The desk of the one server that these routes belong to, made at its first request."""

    def __init__(self) -> None:
        self._desk: Desk | None = None

    def of(self, runtime: Runtime) -> Desk:
        if self._desk is None:
            settings = runtime.settings
            self._desk = Desk(settings, runtime.seats.pool, Models(settings.stages), Jobs())
        return self._desk


async def _list(desk: Desk, _: web.Request) -> web.StreamResponse:
    return _json({"object": "list", "data": await asyncio.to_thread(desk.models.listed)})


async def _model(desk: Desk, request: web.Request) -> web.StreamResponse:
    return _json(await asyncio.to_thread(desk.models.one, request.match_info["model"]))


async def _translate(_: Desk, __: web.Request) -> web.StreamResponse:
    raise wrong(NO_TRANSLATIONS, code="unsupported_endpoint")


async def _openapi(_: web.Request) -> web.StreamResponse:
    return _json(document())


def _json(told: dict[str, Any]) -> web.Response:
    return web.json_response(told, headers={"Cache-Control": "no-store"})


async def _unknown(request: web.Request) -> web.StreamResponse:
    """Any other path or method below ``/v1``: as JSON too, for clients that read nothing else."""
    methods = _methods(request.path)
    if methods:
        answer = refuse(of_status(405, f"{request.path} takes {', '.join(methods)}"))
        answer.headers["Allow"] = ", ".join(methods)
        return answer
    return refuse(
        Refusal(404, "there is nothing at this address; /openapi.json says what there is", code="unknown_url")
    )


def _methods(path: str) -> tuple[str, ...]:
    if path in PATHS:
        return PATHS[path]
    return PATHS["/v1/models/{model}"] if path.startswith("/v1/models/") else ()
