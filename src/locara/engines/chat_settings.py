"""The name and the options of an OpenAI-compatible server, understood and checked.

What may live here: `Settings` and the pure way to them from what a person wrote. Nothing is connected to here.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from locara.errors import ConfigError

_KNOWN = (
    "url", "model", "api_key", "temperature", "max_tokens", "timeout", "gap_timeout", "load_timeout", "read_ahead",
    "audio_input", "reasoning", "keep_alive",
)  # fmt: skip
_NO_NAME = ("", "auto", "openai-compatible")


@dataclass(frozen=True, slots=True)
class Settings:
    """What was understood. Times in seconds; ``model`` is empty when the server shall choose."""

    url: str
    model: str = ""
    api_key: str = field(default="", repr=False)
    temperature: float | None = None
    max_tokens: int | None = None
    first: float = 20.0
    gap: float = 10.0
    load: float = 120.0
    read_ahead: bool | None = None
    audio_input: bool = False
    """The model shall hear: a server or a model that cannot is refused when it is loaded."""
    reasoning: bool | None = None
    keep_alive: str | float | None = None


def understand(model: str, options: Mapping[str, Any]) -> Settings | None:
    """Name and options as `Settings`, checked. None when they name no server.

    Raises ``ConfigError`` for an address or option that cannot work.
    """
    where: Any = model if _is_address(model) else options.get("url")
    if where is None:
        return None
    if not isinstance(where, str) or not _is_address(where):
        raise ConfigError(f"llm: url={where!r} is no address", hint='write it like url="http://127.0.0.1:11434/v1"')
    for name in options:
        close = difflib.get_close_matches(name, _KNOWN, 1, 0.8)
        if name not in _KNOWN and close:
            raise ConfigError(f"llm: there is no option {name!r}", hint=f"did you mean {close[0]!r}?")
    address, _, fragment = where.partition("#")
    given = options.get("model")
    chosen = fragment or (given if isinstance(given, str) and not _is_address(given) else "")
    if not chosen and not _is_address(model):
        chosen = model
    key = options.get("api_key") or ""
    if not isinstance(key, str) or not key.isascii() or any(char.isspace() or not char.isprintable() for char in key):
        raise ConfigError("llm: api_key has characters no key has", hint="pass the key as one string without spaces")
    for name in ("read_ahead", "audio_input", "reasoning"):
        if not isinstance(options.get(name), bool | None):
            raise ConfigError(f"llm: {name}={options[name]!r} is neither true nor false", hint=f"leave {name} out")
    alive = options.get("keep_alive")
    if isinstance(alive, bool) or not isinstance(alive, str | int | float | None):
        raise ConfigError(f"llm: keep_alive={alive!r} is no time", hint='"30m", seconds, or -1 for ever')
    most = _number(options, "max_tokens", None)
    return Settings(
        url=_base(address),
        model="" if chosen in _NO_NAME else chosen,
        api_key=key,
        temperature=_number(options, "temperature", None, zero=True),
        max_tokens=None if most is None else max(1, int(most)),
        first=_number(options, "timeout", 20.0) or 20.0,
        gap=_number(options, "gap_timeout", 10.0) or 10.0,
        load=_number(options, "load_timeout", 120.0) or 120.0,
        read_ahead=options.get("read_ahead"),
        audio_input=bool(options.get("audio_input")),
        reasoning=options.get("reasoning"),
        keep_alive=alive,
    )


def _is_address(text: str) -> bool:
    return text.lower().startswith(("http://", "https://"))


def _base(address: str) -> str:
    """The address up to where ``/chat/completions`` begins."""
    try:
        parts = urlsplit(address)
        good = (
            bool(parts.hostname)
            and parts.port != 0
            and not parts.query
            and address.isprintable()
            and " " not in address
        )
    except ValueError:  # a port that is no number, a bracket left open
        good = False
    if not good:
        raise ConfigError(f"llm: {address!r} is no address", hint='write it like "http://127.0.0.1:11434/v1"')
    path = parts.path.rstrip("/").removesuffix("/chat/completions").rstrip("/")
    return urlunsplit(parts._replace(path=path or "/v1"))


def _number(options: Mapping[str, Any], name: str, default: float | None, *, zero: bool = False) -> float | None:
    value = options.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not (0 <= value < 1e9) or not (value or zero):
        raise ConfigError(
            f"llm: {name}={value!r} is not a number above zero", hint=f"leave {name} out, or give a number"
        )
    return float(value)
