"""What the engines of macOS have in common: which macOS this is, how a sidecar is started, what its death may mean.

What may live here: facts about the system, as plain functions.
"""

from __future__ import annotations

import os
import platform
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from locara.engines import swift_program
from locara.errors import ConfigError, EngineMissing

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
        raise EngineMissing(
            f"{stage}: {model} is part of macOS, and this is none", stage=stage, model=model, hint=instead
        )
    if version < least:
        here = ".".join(map(str, version))
        raise EngineMissing(
            f"{stage}: {model} needs {name}, and this is macOS {here}", stage=stage, model=model, hint=instead
        )


def command(
    engine: str,
    options: Mapping[str, Any],
    name: str,
    arguments: Sequence[str],
    *,
    stage: str,
    model: str,
    sdk: int = 0,
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
