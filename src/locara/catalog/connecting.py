"""Opening a connection for one file: which addresses are allowed, where a redirect may lead, who gets the token.

What may live here: requests, redirects, proxies (as httpx takes them from the environment) and the way to end a read
that hangs. What an answer means is the business of `answers`.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from locara.errors import ModelError

if TYPE_CHECKING:
    import httpx

REDIRECTS = 8
"""The hub needs two: to the repository's new name, to its content network."""

_WATCH_SECONDS = 0.2
_REDIRECT = frozenset({301, 302, 303, 307, 308})


class Connection:
    """Requests of one pull. ``token`` goes only to addresses for which ``trusted`` is true. ``connect`` and ``read``:
    seconds that connecting, and each single read, may take. ``stop`` ends a read within a fraction of a second.

    Each request has a connection of its own: there are few, and one that broke is never used again."""

    def __init__(
        self,
        *,
        connect: float,
        read: float,
        trusted: Callable[[str], bool],
        stop: threading.Event | None = None,
    ) -> None:
        import httpx

        self._client = httpx.Client(
            headers={
                "user-agent": f"locara/{importlib.metadata.version('locara')}",
                "accept": "*/*",
                "accept-encoding": "identity",
            },
            timeout=httpx.Timeout(read, connect=connect),
            limits=httpx.Limits(max_keepalive_connections=0),
            follow_redirects=False,
        )
        self._trusted = trusted
        self._watch = _Watch(stop) if stop is not None else None

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends it. May be called twice."""
        if self._watch is not None:
            self._watch.close()
        self._client.close()

    @contextlib.contextmanager
    def get(
        self, url: str, headers: Mapping[str, str], token: str = ""
    ) -> Iterator[tuple[httpx.Response, dict[str, str]]]:
        """The answer to a GET after all redirects, its body not read yet, and the headers of all answers on the way, the
        first one's first (the hub says what it knows of a file in the redirect). Raises ``ModelError`` for an address
        that is not allowed, and httpx's errors."""
        said: dict[str, str] = {}
        here = allowed(url)
        for _ in range(REDIRECTS + 1):
            sent = {**headers, "authorization": f"Bearer {token}"} if token and self._trusted(here) else dict(headers)
            request = self._client.build_request("GET", here, headers=sent, extensions=self._extensions())
            response = self._client.send(request, stream=True)
            try:
                for name, value in response.headers.items():
                    said.setdefault(name.lower(), value)
                target = response.headers.get("location", "")
                if response.status_code not in _REDIRECT or not target:
                    yield response, said
                    return
            finally:
                response.close()
            here = redirected(here, target)
        raise ModelError(f"{bare(url)} leads from one address to the next, more than {REDIRECTS} times", hint=_REPORT)

    def _extensions(self) -> dict[str, Any]:
        return {"trace": self._watch.trace} if self._watch is not None else {}


_REPORT = "try again later; if it stays so, report it with the model's name"


def allowed(url: str) -> str:
    """``url`` if it may be asked: https anywhere, http on this machine only. Raises ``ModelError``."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    if host and parts.username is None and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))):
        return url
    raise ModelError(
        f"{bare(url)[:200]} is not an address that models are fetched from: https is, and http on this machine alone",
        hint="correct the address in the catalog's row, or in HF_ENDPOINT",
    )


def redirected(here: str, target: str) -> str:
    """Where a redirect from ``here`` leads. Raises ``ModelError`` where it may not lead there: to http, or from another
    machine to this one."""
    there = allowed(urljoin(here, target))
    if is_loopback(urlsplit(there).hostname or "") and not is_loopback(urlsplit(here).hostname or ""):
        raise ModelError(f"{bare(here)} redirects to this machine itself, which it may not", hint=_REPORT)
    return there


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine, by its name or number alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bare(url: str) -> str:
    """``url`` without its query and user: what may be shown and kept. A content network's addresses hold signatures."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(no address at all)"
    return parts._replace(query="", fragment="", netloc=parts.netloc.rpartition("@")[2]).geturl()


class _Watch:
    """Ends the newest connection when ``stop`` is set, from a thread of its own: a read waits in the system, where no
    event reaches it. Sockets come from the library's trace of what it does."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._socket: socket.socket | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="locara-pull-stop", daemon=True)
        self._thread.start()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Notes the socket of a connection that was made (also after its encryption began)."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            found = info.get("return_value")
            if found is not None and hasattr(found, "get_extra_info"):
                self._socket = found.get_extra_info("socket")

    def close(self) -> None:
        """Ends the thread."""
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(_WATCH_SECONDS):
            if self._stop.is_set() and self._socket is not None:
                with contextlib.suppress(OSError):  # closed already
                    self._socket.shutdown(socket.SHUT_RDWR)
