"""The session object: what an update changes and what it leaves, what is refused, and what it means for a session."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.server.realtime_clock import AppendClock
from locara.server.realtime_items import Item, Items, Part, messages, read
from locara.server.realtime_session import fresh, meant, tools, updated
from locara.server.realtime_wire import Invalid
from locara.voice.endings import Patience

FRESH = fresh(id_="sess_1", model="m", voice="v", instructions="Be kind.")
WEATHER = {"type": "function", "name": "weather", "parameters": {}}


def change(**fields: Any) -> dict[str, Any]:
    return updated(FRESH, {"type": "realtime", **fields})


def turn_detection(value: Any) -> dict[str, Any]:
    return change(audio={"input": {"turn_detection": value}})


def test_a_part_of_an_object_changes_only_that_part() -> None:
    after = turn_detection({"silence_duration_ms": 800})
    assert after["audio"]["input"]["turn_detection"] == {
        **FRESH["audio"]["input"]["turn_detection"],
        "silence_duration_ms": 800,
    }
    assert after["audio"]["output"] == FRESH["audio"]["output"]
    assert after["instructions"] == "Be kind."


def test_null_turns_off_and_empty_clears() -> None:
    after = change(
        instructions="",
        tools=[],
        audio={"input": {"turn_detection": None, "transcription": None, "noise_reduction": None}},
    )
    assert after["audio"]["input"]["turn_detection"] is None
    assert after["instructions"] == ""
    assert after["tools"] == []
    assert meant(after).manual
    assert meant(after).system == ""


def test_null_where_nothing_can_be_turned_off_is_no_change() -> None:
    nothing = change(instructions=None, tools=None, audio=None, output_modalities=None, max_output_tokens=None)
    assert nothing == FRESH


def test_another_kind_of_turn_detection_inherits_nothing() -> None:
    semantic = turn_detection({"type": "semantic_vad", "eagerness": "low"})
    assert semantic["audio"]["input"]["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "low",
        "create_response": True,
        "interrupt_response": True,
    }
    assert meant(semantic).patience == "patient"


def test_what_the_settings_mean() -> None:
    server = meant(turn_detection({"type": "server_vad", "silence_duration_ms": 700, "create_response": False}))
    assert server.patience == Patience(0.7, 0.7, 0.7)
    assert (server.attention, server.answers, server.interruptible) == ("open", "asked", True)
    none = meant(turn_detection(None))
    assert (none.attention, none.answers, none.interruptible) == ("push-to-talk", "asked", False)
    stay = meant(turn_detection({"type": "semantic_vad", "interrupt_response": False}))
    assert (stay.patience, stay.answers, stay.interruptible) == ("normal", "auto", False)
    assert not meant(change(output_modalities=["text"])).speaks


def test_names_of_models_and_voices_are_echoed() -> None:
    after = change(
        model="gpt-realtime-2",
        tracing="auto",
        audio={"input": {"transcription": {"model": "gpt-4o-mini-transcribe"}}, "output": {"voice": {"id": "mine"}}},
        something_new={"a": 1},
    )
    assert after["audio"]["input"]["transcription"] == {"model": "gpt-4o-mini-transcribe"}
    assert after["audio"]["output"]["voice"] == {"id": "mine"}
    assert after["something_new"] == {"a": 1}
    with pytest.raises(Invalid, match="voice"):
        updated(after, {"audio": {"output": {"voice": "other"}}}, spoken=True)


def test_tool_choice() -> None:
    session = change(tools=[WEATHER, {**WEATHER, "name": "time"}])
    assert [one["name"] for one in tools(session)] == ["weather", "time"]
    assert tools({**session, "tool_choice": "none"}) == ()
    assert [one["name"] for one in tools({**session, "tool_choice": {"type": "function", "name": "time"}})] == ["time"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"type": "transcription"}, "session.type"),
    ({"output_modalities": ["audio", "text"]}, "session.output_modalities"),
    ({"max_output_tokens": 0}, "session.max_output_tokens"),
    ({"max_output_tokens": True}, "session.max_output_tokens"),
    ({"instructions": 3}, "session.instructions"),
    ({"tools": [{"type": "mcp", "server_label": "x"}]}, "session.tools[0]"),
    ({"tools": [WEATHER, WEATHER]}, "session.tools[1].name"),
    ({"tool_choice": {"name": "nobody"}}, "session.tool_choice"),
    ({"audio": "loud"}, "session.audio.input"),
    ({"audio": {"input": []}}, "session.audio.input"),
    ({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}}, "session.audio.input.format.rate"),
    ({"audio": {"output": {"format": {"type": "mp3"}}}}, "session.audio.output.format"),
    ({"audio": {"output": {"speed": 9}}}, "session.audio.output.speed"),
    ({"audio": {"input": {"turn_detection": {"type": "x"}}}}, "session.audio.input.turn_detection.type"),
    ({"audio": {"input": {"turn_detection": {"threshold": 2}}}}, "session.audio.input.turn_detection.threshold"),
]


@pytest.mark.parametrize(("fields", "param"), WRONG)
def test_what_is_refused_names_its_field_and_changes_nothing(fields: dict[str, Any], param: str) -> None:
    before = copy.deepcopy(FRESH)
    with pytest.raises(Invalid) as refused:
        change(**fields)
    assert refused.value.param == param
    assert before == FRESH


def said(id_: str, role: str, text: str) -> Item:
    return Item(id_, "message", role, content=(Part("input_text", text),))


def test_items_are_put_where_they_are_to_be() -> None:
    book = Items().added(said("a", "user", "1")).added(said("c", "user", "3"))
    assert not book.rearranged
    book = book.added(said("b", "user", "2"), "a").added(said("o", "system", "0"), "root")
    assert [one.id for one in book.all] == ["o", "a", "b", "c"]
    assert book.rearranged
    assert [book.before(one) for one in "oabc"] == [None, "o", "a", "b"]
    with pytest.raises(Invalid, match="follow"):
        book.added(said("x", "user", ""), "nobody")
    with pytest.raises(Invalid, match="already"):
        book.added(said("a", "user", ""))


def test_a_model_is_given_calls_with_their_outputs_and_no_others() -> None:
    call = Item("i1", "function_call", call_id="c1", name="f", arguments='{"a": 1}')
    lost = Item("i2", "function_call", call_id="c2", name="f", arguments="no json")
    output = Item("i3", "function_call_output", call_id="c1", output="2")
    given_ = messages((said("a", "user", "hi"), call, lost, output))
    assert [(one.role, one.content, len(one.tool_calls)) for one in given_] == [
        ("user", "hi", 0),
        ("assistant", "", 1),
        ("tool", "2", 0),
    ]


def test_sound_in_an_item_needs_its_transcript() -> None:
    item = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": "AAAA"}]}
    with pytest.raises(Invalid, match="append"):
        read(item, "x")
    item["content"][0]["transcript"] = "hello"  # type: ignore[index]
    assert read(item, "x").text == "hello"


@given(st.lists(st.tuples(st.floats(0.02, 2.0), st.floats(0.0, 3.0)), min_size=1, max_size=20))
def test_the_clock_of_what_was_appended_knows_every_piece(pieces: list[tuple[float, float]]) -> None:
    """Each piece is heard when the one before it is over, or later, with a gap."""
    clock, heard, total = AppendClock(), 0.0, 0.0
    for seconds, gap in pieces:
        heard += gap if gap > 0.1 else 0.0
        clock.appended(seconds, heard)
        assert abs(clock.milliseconds(heard + seconds / 2) - 1000 * (total + seconds / 2)) <= 1
        heard, total = heard + seconds, total + seconds
    assert abs(clock.total - total) < 1e-6
    assert clock.milliseconds(heard + 100) == round(1000 * total)
    assert clock.milliseconds(-1) == 0


def test_an_object_that_grows_without_end_is_refused() -> None:
    """Fields that nobody knows are kept and sent back: they may not fill the memory, nor the event loop's time."""
    session = FRESH
    for number in range(9):
        session = updated(session, {"type": "realtime", f"own_{number}": "x" * 50_000})
    with pytest.raises(Invalid, match="more than"):
        updated(session, {"type": "realtime", "another": "x" * 50_000})
