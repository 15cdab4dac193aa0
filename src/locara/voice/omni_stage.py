"""What ``omni=`` says beside the engine's own options: how its session is to be, and what speaks if it cannot be had. Pure.

What may live here: this reading, and the errors for what cannot be meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from locara.engines.backend import BackendSettings
from locara.engines.contracts import Kind, Tool
from locara.errors import ConfigError

PIPELINE: tuple[Kind, ...] = ("stt", "llm", "tts")


@dataclass(frozen=True, slots=True)
class OmniStage:
    """``stage``: what is left for the engine. ``fallback``: stages of the pipeline that takes over; None: none does."""

    stage: Any
    settings: BackendSettings
    fallback: Mapping[str, Any] | None = None


def of_session(omni: Any, tools: tuple[Tool, ...]) -> OmniStage:
    """``omni`` as it was given to ``voice.session``. Raises ``ConfigError``."""
    if not isinstance(omni, Mapping):
        return OmniStage(omni, BackendSettings(tools=tools))
    options = dict(omni)
    told: dict[str, str] = {}
    for name in ("instructions", "system", "voice"):
        value = options.pop(name, None)
        if value is not None and not isinstance(value, str):
            raise ConfigError(f'omni={{"{name}": {value!r}}} is no text', hint=f"give {name} as a string")
        told[name] = value or ""
    if told["instructions"] and told["system"]:
        raise ConfigError("omni: instructions and system mean the same", hint="give one of them")
    fallback = _fallback(options.pop("fallback", False))
    instructions = told["instructions"] or told["system"]
    return OmniStage(options, BackendSettings(instructions, told["voice"], tools), fallback)


def _fallback(wanted: Any) -> Mapping[str, Any] | None:
    if wanted is False or wanted is None:
        return None
    if wanted is True:
        return {}
    if isinstance(wanted, Mapping) and set(wanted) <= set(PIPELINE):
        return dict(wanted)
    raise ConfigError(
        f'omni={{"fallback": {wanted!r}}}: what takes over cannot be this',
        hint='use True for the pipeline that runs best here, or {"stt": ..., "llm": ..., "tts": ...}',
    )
