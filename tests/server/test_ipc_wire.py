"""The wire as values: what is taken, what is refused and how it is said, and that the schema and the page are the types'."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.client.frames import FURTHEST, MICROPHONE, SPEAKER, Frame, after, packed, unpacked
from locara.errors import LocaraError, MessageError
from locara.server import ipc_schema, ipc_wire
from locara.server.resuming import EventsKept, Pass, SoundKept
from locara.server.typed_json import parsed, read

ROOT = Path(__file__).parents[2]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def asked(method: str, **params: Any) -> ipc_wire.Request:
    return ipc_wire.request(json.dumps({"id": 1, "method": method, "params": params}))


def refused(text: str) -> ipc_wire.BadRequest:
    with pytest.raises(ipc_wire.BadRequest) as told:
        ipc_wire.request(text)
    assert told.value.hint
    return told.value


def test_a_request_becomes_its_dataclass_with_defaults() -> None:
    start = asked("voice.session_start", llm={"model": "x"}, patience={"even": 1, "least": 1, "last": 1}).params
    assert start.llm == {"model": "x"}
    assert start.patience == ipc_wire.Pauses(even=1.0, least=1.0, last=1.0)
    assert (start.input_rate, start.output_rate, start.reports, start.tools) == (16000, 24000, True, ())
    tool = {"name": "lamp", "description": "x", "parameters": {}}
    assert asked("voice.session_start", tools=[tool]).params.tools[0].side_effects is True


@pytest.mark.parametrize(
    ("text", "number", "says"),
    [
        ("", None, "not JSON at character 0"),
        ("[" * 100_000, None, "nested too deeply"),
        ('{"id": 1, "method": "ping", "params": NaN}', None, "NaN is no JSON"),
        ('{"id": ' + "9" * 5000 + "}", None, "not JSON"),
        ("[1]", None, "no object"),
        ('{"id": true, "method": "ping"}', None, "no whole number"),
        ('{"id": 4}', 4, "names no method"),
        ('{"id": 4, "method": "pong"}', 4, "no method 'pong'"),
        ('{"id": 4, "method": "ping", "param": {}}', 4, "no 'param'"),
        ('{"id": 4, "method": "ping", "params": []}', 4, "a list, not an object"),
        ('{"id": 4, "method": "session.say", "params": {}}', 4, "has no 'text'"),
        ('{"id": 4, "method": "session.say", "params": {"text": 1}}', 4, "a number, not a text"),
        ('{"id": 4, "method": "session.say", "params": {"text": ""}}', 4, "has 0 characters"),
        ('{"id": 4, "method": "session.say", "params": {"text": "\\ud83d"}}', 4, "surrogate"),
        ('{"id": 4, "method": "session.push_to_talk", "params": {"down": 1}}', 4, "not true or false"),
        ('{"id": 4, "method": "playback.ack", "params": {"played_ms": -1}}', 4, "is -1"),
        ('{"id": 4, "method": "playback.ack", "params": {"played_ms": 1e999}}', 4, "too large"),
        ('{"id": 4, "method": "tool.result", "params": {"call": "../x", "result": 1}}', 4, "call is '../x'"),
        (
            '{"id": 4, "method": "tool.result", "params": {"call": "c", "result": ' + "[" * 20 + "]" * 20 + "}}",
            4, "more than 16 levels",
        ),
        (
            '{"id": 4, "method": "tool.result", "params": {"call": "c", "result": [' + "1," * 20_000 + "1]}}",
            4, "more than 16 levels or 10000 values",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_and_linked(text: str, number: int | None, says: str) -> None:
    error = refused(text)
    assert error.id == number
    assert says in error.message
    assert len(error.message) < 200, "a long text is not repeated"


def test_misspelt_words_are_guessed() -> None:
    assert "'voice.session_start'" in refused('{"id":1,"method":"voice.sesion_start"}').hint
    assert "'system'" in refused('{"id":1,"method":"voice.session_start","params":{"sistem":"x"}}').hint
    assert "'quick'" in refused('{"id":1,"method":"voice.session_start","params":{"patience":"quik"}}').hint


@given(text=st.text() | ANYTHING.map(json.dumps))
def test_any_text_is_a_request_or_an_error_of_ours(text: str) -> None:
    try:
        ipc_wire.request(text)
    except ipc_wire.BadRequest as error:
        json.loads(ipc_wire.refusal(error.id, ipc_wire.failure_of(error)))


@given(method=st.sampled_from([*ipc_wire.METHODS]), params=st.dictionaries(st.text(max_size=6), ANYTHING, max_size=3))
def test_what_the_parser_takes_the_schema_takes(method: str, params: dict[str, Any]) -> None:
    kind = ipc_wire.METHODS[method][0]
    for name in (one.name for one in dataclasses.fields(kind)):
        params.setdefault(name, params.get(""))
    message = {"id": 1, "method": method, "params": {k: v for k, v in params.items() if v is not None}}
    try:
        ipc_wire.request(json.dumps(message))
    except MessageError:
        return
    jsonschema.validate(message, VALID["client"])


SCHEMA = ipc_schema.document()
VALID = {name: {**SCHEMA, "anyOf": [{"$ref": f"#/$defs/{name}"}]} for name in ("client", "server")}


def test_the_schema_is_one_and_the_files_are_made_from_the_types() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert (ROOT / "src/locara/server/ipc.schema.json").read_text(encoding="utf-8") == ipc_schema.text()
    page = (ROOT / "docs/ipc.md").read_text(encoding="utf-8")
    assert ipc_schema.page(page) == page, "python -m locara.server.ipc_schema makes it anew"
    for name in ipc_wire.METHODS:
        assert f"### {name}\n" in page


def test_what_the_server_sends_keeps_its_own_schema() -> None:
    failure = ipc_wire.failure_of(LocaraError("x", hint="y"))
    sent = [
        ipc_wire.answer(3, ipc_wire.Pushed(accepted=1, buffered=0.5)),
        ipc_wire.refusal(None, failure),
        ipc_wire.flush(7),
        ipc_wire.push("state", ipc_wire.States(user="quiet", assistant="idle", muted=False)),
        ipc_wire.event({"type": "speech-start", "t": 0.5, "turn": None, "probability": 1.0}, 4),
    ]
    for text in sent:
        jsonschema.validate(json.loads(text), VALID["server"])
    for wrong in ({"state": {"user": 1}}, {"event": {"type": "speech-start"}, "seq": 1}, {"id": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, VALID["server"])


def test_an_error_that_is_not_ours_tells_nothing_of_itself() -> None:
    told = ipc_wire.failure_of(RuntimeError("the user said: hello"))
    assert (told.code, "hello" in told.message + told.hint) == ("internal", False)


def test_numbers_are_taken_as_the_field_wants_them() -> None:
    assert read(ipc_wire.PlaybackAck, {"played_ms": 3}, "x").played_ms == 3.0
    assert parsed("1.5") == 1.5


# --- frames and what is kept of them ----------------------------------------------------------------------------------


@given(at=st.integers(0, FURTHEST), turn=st.integers(-1, 2**31 - 1), n=st.integers(0, 50))
def test_a_frame_comes_back_as_it_went(at: int, turn: int, n: int) -> None:
    frame = Frame(SPEAKER, at, bytes(range(2 * n)), turn)
    assert unpacked(packed(frame), SPEAKER) == frame
    with pytest.raises(MessageError):
        unpacked(packed(frame), MICROPHONE)


@given(data=st.binary(max_size=40))
def test_any_bytes_are_a_frame_or_an_error_of_ours(data: bytes) -> None:
    try:
        frame = unpacked(data, MICROPHONE)
    except MessageError:
        return
    assert packed(frame)[4:] == data[4:]


@given(
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=30),
    gaps=st.lists(st.booleans(), min_size=30, max_size=30),
    acks=st.lists(st.integers(0, 8000), max_size=5),
    received=st.integers(0, 9000),
)
def test_what_was_received_and_what_is_sent_again_are_the_whole_stream_once(
    sizes: list[int], gaps: list[bool], acks: list[int], received: int
) -> None:
    kept, at, stream = SoundKept(1000, seconds=100.0), 0, set()
    for size, gap in zip(sizes, gaps, strict=False):
        at += 17 * gap
        kept.keep(Frame(SPEAKER, at, bytes(2 * size)))
        stream |= set(range(at, at + size))
        at += size
    received = min(received, kept.end)
    for ack in acks:
        kept.played(min(ack, received))  # nobody has played what has not come
    again = [sample for frame in kept.after(received) for sample in range(frame.at, frame.end)]
    assert again == sorted(sample for sample in stream if sample >= received)


def test_the_memory_of_sound_and_of_events_is_bounded() -> None:
    kept = SoundKept(1000, seconds=2.0)
    for at in range(0, 10_000, 500):
        kept.keep(Frame(SPEAKER, at, bytes(1000)))
    assert next(kept.after(0)).at == 8_000
    events = EventsKept(most=10, most_bytes=10_000)
    for _ in range(30):
        seq = events.number()
        events.keep(seq, f"event {seq}")
    assert events.after(5) == (15, [f"event {seq}" for seq in range(21, 31)])
    assert events.after(28) == (0, ["event 29", "event 30"])
    events.keep(events.number(), "x" * 20_000)
    assert events.after(30) == (0, ["x" * 20_000])


def test_after_a_flush_nothing_before_it_is_sent_again() -> None:
    kept = SoundKept(1000)
    assert not kept.needs_flush(0)
    kept.keep(Frame(SPEAKER, 0, bytes(1000)))
    assert kept.flush() == 500
    assert list(kept.after(0)) == []
    assert kept.needs_flush(200)
    assert kept.needs_flush(500)
    kept.keep(Frame(SPEAKER, 600, bytes(20)))
    assert not kept.needs_flush(610), "it has what came later"


def test_a_frame_is_cut_to_the_sample() -> None:
    frame = Frame(SPEAKER, 10, bytes(range(20)))
    assert after(frame, 10) == frame
    assert after(frame, 13) == Frame(SPEAKER, 13, bytes(range(6, 20)))
    assert after(frame, 20) is None


def test_a_pass_is_for_who_has_it() -> None:
    one, two = Pass.new(), Pass.new()
    assert one.fits(one.token)
    assert not one.fits(two.token)
    assert not one.fits("é" * 43)
    assert len(one.token) >= 43
