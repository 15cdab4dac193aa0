"""One conversation with a frame model, as our side keeps it: from samples of any length to frames."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from locara.audio import Samples
from locara.engines.frame_session import FrameSession

FRAME = 40


def _cut(session: FrameSession, pieces: list[Samples]) -> list[Samples]:
    return [sound for piece in pieces if (sound := session.cut(piece, 0.0)) is not None]


@given(st.lists(st.integers(0, 3 * FRAME), max_size=30))
def test_however_sound_is_cut_the_same_whole_frames_come_of_it(sizes: list[int]) -> None:
    sound = np.arange(sum(sizes), dtype=np.float32)
    pieces = np.split(sound, np.cumsum(sizes)[:-1]) if sizes else []
    frames = _cut(FrameSession(1, "one-1", FRAME), list(pieces))
    assert all(one.size % FRAME == 0 for one in frames)
    whole = np.concatenate([*frames, np.zeros(0, np.float32)])
    assert whole.size == sound.size - sound.size % FRAME
    assert (whole == sound[: whole.size]).all()


def test_a_frame_comes_with_its_last_sample_and_whoever_gave_the_others_may_have_written_over_them() -> None:
    session = FrameSession(1, "one-1", FRAME)
    mine = np.ones(FRAME - 1, dtype=np.float32)
    assert session.cut(mine, 0.0) is None
    mine[:] = 7.0
    frame = session.cut(np.ones(1, dtype=np.float32), 0.0)
    assert frame is not None
    assert (frame == 1.0).all()


def test_a_sample_that_is_no_number_is_silence_also_in_what_waits_for_its_frame() -> None:
    session = FrameSession(1, "one-1", FRAME)
    bad = np.full(FRAME // 2, np.nan, dtype=np.float32)
    assert session.cut(bad, 0.0) is None
    frame = session.cut(np.full(FRAME, np.inf, dtype=np.float32), 0.0)
    assert frame is not None
    assert not frame.any()


def test_the_model_owes_a_frame_from_the_moment_it_was_whole() -> None:
    session = FrameSession(1, "one-1", FRAME)
    session.cut(np.zeros(FRAME - 1, np.float32), 1.0)
    assert session.owing_since is None
    session.cut(np.zeros(1, np.float32), 2.0)
    assert session.owing_since == 2.0
