"""What follows from a server's events, as pure logic: any order, any garbage, and the rules of the contract still hold."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from realtime_talking import lawful  # type: ignore[import-not-found]

from locara.engines.backend import (
    BackendEvent,
    BackendFailed,
    BackendSettings,
    Cancel,
    Disregard,
    Ended,
    Frame,
    Played,
    ReplyAudio,
    ReplyEnded,
    ReplyText,
    Signal,
    ToolResult,
    TurnEnd,
    UserText,
    UserTyped,
)
from locara.engines.contracts import ToolCall
from locara.engines.omni import realtime_parse as parse
from locara.engines.omni import realtime_say as say
from locara.engines.omni.realtime_dialects import DIALECTS
from locara.engines.omni.realtime_settings import understand
from locara.engines.omni.realtime_state import Effect, Renew, Send, State, Step

SOUND = base64.b64encode(bytes(200)).decode()


def opening(dialect: str) -> State:
    understood = understand(f"realtime:{dialect}:ws://127.0.0.1:9#m", {})
    assert understood is not None
    return say.opening(understood, BackendSettings())


def ready(dialect: str) -> State:
    """After the server has agreed."""
    state = opening(dialect)
    for kind in ("created", "updated"):
        for name, meant in DIALECTS[dialect].events.items():
            if meant == kind and state.phase == "opening":
                state, _ = parse.heard(state, json.dumps({"type": name, "session": {}}), 0.0, 0)
    assert state.phase == "ready"
    return state


def told(effects: tuple[Effect, ...]) -> list[BackendEvent]:
    """The events among the effects."""
    return [one for one in effects if isinstance(one, BackendEvent)]


def sent(effects: tuple[Effect, ...], type_: str = "") -> list[Any]:
    return [one.message for one in effects if isinstance(one, Send) and type_ in ("", one.message["type"])]


def hear(state: State, type_: str, /, **fields: Any) -> tuple[State, tuple[Effect, ...]]:
    return parse.heard(state, json.dumps({"type": type_, **fields}), 1.0, 48_000)


# --- any order, any garbage -------------------------------------------------------------------------------------------

_ids = st.sampled_from(["", "r1", "r2", "r3"])
_values = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 99_999), st.floats(), st.text(max_size=4), _ids, st.just(SOUND),
    st.just([]), st.just({}),
)  # fmt: skip
_response = st.fixed_dictionaries(
    {},
    optional={
        "id": _ids,
        "status": st.sampled_from(["completed", "cancelled", "failed", "incomplete", "in_progress"]),
        "status_details": st.one_of(
            st.none(), st.just({"reason": "turn_detected"}), st.just({"error": {"message": "x"}})
        ),
    },
)
_call = st.fixed_dictionaries(
    {"type": st.sampled_from(["function_call", "message"])},
    optional={
        "name": st.just("clock"),
        "call_id": st.sampled_from(["c1", "c2"]),
        "arguments": st.sampled_from(["{}", "{", "[]", ""]),
        "status": st.sampled_from(["completed", "in_progress"]),
    },
)


def _events(dialect: str) -> st.SearchStrategy[str]:
    """Events that look right, and some that do not."""
    shaped = st.fixed_dictionaries(
        {"type": st.sampled_from(sorted(DIALECTS[dialect].events))},
        optional={
            "response_id": _ids,
            "response": _response,
            "item": _call,
            "item_id": st.sampled_from(["i1", "i2"]),
            "call_id": st.sampled_from(["c1", "c2"]),
            "name": st.just("clock"),
            "arguments": st.sampled_from(["{}", "{"]),
            "delta": st.sampled_from([SOUND, "hello", "", "QQ=="]),
            "audio": st.just(SOUND),
            "transcript": st.just("all of it"),
            "event_id": st.sampled_from(["e1", "e2", "e3"]),
            "server_event_seq": st.integers(0, 5),
            "sample_rate_hz": st.sampled_from([DIALECTS[dialect].output_rate, DIALECTS[dialect].output_rate, 8_000]),
            "frame_index": st.integers(0, 9),
            "error": st.one_of(st.text(max_size=3), st.just({"code": "x", "event_id": "locara-create-1"})),
            "reason": st.sampled_from(["expired", "x"]),
        },
    ).map(json.dumps)
    broken = st.dictionaries(
        st.sampled_from(["type", "response_id", "response", "item", "delta", "error", "sglang", "session"]), _values
    ).map(lambda one: json.dumps(one | {"type": one.get("type", sorted(DIALECTS[dialect].events)[0])}))
    return st.one_of(shaped, shaped, shaped, broken, st.text(max_size=10))


_called = st.builds(ToolCall, st.sampled_from(["c1", "c2"]), st.just("clock"), st.just({}))
_signals = st.one_of(
    st.builds(TurnEnd, st.integers(1, 4)),
    st.builds(Cancel, st.integers(1, 4), st.booleans()),
    st.builds(Played, st.integers(1, 4), st.floats(0, 100), st.booleans()),
    st.builds(ToolResult, st.integers(1, 4), _called, st.just("noon")),
    st.just(UserTyped("hi")),
    st.just(Disregard()),
)  # fmt: skip


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
@settings(max_examples=30)
@given(data=st.data())
def test_no_order_of_events_and_signals_breaks_the_contract(dialect: str, data: st.DataObject) -> None:
    state = ready(dialect)
    happened: list[str | Signal | float] = data.draw(
        st.lists(st.one_of(_events(dialect), _events(dialect), _signals, st.floats(0.1, 30.0)), max_size=40)
    )
    now = 0.0
    events: list[BackendEvent] = []
    for one in happened:
        if isinstance(one, float):
            now += one
            state, effects = say.ticked(state, now)
        elif isinstance(one, str):
            state, effects = parse.heard(state, one, now, 48_000)
        else:
            before = one.reply if isinstance(one, Cancel) else 0
            state, effects, applies = say.said(state, one, now, 9_600)
            if before and applies and state.reply(before) is not None:
                assert state.reply(before).over, "after Cancel the end comes soon"  # type: ignore[union-attr]
        if any(isinstance(effect, Renew) for effect in effects):
            state = Step(state, now).state
            assert state.phase == "opening"
            state, _ = parse.heard(state, '{"type":"session.created"}', now, 0)
        events += told(effects)
        assert state.due is None or state.due <= now + 21
    step = Step(state, now)
    step.finish("stopped")
    events += told(step.result[1])
    lawful(events)
    assert all(
        one.samples.size == round(0.08 * DIALECTS[dialect].output_rate) for one in events if isinstance(one, Frame)
    )


@given(
    st.lists(
        st.one_of(st.text(max_size=30), st.dictionaries(st.text(max_size=6), _values).map(json.dumps)), max_size=60
    )
)
def test_garbage_while_a_session_opens_never_raises_and_tells_nothing(raws: list[str]) -> None:
    state = opening("openai")
    for raw in raws:
        state, effects = parse.heard(state, raw, 0.0, 0)
        assert not [one for one in told(effects) if not isinstance(one, BackendFailed)]


@given(st.lists(st.integers(0, 5000), max_size=30))
def test_frames_hold_every_sample_once(sizes: list[int]) -> None:
    state = ready("mlx-vlm")
    whole = np.arange(sum(sizes)) % 1000
    frames: list[Frame] = []
    at = 0
    for size in sizes:
        delta = base64.b64encode(whole[at : at + size].astype("<i2").tobytes()).decode()
        state, effects = hear(state, "response.audio.delta", delta=delta, sample_rate=22_050)
        frames += [one for one in effects if isinstance(one, Frame)]
        at += size
    heard = np.concatenate([*(one.samples for one in frames), state.rest]) * 32768
    assert np.array_equal(heard.round().astype(int), whole)
    assert all(one.samples.size == 1764 for one in frames)


# --- single rules -----------------------------------------------------------------------------------------------------


def test_every_dialect_opens_with_what_its_server_wants() -> None:
    for name in DIALECTS:
        state = opening(name)
        assert state.hello["type"] in ("session.update", "session.start")
        assert "event_id" in state.hello or name != "sglang-omni"


def test_text_that_only_comes_whole_is_told_and_pieces_are_not_told_twice() -> None:
    state, _, _ = say.said(ready("openai"), TurnEnd(1), 0.0, 9_600)
    state, effects = hear(state, "response.output_audio_transcript.done", response_id="r", transcript="all")
    assert told(effects) == [ReplyText(1, "all")]
    state, effects = hear(state, "response.output_audio_transcript.delta", response_id="r", delta=" more")
    assert told(effects) == [ReplyText(1, " more")]
    _, effects = hear(state, "response.output_audio_transcript.done", response_id="r", transcript="all more")
    assert told(effects) == []


def test_what_comes_of_a_cancelled_reply_is_dropped_by_its_name() -> None:
    state, _, _ = say.said(ready("openai"), TurnEnd(1), 0.0, 9_600)
    state, _ = hear(state, "response.created", response={"id": "a"})
    state, effects, applies = say.said(state, Cancel(1), 0.0, 0)
    assert applies
    assert told(effects) == [ReplyEnded(1, "cancelled")]
    assert sent(effects, "response.cancel")[0]["response_id"] == "a"
    state, effects, _ = say.said(state, TurnEnd(2), 0.0, 9_600)
    assert not sent(effects, "response.create"), "one response at a time"
    state, effects = hear(state, "response.output_audio.delta", response_id="a", delta=SOUND)
    assert told(effects) == []
    state, effects = hear(state, "response.done", response={"id": "a", "status": "cancelled"})
    assert sent(effects, "response.create")
    state, effects = hear(state, "response.output_audio.delta", response_id="a", delta=SOUND)
    assert told(effects) == []
    assert state.stray == 2
    cancelled = state.reply(1)
    assert cancelled is not None
    assert cancelled.items == (), "nor counted for what was heard of it"
    assert parse.sounded(state, 1, np.ones(3, np.float32), 0.0)[1] == (), "nor what had to be decoded first"
    _, effects = hear(state, "response.output_audio.delta", response_id="b", delta=SOUND)
    assert [one.reply for one in told(effects) if isinstance(one, ReplyAudio)] == [2]


def test_a_reply_that_is_cancelled_before_it_has_a_name_is_stopped_when_it_has_one() -> None:
    state, _, _ = say.said(ready("openai"), TurnEnd(1), 0.0, 9_600)
    state, effects, _ = say.said(state, Cancel(1), 0.0, 0)
    assert not sent(effects, "response.cancel")
    _, effects = hear(state, "response.created", response={"id": "a"})
    assert sent(effects, "response.cancel")[0]["response_id"] == "a"


def test_a_turn_that_is_too_long_to_be_kept_stays_in_the_conversation() -> None:
    state, _, _ = say.said(ready("openai"), TurnEnd(1), 0.0, 9_600)
    state, _ = hear(state, "input_audio_buffer.committed", item_id="u1")
    state, _ = hear(state, "response.output_audio.delta", response_id="a", item_id="i1", delta=SOUND)
    state, _ = hear(state, "response.done", response={"id": "a", "status": "completed"})
    _, effects, _ = say.said(state, Cancel(1, revoke=True), 0.0, 0, kept=False)
    assert [one["item_id"] for one in sent(effects, "conversation.item.delete")] == ["i1"]
    _, effects, _ = say.said(state, Cancel(1, revoke=True), 0.0, 0)
    assert [one["item_id"] for one in sent(effects, "conversation.item.delete")] == ["i1", "u1"]


@given(st.lists(st.integers(1, 48_000), min_size=1, max_size=4), st.floats(0, 30), st.booleans())
def test_a_truncation_is_never_longer_than_what_came(parts: list[int], seconds: float, cut: bool) -> None:
    state, _, _ = say.said(ready("openai"), TurnEnd(1), 0.0, 9_600)
    for number, size in enumerate(parts):
        delta = base64.b64encode(bytes(2 * size)).decode()
        state, _ = hear(state, "response.output_audio.delta", response_id="a", item_id=f"i{number}", delta=delta)
    if cut:
        state, _, _ = say.said(state, Cancel(1), 0.0, 0)
    state, _ = hear(state, "response.done", response={"id": "a", "status": "completed"})
    _, effects, _ = say.said(state, Played(1, seconds, ended=True), 0.0, 0)
    assert bool(sent(effects)) == (cut or round(seconds * 24_000) < sum(parts))
    lengths = {f"i{number}": size for number, size in enumerate(parts)}
    heard = min(round(seconds * 24_000), sum(parts))
    for one in sent(effects, "conversation.item.truncate"):
        assert one["audio_end_ms"] * 24 <= lengths.pop(one["item_id"])
    for one in sent(effects, "conversation.item.delete"):
        lengths.pop(one["item_id"])
    assert sum(lengths.values()) <= heard, "what was not heard is not kept"


def test_the_words_of_the_user_grow_and_are_final_when_they_are_whole() -> None:
    understood = understand("realtime:ws://127.0.0.1:9/v1/realtime", {"transcription": "t"})
    assert understood is not None
    state = say.opening(understood, BackendSettings())
    state, _ = hear(state, "session.created", session={})
    state, _ = hear(state, "session.updated", session={})
    kind = "conversation.item.input_audio_transcription"
    state, effects = hear(state, f"{kind}.delta", item_id="u", delta="how ")
    assert told(effects) == [UserText("how ")]
    state, effects = hear(state, f"{kind}.delta", item_id="u", delta="are")
    assert told(effects) == [UserText("how are")]
    _, effects = hear(state, f"{kind}.completed", item_id="u", transcript="How are you?")
    assert told(effects) == [UserText("How are you?", final=True)]


def test_unknown_events_are_counted_and_quiet_ones_are_not() -> None:
    state, effects = hear(ready("openai"), "response.something.new")
    assert (state.unknown, effects) == (1, ())
    state, effects = hear(state, "conversation.item.added", item={})
    assert (state.unknown, effects) == (1, ())


def test_after_the_end_nothing_is_told() -> None:
    step = Step(ready("openai"), 0.0)
    step.finish("stopped")
    assert told(step.result[1]) == [Ended("stopped")]
    state, effects = hear(step.state, "response.output_audio.delta", response_id="a", delta=SOUND)
    assert effects == ()
    assert say.said(state, TurnEnd(1), 0.0, 100)[1:] == ((), False)
