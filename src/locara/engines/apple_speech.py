"""Apple's recognisers of macOS 26: DictationTranscriber, which streams, and SpeechTranscriber, which is for long speech.

What may live here: these two. Swift alone can reach them, so they run in a sidecar (``swift/analyzer.swift``). The models
belong to macOS and are shared by all apps; sound never leaves the Mac. Experimental: nobody has run this on a Mac.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from locara.engines import apple_system, option_values
from locara.engines.contracts import EngineInfo, Recogniser
from locara.engines.sidecar_recogniser import SidecarRecogniser

MODELS = ("apple-dictation", "apple-speech-analyzer")
NAME = "apple-speech"
LEAST = (26,)
"""The macOS that has SpeechAnalyzer."""

_OPTIONS = ("language", "install", "deadline", "program")
_INSTEAD = "use a model that runs everywhere, for example moonshine-small-streaming (locara models list)"


def create(model: str, options: Mapping[str, Any], *, why: str = "") -> Recogniser | None:
    """The recogniser, or None when ``model`` is none of `MODELS`.

    ``language``: a code, ``en-US``; ``install``: let macOS download its model for the language; ``deadline``: seconds to
    wait for a settled text; ``program``: another sidecar than ours. Raises ``ConfigError``, and ``EngineMissing`` where
    this is no Mac or one before macOS 26.
    """
    if model not in MODELS:
        return None
    option_values.known(NAME, options, _OPTIONS)
    language = option_values.language(NAME, options, "language", "en-US")
    deadline = option_values.number(NAME, options, "deadline", 10.0, 0.1, 600)
    kind = "dictation" if model == "apple-dictation" else "transcriber"
    arguments = ["--model", kind, "--locale", language]
    if option_values.flag(NAME, options, "install"):
        arguments.append("--install")
    command = apple_system.command(NAME, options, "analyzer", arguments, stage="stt", model=model, sdk=LEAST[0])
    if "program" not in options:
        apple_system.need_mac(LEAST, stage="stt", model=model, instead=_INSTEAD)
    return SidecarRecogniser(
        EngineInfo(
            engine=NAME,
            model=model,
            licence="part of macOS",
            device="Apple Neural Engine",
            where="child process",
            note="experimental: nobody has run it",
            why=why,
        ),
        command,
        locale=language,
        deadline=deadline,
    )
