"""One turn being recognised: every sample once and in order, a second chance after a failure, and nothing left open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locara.audio import BLOCK, RATE, Samples
from locara.engines.contracts import EngineInfo, Transcript
from locara.testing import Fault, ScriptedRecogniser, Spoken, run
from locara.voice import moves
from locara.voice.brain import Deadlines
from locara.voice.recognising import KEEP_SECONDS, Recognising
from locara.voice.streams import BEHIND_SECONDS

TURN = 4


def counted(first: int, n: int) -> Samples:
    return (1 + first + np.arange(n)).astype(np.float32)


class Noting:
    """A recogniser that notes what it is given. ``slow``: seconds for each push; the faults are `ScriptedRecogniser`'s."""

    info = EngineInfo("noting", "noting", "")

    def __init__(self, *, slow: float = 0.0, fault: Fault | None = None) -> None:
        self.slow = slow
        self.faulty = ScriptedRecogniser([], fault=fault).faulty
        self.opened: list[Noted] = []

    async def load(self) -> None: ...
    async def close(self) -> None: ...

    def open(self) -> Noted:
        self.opened.append(Noted(self))
        return self.opened[-1]

    @property
    def pushed(self) -> Samples:
        """What the newest recognition was given."""
        return np.concatenate([np.zeros(0, np.float32), *self.opened[-1].pushed])


class Noted:
    def __init__(self, of: Noting) -> None:
        self.of = of
        self.pushed: list[Samples] = []
        self.closed = 0

    async def push(self, samples: Samples) -> str | None:
        await self.of.faulty.pass_through("push")
        await asyncio.sleep(self.of.slow)
        self.pushed.append(samples)
        return f"{sum(one.size for one in self.pushed)} samples"

    async def settle(self) -> Transcript:
        await self.of.faulty.pass_through("settle")
        await asyncio.sleep(self.of.slow)
        return Transcript(f"{sum(one.size for one in self.pushed)} settled", 0.5)

    async def close(self) -> None:
        self.closed += 1
        await self.of.faulty.pass_through("close")


Use = Callable[[Recognising, list[moves.Happened]], Coroutine[Any, Any, None]]


def recognise(noting: Noting | ScriptedRecogniser, use: Use, **deadlines: float) -> list[moves.Happened]:
    """The news of a recognition that ``use`` feeds; afterwards it is finished, and nothing may be left."""

    async def main() -> list[moves.Happened]:
        news: list[moves.Happened] = []

        async def post(one: moves.Happened) -> None:
            news.append(one)

        recognising = Recognising(TURN, noting, post, Deadlines(**deadlines))
        await use(recognising, news)
        recognising.finish()
        await asyncio.wait([recognising.task], timeout=10)
        assert recognising.task.done()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return news

    return run(main())


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(-400, 0), st.integers(0, 500), st.booleans()), min_size=1, max_size=25),
    st.sampled_from([0.0, 0.03]),
)
def test_every_sample_is_given_once_and_in_order(pieces: list[tuple[int, int, bool]], slow: float) -> None:
    noting, end = Noting(slow=slow), 0

    async def use(recognising: Recognising, news: list[moves.Happened]) -> None:
        nonlocal end
        for back, n, wait in pieces:
            at = max(0, end + back)  # a pre-roll reaches back into what was given
            recognising.push(at, counted(at, n))
            end = max(end, at + n)
            if wait:
                await asyncio.sleep(0.02)
        recognising.settle(0)
        await asyncio.sleep(5)

    news = recognise(noting, use)
    if end:
        assert len(noting.opened) == 1
        assert np.array_equal(noting.pushed, counted(0, end))
        assert noting.opened[0].closed == 1
    assert news[-1] == moves.Understood(TURN, 0, f"{end} settled", settled=True, confidence=0.5)
    partials = [one.text for one in news[:-1] if isinstance(one, moves.Understood)]
    assert all(not one.settled for one in news[:-1])  # type: ignore[union-attr]
    assert len(partials) == len(news) - 1


