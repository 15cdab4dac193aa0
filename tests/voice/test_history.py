"""The conversation as chat messages: in order, with what was heard, and never in the way of the conversation."""

from __future__ import annotations

import json
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara import voice
from locara.engines.contracts import Message, ToolCall
from locara.errors import ConfigError
from locara.voice.history import INTERRUPTED, UNHEARD, Said, Used, as_messages, newest


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


def test_a_reply_cut_before_its_first_word_says_so() -> None:
    assert as_messages([Said(0, "assistant", "", interrupted=True, unheard="It is noon")]) == [
        Message("assistant", UNHEARD)
    ]


def _conversation(turns: int) -> list[Said | Used]:
    entries: list[Said | Used] = []
    for turn in range(turns):
        entries.append(Said(turn, "user", f"question {turn} " + "x" * 40))
        if turn % 3 == 0:
            entries.append(Used(turn, ToolCall(f"call-{turn}", "look", {"at": turn}), {"seen": turn}))
        entries.append(Said(turn, "assistant", f"answer {turn} " + "y" * 60))
    return entries


@given(st.integers(1, 60), st.integers(100, 3000))
def test_of_a_long_conversation_the_model_gets_the_last_exchanges_whole(turns: int, characters: int) -> None:
    messages = as_messages(_conversation(turns))
    kept = newest(messages, characters)
    assert kept == messages[len(messages) - len(kept) :]
    assert kept[0].role == "user"
    size = sum(len(message.content) for message in kept)
    assert size <= characters or sum(message.role == "user" for message in kept) == 1
    calls = [call.id for message in kept for call in message.tool_calls]
    assert calls == [message.tool_call_id for message in kept if message.role == "tool"]


def test_a_conversation_that_grows_keeps_its_beginning_for_many_turns() -> None:
    begins = [newest(as_messages(_conversation(turns)), 3000)[0].content for turns in range(1, 200)]
    changes = sum(a != b for a, b in pairwise(begins))
    assert 10 <= changes <= 20, "about every twelfth turn, not every turn"


def test_a_short_conversation_is_given_whole_and_one_huge_exchange_too() -> None:
    short = as_messages(_conversation(3), 12_000)
    assert len(short) == len(as_messages(_conversation(3)))
    assert len(as_messages([Said(0, "user", "x" * 99_999), Said(0, "assistant", "y")], 1000)) == 2


@pytest.mark.parametrize("history", [0, 999, "all", 1e4, True])
def test_a_history_that_makes_no_sense_is_refused_with_the_way_out(history: Any) -> None:
    with pytest.raises(ConfigError, match="history") as caught:
        voice.session(llm={"model": "built-in", "history": history}, input="none", output="none")
    assert "characters" in caught.value.hint


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
