"""``--omni MODEL`` and ``--omni-option NAME=VALUE``, for every command that takes them."""

from __future__ import annotations

import argparse
import json
from typing import Any


def arguments(parser: argparse.ArgumentParser, words_of: str) -> None:
    """Adds the options. ``words_of``: whose words a recogniser beside the model gives."""
    add = parser.add_argument
    add(
        "--omni",
        metavar="MODEL",
        help=f"one model that hears and speaks: a name, a folder, or ws://HOST:PORT/...; --stt then gives {words_of} words",
    )
    add(
        "--omni-option",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="an option of that model's engine, of its session (voice, instructions), or fallback=true",
    )


def stage(options: argparse.Namespace) -> dict[str, Any] | str | None:
    """``omni=`` as `voice.session` takes it; None where no such model was named. Raises ``ConfigError``."""
    from locara.errors import ConfigError

    if options.omni is None:
        if options.omni_option:
            raise ConfigError("--omni-option says something of a model", hint="name the model with --omni")
        return None
    told: dict[str, Any] = {}
    for given in options.omni_option:
        name, equals, value = given.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--omni-option {given} is no NAME=VALUE", hint="for example --omni-option voice=NATF2")
        told[name.strip()] = _value(value)
    if options.system is not None:
        told.setdefault("instructions", options.system)
    return {"model": options.omni, **told} if told else str(options.omni)


def _value(text: str) -> Any:
    """Numbers, true, false and objects as JSON has them; everything else is a text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