def test_a_gap_is_left_out_and_nothing_is_made_up_for_it() -> None:
    noting = Noting()

    async def use(recognising: Recognising, news: list[moves.Happened]) -> None:
        recognising.push(100, counted(100, 50))
        recognising.push(1000, counted(1000, 50))
        await asyncio.sleep(1)

    recognise(noting, use)
    assert np.array_equal(noting.pushed, np.concatenate((counted(100, 50), counted(1000, 50))))


def test_asking_keeps_its_place_among_the_samples_and_partial_words_their_revision() -> None:
    noting = Noting(slow=0.1)

    async def use(recognising: Recognising, news: list[moves.Happened]) -> None:
        recognising.push(0, counted(0, 100))
        recognising.settle(0)
        recognising.push(100, counted(100, 100))
        recognising.settle(1)
        recognising.push(200, counted(200, 100))
        await asyncio.sleep(5)

    assert recognise(noting, use) == [
        moves.Understood(TURN, 0, "100 samples", settled=False),
        moves.Understood(TURN, 0, "100 settled", settled=True, confidence=0.5),
        moves.Understood(TURN, 1, "200 samples", settled=False),
        moves.Understood(TURN, 1, "200 settled", settled=True, confidence=0.5),
        moves.Understood(TURN, 2, "300 samples", settled=False),
    ]


def test_what_came_while_it_was_busy_is_given_at_once() -> None:
    noting = Noting(slow=1.0)

    async def use(recognising: Recognising, news: list[moves.Happened]) -> None:
        for at in range(0, 50 * BLOCK, BLOCK):
            recognising.push(at, counted(at, BLOCK))
            await asyncio.sleep(0.02)
        await asyncio.sleep(3)

    recognise(noting, use)
    assert [one.size for one in noting.opened[0].pushed] == [BLOCK, 49 * BLOCK]


def test_words_come_from_a_scripted_recogniser_too() -> None:
    async def use(recognising: Recognising, news: list[moves.Happened]) -> None:
        for at in range(0, RATE, BLOCK):
            await asyncio.sleep(BLOCK / RATE)
            recognising.push(at, counted(at, BLOCK))
        recognising.settle(0)
        await asyncio.sleep(1)

    news = recognise(ScriptedRecogniser([Spoken(0.2, 0.8, "what time is it")]), use)
    assert news[-1] == moves.Understood(TURN, 0, "what time is it", settled=True, confidence=0.9)


# --- failing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["raises", "hangs"])
@pytest.mark.parametrize("call", [0, 3])
def test_after_a_failure_it_is_told_once_and_the_next_question_begins_again_with_everything(
    kind: Any, call: int
) -> None:
    noting = Noting(fault=Fault(kind, "push", call))

    async def use(recognising: Recognising, news: list[moves.Happened]) -> None:
        for at in range(0, 10 * BLOCK, BLOCK):
            recognising.push(at, counted(at, BLOCK))
            await asyncio.sleep(0.5)
        recognising.settle(0)
        await asyncio.sleep(1)
        recognising.push(10 * BLOCK, counted(10 * BLOCK, 5))
        recognising.settle(1)
        await asyncio.sleep(1)

    news = recognise(noting, use, push=0.4)
    failures = [one for one in news if isinstance(one, moves.Failed)]
    assert [(one.stage, one.turn, one.reply) for one in failures] == [("stt", TURN, None)]
    assert failures[0].code == ("engine-failed" if kind == "raises" else "engine-timeout")
    assert len(noting.opened) == 2
    assert np.array_equal(noting.pushed, counted(0, 10 * BLOCK + 5))
    settled = [one.text for one in news if isinstance(one, moves.Understood) and one.settled]
    assert settled == [f"{10 * BLOCK} settled", f"{10 * BLOCK + 5} settled"]


@pytest.mark.parametrize("kind", ["raises", "hangs"])
@pytest.mark.parametrize(("where", "call"), [("push", 0), ("push", 1), ("settle", 0)])
def test_every_recognition_that_was_opened_is_closed_once(kind: Any, where: str, call: int) -> None:
    noting = Noting(fault=Fault(kind, where, call, lasting=True))

    async def use(recognising: Recognising, news: list[moves.Happened]) -> None:
        for at in (0, BLOCK):
            recognising.push(at, counted(at, BLOCK))
            await asyncio.sleep(1)
        recognising.settle(0)
        await asyncio.sleep(2)
        recognising.settle(1)
        await asyncio.sleep(2)

    recognise(noting, use, push=0.5, settle=0.5)
    assert [one.closed for one in noting.opened] == [1] * len(noting.opened)


