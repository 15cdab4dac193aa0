"""The guard before every door: the facts of a request to `guard`, its refusal to the client, and headers on every answer.

What may live here: the way between aiohttp and `guard`. What is decided is decided there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from locara.errors import LocaraError
from locara.server.guard import Facts, Refusal, is_open
from locara.server.places import without_places
from locara.server.private_logging import where
from locara.server.rates import Bucket
from locara.server.runtime import RUNTIME

WRONG_TOKENS = 5
"""Of one peer at once; a person who mistypes a setting is not slowed."""

WRONG_TOKENS_A_SECOND = 0.2

SLOW_SECONDS = 1.0
"""What each further answer of "wrong token" takes. With the cap of connections nobody has more than that many guesses a
second; who has the right token is never slowed."""

MOST_PEERS = 1024
"""Addresses whose wrong tokens are remembered; the ones that were quiet the longest go first."""

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    "Permissions-Policy": "microphone=(self), speaker-selection=(self), camera=(), geolocation=()",
}
"""On every answer, unless a door said otherwise."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "connect-src 'self'{sockets}; worker-src 'self'; manifest-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""Nothing that is not from this server runs in the page, and nothing can frame it."""

_log = logging.getLogger("locara.server")

REFUSALS: web.AppKey[Slowing] = web.AppKey("locara-slowing")
DRAINING: web.AppKey[asyncio.Event] = web.AppKey("locara-draining")
"""Set once the server takes nothing new."""


class Slowing:
    """Who has sent wrong tokens, and how long their next answer takes."""

    def __init__(self) -> None:
        self._peers: dict[str, Bucket] = {}
        self.waiting: set[int] = set()
        """Requests (by ``id``) that only wait to be told no: their connections make way for others."""

    def delay(self, peer: str, now: float) -> float:
        """Seconds to wait before this peer is told that its token is wrong."""
        bucket = self._peers.pop(peer, None) or Bucket(WRONG_TOKENS_A_SECOND, WRONG_TOKENS)
        self._peers[peer] = bucket  # the last again
        while len(self._peers) > MOST_PEERS:
            del self._peers[next(iter(self._peers))]
        return SLOW_SECONDS if bucket.take(1.0, now) > 0 else 0.0


def install(app: web.Application) -> None:
    """Puts the guard before everything in ``app``."""
    app[REFUSALS] = Slowing()
    app[DRAINING] = asyncio.Event()
    app.middlewares.insert(0, guarded)
    app.on_response_prepare.append(_dress)


def facts_of(request: web.Request) -> Facts:
    """What the guard has to know of a request."""
    headers = request.headers
    upgrade = "websocket" in headers.get(hdrs.UPGRADE, "").lower()
    offered = ",".join(headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, ()))
    return Facts(
        method=request.method,
        target=request.raw_path,
        path=request.path,
        hosts=tuple(headers.getall(hdrs.HOST, ())),
        origins=tuple(headers.getall(hdrs.ORIGIN, ())),
        site=headers.get("Sec-Fetch-Site", "").lower(),
        mode=headers.get("Sec-Fetch-Mode", "").lower(),
        content_type=headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower(),
        content_encoding=headers.get(hdrs.CONTENT_ENCODING, "").strip().lower(),
        has_body=request.body_exists,
        authorizations=tuple(headers.getall(hdrs.AUTHORIZATION, ())),
        protocols=tuple(one.strip() for one in offered.split(",") if one.strip()),
        upgrade=upgrade,
    )


@web.middleware
async def guarded(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuses, or lets it through to its door."""
    runtime = request.app[RUNTIME]
    facts = facts_of(request)
    refusal = runtime.guard.judge(facts)
    if refusal is None and request.app[DRAINING].is_set() and not is_open(facts):
        refusal = _while_draining(facts)
    if refusal is not None:
        return await _refuse(request, refusal)
    if runtime.guard.is_preflight(facts):
        return web.Response(status=204, headers=_preflight_headers())
    try:
        response = await handler(request)
    except web.HTTPException as error:
        if error.status < 400 or error.content_type == "application/json":
            raise
        response = answer(_of_aiohttp(error))
        if allowed := error.headers.get(hdrs.ALLOW):
            response.headers[hdrs.ALLOW] = allowed
    except Exception as error:
        if request.transport is None or request.transport.is_closing():  # the client has gone; nobody reads an answer
            return web.Response(status=400)
        # A door's mistake: the client learns that, and nobody what was said in it.
        _log.error("a request failed: %s", where(type(error), error.__traceback__))
        if request.writer.output_size > 0:  # half an answer is out: only closing tells that it is not whole
            request.transport.abort()
        response = answer(_of_failure(error))
    if response.status == 401:  # a launch code that was no good: guessing it is as slow as guessing a token
        await _slow(request)
    runtime.counters.add("locara_requests_total", status=str(response.status))
    return response


