"""The lane: one thread, one job after the other, every wait with a deadline, and nothing left behind."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest

from locara import testing
from locara.engines.lane import Lane, real_work
from locara.errors import EngineTimeout, SessionError


def with_lane(use: Callable[[Lane], Coroutine[Any, Any, Any]]) -> Any:
    """Runs ``use`` with a lane, closes it twice, and looks whether its thread is gone."""

    async def run() -> Any:
        lane = Lane("test", stage="stt", model="tiny")
        try:
            async with asyncio.timeout(20):
                return await use(lane)
        finally:
            lane.close()
            lane.close()

    before = set(threading.enumerate())
    try:
        return asyncio.run(run())
    finally:
        left = [one for one in set(threading.enumerate()) - before if one.name.startswith("locara-")]
        for one in left:
            one.join(3)
        assert not any(one.is_alive() for one in left), "a thread was left"


class Stuck:
    """A piece of work that waits until it is told to stop."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.told = threading.Event()
        self.ended = threading.Event()
        self.abandoned_by: list[str] = []

    def work(self) -> str:
        self.begun.set()
        self.told.wait(10)
        self.ended.set()
        return "late"

    def abandon(self) -> None:
        self.abandoned_by.append(threading.current_thread().name)
        self.told.set()


def test_work_runs_off_the_loop_one_after_the_other_in_its_order() -> None:
    async def use(lane: Lane) -> None:
        done: list[int] = []
        inside: list[int] = []

        def job(number: int) -> str:
            inside.append(number)
            assert inside == [number], "two pieces of work at once"
            time.sleep(0.002)
            done.append(number)
            inside.clear()
            return threading.current_thread().name

        names = await asyncio.gather(*(lane.run(functools.partial(job, n), deadline=5) for n in range(10)))
        assert done == list(range(10))
        assert set(names) == {"locara-test"}

    with_lane(use)


def test_the_loop_goes_on_while_work_is_done() -> None:
    async def use(lane: Lane) -> None:
        stuck = Stuck()
        task = asyncio.create_task(lane.run(stuck.work, deadline=10))
        await asyncio.to_thread(stuck.begun.wait, 5)
        for _ in range(5):
            await asyncio.sleep(0.001)
        assert not task.done()
        stuck.told.set()
        assert await task == "late"

    with_lane(use)


def test_what_the_work_raises_is_raised_and_the_lane_goes_on() -> None:
    async def use(lane: Lane) -> None:
        for error in (ValueError("no"), TimeoutError("its own")):

            def work(error: Exception = error) -> None:
                raise error

            with pytest.raises(type(error), match=str(error)):  # and not EngineTimeout: it is the work's own
                await lane.run(work, deadline=5)
        assert await lane.run(lambda: 3, deadline=5) == 3

    with_lane(use)


def test_at_the_deadline_the_work_is_abandoned_and_the_error_names_it() -> None:
    async def use(lane: Lane) -> None:
        stuck = Stuck()
        with pytest.raises(EngineTimeout, match=r"tiny.*0\.05 s") as caught:
            await lane.run(stuck.work, deadline=0.05, abandon=stuck.abandon)
        assert (caught.value.stage, caught.value.model) == ("stt", "tiny")
        assert caught.value.hint
        assert stuck.abandoned_by == [threading.current_thread().name]
        assert await lane.run(lambda: "next", deadline=5) == "next"
        assert stuck.ended.is_set()

    with_lane(use)


