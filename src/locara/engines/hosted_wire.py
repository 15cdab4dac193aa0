"""What is said between an engine's host process and us, as plain JSON: messages, tools, pieces of replies, word marks.

What may live here: values to JSON and back. A tool's function stays with us; its description travels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from locara.engines.contracts import Message, Tool, ToolCall, WordMark


def prompt_json(messages: Sequence[Message], tools: Sequence[Tool]) -> bytes:
    """Messages and tools, as a payload."""
    return json.dumps(
        {"messages": [_message(one) for one in messages], "tools": [_tool(one) for one in tools]}
    ).encode()


def messages_in(said: Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    """The messages of `prompt_json`."""
    return tuple(
        Message(
            role=one["role"],
            content=one["content"],
            tool_calls=tuple(ToolCall(**call) for call in one["tool_calls"]),
            tool_call_id=one["tool_call_id"],
        )
        for one in said
    )


def tools_in(said: Sequence[Mapping[str, Any]]) -> tuple[Tool, ...]:
    """The tools of `prompt_json`. They cannot be run in the host: the session runs them."""
    return tuple(Tool(**one, run=_elsewhere) for one in said)


def item_json(item: str | ToolCall) -> bytes:
    """One item of a reply."""
    return json.dumps(_call(item) if isinstance(item, ToolCall) else item).encode()


def item_in(payload: bytes) -> str | ToolCall:
    """The item of `item_json`."""
    said = json.loads(payload)
    return said if isinstance(said, str) else ToolCall(**said)


def words_json(words: Sequence[WordMark]) -> list[list[int]]:
    """Word marks, as numbers."""
    return [[one.at, one.start, one.end] for one in words]


def words_in(said: Sequence[Sequence[int]]) -> tuple[WordMark, ...]:
    """The marks of `words_json`."""
    return tuple(WordMark(*one) for one in said)


def _message(one: Message) -> dict[str, Any]:
    return {
        "role": one.role,
        "content": one.content,
        "tool_calls": [_call(call) for call in one.tool_calls],
        "tool_call_id": one.tool_call_id,
    }


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "name": call.name, "arguments": dict(call.arguments)}


def _tool(one: Tool) -> dict[str, Any]:
    return {"name": one.name, "description": one.description, "parameters": dict(one.parameters)}


def _elsewhere() -> None:
    raise RuntimeError("tools run in the session's process")
