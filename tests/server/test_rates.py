"""The token bucket."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.server.rates import Bucket, averaged


def test_a_burst_passes_and_then_it_is_so_much_a_second() -> None:
    bucket = Bucket(rate=10, burst=20)
    assert [bucket.take(1, 0.0) for _ in range(20)] == [0.0] * 20
    assert bucket.take(1, 0.0) == pytest.approx(0.1)
    assert bucket.take(1, 0.1) == 0.0
    assert bucket.take(5, 0.1) == pytest.approx(0.5)


def test_what_is_refused_takes_nothing() -> None:
    bucket = Bucket(rate=1, burst=2)
    assert bucket.take(1.5, 0.0) == 0.0
    assert bucket.take(1, 0.0) == pytest.approx(0.5)
    assert bucket.take(0.5, 0.0) == 0.0


def test_more_than_it_holds_never_passes() -> None:
    bucket = averaged(10.0)
    assert bucket.take(101, 0.0) == math.inf
    assert bucket.take(100, 0.0) == 0.0


def test_a_bucket_that_lets_nothing_through_is_an_error() -> None:
    with pytest.raises(ValueError, match="lets nothing through"):
        Bucket(0.0, 1.0)


@given(
    st.floats(0.1, 1e6),
    st.floats(0.1, 1e6),
    st.lists(st.tuples(st.floats(0, 1e5), st.floats(-5, 100)), max_size=50),
)
def test_never_more_passes_than_the_burst_and_the_rate_allow(
    rate: float, burst: float, asked: list[tuple[float, float]]
) -> None:
    bucket = Bucket(rate, burst)
    now, latest, passed = 0.0, 0.0, 0.0
    for amount, later in asked:
        now = max(0.0, now + later)  # a clock that goes back, too
        latest = max(latest, now)
        wait = bucket.take(amount, now)
        assert wait >= 0
        if wait == 0:
            passed += amount
        assert passed <= (burst + rate * latest) * (1 + 1e-9) + 1e-6
