"""The user's words as a model wrote them down: each counts for the revision of the turn that it was heard in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from locara import testing
from locara.audio import BLOCK, silence
from locara.voice.brain import Deadlines
from locara.voice.moves import Happened, Understood
from locara.voice.overheard import SETTLE_SECONDS, Overheard


def _told(talk: Callable[[Overheard], Awaitable[None]], *, wait: float) -> list[tuple[int, int, str, bool]]:
    """Turn, revision, text and whether it is settled, of everything that was told."""
    told: list[tuple[int, int, str, bool]] = []

    async def post(one: Happened) -> None:
        assert isinstance(one, Understood)
        told.append((one.turn, one.revision, one.text, one.settled))

    async def run() -> None:
        words = Overheard(None, post, Deadlines(), wait=wait)
        await talk(words)
        await words.close()

    testing.run(run())
    return told


_BLOCK = silence(BLOCK)


def test_what_came_by_then_counts_at_once_and_what_comes_later_replaces_it() -> None:
    async def talk(words: Overheard) -> None:
        words.listen(1, 0, _BLOCK)
        await words.wrote("what", final=False)
        words.settle(1, 0)
        await asyncio.sleep(0.001)
        await words.wrote("what time", final=False)

    assert _told(talk, wait=0.0) == [(1, 0, "what", False), (1, 0, "what", True), (1, 0, "what time", True)]


def test_a_model_that_leads_has_time_to_write() -> None:
    async def talk(words: Overheard) -> None:
        words.listen(1, 0, _BLOCK)
        words.settle(1, 0)
        await asyncio.sleep(SETTLE_SECONDS / 2)
        await words.wrote("what time", final=False)
        await asyncio.sleep(SETTLE_SECONDS)

    assert _told(talk, wait=SETTLE_SECONDS) == [(1, 0, "what time", False), (1, 0, "what time", True)]


@pytest.mark.parametrize("wait", [0.0, SETTLE_SECONDS])
def test_after_a_pause_words_count_for_the_turn_that_goes_on(wait: float) -> None:
    """A revision of the turn begins with the sound, not when it is settled: what is told of the one before is dropped."""

    async def talk(words: Overheard) -> None:
        words.listen(1, 0, _BLOCK)
        words.settle(1, 0)
        await asyncio.sleep(SETTLE_SECONDS / 2)
        words.listen(1, BLOCK, _BLOCK)
        await words.wrote("what time is it", final=False)
        await words.wrote("what time is it?", final=True)

    settled = [] if wait else [(1, 0, "", True)]
    assert _told(talk, wait=wait) == [*settled, (1, 1, "what time is it", False), (1, 1, "what time is it?", True)]


def test_nothing_is_told_of_a_turn_that_is_over() -> None:
    async def talk(words: Overheard) -> None:
        words.listen(1, 0, _BLOCK)
        words.settle(1, 0)
        words.forget(1)
        await words.wrote("late", final=True)
        await asyncio.sleep(2 * SETTLE_SECONDS)

    assert not _told(talk, wait=SETTLE_SECONDS)
