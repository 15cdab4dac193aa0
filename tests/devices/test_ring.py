"""The ring loses nothing that it took, keeps the order, and never overwrites."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.audio import Samples
from locara.devices.ring import Ring
from locara.errors import AudioError


def counted(first: int, n: int) -> Samples:
    return np.arange(first, first + n, dtype=np.float32)


@given(
    capacity=st.integers(1, 50),
    moves=st.lists(st.tuples(st.sampled_from(["write", "read", "discard"]), st.integers(0, 70)), max_size=60),
)
def test_a_ring_behaves_like_a_bounded_queue(capacity: int, moves: list[tuple[str, int]]) -> None:
    ring, model, next_value = Ring(capacity), list[float](), 0
    for move, n in moves:
        if move == "write":
            accepted = ring.write(counted(next_value, n))
            assert accepted == min(n, capacity - len(model))
            model += range(next_value, next_value + accepted)
            next_value += accepted
        elif move == "read":
            assert ring.read(n).tolist() == model[:n]
            del model[:n]
        else:
            assert ring.discard(n) == min(n, len(model))
            del model[:n]
        assert ring.filled == len(model)
        assert ring.free == capacity - len(model)
        assert ring.written == next_value


def test_a_full_ring_keeps_the_oldest_samples() -> None:
    ring = Ring(4)
    assert ring.write(counted(0, 6)) == 4
    assert ring.write(counted(9, 1)) == 0
    assert ring.read(10).tolist() == [0, 1, 2, 3]


def test_what_was_read_does_not_change_when_more_is_written() -> None:
    ring = Ring(4)
    ring.write(counted(0, 4))
    taken = ring.read(4)
    ring.write(counted(100, 4))
    assert taken.tolist() == [0, 1, 2, 3]


def test_a_writer_and_a_reader_on_two_threads_lose_nothing() -> None:
    ring, total = Ring(997), 200_000

    def write() -> None:
        done = 0
        while done < total:
            done += ring.write(counted(done, min(160, total - done)))

    writer = threading.Thread(target=write)
    writer.start()
    got: list[Samples] = []
    taken, deadline = 0, time.monotonic() + 30
    while taken < total and time.monotonic() < deadline:
        got.append(ring.read(320))
        taken += got[-1].size
    writer.join(5)
    assert np.array_equal(np.concatenate(got), counted(0, total))


def test_a_ring_without_room_is_refused() -> None:
    with pytest.raises(AudioError, match="holds nothing"):
        Ring(0)
