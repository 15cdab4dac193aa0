"""What the word ``native`` means on a system: pure rules, from what is there to an engine, or to why there is none.

What may live here: the rules, and nothing that looks at the machine (`native` does). The facts behind them are in
`docs/native.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NativeKind = Literal["vad", "stt", "llm", "tts"]

Part = Literal["swift", "winrt", "espeak-ng"]
"""What an engine needs beside the system: a Swift compiler, the packages of the extra ``windows``, the program."""


@dataclass(frozen=True, slots=True)
class System:
    """``platform`` as in ``sys.platform``; ``version`` as the system counts it (macOS 26.1 is ``(26, 1)``); ``parts``: what
    is there of that which an engine needs; ``install``: the command that installs the program espeak-ng."""

    platform: str
    version: tuple[int, ...] = ()
    parts: frozenset[Part] = frozenset()
    install: str = "sudo apt-get install espeak-ng"


@dataclass(frozen=True, slots=True)
class Chosen:
    """An engine's model name, and why it was taken."""

    model: str
    why: str


@dataclass(frozen=True, slots=True)
class Refused:
    """There is none: what is missing, and what to do."""

    why: str
    hint: str


_ELSEWHERE: dict[NativeKind, str] = {
    "vad": "use silero, which is the default",
    "stt": "use a model that runs everywhere, for example moonshine-small-streaming (locara models list)",
    "llm": "use a local server or a GGUF model (locara models list), or auto",
    "tts": "use a voice that runs everywhere, for example kokoro-82m (locara models list), or the embedded espeak-ng",
}
_SPEECH_ANALYZER = (26,)  # macOS 26: DictationTranscriber, the first that streams and understands well
_SWIFT = "xcode-select --install"
_WINDOWS = 'pip install "locara[windows]"'


def choose(kind: NativeKind, system: System) -> Chosen | Refused:
    """The engine that the system brings for this stage."""
    if kind == "vad":
        return Refused(
            "no system has a voice activity detector of its own that can be used: Apple's SpeechDetector only works inside "
            "Apple's transcribers and gives no probability, Windows and Linux have none",
            _ELSEWHERE[kind],
        )
    if kind == "llm":
        return Refused(
            "no system has a language model of its own that can be used: Apple's cannot be reached without Xcode",
            _ELSEWHERE[kind],
        )
    match system.platform:
        case "darwin":
            return _mac(kind, system)
        case "win32":
            return _windows(kind, system)
        case "linux":
            return _linux(kind, system)
        case _:
            return Refused(f"nothing is known of what {system.platform} brings", _ELSEWHERE[kind])


def _mac(kind: NativeKind, system: System) -> Chosen | Refused:
    name = "macOS " + ".".join(map(str, system.version[:2])) if system.version else "macOS"
    if kind == "stt" and system.version < _SPEECH_ANALYZER:
        return Refused(
            f"{name} has no recogniser that is good enough for a conversation: DictationTranscriber came with macOS 26",
            _ELSEWHERE[kind] + "; apple-sfspeech is the older one, by its own name",
        )
    if "swift" not in system.parts:
        return Refused(
            f"the speech of {name} is reached by a program that is compiled here, and there is no Swift", _SWIFT
        )
    if kind == "stt":
        return Chosen("apple-dictation", f"{name} has DictationTranscriber, which streams")
    return Chosen("apple-avspeech", f"{name} has AVSpeechSynthesizer")


def _windows(kind: NativeKind, system: System) -> Chosen | Refused:
    if kind == "stt":
        return Refused(
            "the recogniser of Windows is only for apps with a package identity, which a Python program has not",
            _ELSEWHERE[kind],
        )
    if "winrt" not in system.parts:
        return Refused("the voices of Windows are reached by packages that are not installed", _WINDOWS)
    return Chosen("windows-tts", "Windows has its OneCore voices")


def _linux(kind: NativeKind, system: System) -> Chosen | Refused:
    if kind == "stt":
        return Refused("Linux brings no recogniser", _ELSEWHERE[kind])
    if "espeak-ng" not in system.parts:
        return Refused("the program espeak-ng, the usual voice of Linux, is not installed", system.install)
    return Chosen("espeak-ng-program", "the program espeak-ng is installed")
