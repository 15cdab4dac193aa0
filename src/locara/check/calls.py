"""A call of Locara in an app, as far as its source tells: what both languages are read into, and what the rules look at.

What may live here: these values and the table of functions that are looked for; no reading of source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from locara.manifest.values import Task

Place = tuple[int, int]
"""Line and column, both from 1, the column in characters."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text that is known."""

    text: str
    at: Place


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping whose keys are known. ``complete``: there are no others."""

    items: Mapping[str, Value]
    at: Place
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Nothing:
    """None, null or undefined: as if it were left out."""

    at: Place


@dataclass(frozen=True, slots=True)
class Other:
    """A literal that is no text, mapping or None. ``value``: as the source has it."""

    value: object
    at: Place


@dataclass(frozen=True, slots=True)
class Made:
    """An object that is made here, of a class that is no device of the machine: a path, a file, pushed sound."""

    what: str
    at: Place


@dataclass(frozen=True, slots=True)
class Either:
    """One of several: both branches of a condition, each value that a name is given."""

    values: tuple[Value, ...]
    at: Place


@dataclass(frozen=True, slots=True)
class Unknown:
    """What the source does not tell; ``what`` it is instead."""

    what: str
    at: Place


Single = Text | Table | Nothing | Other | Made | Unknown
Value = Single | Either


def each(value: Value) -> tuple[Single, ...]:
    """The values it may be."""
    if not isinstance(value, Either):
        return (value,)
    return tuple(inner for one in value.values for inner in each(one))


@dataclass(frozen=True, slots=True)
class Call:
    """``function``: a name of `FUNCTIONS`. ``complete``: all keywords are in ``keywords``. ``names``: where each stands."""

    function: str
    at: Place
    positional: tuple[Value, ...] = ()
    keywords: Mapping[str, Value] = field(default_factory=dict)
    names: Mapping[str, Place] = field(default_factory=dict)
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Unfollowed:
    """Something that may be a call, and cannot be read as one. ``what`` and ``fix`` for a person."""

    at: Place
    what: str
    fix: str


@dataclass(frozen=True, slots=True)
class Fault:
    """A source that cannot be read."""

    at: Place
    what: str
    fix: str


@dataclass(frozen=True, slots=True)
class Function:
    """``positional`` and ``keywords``: its parameters. ``stages``: parameter -> the task of the model it names.
    ``input``, ``output``: the parameter that names a device, ``"default"`` where it is left out. ``lists``: it tells which
    outputs there are."""

    positional: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    stages: Mapping[str, Task] = field(default_factory=dict)
    input: str = ""
    output: str = ""
    lists: bool = False


_STT: Mapping[str, Task] = {"stt": "stt", "vad": "vad"}
_TTS: Mapping[str, Task] = {"tts": "tts"}
_LLM: Mapping[str, Task] = {"llm": "llm"}
_SESSION: Mapping[str, Task] = {
    "stt": "stt",
    "llm": "llm",
    "tts": "tts",
    "omni": "omni",
    "vad": "vad",
    "turn_detection": "turn",
}

EVERYWHERE = ("manifest", "offline")
"""Keywords of permission, which every function may have."""

FUNCTIONS: Mapping[str, Function] = {
    "voice.session": Function(
        keywords=(
            *_SESSION, "tools", "input", "output", "patience", "attention", "idle", "idle_prompt", "not_understood",
            "echo", "noise_suppression", "gain_control", "deadlines", "end_with_input", "language", "recommended",
        ),
        stages=_SESSION,
        input="input",
        output="output",
    ),
    "transcribe.from_file": Function(("path",), ("stt", "vad"), _STT),
    "transcribe.stream": Function(("sound", "sample_rate"), ("stt", "vad"), _STT),
    "transcribe.transcriber": Function((), ("stt", "vad", "deadlines"), _STT),
    "speech.synthesize": Function(("text",), ("tts", "sample_rate"), _TTS),
    "speech.stream": Function(("text",), ("tts", "sample_rate"), _TTS),
    "speech.say": Function(("text",), ("tts", "output"), _TTS, output="output"),
    "speech.speaker": Function((), ("tts", "deadlines"), _TTS),
    "speech.Speaker.say": Function(("text",), ("output", "grant"), output="output"),
    "llm.chat": Function(("messages",), ("llm", "system", "tools"), _LLM),
    "llm.chat_stream": Function(("messages",), ("llm", "system", "tools"), _LLM),
    "llm.chatter": Function((), ("llm", "deadlines"), _LLM),
    "devices.list_devices": Function(lists=True),
    "devices.microphone": Function(("device",), input="device"),
    "devices.speaker": Function(("device",), output="device"),
}  # fmt: skip

INNER = {
    "voice": "building",
    "transcribe": "transcribing",
    "speech": "speaking",
    "llm": "chatting",
    "devices": "listing",
}
"""Package -> the module in which its functions are written: they may be imported from there too."""


def public(dotted: str) -> str:
    """The name in `FUNCTIONS` of what ``locara.`` and more names is, or an empty text."""
    package, _, rest = dotted.removeprefix("locara.").partition(".")
    if not dotted.startswith("locara.") or package not in INNER:
        return ""
    name = f"{package}.{rest.removeprefix(INNER[package] + '.')}"
    return name if name in FUNCTIONS else ""
