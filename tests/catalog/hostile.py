"""A file server on this machine that can do everything wrong that servers, proxies and cables do. Standard library only.

``with Hostile({"/a.bin": Served(b"...")}) as server``; ``server.seen`` holds every request. Plans change while it runs:
``server.serve["/a.bin"] = ...``.
"""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType


@dataclass(frozen=True)
class Served:
    """How one path is served. ``cut``: the connection ends after so many bytes of each body, ``stall``: it stands still
    there; ``slow``: seconds a kilobyte; ``fail``: statuses that the first requests get instead, with ``extra`` headers;
    ``length``: what Content-Length says instead; ``ranges``: whether ranges are served; ``wrong_range``: another is."""

    body: bytes
    etag: str = '"one"'
    cut: int | None = None
    cuts: int = 1_000
    stall: int | None = None
    slow: float = 0.0
    status: int = 200
    fail: tuple[int, ...] = ()
    ranges: bool = True
    wrong_range: bool = False
    length: int | None = None
    no_length: bool = False
    redirect: str = ""
    wants: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """One request."""

    path: str
    headers: Mapping[str, str]


class Hostile:
    """Serves on 127.0.0.1 until it is closed."""

    def __init__(self, serve: Mapping[str, Served]) -> None:
        self.serve: dict[str, Served] = dict(serve)
        self.seen: list[Seen] = []
        self.closing = threading.Event()
        outer = self

        class Answer(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                del format, args

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: object, client_address: object) -> None:
                del request, client_address  # clients go away in the middle: that is what is tested

        self._server = Server(("127.0.0.1", 0), Answer)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def other_url(self) -> str:
        """The same server under another name: another host, as far as a token is concerned."""
        return f"http://localhost:{self._server.server_address[1]}"

    def __enter__(self) -> Hostile:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def ranges(self, path: str) -> list[str]:
        """The Range header of every request for ``path``."""
        return [one.headers.get("range", "") for one in self.seen if one.path == path]

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append(Seen(request.path, headers))
        plan = self.serve.get(request.path)
        request.close_connection = True
        if plan is None:
            request.send_response(404)
            request.send_header("content-length", "0")
            request.end_headers()
            return
        status = plan.status
        if plan.fail:
            status = plan.fail[0]
            self.serve[request.path] = replace(plan, fail=plan.fail[1:])
        if plan.wants and headers.get("authorization") != f"Bearer {plan.wants}":
            status = 401 if "authorization" not in headers else 403
        if plan.redirect:
            status = 302
        self._send(request, plan, status, headers)

    def _send(
        self, request: http.server.BaseHTTPRequestHandler, plan: Served, status: int, headers: Mapping[str, str]
    ) -> None:
        body, start = plan.body, 0
        asked = headers.get("range", "")
        if status == 200 and asked and plan.ranges and headers.get("if-range", plan.etag) == plan.etag:
            start = int(asked.removeprefix("bytes=").rstrip("-")) + (7 if plan.wrong_range else 0)
            status = 206 if start < len(body) else 416
        rest = body[start:] if status in {200, 206} else b"" if status in {302, 416} else b"no"
        request.send_response(status)
        for name, value in plan.extra.items():
            request.send_header(name, value)
        if plan.redirect:
            request.send_header("location", plan.redirect)
        if status in {200, 206} and plan.etag:
            request.send_header("etag", plan.etag)
        if status == 206:
            request.send_header("content-range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if status == 416:
            request.send_header("content-range", f"bytes */{len(body)}")
        if not plan.no_length or status not in {200, 206}:
            request.send_header("content-length", str(plan.length if plan.length is not None else len(rest)))
        request.end_headers()
        self._body(request, plan, rest)

    def _body(self, request: http.server.BaseHTTPRequestHandler, plan: Served, rest: bytes) -> None:
        if plan.cut is not None and plan.cuts > 0:
            rest = rest[: plan.cut]
            self.serve[request.path] = replace(plan, cuts=plan.cuts - 1)
        with contextlib.suppress(OSError):
            sent = 0
            while sent < len(rest):
                if plan.stall is not None and sent >= plan.stall:
                    self.closing.wait(30)
                    return
                step = 1024 if plan.slow or plan.stall is not None else 1 << 20
                if plan.stall is not None:
                    step = min(step, plan.stall - sent)
                request.wfile.write(rest[sent : sent + step])
                request.wfile.flush()
                sent += step
                if plan.slow:
                    time.sleep(plan.slow)
