"""The parsers of what chat servers send, against any bytes cut anywhere."""

from __future__ import annotations

from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.engines.chat_wire import Calls, Events
from locara.engines.contracts import ToolCall


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
