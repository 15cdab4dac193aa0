"""How fast an engine is: measured on a virtual clock, so the figures are exact."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.testing.frame_toy import Echo

from locara.audio import RATE
from locara.errors import EngineFailed
from locara.testing import Fault, ScriptedBackend, ScriptedModel, ScriptedRecogniser, ScriptedVoice, Spoken, run
from locara.testing.scripted_backend import CAN
from locara.voice import probing
from locara.voice.probing import Measured, better


def test_a_recogniser_is_timed_from_the_first_sample_to_the_settled_text() -> None:
    async def main() -> Measured:
        engine = ScriptedRecogniser([Spoken(0.0, 0.2, "hello there")], final_delay=0.5)
        return await probing.recogniser(engine, np.zeros(2 * RATE, dtype=np.float32), 5.0)

    got = run(main())
    assert got.real_time_factor == pytest.approx(0.25, abs=0.11)
    assert got.first is not None


def test_a_voice_is_timed_to_its_first_sound_and_to_its_end() -> None:
    got = run(probing.voice(ScriptedVoice(first_chunk=0.2, speed=4.0), 30.0))
    assert got.first == pytest.approx(0.2)
    assert got.real_time_factor == pytest.approx(0.25 + 0.2 / (len(probing.SENTENCE) / 15), abs=0.02)


def test_a_model_is_timed_to_its_first_token_and_by_its_pace() -> None:
    got = run(probing.model(ScriptedModel(["a " * 100], first_token=0.3, tokens_per_second=20.0), 30.0))
    assert got.first == pytest.approx(0.3)
    assert got.tokens_a_second == pytest.approx(20.0)
    assert len(got.what.split()) <= probing.MOST_TOKENS


@pytest.mark.parametrize("memory", ["backend", "locara"])
def test_a_backend_is_timed_from_the_end_of_the_turn_to_its_first_sound(memory: Any) -> None:
    engine = ScriptedBackend(["one two three four"], delay=0.3, capabilities=replace(CAN, memory=memory))
    got = run(probing.backend(engine, np.zeros(2 * RATE, dtype=np.float32), 30.0))
    assert got.first == pytest.approx(0.3 + 0.02)
    assert got.real_time_factor == pytest.approx((0.3 + 4 * 0.02) / (len("one two three four") / 15), abs=0.01)
    assert engine.turns[0].size == 2 * RATE


def test_a_backend_that_leads_is_given_sound_at_the_pace_of_the_clock() -> None:
    got = run(probing.backend(Echo(), np.zeros(2 * RATE, dtype=np.float32), 30.0))
    assert got.first == pytest.approx(0.06), "the fourth block of 20 ms ends the first frame of 80 ms"
    assert got.real_time_factor is None


def test_a_backend_that_fails_says_why() -> None:
    engine = ScriptedBackend(["one"], fault=Fault("raises", "answer"))
    with pytest.raises(EngineFailed, match="scripted fault"):
        run(probing.backend(engine, np.zeros(RATE, dtype=np.float32), 30.0))


def test_what_hangs_or_gives_nothing_is_said() -> None:
    with pytest.raises(TimeoutError):
        run(probing.voice(ScriptedVoice(fault=Fault("hangs", "chunk", 2)), 3.0))
    with pytest.raises(EngineFailed, match="answered nothing"):
        run(probing.model(ScriptedModel([[""]]), 3.0))


def test_of_two_measurements_the_better_counts() -> None:
    one, other = Measured(0.5, 0.2, None, 1.0, "a"), Measured(0.4, 0.3, 9.0, None, "b")
    assert better(one, other) == Measured(0.4, 0.2, 9.0, 1.0, "a")
