"""The Realtime machine under whatever may happen, in any order: the rules of `rules` hold, and nothing raises."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from locara.server import realtime_effects as effects
from locara.server.realtime_machine import Machine
from locara.server.realtime_wire import ClientEvent, Invalid, parse
from locara.voice import events

from .rules import check

TURNS = st.integers(0, 5)
LOUD = np.full(480, 0.2, np.float32)
QUIET = np.zeros(480, np.float32)


def _of_client(kind: str, **fields: Any) -> ClientEvent:
    return parse(json.dumps({"type": kind, **fields}))


def _update(**session: Any) -> ClientEvent:
    return _of_client("session.update", session=session)


TEXT = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
SOUND = "AAAA" * 1280  # 80 ms
CLIENT = st.sampled_from(
    [
        _of_client("response.create"),
        _of_client("response.create", response={"conversation": "none", "input": []}),
        _of_client("response.create", response={"output_modalities": ["text"], "max_output_tokens": 2}),
        _of_client("response.cancel"),
        _of_client("input_audio_buffer.append", audio=SOUND),
        _of_client("input_audio_buffer.commit"),
        _of_client("input_audio_buffer.clear"),
        _of_client("conversation.item.create", item=TEXT),
        _of_client("conversation.item.create", item=TEXT, previous_item_id="root"),
        _update(output_modalities=["text"]),
        _update(output_modalities=["audio"]),
        _update(audio={"input": {"turn_detection": None}}),
        _update(audio={"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 1000}}}),
        _update(audio={"input": {"turn_detection": {"type": "semantic_vad"}, "transcription": {"model": "x"}}}),
    ]
)
ENDS = ["finished", "empty", "interrupted", "cancelled", "stopped", "failed"]
NONE = ["complete", "no-words", "backchannel", "cancelled", "released"]


@st.composite
def _of_session(draw: st.DrawFn) -> Any:
    """Anything that the session may tell, of any turn, in no order at all."""
    turn = draw(TURNS)
    return draw(
        st.sampled_from(
            [
                events.SpeechStart(turn=turn, probability=1.0),
                events.SpeechEnd(turn=turn, probability=0.0),
                events.FinalTranscript(turn=turn, text="what is it"),
                events.Rejected(turn=turn, text="mm", reason="backchannel"),
                events.TurnEnd(turn=turn, who="user", reason=draw(st.sampled_from(NONE))),
                events.LlmToken(turn=turn, text=" word"),
                events.AudioChunk(turn=turn, samples=LOUD, sample_rate=24_000, text=" word"),
                events.BargeIn(turn=turn, heard_text="", unheard_text="", heard_ms=0),
                events.Resume(turn=turn, paused_ms=20),
                events.ToolCalled(turn=turn, name="f", arguments={}),
                events.Error(turn=turn, code="c", message="m", stage=draw(st.sampled_from(["llm", "stt"]))),
                events.TurnEnd(turn=turn, who="assistant", reason=draw(st.sampled_from(ENDS))),
                events.TurnEnd(turn=turn, who="assistant", reason=draw(st.sampled_from(ENDS))),
            ]
        )
    )


@st.composite
def _happened(draw: st.DrawFn) -> Any:
    return draw(
        st.one_of(
            CLIENT,
            _of_session(),
            _of_session(),
            st.sampled_from(
                ["sound", "silence", "held", "call", "over", "lapse", "output", "tick", "truncate", "delete"]
            ),
        )
    )


class Driven:
    """A machine, what it sent, and what a client could know of it."""

    def __init__(self, *, transcription: bool, omni: bool) -> None:
        self.machine = Machine(mark="x", model="m", voice="v", instructions="", transcription=transcription, omni=omni)
        self.sent: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.calls: list[str] = []
        self.at = 0
        self.t = 0.0
        self.take(self.machine.open())

    def take(self, done: list[effects.Effect]) -> None:
        for one in done:
            if isinstance(one, effects.Send | effects.SendSound):
                event = one.event if isinstance(one, effects.Send) else {**one.head, "delta": "AAAA"}
                if isinstance(one, effects.Send) or one.samples.size:
                    self.sent.append({"event_id": str(len(self.sent)), **event})
            elif isinstance(one, effects.Respond):
                self.asked.append(one.response)
            elif isinstance(one, effects.Truncate):
                self.machine.heard(one.item, "word")
        json.dumps(self.sent[-1:])

    def do(self, what: Any) -> None:
        machine = self.machine
        if isinstance(what, ClientEvent):
            self.take(machine.asked(what))
        elif isinstance(what, events.Event):
            self.take(machine.told(what))
        elif what in ("sound", "silence", "held"):
            samples = QUIET if what == "silence" else LOUD
            self.take(machine.happened(effects.Rendered(self.at, samples, held=what == "held")))
            self.at += 480
        elif what == "call":
            self.calls.append(f"call_{len(self.calls)}")
            self.take(machine.happened(effects.Called(self.calls[-1], "f", "{}")))
        elif what == "over" and self.asked:
            self.take(machine.happened(effects.Over(self.asked.pop())))
        elif what == "lapse" and self.calls:
            self.take(machine.happened(effects.Lapsed(self.calls.pop())))
        elif what == "tick":
            self.t += 0.7
            self.take(machine.happened(effects.Tick(self.t)))
        else:
            self._with_items(what)

    def _with_items(self, what: str) -> None:
        items = [event["item"]["id"] for event in self.sent if event["type"] == "conversation.item.done"]
        if what == "output" and self.calls:
            output = {"type": "function_call_output", "call_id": self.calls[-1], "output": "{}"}
            self.take(self.machine.asked(_of_client("conversation.item.create", item=output)))
        elif what == "truncate" and items:
            fields = {"item_id": items[-1], "content_index": 0, "audio_end_ms": 10}
            self.take(self.machine.asked(_of_client("conversation.item.truncate", **fields)))
        elif what == "delete" and items:
            self.take(self.machine.asked(_of_client("conversation.item.delete", item_id=items[0])))


@settings(max_examples=150, deadline=None)
@given(happened=st.lists(_happened(), max_size=60), transcription=st.booleans(), omni=st.booleans())
def test_the_rules_hold_whatever_happens(happened: list[Any], transcription: bool, omni: bool) -> None:
    driven = Driven(transcription=transcription, omni=omni)
    for one in happened:
        driven.do(one)
    driven.take(driven.machine.told(events.SessionEnd(reason="stopped")))
    check(driven.sent)


@settings(max_examples=60, deadline=None)
@given(happened=st.lists(_happened(), max_size=40))
def test_after_the_session_ended_nothing_of_a_response_is_sent(happened: list[Any]) -> None:
    driven = Driven(transcription=False, omni=False)
    driven.do(events.SessionEnd(reason="stopped"))
    before = len(driven.sent)
    for one in happened:
        driven.do(one)
    assert not [one for one in driven.sent[before:] if one["type"].startswith("response.")]


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    """session audio item response item_id content_index audio_end_ms previous_item_id event_id response_id type role content
    text transcript call_id output name arguments input format turn_detection transcription noise_reduction voice speed tools
    tool_choice instructions output_modalities max_output_tokens metadata conversation silence_duration_ms threshold
    eagerness create_response interrupt_response prefix_padding_ms idle_timeout_ms rate parameters description id""".split()
)
WORDS = st.sampled_from(
    """server_vad semantic_vad message function_call function_call_output user assistant system input_text output_text
    input_audio input_image realtime transcription audio/pcm audio/pcmu none auto required function mcp root audio text inf
    item_reference""".split()
)
OBJECTS = st.recursive(
    JSONS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=14,
)
TYPES = st.sampled_from(
    """session.update input_audio_buffer.append input_audio_buffer.commit input_audio_buffer.clear output_audio_buffer.clear
    conversation.item.create conversation.item.retrieve conversation.item.truncate conversation.item.delete response.create
    response.cancel""".split()
)


@settings(max_examples=300, deadline=None)
@given(
    frames=st.lists(st.tuples(TYPES, st.dictionaries(NAMES, OBJECTS, max_size=4)), max_size=6),
    more=st.text(max_size=30),
)
def test_no_frame_does_more_than_an_error(frames: list[tuple[str, dict[str, Any]]], more: str) -> None:
    driven = Driven(transcription=False, omni=False)
    texts = [json.dumps({**fields, "type": kind}) for kind, fields in frames]
    for text in [*texts, more]:
        try:
            driven.take(driven.machine.asked(parse(text)))
        except Invalid as error:
            driven.take(driven.machine.refuse(error))
    check(driven.sent, ended=False)
    for event in driven.sent:
        json.dumps(event, allow_nan=False)
    driven.take(driven.machine.told(events.SessionEnd(reason="stopped")))
    check(driven.sent)
