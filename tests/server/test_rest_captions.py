"""A transcription in each form."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from locara.server.rest_captions import event, joined, written
from locara.server.rest_wanted import TEXT_FORMATS, TextWanted
from locara.transcribe import Segment

TIME = re.compile(r"(\d\d+):([0-5]\d):([0-5]\d)[,.](\d{3})")

SOME = st.lists(
    st.builds(
        Segment,
        text=st.text(max_size=40),
        start=st.floats(0, 20_000),
        end=st.floats(0, 20_000),
        confidence=st.none() | st.floats(-1, 2, allow_nan=False),
    ),
    max_size=5,
)


def test_srt_and_vtt_of_two_segments() -> None:
    two = [Segment("one & two", 0.0, 1.5), Segment("<three>\n\nfour", 3661.0007, 3662.9996)]
    assert written(TextWanted("m", "srt"), two, 5.0, "en")[0] == (
        "1\n00:00:00,000 --> 00:00:01,500\none & two\n\n2\n01:01:01,001 --> 01:01:03,000\n<three> four\n\n"
    )
    assert written(TextWanted("m", "vtt"), two, 5.0, "en")[0] == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\none &amp; two\n\n"
        "01:01:01.001 --> 01:01:03.000\n&lt;three&gt; four\n\n"
    )


@given(SOME, st.sampled_from(TEXT_FORMATS))
def test_whatever_was_said_every_form_can_be_read(segments: list[Segment], form: str) -> None:
    text, _ = written(TextWanted("m", form), segments, 9.0, "en")  # type: ignore[arg-type]
    if form in ("json", "verbose_json"):
        assert json.loads(text)["text"] == joined(segments)
    elif form != "text":
        lines = [line for line in text.splitlines() if " --> " in line and TIME.match(line)]
        assert len(lines) >= len(segments)
        assert len(re.split(r"\n\n", text.strip("\n"))) == max(len(segments) + (form == "vtt"), 1)


@given(st.text())
def test_an_event_is_one_line_and_its_end(text: str) -> None:
    raw = event({"text": text})
    assert raw.endswith(b"\n\n")
    assert raw.count(b"\n") == 2
    assert b"\r" not in raw
    assert json.loads(raw.removeprefix(b"data: "))["text"] == text
