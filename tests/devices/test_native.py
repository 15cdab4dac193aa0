"""Native calls: results and errors come back, nothing hangs, nothing that was opened too late stays open."""

from __future__ import annotations

import asyncio
import threading

import pytest

from locara.devices.native import off_loop
from locara.errors import DeviceError


def test_results_and_errors_come_back_and_no_thread_stays() -> None:
    async def calls() -> None:
        assert await off_loop(lambda: 7, deadline=5, what="counting") == 7
        with pytest.raises(ZeroDivisionError):
            await off_loop(lambda: 1 // 0, deadline=5, what="dividing")
        assert not [thread for thread in threading.enumerate() if thread.name == "locara-device"]

    asyncio.run(calls())


def test_a_call_that_hangs_is_given_up_and_its_late_result_is_handed_over() -> None:
    hang, handed = threading.Event(), list[str]()
    over = threading.Event()

    def late(result: str) -> None:
        handed.append(result)
        over.set()

    def work() -> str:
        hang.wait(10)
        return "device"

    async def call() -> None:
        with pytest.raises(DeviceError, match=r"opening it did not end within 0\.05 s"):
            await off_loop(work, deadline=0.05, what="opening it", late=late)

    asyncio.run(call())
    assert not handed
    hang.set()
    assert over.wait(5)
    assert handed == ["device"]


def test_a_cancelled_call_hands_its_result_over() -> None:
    hang, over = threading.Event(), threading.Event()

    async def call() -> None:
        task = asyncio.create_task(
            off_loop(lambda: hang.wait(10), deadline=10, what="opening", late=lambda _: over.set())
        )
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(call())
    hang.set()
    assert over.wait(5)
