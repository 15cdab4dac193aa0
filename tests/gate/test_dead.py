"""When a microphone that gives digital zeros is told to be dead."""

from __future__ import annotations

import numpy as np

from locara.audio import BLOCK, RATE, silence
from locara.gate.dead import GATED_SECONDS, DeadMicrophone
from locara.gate.ear import Ear
from locara.testing import EnergyDetector

NOISE = np.full(BLOCK, 1e-4, dtype=np.float32)


def told(*parts: tuple[str, float]) -> list[tuple[float, bool]]:
    """(second, dead or sounding) for parts of ("noise" or "zeros", seconds)."""
    ear, dead, out = Ear(EnergyDetector()), DeadMicrophone(), list[tuple[float, bool]]()
    for what, seconds in parts:
        for _ in range(round(seconds * RATE / BLOCK)):
            ear.hear(NOISE if what == "noise" else silence(BLOCK))
            verdict = dead.judge(BLOCK, dead=ear.dead)
            if verdict is not None:
                out.append((ear.heard / RATE, verdict))
    return out


def test_zeros_from_the_start_are_told_within_half_a_second_and_once() -> None:
    ((when, dead),) = told(("zeros", 60.0))
    assert dead
    assert when <= 0.5


def test_it_is_told_when_it_sounds_again_and_when_it_falls_silent_again() -> None:
    news = told(("noise", 3.0), ("zeros", 2.0), ("noise", GATED_SECONDS + 5.0), ("zeros", 2.0))
    assert [dead for _, dead in news] == [True, False, True]
    assert 3.3 <= news[0][0] <= 3.5
    assert news[1][0] <= 5.0 + 0.05
    assert news[2][0] <= 20.0 + 0.5


def test_a_noise_gate_between_sentences_is_not_told_each_time() -> None:
    news = told(("noise", 2.0), *[("zeros", 1.0), ("noise", 2.0)] * 30)
    assert len(news) <= 4


def test_a_gated_microphone_that_dies_is_told_all_the_same() -> None:
    gated = [("zeros", 1.0), ("noise", 2.0)] * 10
    news = told(("noise", 2.0), *gated, ("zeros", 30.0))
    assert news[-1][1]
    assert news[-1][0] > 32.0


def test_another_device_begins_anew() -> None:
    ear = Ear(EnergyDetector())
    for _ in range(30):
        ear.hear(silence(BLOCK))
    assert ear.dead
    ear.device_changed()
    ear.hear(silence(BLOCK))
    assert not ear.dead, "zeros of the old device were counted for the new one"
