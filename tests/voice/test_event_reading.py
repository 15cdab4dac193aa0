"""Events go over a wire and come back as they were."""

from __future__ import annotations

import dataclasses
import json
import typing
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.errors import MessageError
from locara.voice import events
from locara.voice.event_reading import from_json
from locara.voice.events import ALL, AudioChunk, Event, Latency, to_json

text = st.text(max_size=10)
# What is written is rounded to six digits: a microsecond.
number = st.integers(0, 10**9).map(lambda n: n / 1000)
plan = st.dictionaries(text, st.dictionaries(text, text, max_size=2), max_size=2)
OF: dict[str, st.SearchStrategy[Any]] = {
    "plan": plan, "stages": st.lists(text, max_size=2).map(tuple), "arguments": st.dictionaries(text, text, max_size=2),
    "result": st.none() | text | st.dictionaries(text, text, max_size=2),
    "latency": st.none() | st.builds(Latency, *[number] * 7), "turn": st.none() | st.integers(0, 9),
    "samples": st.lists(st.integers(-32768, 32767), max_size=8).map(lambda all_: np.array(all_, np.float32) / 32768),
    "who": st.sampled_from(["user", "assistant"]), "state": st.sampled_from(["attentive", "waiting"]),
    "confidence": st.none() | number, "speech_end": st.none() | number,
}  # fmt: skip


@st.composite
def an_event(draw: st.DrawFn) -> Event:
    kind = draw(st.sampled_from(ALL))
    hints = typing.get_type_hints(kind)
    by_type = {str: text, float: number, int: st.integers(0, 10**6), bool: st.booleans()}
    fields = dataclasses.fields(kind)
    return kind(**{one.name: draw(OF[one.name] if one.name in OF else by_type[hints[one.name]]) for one in fields})


@given(event=an_event())
def test_every_event_comes_back(event: Event) -> None:
    back = from_json(json.loads(json.dumps(to_json(event))))
    if isinstance(event, AudioChunk):
        assert isinstance(back, AudioChunk)
        np.testing.assert_allclose(back.samples, event.samples, atol=1.1 / 32768)
        back = dataclasses.replace(back, samples=event.samples)
    assert back == event


def test_without_its_sound_a_chunk_has_so_many_zeros() -> None:
    chunk = AudioChunk(samples=np.ones(5, np.float32), sample_rate=24_000, text="a")
    back = from_json(to_json(chunk, audio=False))
    assert isinstance(back, AudioChunk)
    assert back.samples.tolist() == [0.0] * 5


def test_what_a_newer_server_adds_is_skipped() -> None:
    assert from_json({"type": "something-new", "t": 1.0}) is None
    told = {**to_json(events.Resume(t=1.0, paused_ms=3)), "mood": "good"}
    assert from_json(told) == events.Resume(t=1.0, paused_ms=3)


@pytest.mark.parametrize(
    "told",
    [
        {"type": "resume"},
        {"type": "turn-end", "who": "user", "reason": "x", "latency": 3},
        {"type": "audio-chunk", "samples": "###", "sample_rate": 1, "text": ""},
        {"type": "resume", "paused_ms": 1, "t": "soon"},
    ],
)
def test_an_event_that_is_none_is_an_error_of_ours(told: dict[str, Any]) -> None:
    with pytest.raises(MessageError):
        from_json(told)