def test_cancelling_who_waits_abandons_the_work() -> None:
    async def use(lane: Lane) -> None:
        stuck = Stuck()
        task = asyncio.create_task(lane.run(stuck.work, deadline=10, abandon=stuck.abandon))
        await asyncio.to_thread(stuck.begun.wait, 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(stuck.abandoned_by) == 1

    with_lane(use)


def test_work_that_never_began_is_not_begun_once_nobody_waits_and_disturbs_no_other() -> None:
    async def use(lane: Lane) -> None:
        stuck, waiting = Stuck(), Stuck()
        first = asyncio.create_task(lane.run(stuck.work, deadline=10))
        await asyncio.to_thread(stuck.begun.wait, 5)
        with pytest.raises(EngineTimeout):
            await lane.run(waiting.work, deadline=0.05, abandon=waiting.abandon)
        assert waiting.abandoned_by == []
        stuck.told.set()
        assert await first == "late"
        await lane.run(lambda: None, deadline=5)
        assert not waiting.begun.is_set()

    with_lane(use)


def test_work_that_is_done_is_not_abandoned() -> None:
    async def use(lane: Lane) -> None:
        abandoned: list[int] = []
        assert await lane.run(lambda: 1, deadline=5, abandon=lambda: abandoned.append(1)) == 1
        assert abandoned == []

    with_lane(use)


# --- streams ----------------------------------------------------------------------------------------------------------


async def collect(stream: AsyncIterator[int], into: list[int]) -> None:
    async for one in stream:
        into.append(one)


class Items:
    """An iterator that knows whether it was closed, and by which thread it was asked."""

    def __init__(self, n: int, raises: bool = False, stuck: Stuck | None = None) -> None:
        self.closed = threading.Event()
        self.threads: set[str] = set()
        self.n, self.raises, self.stuck = n, raises, stuck

    def __call__(self) -> Iterator[int]:
        try:
            for number in range(self.n):
                self.threads.add(threading.current_thread().name)
                yield number
            if self.stuck is not None:
                self.stuck.work()
            if self.raises:
                raise ValueError("broken")
        finally:
            self.threads.add(threading.current_thread().name)  # closing it is work for the lane, too
            self.closed.set()


def test_a_stream_gives_every_item_in_order_and_each_is_made_on_the_lane() -> None:
    async def use(lane: Lane) -> None:
        items, abandoned = Items(20), list[int]()
        stream = lane.stream(items, deadline=5, abandon=lambda: abandoned.append(1))
        assert [one async for one in stream] == list(range(20))
        assert items.threads == {"locara-test"}
        assert abandoned == []

    with_lane(use)


def test_a_stream_that_is_left_early_is_closed_and_abandoned() -> None:
    async def use(lane: Lane) -> None:
        items, abandoned = Items(20), list[int]()
        stream = lane.stream(items, deadline=5, abandon=lambda: abandoned.append(1))
        async for one in stream:
            if one == 2:
                break
        await stream.aclose()  # type: ignore[attr-defined]
        await lane.run(lambda: None, deadline=5)
        assert items.closed.is_set()
        assert abandoned == [1]
        assert items.threads == {"locara-test"}

    with_lane(use)


def test_a_stream_that_breaks_gives_what_it_had() -> None:
    async def use(lane: Lane) -> None:
        got: list[int] = []
        with pytest.raises(ValueError, match="broken"):
            await collect(lane.stream(Items(3, raises=True), deadline=5), got)
        assert got == [0, 1, 2]

    with_lane(use)


def test_an_item_that_takes_too_long_ends_the_stream_and_its_iterator() -> None:
    async def use(lane: Lane) -> None:
        stuck = Stuck()
        items, got = Items(2, stuck=stuck), list[int]()
        with pytest.raises(EngineTimeout):
            await collect(lane.stream(items, deadline=0.1, abandon=stuck.abandon), got)
        assert got == [0, 1]
        await lane.run(lambda: None, deadline=5)
        assert items.closed.is_set()

    with_lane(use)


# --- closing ----------------------------------------------------------------------------------------------------------


def test_a_closed_lane_takes_no_work_and_has_no_thread() -> None:
    async def use(lane: Lane) -> None:
        await lane.run(lambda: None, deadline=5)
        lane.close()
        assert not any(one.name == "locara-test" for one in threading.enumerate())
        with pytest.raises(SessionError, match="closed") as caught:
            await lane.run(lambda: None, deadline=5)
        assert caught.value.hint

    with_lane(use)


def test_closing_ends_what_was_asked_before_and_can_be_called_from_the_lane() -> None:
    async def use(lane: Lane) -> None:
        await lane.run(lambda: None, deadline=5)
        waiting = asyncio.create_task(lane.run(lambda: "asked before", deadline=5))
        await asyncio.sleep(0)
        await lane.run(lane.close, deadline=5)
        assert await waiting == "asked before"

    with_lane(use)
    Lane("unused", stage="llm").close()


def test_closing_does_not_wait_for_ever_for_work_that_hangs() -> None:
    async def use(lane: Lane) -> float:
        stuck = Stuck()
        task = asyncio.create_task(lane.run(stuck.work, deadline=10))
        await asyncio.to_thread(stuck.begun.wait, 5)
        began = time.monotonic()
        lane.close()
        took = time.monotonic() - began
        stuck.told.set()
        assert await task == "late"
        return took

    assert with_lane(use) < 5


# --- virtual time -----------------------------------------------------------------------------------------------------


def test_in_virtual_time_work_costs_what_is_charged_and_one_piece_waits_for_the_other() -> None:
    async def main() -> list[float]:
        lane, loop, ends = Lane("test", stage="tts"), asyncio.get_running_loop(), []
        try:
            for _ in range(2):
                await lane.run(lambda: time.sleep(0.01), deadline=5)
                ends.append(loop.time())

            async def one() -> float:
                await lane.run(lambda: None, deadline=5)
                return loop.time()

            return [*ends, *await asyncio.gather(one(), one(), one())]
        finally:
            lane.close()

    assert testing.run(main(), charge=2.0) == pytest.approx([2.0, 4.0, 6.0, 8.0, 10.0])
    measured = testing.run(main())
    assert 0.01 <= measured[0] < 1.0
    assert measured == sorted(measured)


def test_in_virtual_time_other_tasks_see_no_time_pass_while_work_is_done() -> None:
    async def main() -> float:
        lane, loop = Lane("test", stage="tts"), asyncio.get_running_loop()
        try:
            await lane.run(lambda: time.sleep(0.05), deadline=5)
            return loop.time()
        finally:
            lane.close()

    assert testing.run(main(), charge=0.0) == 0.0


def test_in_virtual_time_a_deadline_is_one_of_real_time() -> None:
    async def main() -> None:
        lane, stuck = Lane("test", stage="tts", model="slow"), Stuck()
        try:
            with pytest.raises(EngineTimeout, match="slow"):
                await lane.run(stuck.work, deadline=0.05, abandon=stuck.abandon)
            assert stuck.abandoned_by
            with pytest.raises(ValueError, match="no"):
                await lane.run(lambda: int("no"), deadline=5)
        finally:
            lane.close()

    testing.run(main())


def test_real_work_makes_time_pass_as_it_does_only_while_it_lasts() -> None:
    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        reader = asyncio.get_running_loop().create_future()
        threading.Timer(0.1, lambda: loop.call_soon_threadsafe(reader.set_result, None)).start()
        with real_work():
            async with asyncio.timeout(5):
                await reader
        after = loop.time()
        await asyncio.sleep(1000)
        return after, loop.time()

    after, later = testing.run(main())
    assert 0.05 <= after < 2
    assert later == pytest.approx(after + 1000)
    asyncio.run(_nothing_special())


async def _nothing_special() -> None:
    with real_work():
        await asyncio.sleep(0)
