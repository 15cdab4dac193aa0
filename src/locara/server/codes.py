"""One-time launch codes: how the page that `locara serve` opens gets the token without the token ever being in an address.

What may live here: the codes, and the door where one is traded. A code stands in the address' fragment (`#code=...`), which
browsers do not send; the page posts it once and removes it from the address.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import Callable
from typing import Literal

from aiohttp import web

from locara.server.runtime import RUNTIME

CODE_SECONDS = 60.0
"""From `locara serve` to the page's first request, with a browser that has to start first."""

MOST_CODES = 16
"""Outstanding at once; the oldest go first."""

BODY_BYTES = 1024
"""A trade is forty characters in an object."""

Traded = Literal["yes", "unknown", "used"]


class Codes:
    """The codes of one server. Kept as hashes: what is compared is then of no use to whoever measures the comparison."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._open: dict[bytes, float] = {}
        self._used: dict[bytes, float] = {}
        self.used_twice = asyncio.Event()
        """Somebody came with a code that had been traded: perhaps another user of this machine was faster than the page."""

    def make(self) -> str:
        """A new code, of 256 bits. Good for one trade within ``CODE_SECONDS``."""
        self._forget()
        code = secrets.token_urlsafe(32)
        self._open[_hash(code)] = self._now() + CODE_SECONDS
        while len(self._open) > MOST_CODES:
            del self._open[next(iter(self._open))]
        return code

    def trade(self, code: str) -> Traded:
        """Whether ``code`` is good; it is not any more afterwards."""
        self._forget()
        key = _hash(code)
        until = self._open.pop(key, None)
        if until is not None:
            self._used[key] = until
            return "yes"
        if key in self._used:
            self.used_twice.set()
            return "used"
        return "unknown"

    def _forget(self) -> None:
        now = self._now()
        for known in (self._open, self._used):
            for key in [key for key, until in known.items() if until <= now]:
                del known[key]


CODES: web.AppKey[Codes] = web.AppKey("locara-codes")
"""Where a request finds them: ``request.app[CODES]``."""


def routes() -> list[web.AbstractRouteDef]:
    """``POST /code``: a code for the token. ``POST /code/new``: a code for whoever has the token."""
    return [web.post("/code", trade), web.post("/code/new", renew)]


async def trade(request: web.Request) -> web.Response:
    """``{"code": ...}`` in, ``{"token": ...}`` out; 401 for a code that is unknown, used, or too old."""
    told = request.app[CODES].trade(await _code(request))
    if told == "yes":
        return web.json_response({"token": request.app[RUNTIME].settings.token})
    why = "this link was used already" if told == "used" else "this link is too old, or not from this server"
    hint = "open the page again: locara serve --open"
    return web.json_response({"error": {"code": "code-refused", "message": why, "hint": hint}}, status=401)


async def renew(request: web.Request) -> web.Response:
    """``{}`` in, ``{"code": ...}`` out. Behind the guard like everything else."""
    await _object(request)
    return web.json_response({"code": request.app[CODES].make()})


async def _code(request: web.Request) -> str:
    code = (await _object(request)).get("code")
    if not isinstance(code, str) or len(code) > BODY_BYTES:
        raise _malformed()
    return code


async def _object(request: web.Request) -> dict[str, object]:
    body = await request.content.read(BODY_BYTES + 1)
    while len(body) <= BODY_BYTES and (more := await request.content.read(BODY_BYTES + 1 - len(body))):
        body += more
    if len(body) > BODY_BYTES:
        raise web.HTTPRequestEntityTooLarge(max_size=BODY_BYTES, actual_size=len(body))
    try:
        told = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise _malformed() from None
    if not isinstance(told, dict):
        raise _malformed()
    return told


def _malformed() -> web.HTTPBadRequest:
    error = {"code": "bad-request", "message": 'the body has to be {"code": "..."}', "hint": ""}
    return web.HTTPBadRequest(text=json.dumps({"error": error}), content_type="application/json")


def _hash(code: str) -> bytes:
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).digest()
