"""Sound that waits: nothing lost, in order, and no more memory than what waits."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from locara.devices.waiting import PIECE, Waiting

sizes = st.integers(0, 3 * PIECE)


@given(st.lists(st.tuples(st.sampled_from(["write", "read"]), sizes), max_size=30))
def test_what_goes_in_comes_out_in_order_in_bounded_memory(steps: list[tuple[str, int]]) -> None:
    waiting, written, taken = Waiting(), 0, 0
    for what, size in steps:
        if what == "write":
            assert waiting.write(np.arange(written, written + size, dtype=np.float32)) == size
            written += size
        else:
            got = waiting.read(size)
            assert got.size == min(size, written - taken)
            assert np.array_equal(got, np.arange(taken, taken + got.size, dtype=np.float32))
            taken += got.size
        assert waiting.filled == written - taken
        assert waiting.written == written
        assert waiting.held <= waiting.filled + 2 * PIECE


def test_an_hour_that_is_heard_as_it_comes_takes_no_more_memory_than_a_moment() -> None:
    waiting = Waiting()
    block = np.ones(320, dtype=np.float32)
    for _ in range(50 * 60):
        waiting.write(block)
        assert waiting.read(320).size == 320
        assert waiting.held <= PIECE
