"""Native results through a callback, as an iterator."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from locara.engines.called_back import CalledBack


def _counting(until: int, seen: list[int]) -> Callable[[Callable[[int], bool]], None]:
    def work(give: Callable[[int], bool]) -> None:
        for number in range(until):
            seen.append(number)
            if not give(number):
                return

    return work


def test_results_come_in_order_and_end() -> None:
    assert list(CalledBack(_counting(20, []), name="test")) == list(range(20))
    assert list(CalledBack(_counting(0, []), name="test")) == []


def test_the_call_waits_for_whoever_takes_and_ends_when_nobody_does() -> None:
    seen: list[int] = []
    before = threading.active_count()
    results = CalledBack(_counting(1000, seen), name="test")
    assert next(results) == 0
    results.close()
    assert threading.active_count() == before
    assert len(seen) < 10
    assert list(results) == []
    results.close()


def test_stop_frees_also_who_waits_for_a_result() -> None:
    never = threading.Event()
    results: CalledBack[int] = CalledBack(lambda _: never.wait(30), name="test")

    def end() -> None:
        results.stop()
        never.set()

    threading.Timer(0.05, end).start()
    assert list(results) == []


def test_an_error_comes_to_whoever_takes() -> None:
    def work(give: Callable[[int], bool]) -> None:
        give(1)
        raise RuntimeError("no")

    results = CalledBack(work, name="test")
    assert next(results) == 1
    with pytest.raises(RuntimeError, match="no"):
        next(results)
    assert list(results) == []


def test_what_was_never_started_can_be_closed() -> None:
    results = CalledBack(_counting(3, []), name="test")
    results.close()
    assert list(results) == []
