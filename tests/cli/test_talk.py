"""``locara talk`` from start to end: the demonstration, and a conversation from file to file."""

from __future__ import annotations

import base64
import dataclasses
import math
import sys
import wave
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from locara.audio import from_pcm16
from locara.devices.wav import read_wav
from locara.gate.mouth import CEILING
from locara.voice import events as known

from .talking import (
    PARTS,
    QUESTION,
    SENTENCES,
    Done,
    events_in,
    finals,
    locara_run,
    of_type,
    replies,
    user_turns,
)

pytestmark = pytest.mark.timeout(90)

BLOCK_SECONDS = 0.02
PACES = ("realtime", "simulated")


@pytest.fixture(scope="module", params=PACES)
def pace(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(pace: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp(pace)


@pytest.fixture(scope="module")
def conversation(pace: str, folder: Path) -> Done:
    """From file to file, with events."""
    return locara_run(
        folder, "talk", "--input", str(QUESTION), "--output", "answer.wav", "--events", "events.jsonl", "--pace", pace
    )


@pytest.fixture(scope="module")
def events(conversation: Done, folder: Path) -> list[dict[str, Any]]:
    assert conversation.code == 0, conversation.err
    return events_in(folder / "events.jsonl")


# --- the demonstration ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere it cannot be kept from the real speaker")
@pytest.mark.parametrize("pace", PACES)
def test_without_a_terminal_and_a_microphone_it_shows_a_recorded_conversation(tmp_path: Path, pace: str) -> None:
    done = locara_run(tmp_path, "talk", "--pace", pace)
    assert (done.code, done.err) == (0, "")
    assert "No microphone" in done.out
    assert "recording" in done.out.splitlines()[0]
    for sentence in SENTENCES:
        assert f"you    {sentence}" in done.out
    assert "84" in done.out
    assert sum(" s = endpoint " in line for line in done.out.splitlines()) == 2
    left = tmp_path / "locara-talk"
    assert sorted(path.name for path in left.iterdir()) == ["conversation.wav", "events.jsonl", "timeline.svg"]
    assert all(str(Path("locara-talk") / path.name) in done.out for path in left.iterdir())
    both_sides_are_recorded(left / "conversation.wav")
    assert ET.parse(left / "timeline.svg").getroot().tag.endswith("svg")  # noqa: S314  we wrote it
    assert finals(events_in(left / "events.jsonl")) == list(SENTENCES)


def both_sides_are_recorded(path: Path) -> None:
    """Left the question as it was asked, right the two replies, each after its question."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (2, 2)
        rate = file.getframerate()
        data = from_pcm16(file.readframes(file.getnframes())).reshape(-1, 2)
    question, question_rate = read_wav(QUESTION)
    assert len(data) / rate >= question.size / question_rate
    user, assistant = np.ascontiguousarray(data[:, 0]), np.ascontiguousarray(data[:, 1])
    said, heard = replies(user, rate, gap=2.0), replies(assistant, rate)
    assert len(heard) == 2
    assert np.abs(assistant).max() > 0.05  # a reply that a person can hear
    asked = replies(question, question_rate, gap=2.0)
    assert len(said) == len(asked)
    for (begins, _), (begins_too, _) in zip(asked, said, strict=True):
        assert abs(begins - begins_too) < BLOCK_SECONDS


# --- from file to file ------------------------------------------------------------------------------------------------


def test_a_conversation_from_file_to_file_ends_well(conversation: Done, folder: Path) -> None:
    assert (conversation.code, conversation.err) == (0, "")
    assert {path.name for path in folder.iterdir()} <= {"answer.wav", "events.jsonl", "cache"}


def test_a_simulated_conversation_takes_less_time_than_a_real_one(conversation: Done, pace: str) -> None:
    length = read_wav(QUESTION)[0].size / 16_000
    if pace == "realtime":
        assert conversation.seconds > length
    else:
        assert conversation.seconds < 4 * length  # generous: the machine may be busy


def test_the_events_are_those_of_the_contract(events: list[dict[str, Any]]) -> None:
    types = {kind.type: kind for kind in known.ALL}
    times = [event["t"] for event in events]
    assert times == sorted(times)
    assert (events[0]["type"], events[0]["t"]) == ("session-start", 0.0)
    assert set(events[0]["plan"]) == {"vad", "stt", "llm", "tts", "turn"}
    assert (events[-1]["type"], events[-1]["reason"]) == ("session-end", "input-ended")
    for event in events:
        assert next(iter(event)) == "type"
        wanted = {field.name for field in dataclasses.fields(types[event["type"]])} - {"dropped"}
        assert set(event) - {"type"} == wanted
        assert isinstance(event["turn"], int | None)
    assert {"speech-start", "speech-end", "partial-transcript", "audio-chunk", "llm-token"} <= {
        e["type"] for e in events
    }
    assert not of_type(events, "error", "barge-in", "rejected")


def test_each_turn_has_its_events_in_order(events: list[dict[str, Any]]) -> None:
    assert finals(events) == list(SENTENCES)
    for turn in (0, 1):
        own = [event for event in events if event["turn"] == turn]
        first = {kind: next(i for i, e in enumerate(own) if e["type"] == kind) for kind in {e["type"] for e in own}}
        order = ("speech-start", "partial-transcript", "speech-end", "final-transcript", "llm-token", "audio-chunk")
        assert [first[kind] for kind in order] == sorted(first[kind] for kind in order)
        ends = [(e["who"], e["reason"]) for e in of_type(own, "turn-end")]
        assert ends == [("user", "complete"), ("assistant", "finished")]
    said = ["".join(e["text"] for e in of_type(events, "llm-token") if e["turn"] == turn) for turn in (0, 1)]
    assert "84" in said[1]
    spoken = ["".join(e["text"] for e in of_type(events, "audio-chunk") if e["turn"] == turn) for turn in (0, 1)]
    assert all(text.strip() for text in spoken)


def test_the_parts_of_each_ledger_add_up_to_its_latency(events: list[dict[str, Any]], folder: Path, pace: str) -> None:
    sound, rate = read_wav(folder / "answer.wav")
    heard = replies(sound, rate)
    turns = user_turns(events)
    assert len(heard) == len(turns) == 2
    for (begins, _), turn in zip(heard, turns, strict=True):
        latency = turn["latency"]
        assert tuple(latency) == PARTS
        assert all(isinstance(part, float) and part >= 0.0 and math.isfinite(part) for part in latency.values())
        total = sum(latency.values())
        assert 0.2 < total < 5.0
        # The one number that counts, measured in the file: last sample of speech to first audible sample of the reply.
        assert abs(begins - (turn["speech_end"] + total)) <= BLOCK_SECONDS, f"{pace}: heard at {begins}, {turn}"


def test_speech_ends_where_the_recording_falls_silent(events: list[dict[str, Any]]) -> None:
    sound, rate = read_wav(QUESTION)
    loud = np.flatnonzero(np.abs(sound) > 10 ** (-40 / 20)) / rate
    ends = [loud[np.flatnonzero(np.diff(loud) > 1.0)[0]], loud[-1]]
    for turn, end in zip(user_turns(events), ends, strict=True):
        assert abs(turn["speech_end"] - end) < 0.15


def test_the_output_begins_with_the_input_and_ends_with_the_reply(events: list[dict[str, Any]], folder: Path) -> None:
    sound, rate = read_wav(folder / "answer.wav")
    question, question_rate = read_wav(QUESTION)
    length = sound.size / rate
    assert length >= question.size / question_rate
    assert abs(length - events[-1]["t"]) <= 2 * BLOCK_SECONDS
    heard = replies(sound, rate)
    finished = [e["t"] for e in of_type(events, "turn-end") if e["who"] == "assistant"]
    chunks = of_type(events, "audio-chunk")
    assert {chunk["sample_rate"] for chunk in chunks} == {rate}
    for (begins, ends), end in zip(heard, finished, strict=True):
        assert begins < ends <= end + BLOCK_SECONDS
    assert heard[-1][1] < length


def test_what_the_events_hand_to_the_speaker_is_what_the_file_holds(events: list[dict[str, Any]], folder: Path) -> None:
    sound, _ = read_wav(folder / "answer.wav")
    for turn in (0, 1):
        chunks = [base64.b64decode(e["samples"]) for e in of_type(events, "audio-chunk") if e["turn"] == turn]
        given = from_pcm16(b"".join(chunks))
        at = round(next(e["t"] for e in of_type(events, "audio-chunk") if e["turn"] == turn) * 24_000)
        near = sound[at : at + given.size + 24_000]
        size = 1 << (near.size + given.size).bit_length()
        likely = np.fft.irfft(np.fft.rfft(near, size) * np.conj(np.fft.rfft(given, size)), size)
        best = int(np.argmax(likely[: near.size - given.size + 1]))
        # The gate holds its level ceiling: some times of day are said louder than it allows.
        assert np.abs(near[best : best + given.size] - np.clip(given, -CEILING, CEILING)).max() < 0.001
