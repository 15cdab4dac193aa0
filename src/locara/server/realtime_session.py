"""The Realtime protocol's session object: defaults, the deep merge of ``session.update``, and what it means for us. Pure.

What may live here: the object as JSON, its rules, and the way from it to the settings of a `locara.voice` session.

The merge: present fields replace, objects merge, ``null`` turns off, ``""`` and ``[]`` clear. The objects that say their
``type`` (turn detection, formats) do not inherit from another type's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from locara.server.realtime_session_fields import (
    FORMATS,
    NULLABLE,
    TOOL_NAME,
    TURN_DETECTION,
    a_format,
    check,
    refuse,
)
from locara.server.realtime_wire import JSON
from locara.voice.endings import Patience

MOST_CHARACTERS = 500_000
"""Of the object as JSON, with fields that we do not know: the longest instructions, and 128 functions of 3,000 each."""

EAGERNESS = {"low": "patient", "medium": "normal", "auto": "normal", "high": "quick"}
"""Semantic turn detection: theirs -> our patience. Theirs wait at most 8, 4 and 2 s; ours 4, 2.5 and 1.6."""


def fresh(*, id_: str, model: str, voice: str, instructions: str, transcription: bool = False) -> JSON:
    """The object as a new connection has it."""
    audio_input: JSON = {
        "format": dict(FORMATS["audio/pcm"]),
        "transcription": {"model": "locara"} if transcription else None,
        "noise_reduction": None,
        "turn_detection": dict(TURN_DETECTION["server_vad"]),
    }
    head: JSON = {"id": id_, "object": "realtime.session", "type": "realtime"}
    if transcription:
        return {
            **head,
            "object": "realtime.transcription_session",
            "type": "transcription",
            "audio": {"input": audio_input},
            "include": None,
        }
    return {
        **head,
        "model": model,
        "output_modalities": ["audio"],
        "instructions": instructions,
        "audio": {
            "input": audio_input,
            "output": {"format": dict(FORMATS["audio/pcm"]), "voice": voice, "speed": 1.0},
        },
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "truncation": "auto",
        "tracing": None,
        "prompt": None,
        "include": None,
    }


def updated(session: JSON, change: Mapping[str, Any], *, spoken: bool = False) -> JSON:
    """The object after ``session.update``. ``spoken``: the assistant has spoken already, so its voice stands. Raises
    `Invalid`; nothing has changed then."""
    kind = change.get("type", session["type"])
    if kind != session["type"]:
        raise refuse("type", f"this is a session of type {session['type']}, which cannot change")
    merged: JSON = _merged(session, change, "session")
    merged["id"], merged["object"] = session["id"], session["object"]
    if len(json.dumps(merged)) > MOST_CHARACTERS:  # it is sent back whole at every change
        raise refuse("session", f"all of it has more than {MOST_CHARACTERS} characters", "string_above_max_length")
    check(merged)
    if spoken and _voice(merged) != _voice(session):
        raise refuse("audio.output.voice", "the voice cannot change any more: it was heard", "cannot_update_voice")
    return merged


def _voice(session: JSON) -> Any:
    return session["audio"].get("output", {}).get("voice")


def _merged(old: Any, new: Mapping[str, Any], where: str) -> JSON:
    out: JSON = dict(old) if isinstance(old, Mapping) else {}
    for name, value in new.items():
        path = f"{where}.{name}"
        if path in ("session.audio.input.format", "session.audio.output.format"):
            out[name] = a_format(value, path)
        elif path == "session.audio.input.turn_detection" and isinstance(value, Mapping):
            out[name] = _turn_detection(out.get(name), value)
        elif isinstance(value, Mapping) and path not in ("session.tool_choice", "session.audio.output.voice"):
            out[name] = _merged(out.get(name), value, path)
        elif value is None and path not in NULLABLE:
            continue  # null means "as it is": clients write every field that they do not set
        else:
            out[name] = value
    return out


def _turn_detection(old: Any, new: Mapping[str, Any]) -> JSON:
    kind = new.get("type", old["type"] if isinstance(old, Mapping) else None)
    if kind not in TURN_DETECTION:
        raise refuse("audio.input.turn_detection.type", f"it is {' or '.join(TURN_DETECTION)}, or all of it null")
    before = old if isinstance(old, Mapping) and old.get("type") == kind else TURN_DETECTION[kind]
    given = {name: value for name, value in new.items() if value is not None or name == "idle_timeout_ms"}
    return {**before, **given}


@dataclass(frozen=True, slots=True)
class Meant:
    """What the object means for a `locara.voice` session: the arguments of ``Session.configure``, and of ours."""

    patience: str | Patience
    attention: str
    answers: str
    interruptible: bool
    system: str
    tools: tuple[JSON, ...]
    speaks: bool

    @property
    def manual(self) -> bool:
        """The client says where turns end."""
        return self.attention == "push-to-talk"


def meant(session: JSON) -> Meant:
    """See `Meant`."""
    detection = session["audio"]["input"]["turn_detection"]
    patience: str | Patience = "normal"
    if detection is not None and detection["type"] == "server_vad":
        silence = detection["silence_duration_ms"] / 1000
        patience = Patience(even=silence, least=silence, last=silence)
    elif detection is not None:
        patience = EAGERNESS[detection["eagerness"]]
    answered = session["type"] == "realtime" and detection is not None and detection["create_response"]
    return Meant(
        patience=patience,
        attention="push-to-talk" if detection is None else "open",
        answers="auto" if answered else "asked",
        interruptible=detection is not None and detection["interrupt_response"],
        system=session.get("instructions", ""),
        tools=tools(session),
        speaks=session.get("output_modalities", ["text"]) == ["audio"],
    )


def tools(session: Mapping[str, Any]) -> tuple[JSON, ...]:
    """The functions that the model may call, as ``tool_choice`` says. That it *must* call one cannot be promised: with
    ``required`` it has them all, with one named it has that one."""
    given, choice = tuple(session.get("tools") or ()), session.get("tool_choice")
    if choice == "none":
        return ()
    if isinstance(choice, Mapping):
        return tuple(tool for tool in given if tool[TOOL_NAME] == choice[TOOL_NAME])
    return given


def transcribes(session: JSON) -> bool:
    """Whether the client wants to know what the user said."""
    return session["type"] == "transcription" or session["audio"]["input"]["transcription"] is not None


def input_format(session: JSON) -> str:
    """``audio/pcm``, ``audio/pcmu`` or ``audio/pcma``."""
    return str(session["audio"]["input"]["format"]["type"])


def output_format(session: JSON) -> str:
    """The same for what is sent."""
    return str(session["audio"].get("output", {"format": FORMATS["audio/pcm"]})["format"]["type"])