def answer(refusal: Refusal) -> web.Response:
    """A refusal as the client gets it: the shape of OpenAI's errors, which Locara's own has the fields of."""
    error = {
        "code": refusal.code,
        "message": refusal.message,
        "hint": refusal.hint,
        "type": "server_error" if refusal.status >= 500 else "invalid_request_error",
        "param": None,
    }
    response = web.json_response({"error": error}, status=refusal.status)
    if refusal.status == 401:
        response.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    if refusal.status == 503:
        response.headers[hdrs.RETRY_AFTER] = "5"
    return response


async def _refuse(request: web.Request, refusal: Refusal) -> web.Response:
    counters = request.app[RUNTIME].counters
    counters.add("locara_refused_total", code=refusal.code)
    counters.add("locara_requests_total", status=str(refusal.status))
    _log.info("refused: %s", refusal.code)
    if refusal.status == 401:
        await _slow(request)
    response = answer(refusal)
    if request.body_exists:  # what it still sends is of no interest
        response.force_close()
    return response


async def _slow(request: web.Request) -> None:
    slowing = request.app[REFUSALS]
    if wait := slowing.delay(request.remote or "", asyncio.get_running_loop().time()):
        slowing.waiting.add(id(request))
        try:
            await asyncio.sleep(wait)
        finally:
            slowing.waiting.discard(id(request))


def _while_draining(facts: Facts) -> Refusal | None:
    if facts.path in ("/healthz", "/metrics"):
        return None
    return Refusal(503, "draining", "this server is about to stop", "try again when it has started anew")


def _of_aiohttp(error: web.HTTPException) -> Refusal:
    known = {404: ("not-found", "there is nothing here"), 405: ("bad-method", "not with this method")}
    known |= {413: ("too-large", "the body is too large"), 400: ("bad-request", "the request is malformed")}
    code, message = known.get(error.status, ("refused", f"refused ({error.status})"))
    return Refusal(error.status, code, message, "docs/serve.md has all addresses" if error.status == 404 else "")


def _of_failure(error: Exception) -> Refusal:
    if isinstance(error, LocaraError):
        return Refusal(500, error.code, without_places(error.message), without_places(error.hint))
    return Refusal(500, "failed", "the server failed", "its log says where; please report it")


def _preflight_headers() -> dict[str, str]:
    return {
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": "Authorization, Content-Type",
        "Access-Control-Max-Age": "600",
    }


async def _dress(request: web.Request, response: web.StreamResponse) -> None:
    """The headers of every answer, also of those that are streamed."""
    response.headers[hdrs.SERVER] = "locara"  # which versions are under it is nobody's business
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    guard = request.app[RUNTIME].guard
    origin = request.headers.get(hdrs.ORIGIN, "")
    if origin in guard.allowed:
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        response.headers[hdrs.VARY] = "Origin"
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    if response.content_type == "text/html":
        host = request.headers.get(hdrs.HOST, "").lower()
        # 'self' does not cover ws: in every browser. Only a Host that the guard knows is ever written here.
        sockets = f" ws://{host} wss://{host}" if host in guard.hosts else ""
        response.headers.setdefault("Content-Security-Policy", POLICY.format(sockets=sockets))
    else:
        response.headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
