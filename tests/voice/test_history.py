"""The conversation as chat messages: in order, with what was heard, and never in the way of the conversation."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from locara.engines.contracts import Message, ToolCall
from locara.voice.history import INTERRUPTED, Said, Used, as_messages


def test_what_was_said_becomes_messages_in_its_order() -> None:
    call = ToolCall("call-1", "look", {"at": "clock"})
    assert as_messages(
        [
            Said(0, "user", "What time is it?"),
            Used(0, call, {"time": "noon"}),
            Said(0, "assistant", "It is noon."),
            Said(1, "user", "Thanks."),
        ]
    ) == [
        Message("user", "What time is it?"),
        Message("assistant", "", tool_calls=(call,)),
        Message("tool", '{"time": "noon"}', tool_call_id="call-1"),
        Message("assistant", "It is noon."),
        Message("user", "Thanks."),
    ]


def test_an_interrupted_reply_says_so_and_does_not_tell_what_was_never_heard() -> None:
    [message] = as_messages([Said(0, "assistant", "It is", interrupted=True, unheard="noon")])
    assert message == Message("assistant", "It is" + INTERRUPTED)
    assert "noon" not in message.content


def test_a_turn_without_words_is_no_message() -> None:
    assert as_messages([Said(0, "user", ""), Said(0, "assistant", "Yes?")]) == [Message("assistant", "Yes?")]
    assert as_messages([]) == []


@pytest.mark.parametrize(
    "result",
    [None, "noon", 3, [1, 2], {"a": date(2026, 1, 2)}, Path("x"), {1: "one"}, {(1, 2): 3}, {date(2026, 1, 2): "x"}],
)
def test_whatever_a_tool_gave_back_can_be_told_to_the_model(result: Any) -> None:
    [_, message] = as_messages([Used(0, ToolCall("1", "look", {}), result)])
    assert isinstance(json.loads(message.content), object)


def test_a_result_that_contains_itself_can_be_told_too() -> None:
    result: list[Any] = [1]
    result.append(result)
    [_, message] = as_messages([Used(0, ToolCall("1", "look", {}), result)])
    assert message.content
