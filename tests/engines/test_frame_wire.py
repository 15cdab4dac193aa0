"""What a frame worker and our side say to each other: read as it was written, and garbage is an error."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.engines import frame_wire, frames
from locara.engines.frame_model import FrameFacts
from locara.engines.frame_wire import Said, StepMade
from locara.engines.frames import FrameError, Reply

_sound = st.none() | st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=8).map(
    lambda values: np.array(values, dtype=np.float32)
)
_said = st.builds(
    Said,
    session=st.integers(1, 2**40),
    heard=st.integers(0, 2**40),
    text=st.text(max_size=12),
    samples=_sound,
    skipped=st.integers(0, 2**30),
    behind=st.floats(0, 1e6),
)


@given(st.floats(0, 100), st.lists(_said, max_size=5))
def test_a_step_is_read_as_it_was_written(took: float, said: list[Said]) -> None:
    reply = frames.decode(io.BytesIO(frame_wire.step(StepMade(took, tuple(said)))).read)
    assert reply is not None
    read = frame_wire.step_made(reply)
    assert read.seconds == took
    for one, other in zip(read.said, said, strict=True):
        assert (one.session, one.heard, one.text, one.skipped, one.behind) == (
            other.session, other.heard, other.text, other.skipped, other.behind,
        )  # fmt: skip
        if other.samples is None:
            assert one.samples is None
        else:
            np.testing.assert_array_equal(one.samples, other.samples)


def test_facts_are_read_as_they_were_written() -> None:
    facts = FrameFacts(24_000, 1920, 4, True, ("a", "b"), "cuda", 320.0, "note")
    reply = frames.decode(io.BytesIO(frames.encode(frame_wire.loaded(facts))).read)
    assert reply is not None
    assert frame_wire.facts(reply) == facts


@pytest.mark.parametrize(
    ("header", "payload"),
    [
        ({}, b""),
        ({"took": 0.1}, b""),
        ({"took": 0.1, "said": 3}, b""),
        ({"took": 0.1, "said": [[1]]}, b""),
        ({"took": "x", "said": []}, b""),
        ({"took": 0.1, "said": [[1, 0, "", 8, 0, 0]]}, b"four"),
        ({"took": 0.1, "said": [[1, 0, "", 3, 0, 0]]}, b"abc"),
        ({"took": 0.1, "said": []}, b"more"),
    ],
)
def test_a_step_that_cannot_be_is_an_error(header: dict[str, Any], payload: bytes) -> None:
    with pytest.raises(FrameError):
        frame_wire.step_made(Reply(header, payload))
