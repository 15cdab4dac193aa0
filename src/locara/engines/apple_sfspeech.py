"""Apple's older recogniser, SFSpeechRecognizer (macOS 10.15 and later). The last choice: others understand better.

What may live here: this one. It runs in a sidecar (``swift/sfspeech.swift``) because macOS ends the process that uses it
with SIGABRT if its app never declared that it recognises speech; an editor's terminal is such an app. Recognition on this
Mac is required: without that, macOS may send sound to Apple. Experimental: nobody has run this on a Mac.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from locara.engines import apple_system, option_values
from locara.engines.contracts import EngineInfo, Recogniser
from locara.engines.sidecar_recogniser import SidecarRecogniser

MODELS = ("apple-sfspeech",)
NAME = "apple-sfspeech"
LEAST = (10, 15)

_OPTIONS = ("language", "deadline", "program")
_INSTEAD = "use a model that runs everywhere, for example moonshine-small-streaming (locara models list)"


def create(model: str, options: Mapping[str, Any]) -> Recogniser | None:
    """The recogniser, or None when ``model`` is none of `MODELS`.

    ``language``: a code, ``en-US``; ``deadline``: seconds to wait for a settled text; ``program``: another sidecar than
    ours. Raises ``ConfigError``, and ``EngineMissing`` where this is no Mac.
    """
    if model not in MODELS:
        return None
    option_values.known(NAME, options, _OPTIONS)
    language = option_values.language(NAME, options, "language", "en-US")
    deadline = option_values.number(NAME, options, "deadline", 10.0, 0.1, 600)
    command = apple_system.command(NAME, options, "sfspeech", ["--locale", language], stage="stt", model=model)
    if "program" not in options:
        apple_system.need_mac(LEAST, stage="stt", model=model, instead=_INSTEAD)
    return SidecarRecogniser(
        EngineInfo(
            engine=NAME,
            model=model,
            licence="part of macOS",
            where="child process",
            note="experimental: nobody has run it; turns of at most a minute",
        ),
        command,
        locale=language,
        deadline=deadline,
        explain=lambda code, said: apple_system.aborted(code, said, os.environ),
    )
