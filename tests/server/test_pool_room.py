"""Unused copies of engines: a bounded number of them stays loaded."""

from __future__ import annotations

import asyncio

from locara.server.pool import IDLE, Pool


def test_asking_for_one_voice_after_another_does_not_fill_the_memory() -> None:
    async def go() -> tuple[int, bool, int]:
        pool = Pool()
        try:
            most = 0
            for number in range(IDLE + 4):
                async with pool.lend("tts", {"model": "espeak-ng", "rate_wpm": 150 + number}):
                    most = max(most, sum(pool.loaded.values()))
            newest = {"model": "espeak-ng", "rate_wpm": 150 + IDLE + 3}
            async with pool.lend("tts", newest) as again, pool.lend("tts", newest) as other:
                different = again is not other
            return most, different, sum(pool.loaded.values())
        finally:
            await pool.close()

    most, different, left = asyncio.run(go())
    assert most <= IDLE + 1  # those that wait, and the one that is lent
    assert different
    assert left <= IDLE
