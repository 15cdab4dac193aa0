"""The parsers of what chat servers send, against any bytes cut anywhere."""

from __future__ import annotations

from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.engines.chat_wire import Calls, Events, merged, message_json
from locara.engines.contracts import Message, ToolCall


def pieces_of(draw_cuts: list[int], whole: bytes) -> list[bytes]:
    cuts = sorted({cut % (len(whole) + 1) for cut in draw_cuts} | {0, len(whole)})
    return [whole[a:b] for a, b in pairwise(cuts)]


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), min_size=1), max_size=5),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.lists(st.integers(0, 10_000), max_size=12),
)
def test_events_do_not_depend_on_how_the_bytes_are_cut(data: list[str], newline: str, cuts: list[int]) -> None:
    whole = "".join(f": note{newline}data: {one}{newline}{newline}" for one in data).encode()
    events = Events()
    found = [one for block in pieces_of(cuts, whole) for one in events.push(block)]
    assert [*found, *events.flush()] == data


def test_an_event_without_end_is_refused() -> None:
    events = Events()
    endless = (one for _ in range(100) for one in events.push(b"x" * 100_000))
    with pytest.raises(ValueError, match="more in one event"):
        list(endless)


def test_calls_with_one_index_for_all_are_told_apart_by_their_ids() -> None:
    calls = Calls()
    calls.add([{"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}}])
    calls.add([{"index": 0, "id": "b", "function": {"name": "f", "arguments": "{}"}}])
    calls.add([{"function": {"name": "g", "arguments": ""}}, {"function": {"name": "h"}}, "noise"])
    assert list(calls.decoded(count(1))) == [
        ToolCall("a", "f", {"x": 1}),
        ToolCall("b", "f", {}),
        ToolCall("call_1", "g", {}),
        ToolCall("call_2", "h", {}),
    ]


_roles = st.sampled_from(["user", "assistant"])


@given(st.booleans(), st.lists(st.tuples(_roles, st.text(max_size=5)), max_size=8), st.text(max_size=5))
def test_merged_messages_alternate_begin_with_the_user_and_lose_no_word(
    told: bool, said: list[tuple[str, str]], last: str
) -> None:
    messages = [Message("system", "s")] * told + [Message(role, text) for role, text in said]  # type: ignore[arg-type]
    out = merged([*messages, Message("user", last)])
    sides = [one.role for one in out if one.role != "system"]
    assert sides[0] == "user"
    assert all(one != other for one, other in pairwise(sides))
    words = "\n".join(one.content for one in out)
    assert all(text in words for _, text in (*said, ("user", last)))


@given(st.lists(st.tuples(_roles, st.text(max_size=5)), max_size=8), st.text(min_size=1, max_size=5))
def test_merging_a_prompt_that_grows_at_its_end_changes_only_its_end(said: list[tuple[str, str]], last: str) -> None:
    before = [Message(role, text) for role, text in said]  # type: ignore[arg-type]
    short = merged([*before, Message("user", "ab")])
    long = merged([*before, Message("user", "ab" + last)])
    assert short[:-1] == long[:-1]
    assert long[-1].content.startswith(short[-1].content)


def test_a_call_and_its_result_stay_together() -> None:
    call = ToolCall("1", "add", {})
    messages = [
        Message("user", "a"), Message("assistant", "let me see"), Message("assistant", "", (call,)),
        Message("tool", "1", tool_call_id="1"), Message("tool", "2", tool_call_id="2"), Message("assistant", "so"),
    ]  # fmt: skip
    out = merged(messages)
    assert [one.role for one in out] == ["user", "assistant", "tool", "tool", "assistant"]
    assert (out[1].content, out[1].tool_calls) == ("let me see", (call,))


def test_half_a_character_is_replaced_because_it_is_no_json() -> None:
    assert message_json(Message("user", "a\ud800b"))["content"] == "a?b"
