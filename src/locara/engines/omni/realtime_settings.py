"""The address and the options of a realtime server, understood and checked.

What may live here: `Settings` and the pure way to them from what a person wrote. Nothing is connected to here, and no key is
read: its environment variable is named, and looked at when a connection is made.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from locara.engines import option_values
from locara.engines.local_servers import is_loopback
from locara.engines.omni.realtime_dialects import DIALECTS, Dialect, spoken_by
from locara.errors import ConfigError

ENGINE = "realtime"
_PREFIX = "realtime:"
_OPTIONS = (
    "url", "dialect", "model", "voice", "api_key_env", "headers", "deadline", "start_deadline", "input_rate",
    "output_rate", "replies", "transcription", "system",
)  # fmt: skip
_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_HINT = 'write it like "realtime:openai:wss://host/v1/realtime#model", or give url=... and dialect=...'
_SECRET_HEADERS = ("authorization", "api-key", "x-api-key", "cookie", "proxy-authorization")


@dataclass(frozen=True, slots=True)
class Settings:
    """What was understood. Times in seconds."""

    url: str
    """With what the dialect wants in its query."""
    dialect: Dialect
    model: str = ""
    voice: str = ""
    key_variable: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    deadline: float = 20.0
    """For the next event of a reply that was asked for, and for every message to be taken."""
    start_deadline: float = 120.0
    """For a session to begin: some servers load their model then."""
    transcription: str = ""

    @property
    def shown(self) -> str:
        """The address as it may be shown: a query may hold secrets."""
        return urlunsplit(urlsplit(self.url)._replace(query="", fragment=""))

    @property
    def here(self) -> bool:
        """Whether the server is this machine."""
        return is_loopback(self.url)


def understand(model: str, options: Mapping[str, Any]) -> Settings | None:
    """Name and options as `Settings`, checked; None when they are not for this engine.

    Raises ``ConfigError`` for an address or an option that cannot work.
    """
    name, address = _named(model)
    if address is None and not _meant(options):
        return None
    if "api_key" in options:
        raise ConfigError(
            f"{ENGINE}: a key is not given as an option, where it would be written down",
            hint='put it into an environment variable, and give the variable\'s name: api_key_env="OPENAI_API_KEY"',
        )
    where = option_values.text(ENGINE, options, "url") or address or ""
    where, _, behind = where.partition("#")
    options = {**_told(behind), **options}
    option_values.known(ENGINE, options, _OPTIONS)
    chosen = name or option_values.one_of(ENGINE, options, "dialect", "openai", tuple(DIALECTS))
    served = option_values.text(ENGINE, options, "model")
    dialect = _changed(spoken_by(DIALECTS[chosen], served), options)
    if dialect.needs_model and not served:
        raise ConfigError(
            f"{ENGINE}: {dialect.server} must be told which model to use",
            hint="write it behind the address: #model-name",
        )
    variable = option_values.text(ENGINE, options, "api_key_env")
    if variable and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
        raise ConfigError(
            f"{ENGINE}: api_key_env is not the name of an environment variable",
            hint='give its name, not the key: api_key_env="OPENAI_API_KEY"',
        )
    url = _whole(where, dialect, served)
    if variable and url.startswith("ws:") and not is_loopback(url):
        raise ConfigError(
            f"{ENGINE}: the key would go over the network for everybody to read", hint="use a wss:// address"
        )
    transcription = option_values.text(ENGINE, options, "transcription")
    if transcription and not dialect.transcription:
        raise ConfigError(f"{ENGINE}: {dialect.server} cannot be told who transcribes", hint="leave transcription out")
    return Settings(
        url=url,
        dialect=replace(dialect, user_text="partial") if transcription else dialect,
        model=served,
        voice=option_values.text(ENGINE, options, "voice"),
        key_variable=variable,
        headers=_headers(options.get("headers")),
        deadline=option_values.number(ENGINE, options, "deadline", 20.0, 0.05, 600.0, "seconds"),
        start_deadline=option_values.number(ENGINE, options, "start_deadline", 120.0, 0.05, 3600.0, "seconds"),
        transcription=transcription,
    )


def _named(model: str) -> tuple[str, str | None]:
    """The dialect (may be empty) and the address that a name says; no address where it is no name of ours."""
    if model.startswith(_PREFIX):
        rest = model.removeprefix(_PREFIX)
        dialect, colon, address = rest.partition(":")
        if dialect in _SCHEMES:
            return "", rest
        if colon and dialect not in DIALECTS:
            near = difflib.get_close_matches(dialect, list(DIALECTS), n=1)
            meant = f"did you mean {near[0]!r}? " if near else ""
            raise ConfigError(
                f"{ENGINE}: there is no dialect {dialect!r}", hint=f"{meant}It can be {', '.join(DIALECTS)}"
            )
        return (dialect, address) if colon else ("", rest)
    return ("", model) if _is_realtime(model) else ("", None)


_NUMBERS: Mapping[str, type[float] | type[int]] = {
    "deadline": float, "start_deadline": float, "input_rate": int, "output_rate": int,
}  # fmt: skip


def _told(behind: str) -> dict[str, Any]:
    """The options behind an address, where only a name can be given: ``#model&voice=marin&deadline=5``."""
    told: dict[str, Any] = {}
    for part in behind.split("&") if behind else ():
        name, equals, value = part.partition("=")
        if not equals:
            name, value = "model", part
        value = unquote(value)
        if name in ("headers", "url", "api_key"):
            raise ConfigError(f"{ENGINE}: {name} cannot stand behind an address", hint=f"give {name} as an option")
        try:
            told[name] = _NUMBERS[name](value) if name in _NUMBERS else value
        except ValueError:
            raise ConfigError(f"{ENGINE}: {name}={value} is no number", hint=f"write it like {name}=5") from None
    return told


