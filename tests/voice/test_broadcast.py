"""One stream, several consumers: each gets everything in order, and a slow one loses only its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from hypothesis import given
from hypothesis import strategies as st

from locara.voice.broadcast import Broadcast

Item = tuple[str, int, int]  # kind, number, how many were lost before it


def numbers(size: int) -> Broadcast[Item]:
    return Broadcast(
        size, expendable=lambda item: item[0] == "sound", marked=lambda item, lost: (item[0], item[1], lost)
    )


async def everything(stream: AsyncIterator[Item]) -> list[Item]:
    async with asyncio.timeout(5):
        return [item async for item in stream]


def test_every_consumer_gets_everything_from_its_first_moment_on() -> None:
    async def run() -> None:
        broadcast = numbers(10)
        assert not broadcast.listened_to
        broadcast.send(("sound", 0, 0))
        first = broadcast.subscribe()
        broadcast.send(("sound", 1, 0))
        second = broadcast.subscribe()
        assert broadcast.listened_to
        broadcast.send(("control", 2, 0))
        broadcast.close()
        assert await everything(first) == [("sound", 1, 0), ("control", 2, 0)]
        assert await everything(second) == [("control", 2, 0)]
        assert not broadcast.listened_to, "a consumer that has ended still costs"

    asyncio.run(run())


def test_a_waiting_consumer_wakes_for_an_item_and_for_the_end() -> None:
    async def run() -> None:
        broadcast = numbers(10)
        collecting = asyncio.create_task(everything(broadcast.subscribe()))
        for number in range(3):
            await asyncio.sleep(0)
            broadcast.send(("sound", number, 0))
        await asyncio.sleep(0)
        assert not collecting.done()
        broadcast.close()
        assert [number for _, number, _ in await collecting] == [0, 1, 2]

    asyncio.run(run())


def test_a_consumer_that_comes_after_the_end_ends_at_once() -> None:
    async def run() -> None:
        broadcast = numbers(10)
        broadcast.close()
        assert await everything(broadcast.subscribe()) == []

    asyncio.run(run())


@given(st.lists(st.sampled_from(["sound", "control"]), max_size=60), st.integers(1, 12))
def test_a_slow_consumer_loses_sound_first_and_is_told_how_much(kinds: list[str], size: int) -> None:
    async def run() -> list[Item]:
        broadcast = numbers(100)
        stream = broadcast.subscribe(size)
        for number, kind in enumerate(kinds):
            broadcast.send((kind, number, 0))
        broadcast.close()
        return await everything(stream)

    got = asyncio.run(run())
    assert len(got) == min(size, len(kinds))
    order = [number for _, number, _ in got]
    assert order == sorted(order)
    assert sum(lost for _, _, lost in got) == len(kinds) - len(got)
    assert all(lost == 0 for _, _, lost in got[1:]), "told twice, or not with the next item"
    control = [number for number, kind in enumerate(kinds) if kind == "control"]
    kept = [number for kind, number, _ in got if kind == "control"]
    if len(control) < size:
        assert kept == control, "a control event was lost while sound was kept"
    # The newest is always there, and what goes first among equals is the oldest.
    assert kinds == [] or order[-1] == len(kinds) - 1
    assert kept == control[len(control) - len(kept) :]


def test_a_slow_consumer_takes_nothing_from_the_others() -> None:
    async def run() -> None:
        broadcast = numbers(100)
        slow, quick = broadcast.subscribe(2), broadcast.subscribe()
        for number in range(50):
            broadcast.send(("sound", number, 0))
        broadcast.close()
        assert [number for _, number, _ in await everything(quick)] == list(range(50))
        assert await everything(slow) == [("sound", 48, 48), ("sound", 49, 0)]

    asyncio.run(run())


def test_what_was_lost_later_is_told_later() -> None:
    async def run() -> None:
        broadcast = numbers(2)
        stream = broadcast.subscribe()
        for number in range(3):
            broadcast.send(("sound", number, 0))
        assert await anext(stream) == ("sound", 1, 1)
        assert await anext(stream) == ("sound", 2, 0)
        for number in range(3, 8):
            broadcast.send(("sound", number, 0))
        assert await anext(stream) == ("sound", 6, 3)
        broadcast.close()
        assert await everything(stream) == [("sound", 7, 0)]

    asyncio.run(run())


def test_a_consumer_that_stops_in_the_middle_is_forgotten() -> None:
    async def run() -> None:
        broadcast = numbers(2)
        stream = broadcast.subscribe()
        broadcast.send(("sound", 0, 0))
        async for _ in stream:
            break
        await stream.aclose()  # type: ignore[attr-defined]
        assert not broadcast.listened_to

    asyncio.run(run())
