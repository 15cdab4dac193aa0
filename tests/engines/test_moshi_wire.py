"""The wire of Moshi's servers, and the counting of what is on its way: pure, so any bytes and any order of events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.engines.omni import moshi_wire as wire
from locara.engines.omni.moshi_pace import BEHIND, CAUGHT_UP, FRAME_SECONDS, LOST, Pace

MESSAGES = (
    st.builds(wire.Handshake, st.booleans())
    | st.builds(wire.Pages, st.binary(max_size=200))
    | st.builds(wire.Piece, st.text(max_size=30))
    | st.builds(wire.Refusal, st.text(max_size=30))
)


@given(MESSAGES)
def test_what_is_written_is_read_again(message: wire.Message) -> None:
    assert wire.parse(wire.encode(message)) == message


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_nothing(data: bytes) -> None:
    said = wire.parse(data)
    assert (said is None) == (not data or data[0] not in (0, 1, 2, 5, 7))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x00", wire.Handshake()),
        (b"\x00" + bytes(8), wire.Handshake(rust=True)),
        (b"\x00\x00\x00", wire.Handshake()),  # the web page's own: a byte each for version and model
        (b"\x01OggS", wire.Pages(b"OggS")),
        (b"\x02 hel", wire.Piece(" hel")),
        (b"\x02\xe2\x82", wire.Piece("\ufffd")),
        (b"\x07\x05 red", wire.Piece(" red")),
        (b"\x05no GPU", wire.Refusal("no GPU")),
        (b"\x03\x01", None),
        (wire.metadata({"a": 1}), None),
        (b"\x06", None),
        (b"\x08png", None),
        (b"\x09codes", None),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_each_kind_says_what_the_protocol_says(data: bytes, said: wire.Message | None) -> None:
    assert wire.parse(data) == said


def test_the_published_voices_are_files_of_the_server_and_others_are_what_they_are() -> None:
    assert len(wire.VOICES) == len(set(wire.VOICES)) == 18
    assert wire.voice_file("NATF2") == "NATF2.pt"
    assert wire.voice_file("VARM4") == "VARM4.pt"
    assert wire.voice_file("VARM5") == "VARM5"
    assert wire.voice_file("mine.wav") == "mine.wav"


@pytest.mark.parametrize(
    ("rust", "seconds", "reason"),
    [(True, 360.4, "limit"), (True, 359.0, "limit"), (True, 120.0, "closed"), (False, 900.0, "closed")],
)
def test_only_a_rust_server_ends_a_conversation_by_the_clock(rust: bool, seconds: float, reason: str) -> None:
    assert wire.ended(rust=rust, seconds=seconds) == reason


def _pushed(pace: Pace, frames: int, answered: int) -> int:
    """Pushes frames, with so many answers after each; returns how many were sent."""
    sent = 0
    for _ in range(frames):
        if pace.wants():
            pace.sent()
            sent += 1
        for _ in range(answered):
            pace.came()
    return sent


def test_a_server_that_answers_each_frame_gets_them_all() -> None:
    pace = Pace()
    assert _pushed(pace, 3, 0) == 3  # a network and a model that are three frames deep
    assert _pushed(pace, 10_000, 1) == 10_000
    assert pace.on_their_way == 3


def test_a_server_that_stood_still_is_left_alone_until_it_has_caught_up() -> None:
    pace = Pace()
    assert _pushed(pace, BEHIND + 5, 0) == BEHIND
    assert pace.seconds == pytest.approx(BEHIND * FRAME_SECONDS)
    left = 0
    while not pace.wants():
        pace.came()
        left += 1
    assert left == BEHIND - CAUGHT_UP
    assert pace.on_their_way == CAUGHT_UP


def test_a_server_half_as_fast_as_speech_hears_half_of_it_and_stays_near_the_present() -> None:
    pace = Pace()
    sent = worst = 0
    for number in range(2000):
        if pace.wants():
            pace.sent()
            sent += 1
        if number % 2:
            pace.came()
        worst = max(worst, pace.on_their_way)
    assert sent == pytest.approx(1000, abs=BEHIND)
    assert worst <= BEHIND


def test_frames_that_a_server_has_dropped_are_not_waited_for_for_ever() -> None:
    pace = Pace()
    _pushed(pace, BEHIND, 0)  # none of them will be answered
    assert _pushed(pace, LOST, 0) == 0
    assert _pushed(pace, 1000, 1) == 1000


@given(st.lists(st.sampled_from(["push", "come"]), max_size=400))
def test_no_order_of_events_makes_the_counts_wrong(events: list[str]) -> None:
    pace = Pace()
    silent = 0
    for event in events:
        if event == "push":
            silent += 1
            if pace.wants():
                pace.sent()
        else:
            silent = 0
            pace.came()
        assert 0 <= pace.on_their_way <= BEHIND
        assert 0 <= pace.in_vain <= LOST
        assert pace.silent_seconds == pytest.approx(silent * FRAME_SECONDS)
