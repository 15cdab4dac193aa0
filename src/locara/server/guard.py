"""Who may come in: the facts of one request in, an answer out.

What may live here: pure decisions about a request's head. Nothing here knows aiohttp; `guarding` brings the facts and sends
the answer.

Against what (docs/serve.md has the table): pages of other origins (Origin, Sec-Fetch-Site), names that were made to point
here (Host; DNS rebinding, CVE-2024-28224 of Ollama is of this kind), other users of this machine (token), forms (content
types). Cookies are never looked at: browsers send those of every port of this machine along.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

TOKEN_PROTOCOLS: Final = ("locara.token.", "openai-insecure-api-key.")
"""How a browser gives the token with a WebSocket, where it can set no header: a subprotocol that begins so."""

OPEN_PATHS: Final = ("/", "/favicon.ico")
"""Files that hold no secret, so that the page can be opened at all."""

OPEN_FOLDERS: Final = ("/sdk/", "/page/")
"""Folders of such files."""

CODE_PATH: Final = "/code"
"""Here a launch code is traded for the token: the code is what is checked."""

_JSON: Final = "application/json"
_FORM: Final = "multipart/form-data"
UPLOADS: Final = {"/v1/audio/transcriptions": (_FORM,), "/v1/audio/translations": (_FORM,)}
"""Path -> the content types it takes. All others take JSON."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]+")  # of RFC 7230's token characters, those that need no thought anywhere
_ORIGIN = re.compile(r"https?://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_READING: Final = ("GET", "HEAD")
_METHODS: Final = ("GET", "HEAD", "POST", "DELETE", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Facts:
    """One request's head. ``target``: as it was sent; ``path``: decoded, without the query. Headers that may come more
    than once are tuples, in order. ``protocols``: the subprotocols offered; ``upgrade``: a WebSocket is asked for."""

    method: str
    target: str
    path: str
    hosts: tuple[str, ...]
    origins: tuple[str, ...] = ()
    site: str = ""
    mode: str = ""
    content_type: str = ""
    content_encoding: str = ""
    has_body: bool = False
    authorizations: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    upgrade: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """``status``: of HTTP. ``code``: stable, may be matched on. Never carries anything that the client sent."""

    status: int
    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Guard:
    """``hosts``: what the Host header may be, lower case, with the port. ``own``: the server's own origins; ``allowed``:
    other pages that may connect."""

    token: str = field(repr=False)
    hosts: frozenset[str]
    own: frozenset[str]
    allowed: frozenset[str] = frozenset()

    def judge(self, facts: Facts) -> Refusal | None:
        """None: come in."""
        return (
            _well_formed(facts)
            or self._host(facts)
            or self._origin(facts)
            or self._method(facts)
            or (None if is_open(facts) or self.is_preflight(facts) else self._token(facts))
            or _body(facts)
        )

    def knows(self, token: str) -> bool:
        """Whether this is the token. Takes as long for every wrong one of the same length."""
        return hmac.compare_digest(token.encode("utf-8", "surrogateescape"), self.token.encode("ascii"))

    def is_preflight(self, facts: Facts) -> bool:
        """Whether a browser asks, for a page of an allowed origin, what that page may send."""
        return facts.method == "OPTIONS" and bool(facts.origins) and facts.origins[0] in self.allowed

    def _host(self, facts: Facts) -> Refusal | None:
        if len(facts.hosts) == 1 and facts.hosts[0].lower() in self.hosts:
            return None
        hint = "use the address that locara serve printed; --allow-host adds a name"
        return Refusal(403, "host-refused", "this server does not answer to that Host", hint)

    def _origin(self, facts: Facts) -> Refusal | None:
        hint = "--origin allows a page of another origin"
        if len(facts.origins) > 1:
            return Refusal(400, "bad-request", "more than one Origin")
        if facts.origins:
            if facts.origins[0] in self.own or facts.origins[0] in self.allowed:
                # Of an allowed origin the browser rightly says "cross-site".
                return None
            return Refusal(403, "origin-refused", "pages of that origin may not use this server", hint)
        opened = facts.mode == "navigate" and facts.method == "GET" and facts.path in OPEN_PATHS
        if facts.site in ("cross-site", "same-site") and not opened:  # a link to the page may be followed
            return Refusal(403, "origin-refused", "another site may not use this server", hint)
        return None

    def _method(self, facts: Facts) -> Refusal | None:
        if facts.method not in _METHODS:
            return Refusal(405, "bad-method", "this server has no such method", "use GET or POST")
        if facts.method == "OPTIONS" and not self.is_preflight(facts):
            return Refusal(405, "bad-method", "OPTIONS is for pages of allowed origins", "--origin allows one")
        return None

    def _token(self, facts: Facts) -> Refusal | None:
        if len(facts.authorizations) > 1:
            return Refusal(400, "bad-request", "more than one Authorization")
        given = tokens_of(facts)
        if given and all(self.knows(one) for one in given):
            return None
        return Refusal(
            401,
            "invalid_api_key",
            "the token is wrong" if given else "this needs the server's token",
            "send Authorization: Bearer TOKEN; locara serve says where the token is",
        )


def guard(token: str, port: int, *, hosts: Iterable[str] = (), origins: Iterable[str] = ()) -> Guard:
    """The guard of a server at ``port``. ``hosts``: names beside loopback's, each with a port of its own or without;
    ``origins``: pages of others, as a browser sends them. Raises ``ValueError`` for an origin that is none."""
    own: set[str] = set()
    named: set[str] = set()
    for one in ("127.0.0.1", "localhost", "[::1]", *hosts):
        name, at = _named(one.lower(), port)
        named |= {f"{name}:{at}"} | ({name} if at in _DEFAULT_PORTS.values() else set())  # browsers leave those out
        for scheme, usual in _DEFAULT_PORTS.items():
            if scheme == "http" or one in hosts:  # https: behind a proxy; on loopback our port is ours and has no TLS
                own.add(f"{scheme}://{name}" if at == usual else f"{scheme}://{name}:{at}")
    for one in origins:
        if not _ORIGIN.fullmatch(one):
            raise ValueError(f"{one!r} is no origin: it looks like http://localhost:5173, without a path")
    return Guard(token, frozenset(named), frozenset(own), frozenset(origins))


def _named(host: str, port: int) -> tuple[str, int]:
    """A host as `--allow-host` takes it: (the name as a Host header has it, its port)."""
    if host.count(":") > 1 and not host.startswith("["):
        return f"[{host}]", port
    name, colon, own = host.rpartition(":")
    if colon and own.isdigit() and (not name.startswith("[") or name.endswith("]")):
        return name, int(own)
    return host, port


def is_token(text: str) -> bool:
    """Whether ``text`` can be a token: letters, digits, ``_`` and ``-``, so that it can stand in a subprotocol too."""
    return _TOKEN.fullmatch(text) is not None


def is_open(facts: Facts) -> bool:
    """Whether this needs no token."""
    if facts.method == "POST":
        return facts.path == CODE_PATH
    if facts.method not in _READING or facts.upgrade:
        return False
    return facts.path in OPEN_PATHS or facts.path.startswith(OPEN_FOLDERS)


def tokens_of(facts: Facts) -> tuple[str, ...]:
    """The tokens that came with it: from the header, and, with a WebSocket, from the subprotocols. Not from the address,
    which ends up in histories and logs."""
    given = []
    for one in facts.authorizations:
        scheme, _, rest = one.partition(" ")
        given.append(rest.strip() if scheme.lower() == "bearer" else "")
    if facts.upgrade:
        for one in facts.protocols:
            given += [one.removeprefix(prefix) for prefix in TOKEN_PROTOCOLS if one.startswith(prefix)]
    return tuple(given)


def _well_formed(facts: Facts) -> Refusal | None:
    if not facts.target.startswith("/"):  # http://elsewhere/ and *: we are no proxy
        return Refusal(400, "bad-request", "the request's target is not a path")
    segments = facts.path.split("/")
    if ".." in segments or "." in segments or any(one < " " or one in "\\\x7f" for one in facts.path):
        return Refusal(400, "bad-request", "the path is not a plain one")
    return None


def _body(facts: Facts) -> Refusal | None:
    if facts.method in _READING or facts.method == "OPTIONS":
        return Refusal(400, "bad-request", f"{facts.method} takes no body") if facts.has_body else None
    if facts.content_encoding not in ("", "identity"):
        return Refusal(415, "unsupported-media-type", "compressed bodies are not taken", "send it as it is")
    if facts.method == "DELETE" and not facts.has_body:
        return None
    declared = UPLOADS.get(facts.path, (_JSON,))
    if facts.content_type not in declared:
        wanted = " or ".join(declared)
        return Refusal(415, "unsupported-media-type", f"the body has to be {wanted}", f"set Content-Type: {wanted}")
    return None
