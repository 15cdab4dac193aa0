"""Two opinions about the end of a turn, and what becomes of them when one of the two is late, fails or is cancelled."""

from __future__ import annotations

import asyncio
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.audio import Samples, silence
from locara.engines import blended_turn
from locara.engines.blended_turn import Blend, Blended, blended, log_odds
from locara.engines.contracts import EngineInfo
from locara.errors import EngineFailed, EngineMissing, EngineTimeout

PROBABILITY = st.floats(0.0, 1.0)
HALF = Blend(main=0.5, second=1.0, bias=0.0)


class Opinion:
    """A detector that says one thing. ``after``: seconds; ``error``: what it raises instead."""

    def __init__(
        self,
        says: float,
        *,
        after: float = 0.0,
        error: Exception | None = None,
        seconds: float = 4.0,
        name: str = "one",
    ) -> None:
        self.info = EngineInfo(engine="test", model=name, licence="Apache-2.0")
        self.seconds = seconds
        self.says, self.after, self.error = says, after, error
        self.unloadable: Exception | None = None
        self.loaded, self.cancelled, self.heard = False, False, 0

    async def load(self) -> None:
        if self.unloadable is not None:
            raise self.unloadable
        self.loaded = True

    async def close(self) -> None:
        self.loaded = False

    async def finished(self, samples: Samples) -> float:
        self.heard = samples.size
        try:
            await asyncio.sleep(self.after)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self.error is not None:
            raise self.error
        return self.says


def _ask(both: Blended, times: int = 1) -> float:
    async def main() -> float:
        await both.load()
        for _ in range(times):
            answer = await both.finished(silence(1600))
        await both.close()
        return answer

    return asyncio.run(main())


# --- how two become one -----------------------------------------------------------------------------------------------


@given(PROBABILITY, PROBABILITY)
def test_the_blend_is_a_probability_and_either_opinion_pulls_it_its_way(one: float, other: float) -> None:
    answer = blended(one, other, HALF)
    assert 0.0 < answer < 1.0
    assert blended(max(one, 0.9), other, HALF) >= answer
    assert blended(one, max(other, 0.9), HALF) >= answer


@given(PROBABILITY)
def test_who_has_no_opinion_changes_nothing(one: float) -> None:
    alone = blended(one, 0.5, Blend(main=1.0, second=1.0, bias=0.0))
    assert log_odds(alone) == pytest.approx(log_odds(one), abs=1e-6)


@given(PROBABILITY)
def test_opposite_opinions_of_equal_weight_cancel_out(one: float) -> None:
    assert blended(one, 1.0 - one, Blend(1.0, 1.0, 0.0)) == pytest.approx(0.5)


def test_the_weights_and_the_bias_are_log_odds() -> None:
    assert blended(0.8, 0.5, Blend(0.5, 1.0, 0.0)) == pytest.approx(2 / 3)  # odds 4, of which the root
    assert blended(0.5, 0.8, Blend(0.5, 1.0, 0.0)) == pytest.approx(0.8)
    assert blended(0.5, 0.5, Blend(1.0, 1.0, math.log(3.0))) == pytest.approx(0.75)


def test_a_model_that_is_certain_can_still_be_outvoted() -> None:
    assert blended(1.0, 0.03, Blend(0.3, 1.5, 0.0)) < 0.1
    assert math.isfinite(log_odds(0.0))
    assert math.isfinite(log_odds(1.0))


# --- asking both ------------------------------------------------------------------------------------------------------


def test_both_hear_the_same_and_both_count() -> None:
    main, second = Opinion(0.8, seconds=8.0, name="large"), Opinion(0.3, name="small")
    both = Blended(main, second, HALF)
    assert _ask(both) == pytest.approx(blended(0.8, 0.3, HALF))
    assert main.heard == second.heard == 1600
    assert both.seconds == 8.0
    assert both.info.model == "large"
    assert "small" in both.info.note
    assert not main.loaded
    assert not second.loaded


def test_a_main_model_that_is_late_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blended_turn, "WAIT_SECONDS", 0.01)
    main = Opinion(0.99, after=60.0)
    assert _ask(Blended(main, Opinion(0.3), HALF)) == 0.3
    assert main.cancelled
    assert _ask(Blended(Opinion(0.9, error=EngineTimeout("late", stage="turn")), Opinion(0.3), HALF)) == 0.3


def test_a_main_model_that_fails_is_told_once_and_then_done_without() -> None:
    async def main() -> None:
        both = Blended(Opinion(0.9, error=EngineFailed("broken", stage="turn")), Opinion(0.3), HALF)
        await both.load()
        with pytest.raises(EngineFailed, match="broken"):
            await both.finished(silence(1600))
        assert await both.finished(silence(1600)) == 0.3
        await both.load()  # a new session is told anew
        with pytest.raises(EngineFailed, match="broken"):
            await both.finished(silence(1600))

    asyncio.run(main())


def test_if_the_second_fails_the_question_fails_and_nothing_goes_on_in_the_background() -> None:
    main = Opinion(0.9, after=60.0)
    with pytest.raises(EngineFailed, match="second"):
        _ask(Blended(main, Opinion(0.3, error=EngineFailed("second", stage="turn")), HALF))
    assert main.cancelled or main.heard == 0


def test_a_cancelled_question_cancels_both() -> None:
    async def cancel() -> tuple[Opinion, Opinion, int]:
        main, second = Opinion(0.9, after=60.0), Opinion(0.3, after=60.0)
        both = Blended(main, second, HALF)
        await both.load()
        question = asyncio.create_task(both.finished(np.zeros(1600, np.float32)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        question.cancel()
        await asyncio.gather(question, return_exceptions=True)
        assert question.cancelled()
        return main, second, len(asyncio.all_tasks())

    main, second, tasks = asyncio.run(cancel())
    assert main.cancelled
    assert second.cancelled
    assert tasks == 1


def test_what_cannot_be_loaded_is_told_and_leaves_nothing_loaded() -> None:
    for broken in (0, 1):
        pair = (Opinion(0.9), Opinion(0.3))
        pair[broken].unloadable = EngineMissing("no weights", stage="turn")
        with pytest.raises(EngineMissing, match="no weights"):
            _ask(Blended(pair[0], pair[1], HALF))
        assert not pair[0].loaded
        assert not pair[1].loaded


def test_closing_twice_is_nothing() -> None:
    async def main() -> None:
        both = Blended(Opinion(0.9), Opinion(0.3), HALF)
        await both.close()
        await both.load()
        await both.close()
        await both.close()

    asyncio.run(main())
