"""Which part of a reply's sound is certain, to the sample: the arithmetic of Qwen2.5-Omni and Qwen3-Omni."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.engines.omni.qwen_omni_sound import (
    MelPlan,
    Pieces,
    Seam,
    codes_before,
    samples_late,
    sounding,
    vocoder_context,
)

RATES = (8, 5, 4, 3)
SAMPLES = 1920
PLAN = MelPlan(block=24, back=2, ahead=1, repeats=2)


def test_the_published_decoder_is_23_ms_late_and_looks_back_eleven_codes() -> None:
    assert samples_late(RATES) == 555
    assert codes_before(RATES, (2, 2)) == 11


def test_the_published_vocoder_looks_43_frames_to_each_side() -> None:
    dilations = [(1, 3, 5)] * 3
    assert vocoder_context((5, 3, 2, 2, 2, 2), (11, 7, 4, 4, 4, 4), (3, 7, 11), dilations) == 43


def test_cutting_by_codes_would_lose_what_the_seam_keeps() -> None:
    seam = Seam()
    first = seam.cut(0, 4 * SAMPLES - 555)
    second = seam.cut(0, 8 * SAMPLES - 555)
    assert (first, second) == (slice(0, 7125), slice(7125, 14805))
    assert seam.out == 14805
    assert 14805 - 2 * (4 * SAMPLES - 555) == 555  # what the second of two pieces cut by codes would not have


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(1, 20))
def test_no_sample_is_lost_or_comes_twice_however_the_codes_are_cut(sizes: list[int], context: int) -> None:
    seam, out, codes = Seam(), [], 0
    for size in sizes:
        start = max(0, codes - context)
        codes += size
        wave = list(range(start * SAMPLES, codes * SAMPLES - 555))
        out += wave[seam.cut(start * SAMPLES, len(wave))]
    assert out == list(range(codes * SAMPLES - 555))


def test_a_stretch_that_begins_too_late_is_refused() -> None:
    seam = Seam()
    seam.cut(0, 100)
    with pytest.raises(ValueError, match="begins at sample 101, but only 100 are out"):
        seam.cut(101, 50)
    assert seam.cut(0, 50) == slice(100, 100)  # an old stretch has nothing new


def test_the_last_size_of_a_piece_goes_on() -> None:
    pieces = Pieces((4, 8, 12))
    assert [pieces.size(made) for made in range(5)] == [4, 8, 12, 12, 12]


def test_a_block_is_computed_when_the_one_after_it_is_there() -> None:
    assert PLAN.codes_for(1) == 24
    assert PLAN.window(23, 0, final=False) is None
    window = PLAN.window(24, 0, final=False)
    assert window is not None
    assert (window.low, window.high, window.first, window.last) == (0, 48, 0, 24)
    later = PLAN.window(72, 72, final=False)
    assert later is not None
    assert (later.low, later.high, later.first, later.last) == (24, 144, 72, 120)


@given(st.lists(st.integers(1, 40), max_size=30))
def test_every_mel_frame_is_computed_once_in_whole_blocks_with_its_neighbours(steps: list[int]) -> None:
    codes = done = 0
    for step in steps:
        codes += step
        window = PLAN.window(codes, done, final=False)
        if window is None:
            assert codes < PLAN.codes_for(done // 24 + 1)
            continue
        assert window.first == done
        assert window.last % 24 == window.low % 24 == window.high % 24 == 0
        assert window.low == max(0, window.first - 48)
        assert window.high == window.last + 24 <= 2 * codes
        done = window.last
    end = PLAN.window(codes, done, final=True)
    assert (end.last if end else done) == 2 * codes
    assert end is None or end.high == 2 * codes


@given(st.lists(st.integers(1, 100), max_size=20), st.integers(0, 50), st.integers(0, 50))
def test_every_mel_frame_sounds_once_with_what_the_vocoder_looks_at(steps: list[int], back: int, ahead: int) -> None:
    frames = given_out = 0
    for number, step in enumerate(steps):
        frames += step
        final = number == len(steps) - 1
        window = sounding(frames, given_out, back, ahead, final=final)
        if window is None:
            assert frames - ahead <= given_out
            continue
        assert window.first == given_out
        assert window.low == max(0, window.first - back)
        assert window.high == min(frames, window.last + ahead)
        given_out = window.last
    assert given_out == frames