@pytest.mark.parametrize("after", [0.0, 0.05, 0.15, 0.25])
def test_finishing_at_any_moment_closes_what_is_open(after: float) -> None:
    noting = Noting(slow=0.1)

    async def use(recognising: Recognising, news: list[moves.Happened]) -> None:
        recognising.push(0, counted(0, BLOCK))
        recognising.settle(0)
        await asyncio.sleep(after)

    news = recognise(noting, use)
    assert [one.closed for one in noting.opened] == [1] * len(noting.opened)
    assert len(news) == int(after / 0.1)


def test_a_question_that_fails_is_told_and_the_next_one_answered() -> None:
    noting = Noting(fault=Fault("raises", "settle", 0))

    async def use(recognising: Recognising, news: list[moves.Happened]) -> None:
        recognising.push(0, counted(0, 100))
        recognising.settle(0)
        await asyncio.sleep(1)
        recognising.push(100, counted(100, 100))
        recognising.settle(1)
        await asyncio.sleep(1)

    news = recognise(noting, use)
    assert isinstance(news[1], moves.Failed)
    assert news[-1] == moves.Understood(TURN, 1, "200 settled", settled=True, confidence=0.5)


def test_a_close_that_fails_or_hangs_is_told_without_ending_anything() -> None:
    for kind in ("raises", "hangs"):
        noting = Noting(fault=Fault(kind, "close", lasting=True))

        async def use(recognising: Recognising, news: list[moves.Happened]) -> None:
            recognising.push(0, counted(0, 100))
            await asyncio.sleep(0.1)

        news = recognise(noting, use, close=0.2)
        assert [(one.stage, one.turn) for one in news if isinstance(one, moves.Failed)] == [("stt", None)]


# --- bounds -----------------------------------------------------------------------------------------------------------


def test_a_recogniser_that_hangs_is_not_given_more_than_a_bound() -> None:
    noting = Noting(fault=Fault("hangs", "push", 0))

    async def use(recognising: Recognising, news: list[moves.Happened]) -> None:
        recognising.push(0, counted(0, BLOCK))
        await asyncio.sleep(0)
        for at in range(RATE, 200 * RATE, RATE):
            recognising.push(at, np.ones(RATE, np.float32))
        waiting = sum(one.size for one in recognising._todo if isinstance(one, np.ndarray))
        assert waiting <= (BEHIND_SECONDS + 1) * RATE + BLOCK

    recognise(noting, use, push=1e5)


def test_a_recogniser_that_is_a_minute_behind_is_told_once_and_can_still_settle() -> None:
    noting = Noting(slow=1.0)

    async def use(recognising: Recognising, news: list[moves.Happened]) -> None:
        for second in range(90):  # all at once: nobody could take it so fast
            recognising.push(second * RATE, np.full(RATE, second, np.float32))
        await asyncio.sleep(3)
        recognising.settle(0)
        await asyncio.sleep(3)
        recognising.push(90 * RATE, np.full(RATE, 90, np.float32))
        await asyncio.sleep(2)

    news = recognise(noting, use)
    [failure] = [one for one in news if isinstance(one, moves.Failed)]
    assert (failure.stage, failure.turn) == ("stt", TURN)
    assert "behind" in failure.message
    assert [one for one in news if isinstance(one, moves.Understood) and one.settled]
    assert noting.pushed[-1] == 90, "after it has settled it listens again"


def test_the_second_chance_is_given_the_last_half_minute() -> None:
    noting, seconds = Noting(fault=Fault("raises", "push", 0)), 50

    async def use(recognising: Recognising, news: list[moves.Happened]) -> None:
        for second in range(seconds):
            recognising.push(second * RATE, np.full(RATE, second, np.float32))
            await asyncio.sleep(1)
        recognising.settle(0)
        await asyncio.sleep(1)

    recognise(noting, use)
    assert noting.pushed.size == KEEP_SECONDS * RATE
    assert noting.pushed[0] == seconds - KEEP_SECONDS
    assert noting.pushed[-1] == seconds - 1
