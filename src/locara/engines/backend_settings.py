"""The settings of one session against what a backend can do: what it cannot keep is refused before anything is begun.

What may live here: this comparison. A backend may call it in its ``start_session``; the session calls it in any case.
"""

from __future__ import annotations

import difflib

from locara.engines.backend import BackendCapabilities, BackendSettings
from locara.errors import ConfigError


def demand(model: str, can: BackendCapabilities, settings: BackendSettings) -> None:
    """Raises ``ConfigError`` for the first setting that ``model``, which is loaded, cannot keep."""
    if settings.instructions and can.instructions == "none":
        raise ConfigError(
            f"omni: {model} cannot be told what it is: it takes no instructions", hint="leave instructions= out"
        )
    if settings.voice and not can.voices:
        raise ConfigError(f"omni: {model} has one voice only", hint="leave voice= out")
    if settings.voice and settings.voice not in can.voices:
        near = difflib.get_close_matches(settings.voice, can.voices, n=1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(
            f"omni: {model} has no voice {settings.voice!r}", hint=f"{meant}It has {', '.join(can.voices)}"
        )
    if settings.tools and not can.tools:
        raise ConfigError(
            f"omni: {model} cannot use tools", hint="leave tools= out, or use a pipeline with stt=, llm=, tts="
        )
