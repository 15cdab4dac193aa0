"""What each side said: for the assistant, what was *heard*. And the same as messages for a language model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from locara.engines.contracts import Message, ToolCall

INTERRUPTED = " [The user interrupted here. The rest was never heard.]"
"""Told to the model, so that it neither repeats what was heard nor refers to what was not."""


@dataclass(frozen=True, slots=True)
class Said:
    """One side's words in one turn. ``interrupted``: the assistant was cut off there; ``unheard`` never left the
    speaker."""

    turn: int
    role: Literal["user", "assistant"]
    text: str
    interrupted: bool = False
    unheard: str = ""


@dataclass(frozen=True, slots=True)
class Used:
    """A tool was called in this turn."""

    turn: int
    call: ToolCall
    result: Any


def as_messages(history: list[Said | Used]) -> list[Message]:
    """The conversation so far as chat messages, in the order in which it happened."""
    messages: list[Message] = []
    for entry in history:
        if isinstance(entry, Used):
            messages.append(Message("assistant", "", tool_calls=(entry.call,)))
            messages.append(Message("tool", as_json(entry.result), tool_call_id=entry.call.id))
        elif entry.text:
            messages.append(Message(entry.role, entry.text + (INTERRUPTED if entry.interrupted else "")))
    return messages


def as_json(result: Any) -> str:
    """What a tool gave back, for a model to read: JSON, or, of what is no JSON, what Python prints of it."""
    try:
        return json.dumps(result, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):  # keys that are no strings, a list that contains itself
        return json.dumps(repr(result), ensure_ascii=False)
