"""Apple's voices, through AVSpeechSynthesizer: at once, without any download, with word times from macOS 13 on.

What may live here: this one voice. It runs in a sidecar (``swift/avspeech.swift``), which hands us the sound instead of
playing it, so that it goes through the gate like any other. Siri's voices are not available to apps. A Personal Voice,
which a person has made of their own, is only used after they agreed. Experimental: nobody has run this on a Mac.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from locara.engines import apple_system, option_values
from locara.engines.contracts import EngineInfo, Voice
from locara.engines.sidecar_voice import SidecarVoice
from locara.errors import ConfigError

MODELS = ("apple-avspeech",)
"""And ``apple-avspeech:VOICE``, for example ``apple-avspeech:Samantha``."""
NAME = "apple-avspeech"
LEAST = (10, 15)

_OPTIONS = ("voice", "language", "rate", "pitch", "personal", "deadline", "program")
_VOICE_LENGTH = 200  # characters; identifiers have about 60
_INSTEAD = "use a voice that runs everywhere, for example kokoro-82m (locara models list)"


def create(model: str, options: Mapping[str, Any], *, why: str = "") -> Voice | None:
    """The voice, or None when ``model`` is not ours.

    ``voice``: a name or an identifier; ``language``: a code, if no voice is named (else the system's own); ``rate``: 0 to 1,
    0.5 is usual; ``pitch``: 0.5 to 2; ``personal``: the user's own Personal Voice, macOS asks them; ``deadline``: seconds to
    wait for the next sound; ``program``: another sidecar than ours. Raises ``ConfigError``, and ``EngineMissing`` where this
    is no Mac.
    """
    name, _, named = model.partition(":")
    if name not in MODELS:
        return None
    option_values.known(NAME, options, _OPTIONS)
    voice = options.get("voice", named)
    if not isinstance(voice, str) or len(voice) > _VOICE_LENGTH or voice.startswith("-") or "\0" in voice:
        raise ConfigError(f"{NAME}: voice is {voice!r}", hint="it must be the name of a voice, for example Samantha")
    if named and voice != named:
        raise ConfigError(f"two voices: {named!r} and {voice!r}", hint="name the voice once")
    language = option_values.language(NAME, options, "language", "")
    rate = option_values.number(NAME, options, "rate", 0.5, 0.0, 1.0)
    pitch = option_values.number(NAME, options, "pitch", 1.0, 0.5, 2.0)
    deadline = option_values.number(NAME, options, "deadline", 10.0, 0.1, 600)
    arguments = ["--rate", f"{rate:g}", "--pitch", f"{pitch:g}"]
    arguments += ["--voice", voice] if voice else []
    arguments += ["--language", language] if language else []
    arguments += ["--personal"] if option_values.flag(NAME, options, "personal") else []
    command = apple_system.command(NAME, options, "avspeech", arguments, stage="tts", model=model)
    if "program" not in options:
        apple_system.need_mac(LEAST, stage="tts", model=model, instead=_INSTEAD)
    return SidecarVoice(
        EngineInfo(
            engine=NAME,
            model=model,
            licence="part of macOS",
            where="child process",
            note="experimental: nobody has run it",
            why=why,
        ),
        command,
        language=language,
        deadline=deadline,
    )
