"""The picture of a conversation: well-formed, bounded, honest about what was not heard, and nothing covers anything."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locara.audio import Samples
from locara.errors import AudioError
from locara.voice.events import (
    AudioChunk,
    BargeIn,
    Error,
    Event,
    FinalTranscript,
    Latency,
    LlmToken,
    PartialTranscript,
    Rejected,
    Resume,
    SpeechEnd,
    SpeechStart,
    TurnEnd,
)
from locara.voice.timeline import PARTS, Timeline, draw, whole_parts

SVG = "{http://www.w3.org/2000/svg}"


def noise(duration: float, rate: int) -> Samples:
    return (0.1 * np.random.default_rng(1).standard_normal(int(duration * rate))).astype(np.float32)


def a_turn(number: int, t: float, said: str, reply: str, latency: Latency | None = None) -> list[Event]:
    latency = latency or Latency(endpoint=0.3, tts_first_chunk=0.08, output=0.03)
    return [
        SpeechStart(t=t, turn=number, probability=0.9),
        PartialTranscript(t=t + 0.5, turn=number, text=said[:4], revision=0),
        SpeechEnd(t=t + 1.2, turn=number, probability=0.1),
        FinalTranscript(t=t + 1.4, turn=number, text=said),
        LlmToken(t=t + 1.4, turn=number, text=reply),
        AudioChunk(t=t + 1.4, turn=number, samples=noise(0.01, 24_000), sample_rate=24_000, text=reply),
        TurnEnd(t=t + 1.4, turn=number, who="user", reason="complete", latency=latency, speech_end=t + 1.0),
        TurnEnd(t=t + 3.0, turn=number, who="assistant", reason="finished"),
    ]


def picture(events: list[Event], duration: float = 6.0, title: str = "A test") -> str:
    return draw(Timeline(noise(duration, 16_000), 16_000, noise(duration, 24_000), 24_000, events, title))


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - our own picture


def words(root: ET.Element, css: str = "") -> list[str]:
    """The visible texts, or those of one class."""
    out = []
    for text in root.iter(SVG + "text"):
        if not css:
            out.append("".join(text.itertext()))
        out += ["".join(span.itertext()) for span in text.iter(SVG + "tspan") if css and css == span.get("class")]
    return out


def test_what_was_said_and_answered_stands_under_the_lanes() -> None:
    root = parsed(picture(a_turn(1, 0.5, "what time is it", "It's ten past two.")))
    assert words(root, "said") == ["what time is it", "It's ten past two."]
    assert words(root, "partial") == []


def test_tokens_that_end_in_a_blank_keep_it_between_the_words() -> None:
    tokens = [LlmToken(t=1.4, turn=1, text=text) for text in ("It's ", "two ", "forty ", "two.")]
    assert words(parsed(picture(list(tokens))), "said") == ["It's two forty two."]


def test_a_turn_that_never_became_final_shows_its_partial_words() -> None:
    root = parsed(picture([PartialTranscript(t=1.0, turn=1, text="so the thing", revision=0)]))
    assert words(root, "partial") == ["so the thing"]


def test_what_was_never_heard_is_struck_through_after_a_barge_in() -> None:
    barge = BargeIn(t=3.0, turn=1, heard_text="It's ten", unheard_text="past two.", heard_ms=500)
    svg = picture([*a_turn(1, 0.5, "what time is it", "It's ten past two.")[:-1], barge])
    root = parsed(svg)
    assert words(root, "unheard") == [" past two."]
    assert "It's ten" in words(root, "said")
    assert "never heard" in words(root)
    assert re.search(r"\.unheard\{[^}]*line-through", svg)


def test_a_reply_cut_before_its_first_word_is_struck_through_whole() -> None:
    barge = BargeIn(t=3.0, turn=1, heard_text="", unheard_text="", heard_ms=0)
    root = parsed(picture([*a_turn(1, 0.5, "what", "It's ten past two.")[:-1], barge]))
    assert words(root, "unheard") == ["It's ten past two."]


def test_the_ledger_is_drawn_in_true_scale_from_the_end_of_speech_and_adds_up() -> None:
    latency = Latency(0.3, 0.05, 0.1, 0.02, 0.08, 0.01, 0.04)
    root = parsed(picture(a_turn(1, 0.5, "a", "b", latency), duration=10.0))
    bars = [one for one in root.iter(SVG + "rect") if one.get("class") == "part"]
    widths = [float(one.get("width", "0")) for one in bars]
    per_second = (
        next(float(one.get("width", "0")) for one in root.iter(SVG + "rect") if one.get("class") == "lane") / 10
    )
    assert len(bars) == 7
    assert sum(widths) == pytest.approx(latency.total * per_second, abs=0.1)
    assert widths[0] == pytest.approx(0.3 * per_second, abs=0.02)
    ticks = {
        one.text: float(one.get("x", "0")) for one in root.iter(SVG + "text") if one.get("text-anchor") == "middle"
    }
    assert float(bars[0].get("x", "0")) == pytest.approx(ticks["0 s"] + 1.5 * per_second, abs=0.1)
    assert any(text.startswith("600 ms = endpoint 300 + stt 50 + llm first token 100") for text in words(root))
    for name in PARTS:
        assert name.replace("_", " ") in words(root)  # the legend


@given(st.lists(st.floats(0, 3), min_size=7, max_size=7), st.sampled_from([0.001, 0.01]))
def test_rounded_parts_add_up_to_the_rounded_total(parts: list[float], step: float) -> None:
    latency = Latency(*parts)
    total, rounded = whole_parts(latency, step)
    assert sum(rounded.values()) == total == round(latency.total / step)
    assert all(abs(rounded[name] * step - getattr(latency, name)) <= step * 1.001 for name in PARTS)


def test_every_kind_of_mark_is_drawn_with_its_reason() -> None:
    marks: list[Event] = [
        TurnEnd(t=1.0, turn=1, who="user", reason="too-long"),
        BargeIn(t=2.0, turn=1, heard_text="a", unheard_text="b", heard_ms=1),
        Resume(t=3.0, turn=1, paused_ms=120),
        Error(t=4.0, code="engine-timeout", message="no answer", stage="stt"),
        Rejected(t=5.0, text="uh", reason="no-words"),
    ]
    root = parsed(picture(marks))
    for label in ("too-long", "barge-in", "resume", "engine-timeout", "no-words"):
        assert label in words(root)
    titles = ["".join(one.itertext()) for one in root.iter(SVG + "title")]
    assert "3.00 s: resumed, paused for 120 ms" in titles
    assert "4.00 s: no answer" in titles


def test_speech_is_shaded_from_its_start_to_its_end() -> None:
    open_end: list[Event] = [
        SpeechStart(t=1, probability=1),
        SpeechEnd(t=2, probability=0),
        SpeechStart(t=5, probability=1),
    ]
    root = parsed(picture(open_end, duration=10.0))
    spans = [one for one in root.iter(SVG + "rect") if one.get("class") == "span-user"]
    plot = next(float(one.get("width", "0")) for one in root.iter(SVG + "rect") if one.get("class") == "lane")
    assert [float(one.get("width", "0")) for one in spans] == pytest.approx([plot / 10, plot / 2], abs=0.2)


def test_the_waveform_shows_the_loud_part_where_it_is() -> None:
    user = np.zeros(160_000, np.float32)
    user[80_000:96_000] = 0.5
    root = parsed(draw(Timeline(user, 16_000, np.zeros(0, np.float32), 24_000, [], "x")))
    path = next(one for one in root.iter(SVG + "path") if one.get("class") == "user").get("d", "")
    points = np.array([[float(value) for value in pair.split(",")] for pair in path.strip("MZ").split(" ")])
    upper = points[: len(points) // 2]
    high = upper[upper[:, 1] < upper[:, 1].max() - 10]
    plot_left, plot_right = upper[0, 0], upper[-1, 0]
    assert (high[0, 0] - plot_left) / (plot_right - plot_left) == pytest.approx(0.5, abs=0.005)
    assert (high[-1, 0] - plot_left) / (plot_right - plot_left) == pytest.approx(0.6, abs=0.005)


def test_ten_minutes_stay_small_and_no_caption_covers_another() -> None:
    events: list[Event] = []
    for index in range(90):
        said = "could you tell me what the weather is going to be like tomorrow in the north of the country " * (
            index % 3
        )
        events += a_turn(index, 2.0 + index * 6.5, said + "please", f"Reply number {index}, which is a bit longer.")
    svg = picture(events, duration=600.0)
    root = parsed(svg)
    assert float(root.get("width", "inf")) <= 4_122
    assert len(svg) < 400_000
    boxes = []
    for text in root.iter(SVG + "text"):
        if text.find(SVG + "tspan") is not None:
            x, y = float(text.get("x", "0")), float(text.get("y", "0"))
            boxes.append((x, y, x + 13 * 0.5 * len("".join(text.itertext()))))
    assert len(boxes) > 150
    for index, (left, y, right) in enumerate(boxes):
        for other_left, other_y, other_right in boxes[index + 1 :]:
            assert abs(y - other_y) >= 15 or right <= other_left or other_right <= left


def test_captions_that_find_no_room_are_counted() -> None:
    events = [FinalTranscript(t=1.0, turn=index, text="the same moment again") for index in range(10)]
    assert "6 captions left out" in " ".join(words(parsed(picture(list(events)))))


def test_the_picture_needs_nothing_from_outside_and_follows_the_dark() -> None:
    svg = picture(a_turn(1, 0.5, "a", "b"))
    assert "<script" not in svg
    assert not re.search(r"(href|src)=|url\(|@import", svg)
    assert re.findall(r"https?://[^\"]+", svg) == ["http://www.w3.org/2000/svg"]
    assert "prefers-color-scheme:dark" in svg


def test_it_says_in_words_what_it_shows() -> None:
    root = parsed(picture(a_turn(1, 0.5, "what time is it", "It's ten."), title="Kitchen"))
    assert root.get("role") == "img"
    assert [root[0].text, root[0].tag] == ["Kitchen", SVG + "title"]
    assert root[1].tag == SVG + "desc"
    assert "voice to voice 410 ms" in (root[1].text or "")
    assert "You: what time is it." in (root[1].text or "")


def test_an_empty_session_is_a_picture_too() -> None:
    none = np.zeros(0, np.float32)
    root = parsed(draw(Timeline(none, 16_000, none, 24_000, [], "")))
    assert words(root).count("silent") == 2


def test_broken_samples_are_drawn_as_silence_and_wrong_ones_are_refused() -> None:
    broken = np.array([np.nan, np.inf, -np.inf, 0.5] * 4_000, np.float32)
    assert "nan" not in draw(Timeline(broken, 16_000, broken, 16_000, [], "x")).replace("assistant", "")
    with pytest.raises(AudioError, match="shape"):
        draw(Timeline(np.zeros((4, 2), np.float32), 16_000, broken, 16_000, [], "x"))
    with pytest.raises(AudioError, match="0 Hz"):
        draw(Timeline(broken, 16_000, broken, 0, [], "x"))


@settings(max_examples=40, deadline=None)
@given(
    st.text(max_size=200),
    st.text(alphabet=st.sampled_from("<>&\"'\x00\x1b\x0b\ud800\ufffe\u202e]漢字 a"), max_size=60),
    st.floats(),
)
def test_any_text_makes_well_formed_xml(text: str, nasty: str, t: float) -> None:
    events: list[Event] = [
        *a_turn(1, 0.5, text, nasty),
        Error(t=t, code=nasty, message=text, stage="s"),
        Rejected(t=2.0, text=nasty, reason=text),
        BargeIn(t=3.0, turn=1, heard_text=nasty, unheard_text=text, heard_ms=1),
    ]
    root = parsed(draw(Timeline(noise(0.1, 16_000), 16_000, noise(0.1, 24_000), 24_000, events, nasty)))
    assert all(math.isfinite(float(one.get("x", "0"))) for one in root.iter(SVG + "text"))
