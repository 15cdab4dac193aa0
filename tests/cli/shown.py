"""A conversation to be shown in a terminal, and how to read what is shown of it."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import strategies as st

from locara.cli.view import View, view_after
from locara.voice import events as on

SAMPLES = np.zeros(480, np.float32)
SGR = re.compile(r"\x1b\[[0-9;]*m")
NASTY = st.text(
    alphabet=st.sampled_from(
        "ab \x1b[]31mJH;\x07\\\x9b\x9c\x90\x00\x08\r\n\t\x7f\u202e\u2066\u0301漢字👍🏽\u200d\ufe0f🇩🇪ﷺ"
    ),
    max_size=80,
)


def a_conversation() -> list[on.Event]:
    chunk = on.AudioChunk(t=2.2, turn=1, samples=SAMPLES, sample_rate=24_000, text="It's")
    return [
        on.SessionStart(plan={}),
        on.SpeechStart(t=0.6, turn=1, probability=0.9),
        on.PartialTranscript(t=1.0, turn=1, text="what time", revision=0),
        on.SpeechEnd(t=1.6, turn=1, probability=0.1),
        on.FinalTranscript(t=1.9, turn=1, text="what time is it"),
        *(on.LlmToken(t=2.0, turn=1, text=text) for text in ("It's", " ten", " past", " two.")),
        chunk,
        on.TurnEnd(
            t=2.3,
            turn=1,
            who="user",
            reason="complete",
            latency=on.Latency(endpoint=0.38, output=0.03),
            speech_end=1.6,
        ),
    ]


def after(events: list[on.Event], view: View | None = None) -> View:
    view = view or View()
    for event in events:
        view = view_after(view, event)
    return view


def bare(lines: list[str]) -> list[str]:
    return [SGR.sub("", line).rstrip() for line in lines]


def finished(view: View) -> list[str]:
    return ["".join(text for text, _ in line.pieces) for line in view.finished]
