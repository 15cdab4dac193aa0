"""From a handler's error to an answer, and from a client that has gone to the end of its work.

What may live here: what every REST handler is wrapped in. Which error is answered how is decided in `rest_errors`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

from locara.server.rest_errors import Refusal, of_status, refusal_of

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger("locara.server.rest")

LOOK_SECONDS = 0.2
"""How often it is looked whether the client is still there: an engine is not kept longer than that for nobody."""

GONE = 499
"""What nobody reads any more is logged as, as other servers do."""


class ClientGone(Exception):
    """The connection was closed before the answer was complete."""


def answering(handler: Handler) -> Handler:
    """``handler``, whose errors become OpenAI's error objects; never a traceback."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except ClientGone:
            return web.Response(status=GONE)
        except web.HTTPException as error:
            return refuse(of_status(error.status, error.reason))
        except Exception as error:  # whatever an engine or a request brings: it must not end the connection's task
            refusal = refusal_of(error)
            if refusal.status >= 500:
                _log.error("%s %s: %s at %s", request.method, request.path[:80], type(error).__name__, _place(error))
            return refuse(refusal)

    return answer


def refuse(refusal: Refusal) -> web.Response:
    """The answer."""
    headers = {"Cache-Control": "no-store"}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(refusal.retry_after)))
    return web.json_response(refusal.body(), status=refusal.status, headers=headers)


def _gone(request: web.Request) -> bool:
    transport = request.transport
    return transport is None or transport.is_closing()


def _place(error: BaseException) -> str:
    """Where it was raised. The message is left out: it may quote what was said."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"


async def while_there(request: web.Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which is cancelled when the client closes the connection. Raises ``ClientGone`` then."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait((task,), timeout=LOOK_SECONDS)
            if not task.done() and _gone(request):
                raise ClientGone
        return task.result()
    except ConnectionError as error:  # a write found it out first, or an engine lost a server of its own
        if _gone(request):
            raise ClientGone from error
        raise
    finally:
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
