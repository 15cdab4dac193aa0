"""What is being answered right now, so that a server that stops can wait for it. What may live here: that list."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

_CLOSE_SECONDS = 2.0
"""For all WebSockets together to say goodbye; a client that does not answer is not waited for."""

UNDERWAY: web.AppKey[Underway] = web.AppKey("locara-underway")


class Underway:
    """Requests and WebSockets of one server."""

    def __init__(self) -> None:
        # By identity: a request is a mapping, and so neither hashable nor comparable as itself.
        self.requests: dict[int, web.Request] = {}
        self.sockets: dict[int, web.WebSocketResponse] = {}

    @property
    def answering(self) -> int:
        """Requests that are no WebSockets."""
        return len(self.requests) - len(self.sockets)

    async def close_sockets(self, code: int, message: bytes) -> None:
        """Ends every WebSocket with ``code``; after two seconds without waiting for the other side."""
        closing = [asyncio.create_task(one.close(code=code, message=message)) for one in self.sockets.values()]
        if closing:
            _, late = await asyncio.wait(closing, timeout=_CLOSE_SECONDS)
            for one in late:
                one.cancel()
            await asyncio.gather(*closing, return_exceptions=True)


def install(app: web.Application) -> None:
    """Begins to keep the list of ``app``."""
    app[UNDERWAY] = Underway()
    app.middlewares.append(_tracked)
    app.on_response_prepare.append(_prepared)


@web.middleware
async def _tracked(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    underway = request.app[UNDERWAY]
    underway.requests[id(request)] = request
    try:
        return await handler(request)
    finally:
        underway.requests.pop(id(request), None)
        underway.sockets.pop(id(request), None)


async def _prepared(request: web.Request, response: web.StreamResponse) -> None:
    underway = request.app[UNDERWAY]
    if isinstance(response, web.WebSocketResponse) and id(request) in underway.requests:
        underway.sockets[id(request)] = response
