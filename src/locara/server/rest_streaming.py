"""A response that is sent while it is made. What may live here: its beginning, its pieces, and the deadline for each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import web

WRITE_SECONDS = 30.0
"""A client that takes nothing for so long keeps an engine from others: its connection is closed."""


async def begin(request: web.Request, kind: str, headers: Mapping[str, str]) -> web.StreamResponse:
    """The head of the response, sent. ``kind``: its content type."""
    response = web.StreamResponse(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no", **headers})
    response.content_type = kind
    if kind.startswith("text/"):
        response.charset = "utf-8"
    await response.prepare(request)
    return response


async def send(response: web.StreamResponse, data: bytes) -> None:
    """The next bytes. Waits for a slow client, but not for ever. Raises ``ConnectionResetError``."""
    if not data:
        return
    try:
        async with asyncio.timeout(WRITE_SECONDS):
            await response.write(data)
    except TimeoutError:
        raise ConnectionResetError(f"the client took nothing for {WRITE_SECONDS:g} s") from None


def cut_off(request: web.Request) -> None:
    """Closes the connection in the middle of a body, so that its client sees that it is not whole."""
    if request.transport is not None:
        request.transport.abort()
