"""Virtual time: it jumps to the next timer, in the exact order of real time, and says when nothing can happen any more."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locara.engines.lane import Charging
from locara.testing import VirtualLoop, clock, run


def test_hours_pass_at_once_and_to_the_second() -> None:
    async def main() -> float:
        await asyncio.sleep(3600)
        await asyncio.sleep(0.25)
        return asyncio.get_running_loop().time()

    began = time.monotonic()
    assert run(main()) == 3600.25
    assert time.monotonic() - began < 5


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=20))
def test_whoever_waits_shorter_is_first_and_wakes_at_its_time(delays: list[float]) -> None:
    async def main() -> list[tuple[float, float]]:
        woken: list[tuple[float, float]] = []

        async def wait(delay: float) -> None:
            await asyncio.sleep(delay)
            woken.append((delay, asyncio.get_running_loop().time()))

        await asyncio.gather(*map(wait, delays))
        return woken

    woken = run(main())
    assert [delay for delay, _ in woken] == sorted(delays)
    assert all(at == pytest.approx(delay, abs=1e-6) for delay, at in woken)


def test_deadlines_are_in_virtual_time() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(90):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert run(main()) == pytest.approx(90)


def test_a_task_that_only_yields_takes_no_time() -> None:
    async def main() -> float:
        for _ in range(1000):
            await asyncio.sleep(0)
        return asyncio.get_running_loop().time()

    assert run(main()) == 0.0


def test_a_thread_is_waited_for_while_time_stands_still() -> None:
    async def main() -> float:
        done = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()
        threading.Timer(0.1, lambda: loop.call_soon_threadsafe(done.set_result, None)).start()
        await done
        return loop.time()

    assert run(main()) == 0.0


def test_a_conversation_in_which_nothing_can_happen_any_more_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "STUCK_SECONDS", 0.1)

    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="virtual time is stuck"):
        run(main())


def test_time_runs_as_it_does_between_begin_real_and_end_real() -> None:
    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        assert isinstance(loop, Charging)
        loop.begin_real()
        real = time.monotonic()
        await asyncio.sleep(0.1)
        took = time.monotonic() - real
        loop.end_real()
        virtual = loop.time()
        await asyncio.sleep(100)
        assert loop.time() == pytest.approx(virtual + 100)
        return took, virtual

    took, virtual = run(main())
    assert took >= 0.09
    assert virtual == pytest.approx(took, abs=0.08)


@pytest.mark.parametrize(
    ("charge", "costs"),
    [("measured", [0.5, 3.0]), (0.0, [0.0, 0.0]), (0.25, [0.25, 0.25]), (lambda real: real * 2, [1.0, 6.0])],
)
def test_work_costs_what_was_agreed(charge: object, costs: list[float]) -> None:
    loop = VirtualLoop(charge)  # type: ignore[arg-type]
    try:
        assert [loop.charge(0.5), loop.charge(3.0)] == costs
    finally:
        loop.close()


def test_what_is_left_over_is_cancelled_and_an_error_comes_out() -> None:
    ended: list[str] = []

    async def forgotten() -> None:
        try:
            await asyncio.sleep(1e6)
        finally:
            ended.append("cancelled")

    async def main() -> None:
        task = asyncio.create_task(forgotten())
        await asyncio.sleep(1)
        assert not task.done()
        raise ValueError("out")

    with pytest.raises(ValueError, match="out"):
        run(main())
    assert ended == ["cancelled"]


def test_a_worker_thread_that_still_runs_at_the_end_is_waited_for() -> None:
    done = threading.Event()

    def work() -> None:
        time.sleep(0.1)
        done.set()

    async def main() -> None:
        asyncio.get_running_loop().run_in_executor(None, work)
        await asyncio.sleep(0)

    run(main())
    assert done.is_set()
