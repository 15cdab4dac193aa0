"""The page and the browser SDK: files of this package, given out as they are.

What may live here: which files, under which headers. They hold no secret, so they need no token: whoever may connect at all
may have them. What the page then asks of the server needs one.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Final

from aiohttp import web

from locara.server.runtime import RUNTIME

_HERE: Final = Path(__file__).parent
PAGE: Final = _HERE / "page"
SDK: Final = _HERE / "sdk"

TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",  # a module with another type is refused by browsers
    ".ts": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What is given out; other files of the folders are not."""

_HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d{1,5})?|\[[0-9a-fA-F:.]+\](:\d{1,5})?")
_NAME = re.compile(r"[a-z][a-z0-9._-]{0,63}")


def routes() -> list[web.AbstractRouteDef]:
    """``/``, ``/page/...`` and ``/sdk/...``."""
    return [
        web.get("/", _index),
        web.get("/page/{name}", _page),
        web.get("/sdk/{name}", _sdk),
    ]


async def _index(request: web.Request) -> web.StreamResponse:
    return _file(request, PAGE / "index.html")


async def _page(request: web.Request) -> web.StreamResponse:
    return _file(request, _named(PAGE, request))


async def _sdk(request: web.Request) -> web.StreamResponse:
    answer = _file(request, _named(SDK, request))
    origin = request.headers.get("Origin", "")
    # Pages of other origins that may connect may also load the SDK from here, which a module script needs a leave for.
    if origin and RUNTIME in request.app and origin in request.app[RUNTIME].settings.origins:
        answer.headers["Access-Control-Allow-Origin"] = origin
        answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        answer.headers["Vary"] = "Origin"
    return answer


def _named(folder: Path, request: web.Request) -> Path:
    """The file of one flat folder that was asked for: no path can be built out of a name that has none in it."""
    name = request.match_info["name"]
    file = folder / name
    if not _NAME.fullmatch(name) or file.suffix not in TYPES or not file.is_file():
        raise web.HTTPNotFound(text=f"there is no {folder.name}/{name[:64]!r} here\n")
    return file


def _file(request: web.Request, file: Path) -> web.StreamResponse:
    content, tag = _read(file, file.stat().st_mtime_ns)
    headers = {**_headers(request.host), "ETag": f'"{tag}"'}
    if any(tag == one.value for one in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=content, headers={**headers, "Content-Type": TYPES[file.suffix]})


@cache
def _read(file: Path, _changed: int) -> tuple[bytes, str]:
    content = file.read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:32]


def _headers(host: str) -> dict[str, str]:
    """What a browser is told to forbid: nothing but this server's own files runs, nothing else is asked, nobody frames it.
    ``host``: the Host header, which the guard has let through."""
    here = f"ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": f"'self' {here}".strip(),  # older browsers do not count WebSockets as 'self'
        "img-src": "'self' data: blob:",
        "media-src": "blob:",
        "worker-src": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        # Chromium does not hold every way to another speaker to this; the page does, by device.speaker.select.
        "Permissions-Policy": "microphone=(self), speaker-selection=(self), camera=(), geolocation=(), display-capture=()",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-cache",  # asked again each time, answered by ETag: an upgrade is seen at once
    }