def _is_realtime(address: str) -> bool:
    """A bare address is ours where it ends like one: other servers (Moshi's) have WebSockets, too."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme in ("ws", "wss") and parts.path.rstrip("/").endswith(("/realtime", "/live/sessions"))


def _meant(options: Mapping[str, Any]) -> bool:
    url = options.get("url")
    return options.get("engine") == ENGINE or "dialect" in options or (isinstance(url, str) and _is_realtime(url))


def _changed(dialect: Dialect, options: Mapping[str, Any]) -> Dialect:
    """What a person knows better than the name of the model says."""
    changes: dict[str, Any] = {
        name: option_values.whole(ENGINE, options, name, 0, 8_000, 48_000)
        for name in ("input_rate", "output_rate")
        if name in options
    }
    if "replies" in options:
        marked = option_values.one_of(ENGINE, options, "replies", "marked", ("marked", "derived")) == "marked"
        if dialect.turn_owner == "locara" and not marked:
            raise ConfigError(
                f"{ENGINE}: {dialect.server} answers when it is asked", hint='leave replies="derived" out'
            )
        changes |= {"marks_replies": marked, "wants_played": dialect.wants_played and marked}
        if not marked:
            changes["frame_seconds"] = dialect.frame_seconds or 0.08
    return replace(dialect, **changes)


def _whole(where: str, dialect: Dialect, model: str) -> str:
    """The address with its path and query."""
    try:
        parts = urlsplit(where)
        good = bool(parts.hostname) and parts.scheme in _SCHEMES and parts.port != 0 and where.isprintable()
        good = good and " " not in where
    except ValueError:  # a port that is no number, a bracket left open
        raise ConfigError(f"{ENGINE}: this is no address", hint=_HINT) from None
    if not good:
        raise ConfigError(f"{ENGINE}: {where.partition('?')[0]!r} is no address", hint=_HINT)
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            f"{ENGINE}: the address holds a user name or a password", hint="use api_key_env, and leave it out"
        )
    query = dict(parse_qsl(parts.query, keep_blank_values=True)) | dict(dialect.query)
    if dialect.model_in_query and model:
        query.setdefault("model", model)
    path = parts.path.rstrip("/")
    if path in ("", "/v1"):
        path = dialect.path
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path, urlencode(query), ""))


def _headers(given: object) -> Mapping[str, str]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigError(f"{ENGINE}: headers are no mapping", hint='write headers={"X-Name": "value"}')
    for name, value in given.items():
        if not isinstance(name, str) or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise ConfigError(f"{ENGINE}: {name!r} is no header's name", hint="letters, digits and dashes")
        if not isinstance(value, str) or not value.isprintable() or not value.isascii():
            raise ConfigError(
                f"{ENGINE}: the header {name} has a value that cannot be sent", hint="printable ASCII text"
            )
        if name.lower() in _SECRET_HEADERS:
            raise ConfigError(
                f"{ENGINE}: the header {name} carries a secret, and options are written down",
                hint="use api_key_env",
            )
    return dict(given)
