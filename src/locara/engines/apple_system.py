"""What the engines of macOS have in common: which macOS this is, and how their options are read.

What may live here: facts about the system, and readings of options, as plain functions.
"""

from __future__ import annotations

import difflib
import os
import platform
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from locara.engines import swift_program
from locara.errors import ConfigError, EngineMissing

_ALWAYS = ("engine", "path")
"""Options that every engine is given by whoever looks its model up in the catalog; systems' engines have no files."""

_TERMINALS = {
    "Apple_Terminal": "Terminal",
    "iTerm.app": "iTerm2",
    "vscode": "Visual Studio Code",
    "ghostty": "Ghostty",
    "WezTerm": "WezTerm",
    "WarpTerminal": "Warp",
    "Hyper": "Hyper",
    "Tabby": "Tabby",
    "rio": "Rio",
    "kitty": "kitty",
    "alacritty": "Alacritty",
}


def mac_version(told: str | None = None) -> tuple[int, ...]:
    """Of this system, for example ``(26, 1)``; empty where it is no Mac."""
    if told is None:
        told = platform.mac_ver()[0] if sys.platform == "darwin" else ""
    numbers = tuple(int(part) for part in re.findall(r"\d+", told))
    # A Python that was built with an older SDK is told 16 for macOS 26. No macOS was ever sold as 16 to 25.
    return (26, *numbers[1:]) if numbers[:1] == (16,) else numbers


def need_mac(least: tuple[int, ...], *, stage: str, model: str, instead: str) -> None:
    """Raises ``EngineMissing`` where this is no Mac, or one that is too old."""
    version = mac_version()
    name = "macOS " + ".".join(map(str, least))
    if not version:
        raise EngineMissing(f"{stage}: {model} is part of macOS, and this is none", stage=stage, model=model, hint=instead)
    if version < least:
        here = ".".join(map(str, version))
        raise EngineMissing(
            f"{stage}: {model} needs {name}, and this is macOS {here}", stage=stage, model=model, hint=instead
        )


def check_names(engine: str, options: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raises ``ConfigError`` for an option that is not known."""
    for name in options:
        if name not in known and name not in _ALWAYS:
            near = difflib.get_close_matches(name, known, n=1)
            raise ConfigError(
                f"{engine} has no option {name!r}",
                hint=(f"did you mean {near[0]!r}? " if near else "") + f"it knows {', '.join(known)}",
            )


def number(engine: str, options: Mapping[str, Any], name: str, default: float, low: float, high: float) -> float:
    """An option that is a number from ``low`` to ``high``. Raises ``ConfigError``."""
    value = options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ConfigError(f"{engine}: {name} is {value!r}", hint=f"it must be a number from {low:g} to {high:g}")
    return float(value)


def yes_or_no(engine: str, options: Mapping[str, Any], name: str) -> bool:
    """An option that is true or false, by default false. Raises ``ConfigError``."""
    value = options.get(name, False)
    if not isinstance(value, bool):
        raise ConfigError(f"{engine}: {name} is {value!r}", hint="it must be true or false")
    return value


def language(engine: str, options: Mapping[str, Any], name: str, default: str) -> str:
    """An option that is a language's code, for example ``en-US``. Raises ``ConfigError``."""
    value = options.get(name, default)
    if value == default or (isinstance(value, str) and re.fullmatch(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*", value)):
        return str(value).replace("_", "-")
    raise ConfigError(f"{engine}: {name} is {value!r}", hint="it must be a language's code, for example en-US or de-DE")


def command(
    engine: str, options: Mapping[str, Any], name: str, arguments: Sequence[str], *, stage: str, model: str, sdk: int = 0
) -> Callable[[], Sequence[str]]:
    """How the sidecar is started: the option ``program`` (an app may ship its own, signed), else ours, compiled here."""
    own = options.get("program")
    if own is None:
        return lambda: [*swift_program.program(name, stage=stage, model=model, sdk=sdk), *arguments]
    if isinstance(own, str | os.PathLike):
        own = [os.fspath(own)]
    if not isinstance(own, Sequence) or not own or not all(isinstance(word, str) and word for word in own):
        raise ConfigError(
            f"{engine}: program is {own!r}", hint="it must be a path, or a list of a path and its arguments"
        )
    words = list(own)
    return lambda: [*words, *arguments]


def aborted(code: int | None, said: str, environment: Mapping[str, str]) -> tuple[str, str] | None:
    """What SIGABRT means for a program that recognises speech: macOS ends it so, without a question, when the app that is
    responsible for it never declared that it recognises speech. A shell shows the same as status 134."""
    if code not in (-signal.SIGABRT, 128 + signal.SIGABRT):
        return None
    told = environment.get("TERM_PROGRAM", "")
    app = _TERMINALS.get(told, told) or "the app that started it"
    return (
        f"macOS ended its program (SIGABRT): {app} does not declare that it recognises speech "
        "(NSSpeechRecognitionUsageDescription in its Info.plist)" + (f"; it said: {said}" if said else ""),
        "start it from Terminal, iTerm2 or Ghostty, which declare it, or use another recogniser, for example moonshine",
    )
