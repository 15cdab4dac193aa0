"""The brain's own beginning: after the engines, before the devices, with the deadline of loading."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from locara.errors import ConfigError, EngineBusy, EngineTimeout, StageError
from locara.testing import ScriptedModel, ScriptedVoice, run
from locara.voice.half_cascade import HalfCascadeBrain
from locara.voice.loading import open_brain


class Opening(HalfCascadeBrain):
    """Begins as it is told to."""

    def __init__(self, problem: BaseException | None = None, seconds: float = 0.0) -> None:
        super().__init__(ScriptedModel(hears=True), ScriptedVoice())
        self.opened = False
        self._problem = problem
        self._seconds = seconds

    async def open(self) -> None:
        """See `locara.voice.brain.Opens`."""
        await asyncio.sleep(self._seconds)
        if self._problem is not None:
            raise self._problem
        self.opened = True


def test_a_brain_without_a_beginning_is_left_alone() -> None:
    run(open_brain(HalfCascadeBrain(ScriptedModel(hears=True), ScriptedVoice()), 1.0))


def test_a_brain_is_opened() -> None:
    brain = Opening()
    run(open_brain(brain, 1.0))
    assert brain.opened


@pytest.mark.parametrize("problem", [EngineBusy("full", stage="omni"), ConfigError("no such voice")])
def test_what_it_says_itself_stays_as_it_is(problem: Any) -> None:
    with pytest.raises(type(problem)) as caught:
        run(open_brain(Opening(problem), 1.0))
    assert caught.value is problem


def test_any_other_fault_names_stage_and_model() -> None:
    with pytest.raises(StageError, match="could not begin a conversation: ValueError: no") as caught:
        run(open_brain(Opening(ValueError("no")), 1.0))
    assert (caught.value.stage, caught.value.model) == ("llm", "scripted language model")


def test_it_has_the_deadline_of_loading() -> None:
    with pytest.raises(EngineTimeout):
        run(open_brain(Opening(seconds=2.0), 1.0))
