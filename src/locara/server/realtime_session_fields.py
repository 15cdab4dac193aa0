"""The fields of the Realtime session object that we understand, and what each may be. Pure.

What may live here: defaults, bounds and checks of single fields. Fields that are not named here are echoed as they came.
Names of models and voices are never checked: stock clients send OpenAI's, and our own are used in their place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from locara.server.realtime_wire import JSON, Invalid

FORMATS: dict[str, JSON] = {
    "audio/pcm": {"type": "audio/pcm", "rate": 24_000},
    "audio/pcmu": {"type": "audio/pcmu"},
    "audio/pcma": {"type": "audio/pcma"},
}
_BETA_FORMATS = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}

TURN_DETECTION: dict[str, JSON] = {
    "server_vad": {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 500,
        "idle_timeout_ms": None,
        "create_response": True,
        "interrupt_response": True,
    },
    "semantic_vad": {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    },
}
"""Type -> its defaults, as OpenAI documents them."""

NULLABLE = frozenset(
    f"session.{name}"
    for name in (
        "audio.input.turn_detection", "audio.input.noise_reduction", "audio.input.transcription", "tracing", "prompt",
        "include",
    )
)  # fmt: skip
"""What ``null`` turns off. Elsewhere ``null`` is the same as leaving it out."""

TOOL_NAME = "name"

MOST_TOOLS = 128
MOST_INSTRUCTIONS = 100_000
"""Characters."""
MOST_TOKENS = 4_096

LEAST_SILENCE_MS = 20
"""A block: nothing is decided in less."""
MOST_SILENCE_MS = 20_000


def refuse(param: str, message: str, code: str = "invalid_value") -> Invalid:
    """The error for a field of the session."""
    return Invalid(f"Invalid 'session.{param}': {message}.", code=code, param=f"session.{param}")


def a_format(value: Any, where: str) -> JSON:
    """A format in full. The Beta's names are understood, and answered by the GA's."""
    kind = (
        value.get("type")
        if isinstance(value, Mapping)
        else _BETA_FORMATS.get(value)
        if isinstance(value, str)
        else None
    )
    if not isinstance(kind, str) or kind not in FORMATS:
        raise refuse(where.removeprefix("session."), f"its type is one of {', '.join(FORMATS)}")
    if isinstance(value, Mapping) and kind == "audio/pcm" and value.get("rate") not in (None, 24_000):
        raise refuse(f"{where.removeprefix('session.')}.rate", "it is 24000")
    return dict(FORMATS[kind])


def check(session: JSON) -> None:
    """Raises `Invalid` for the first field that cannot be."""
    if not isinstance(session["audio"], Mapping) or not isinstance(session["audio"].get("input"), Mapping):
        raise refuse("audio.input", "it is an object", "invalid_type")
    _check_input(session["audio"]["input"])
    if session["type"] == "realtime":
        if not isinstance(session["audio"].get("output"), Mapping):
            raise refuse("audio.output", "it is an object", "invalid_type")
        _check_output(session["audio"]["output"])
        check_making(session, "")


def check_making(settings: Mapping[str, Any], prefix: str) -> None:
    """The fields that a session and a single response have in common."""
    modalities = settings.get("output_modalities")
    if modalities not in (None, ["audio"], ["text"]):
        raise refuse(f"{prefix}output_modalities", '["audio"] or ["text"], one of them')
    instructions = settings.get("instructions")
    if instructions is not None and not isinstance(instructions, str):
        raise refuse(f"{prefix}instructions", "it is a string", "invalid_type")
    if instructions is not None and len(instructions) > MOST_INSTRUCTIONS:
        raise refuse(f"{prefix}instructions", f"at most {MOST_INSTRUCTIONS} characters", "string_above_max_length")
    most = settings.get("max_output_tokens")
    if most not in (None, "inf") and not (_whole(most) and 1 <= most <= MOST_TOKENS):
        raise refuse(f"{prefix}max_output_tokens", f'1 to {MOST_TOKENS}, or "inf"')
    _check_tools(settings.get("tools"), settings.get("tool_choice"), prefix)


def _check_tools(tools: Any, choice: Any, prefix: str) -> None:
    if tools is not None and not (isinstance(tools, list) and len(tools) <= MOST_TOOLS):
        raise refuse(f"{prefix}tools", f"a list of at most {MOST_TOOLS} functions", "invalid_type")
    names = set()
    for number, tool in enumerate(tools or ()):
        where = f"{prefix}tools[{number}]"
        if not isinstance(tool, Mapping) or tool.get("type", "function") != "function":
            raise refuse(where, "only functions can be called: tools of type mcp are not served", "unsupported_tool")
        name = tool.get(TOOL_NAME)
        if not isinstance(name, str) or not 0 < len(name) <= 64 or name in names:
            raise refuse(f"{where}.name", "a name of its own, of 1 to 64 characters")
        names.add(name)
        if not isinstance(tool.get("description") or "", str):
            raise refuse(f"{where}.description", "a string", "invalid_type")
        if not isinstance(tool.get("parameters") or {}, Mapping):
            raise refuse(f"{where}.parameters", "a JSON schema", "invalid_type")
    if isinstance(choice, Mapping):
        named = choice.get(TOOL_NAME)
        if not isinstance(named, str) or (tools is not None and named not in names):
            raise refuse(f"{prefix}tool_choice", "it names a function that is not among the tools")
    elif choice not in (None, "auto", "none", "required"):
        raise refuse(f"{prefix}tool_choice", 'auto, none, required or {"type": "function", "name": ...}')


def _check_input(audio: Mapping[str, Any]) -> None:
    for name in ("transcription", "noise_reduction", "turn_detection"):
        if audio[name] is not None and not isinstance(audio[name], Mapping):
            raise refuse(f"audio.input.{name}", "an object or null", "invalid_type")
    detection = audio["turn_detection"]
    if detection is None:
        return
    where = "audio.input.turn_detection"
    for name in ("create_response", "interrupt_response"):
        if not isinstance(detection[name], bool):
            raise refuse(f"{where}.{name}", "true or false", "invalid_type")
    if detection["type"] == "semantic_vad":
        if detection["eagerness"] not in ("low", "medium", "high", "auto"):
            raise refuse(f"{where}.eagerness", "low, medium, high or auto")
        return
    _between(detection["threshold"], 0.0, 1.0, f"{where}.threshold")
    _between(detection["prefix_padding_ms"], 0, 5_000, f"{where}.prefix_padding_ms")
    _between(detection["silence_duration_ms"], LEAST_SILENCE_MS, MOST_SILENCE_MS, f"{where}.silence_duration_ms")
    if detection["idle_timeout_ms"] is not None:
        _between(detection["idle_timeout_ms"], 1_000, 600_000, f"{where}.idle_timeout_ms")


def _check_output(audio: Mapping[str, Any]) -> None:
    voice = audio["voice"]
    named = voice.get("id") if isinstance(voice, Mapping) else voice
    if not isinstance(named, str) or len(named) > 256:
        raise refuse("audio.output.voice", 'a name, or {"id": ...}', "invalid_type")
    _between(audio["speed"], 0.25, 1.5, "audio.output.speed")


def _between(value: Any, low: float, high: float, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refuse(where, "a number", "invalid_type")
    if not low <= value <= high:
        code = "decimal_below_min_value" if value < low else "decimal_above_max_value"
        raise refuse(where, f"{low} to {high}", code)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
