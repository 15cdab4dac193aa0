"""The reference: what was played beside what is heard, to the sample, and nothing lost or made up in silence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locara.audio import BLOCK, RATE, Samples, samples_in
from locara.gate.reference import CUSHION_SECONDS, JUMP_SECONDS, RING_SECONDS, Reference

CUSHION = samples_in(CUSHION_SECONDS)


def counted(first: int, n: int) -> Samples:
    """Samples that tell where they lie, small enough to be sound."""
    return ((1 + first + np.arange(n)) / 1e6).astype(np.float32)


@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100, 48_000])
def test_one_clock_gives_every_block_what_was_played_in_it(rate: int) -> None:
    reference, out, at = Reference(rate, own_clock=False), list[Samples](), 0
    tone = (0.1 * np.sin(2 * np.pi * 300 * np.arange(rate) / rate)).astype(np.float32)
    for block in range(50):
        until = (block + 1) * BLOCK * rate // RATE
        reference.write(tone[at:until])
        at = until
        out.append(reference.block())
    got, wanted = np.concatenate(out), 0.1 * np.sin(2 * np.pi * 300 * np.arange(RATE) / RATE)
    late = int(np.argmax(np.correlate(got[3200:6400], wanted[3200:6400], "full"))) - 3199
    assert 0 <= late <= 40, "the resampler's millisecond"
    assert (reference.resynchronised, reference.inserted, reference.dropped) == (0, 0, 0)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 3 * BLOCK), min_size=1, max_size=60))
def test_whatever_the_output_does_the_samples_come_in_order_and_all_are_accounted_for(pulls: list[int]) -> None:
    reference, at, out = Reference(RATE, own_clock=True), 0, list[Samples]()
    reference.block()
    for n in pulls:
        reference.write(counted(at, n))
        at += n
        out.append(reference.block())
    got = np.concatenate(out)
    assert got.size == len(pulls) * BLOCK
    assert all(one.size == BLOCK for one in out)
    quiet = int(np.count_nonzero(np.abs(got) < 1e-9))
    if reference.inserted == 0:
        assert quiet <= CUSHION + 64
    assert reference.inserted + reference.dropped > 0 or not reference.resynchronised


def test_an_output_that_stops_is_filled_up_counted_once_and_in_step_again() -> None:
    reference = Reference(RATE, own_clock=True)
    reference.block()
    for block in range(20):
        reference.write(counted(block * BLOCK, BLOCK))
        reference.block()
    for _ in range(10):  # it stands
        reference.block()
    assert reference.resynchronised == 1
    assert reference.inserted >= 8 * BLOCK
    inserted = reference.inserted
    for block in range(20, 40):
        reference.write(counted(block * BLOCK, BLOCK))
        reference.block()
    assert (reference.resynchronised, reference.inserted) == (1, inserted)


def test_samples_of_the_microphone_that_were_lost_make_it_jump_and_are_counted() -> None:
    reference, at = Reference(RATE, own_clock=True), 0
    reference.block()
    lost = samples_in(JUMP_SECONDS) * 5
    for block in range(200):
        n = BLOCK + (lost if block == 50 else 0)  # more was played than blocks were heard
        reference.write(counted(at, n))
        at += n
        newest = reference.block()
    assert reference.resynchronised == 1
    assert reference.dropped == pytest.approx(lost, abs=2 * BLOCK)
    assert at - float(newest[-1]) * 1e6 < 2 * CUSHION + BLOCK, "it is beside what is heard again"


@pytest.mark.parametrize("ppm", [-200, 200])
def test_clocks_that_run_apart_are_followed_without_a_jump(ppm: int) -> None:
    reference, at, played = Reference(24_000, own_clock=True), 0, 0.0
    reference.block()
    for _ in range(60 * 50):  # a minute: 200 parts in a million are 12 ms
        played += 480 * (1 + ppm * 1e-6)
        n = int(played) - at
        reference.write(counted(at, n))
        at += n
        reference.block()
    assert (reference.resynchronised, reference.inserted, reference.dropped) == (0, 0, 0)


def test_a_stalled_event_loop_loses_nothing_until_the_ring_is_full() -> None:
    reference = Reference(RATE, own_clock=True)
    reference.block()
    backlog = round(5.0 * RATE / BLOCK)
    for block in range(backlog):
        reference.write(counted(block * BLOCK, BLOCK))
    out = np.concatenate([reference.block() for _ in range(backlog)])
    assert (reference.dropped, reference.inserted) == (0, 0)
    steps = np.diff(out[CUSHION + 64 :])
    assert np.all(steps > 0), "in order"


def test_a_full_ring_is_counted() -> None:
    reference = Reference(RATE, own_clock=True)
    reference.block()
    for block in range(round(RING_SECONDS * RATE / BLOCK) + 10):
        reference.write(counted(block * BLOCK, BLOCK))
    reference.block()
    assert reference.dropped >= 9 * BLOCK
    assert reference.resynchronised >= 1


def test_an_output_that_is_late_for_once_moves_nothing() -> None:
    """What came late is left out where silence took its place: all that follows is where it would have been."""
    plain, late = Reference(RATE, own_clock=True), Reference(RATE, own_clock=True)
    plain.block(), late.block()
    for block in range(50):
        new = counted(block * BLOCK, BLOCK)
        plain.write(new)
        if block == 20:
            held = new  # it comes with the next ones, after more than the cushion
        elif block == 21:
            held = np.concatenate((held, new))
        elif block == 22:
            late.write(np.concatenate((held, new)))
        else:
            late.write(new)
        one, other = plain.block(), late.block()
    assert np.array_equal(one, other)
    assert late.inserted == late.dropped > 0
    assert late.resynchronised == 0
