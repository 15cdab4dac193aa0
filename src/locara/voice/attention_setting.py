"""The setting ``attention`` of ``voice.session``: what it may be, and what is wrong with what it is.

What may live here: from the setting to a mode, an engine and its seconds. What follows from them is decided in `attending`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from locara.engines import registry
from locara.engines.contracts import WakeWord
from locara.errors import ConfigError
from locara.voice.attention import FOLLOW_UP_SECONDS, MODES, Mode

OPTIONS = ("mode", "word", "engine", "threshold", "follow_up")
_EXAMPLE = 'for example attention={"mode": "wake-word", "word": "hey jarvis"}'

Setting = Mode | Mapping[str, Any]
"""A mode, or ``{"mode": ..., "word": ..., "engine": ..., "threshold": ..., "follow_up": seconds}``."""


@dataclass(frozen=True, slots=True)
class Attending:
    """The setting, understood."""

    mode: Mode = "open"
    wake: WakeWord | None = None
    follow_up: float = FOLLOW_UP_SECONDS
    idle: float | None = None
    idle_prompt: str = ""
    why: str = ""


def understood(attention: Setting, idle: float | None, idle_prompt: str | None) -> Attending:
    """Raises ``ConfigError`` for what cannot be, ``EngineMissing`` for a word that no installed engine knows."""
    options = {"mode": attention} if isinstance(attention, str) else attention
    if not isinstance(options, Mapping):
        raise ConfigError(f"attention={attention!r} is neither a mode nor a mapping", hint=_modes())
    for name in options:
        if name not in OPTIONS:
            near = difflib.get_close_matches(str(name), OPTIONS, n=1)
            guess = f"did you mean {near[0]!r}? " if near else ""
            raise ConfigError(f"attention has no option {name!r}", hint=f"{guess}It knows {', '.join(OPTIONS)}")
    mode = options.get("mode")
    if mode not in MODES:
        raise ConfigError(f"attention: mode {mode!r} is not known" if mode else "attention: no mode", hint=_modes())
    if mode != "wake-word" and len(options) > 1:
        others = ", ".join(name for name in options if name != "mode")
        raise ConfigError(f"attention: {others} belongs to the mode wake-word, not to {mode}", hint=_EXAMPLE)
    follow_up = _seconds("follow_up", options.get("follow_up", FOLLOW_UP_SECONDS))
    if idle is not None:
        idle = _seconds("idle", idle)
        if mode == "wake-word" and idle >= follow_up:
            raise ConfigError(
                f"idle={idle:g}: with a wake word the session attends for only {follow_up:g} s after an exchange, so this "
                "never comes",
                hint="choose a smaller idle or a larger follow_up",
            )
    elif idle_prompt:
        raise ConfigError("idle_prompt is never said without idle", hint="give idle=30, in seconds")
    wake, why = _engine(options) if mode == "wake-word" else (None, "")
    return Attending(mode, wake, follow_up, idle, idle_prompt or "", why)


def _engine(options: Mapping[str, Any]) -> tuple[WakeWord, str]:
    word, engine = options.get("word", ""), options.get("engine")
    passed = {name: options[name] for name in ("threshold",) if name in options}
    if not isinstance(word, str):
        raise ConfigError(f"attention: word {word!r} is no text", hint=_EXAMPLE)
    if engine is None or isinstance(engine, str):
        if engine is not None:
            passed["engine"] = engine
        made = registry.create("wake", word.strip(), passed)
        return cast(WakeWord, made), "asked for by name" if word else "the default of this stage"
    if not all(hasattr(engine, name) for name in ("load", "info", "probability", "window", "word")):
        raise ConfigError(
            f"attention: engine {engine!r} is no wake-word engine",
            hint="give an engine's name, or an object that keeps locara.engines.contracts.WakeWord",
        )
    if word or passed:
        raise ConfigError("attention: an engine object brings its own word and threshold", hint="leave both out")
    return cast(WakeWord, engine), "given by the app"


def _seconds(name: str, value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:
        raise ConfigError(f"{name}={value!r} is no time", hint="give seconds, above 0")
    return float(value)


def _modes() -> str:
    return f"use {', '.join(map(repr, MODES))}; {_EXAMPLE}"
