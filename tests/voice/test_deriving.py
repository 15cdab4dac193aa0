"""Where a stream of frames begins to be an utterance, and where it ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from locara.voice.deriving import (
    LEAD_SECONDS,
    MOST_LEAD_SECONDS,
    QUIET_SECONDS,
    YIELDED_SECONDS,
    Utterance,
    follow,
    lead_needed,
)

FRAME = 0.08


def _run(frames: list[tuple[float, str]], *, over_user: bool = False) -> list[bool]:
    now, told = Utterance(), []
    for level, text in frames:
        now = follow(now, level, text, FRAME, over_user=over_user)
        told.append(now.goes_on)
    return told


def test_sound_or_text_opens_it_and_the_noise_of_a_codec_does_not() -> None:
    assert _run([(-70.0, ""), (-60.0, ""), (-48.0, "")]) == [False] * 3
    assert _run([(-70.0, ""), (-30.0, "")]) == [False, True]
    assert _run([(-70.0, " Hello")]) == [True]
    assert _run([(-70.0, " ")]) == [False]


def test_a_pause_within_a_sentence_does_not_end_it() -> None:
    pause = [(-70.0, "")] * int(0.4 / FRAME)
    assert all(_run([(-20.0, ""), *pause, (-20.0, "")]))


def test_half_a_second_of_silence_does() -> None:
    told = _run([(-20.0, ""), *[(-70.0, "")] * 10])
    assert told.index(False) * FRAME >= QUIET_SECONDS
    assert told.index(False) * FRAME <= QUIET_SECONDS + 2 * FRAME


def test_while_the_user_speaks_it_ends_sooner() -> None:
    told = _run([(-20.0, ""), *[(-70.0, "")] * 10], over_user=True)
    assert abs(told.index(False) * FRAME - YIELDED_SECONDS) <= FRAME


@given(st.lists(st.floats(0.0, 5.0), max_size=200))
def test_the_lead_is_bounded_and_grows_with_unevenness_only(delays: list[float]) -> None:
    lead = lead_needed(delays)
    assert LEAD_SECONDS <= lead <= MOST_LEAD_SECONDS
    assert abs(lead_needed([one + 3.0 for one in delays]) - lead) < 1e-6


def test_frames_that_always_come_equally_late_need_no_more_lead() -> None:
    assert lead_needed([0.25] * 100) == LEAD_SECONDS
    assert lead_needed([0.1, 0.2] * 50) >= LEAD_SECONDS + 0.1 - 1e-9
