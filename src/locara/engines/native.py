"""``native``: what the operating system brings for a stage, looked up when the engine is made.

What may live here: the look at the machine, and the way from a rule's answer (`native_choice`) to an engine. All options go
to the engine that was chosen; the plan says which that is, and why.
"""

from __future__ import annotations

import contextlib
import importlib.util
import platform
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from locara.engines import apple_avspeech, apple_speech, apple_system, espeak_program, windows_tts
from locara.engines.contracts import Recogniser, Voice
from locara.engines.native_choice import Chosen, NativeKind, Part, System, choose
from locara.errors import EngineMissing

MODELS = ("native",)

_VOICES: tuple[tuple[tuple[str, ...], Callable[..., Voice | None]], ...] = (
    (apple_avspeech.MODELS, apple_avspeech.create),
    (windows_tts.MODELS, windows_tts.create),
    (espeak_program.MODELS, espeak_program.create),
)


def create_stt(model: str, options: Mapping[str, Any]) -> Recogniser | None:
    """The system's recogniser, or None for another name than ``native``. Raises ``EngineMissing`` where there is none."""
    if model not in MODELS:
        return None
    chosen = _chosen("stt", options)
    return apple_speech.create(chosen.model, options, why=chosen.why)


def create_tts(model: str, options: Mapping[str, Any]) -> Voice | None:
    """The system's voice, or None for another name than ``native``. Raises ``EngineMissing`` where there is none."""
    if model not in MODELS:
        return None
    chosen = _chosen("tts", options)
    for names, create in _VOICES:
        if chosen.model in names:
            return create(chosen.model, options, why=chosen.why)
    raise AssertionError(chosen.model)  # the rules name engines that are here


def create_vad(model: str, _options: Mapping[str, Any]) -> None:
    """No system has one: raises ``EngineMissing`` for ``native``, and gives None for every other name."""
    if model in MODELS:
        _chosen("vad", {})


def create_llm(model: str, _options: Mapping[str, Any]) -> None:
    """No system has one that can be used: raises ``EngineMissing`` for ``native``, and gives None for every other name."""
    if model in MODELS:
        _chosen("llm", {})


def here(options: Mapping[str, Any]) -> System:
    """This machine. An engine whose ``program`` was given needs no compiler and no installed program."""
    parts: set[Part] = set()
    version: tuple[int, ...] = ()
    if sys.platform == "darwin":
        version = apple_system.mac_version()
        if (shutil.which("xcrun") is not None and _developer_folder()) or "program" in options:
            parts.add("swift")
    elif sys.platform == "win32":
        version = tuple(int(part) for part in re.findall(r"\d+", platform.version()))
        with contextlib.suppress(ImportError, ValueError):
            if importlib.util.find_spec("winrt.windows.media.speechsynthesis") is not None:
                parts.add("winrt")
    if espeak_program.find() is not None or "program" in options:
        parts.add("espeak-ng")
    told = ""
    with contextlib.suppress(OSError):
        told = Path("/etc/os-release").read_text(encoding="utf-8", errors="replace")
    return System(
        "linux" if sys.platform.startswith("linux") else sys.platform,
        version,
        frozenset(parts),
        espeak_program.install_command(sys.platform, told),
    )


def _developer_folder() -> bool:
    """Whether Command Line Tools or Xcode are there, without asking ``xcrun``, which opens a window where they are not."""
    return Path("/Library/Developer/CommandLineTools/usr/bin/swiftc").exists() or any(
        Path("/Applications").glob("Xcode*.app")
    )


def _chosen(kind: NativeKind, options: Mapping[str, Any]) -> Chosen:
    answer = choose(kind, here(options))
    if isinstance(answer, Chosen):
        return answer
    raise EngineMissing(f"{kind}: native: {answer.why}", stage=kind, model="native", hint=answer.hint)
