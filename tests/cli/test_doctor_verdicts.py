"""What the facts mean: each verdict of ``locara doctor``, its reason and its fix. And the test tone, found again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from locara.audio import RATE, Samples
from locara.catalog.fitting import Speed
from locara.catalog.machine import Machine
from locara.cli.checks import judging, loopback
from locara.cli.checks.verdict import Verdict, worst
from locara.cli.doctor import line
from locara.devices.contracts import DeviceInfo

HERE = Machine("linux", "6", "x86_64", "a laptop", 8, 16 * 10**9, 8 * 10**9)
MIC = DeviceInfo("Mic", "input", True, "pulse")
SPEAKER = DeviceInfo("Speaker", "output", True, "pulse")


def test_too_little_memory_for_a_conversation_fails() -> None:
    assert judging.machine(HERE, "a laptop").status == "ok"
    assert judging.machine(replace(HERE, memory_free=10**8), "a laptop").status == "fail"
    assert judging.machine(replace(HERE, memory_free=None), "a laptop").status == "ok"


def test_devices_that_are_not_there_fail_one_by_one() -> None:
    assert [one.status for one in judging.devices([MIC, SPEAKER], "", "")] == ["ok", "ok"]
    mic, speaker = judging.devices([SPEAKER], "", "plug one in")
    assert (mic.status, mic.fix, speaker.status) == ("fail", "plug one in", "ok")
    [none] = judging.devices(None, "no sound library", "install it")
    assert (none.status, none.found, none.fix) == ("fail", "no sound library", "install it")


@pytest.mark.parametrize(
    ("peak", "samples", "lost", "status", "word"),
    [
        (-30.0, 16000, 0, "ok", "it hears"),
        (-70.0, 16000, 0, "ok", "if you spoke, raise its level"),
        (None, 16000, 0, "fail", "digital zeros"),
        (-30.0, 0, 0, "fail", "no samples"),
        (0.0, 16000, 0, "warn", "overdriven"),
        (-30.0, 16000, 3, "warn", "3 blocks of 20 ms were lost"),
    ],
)
def test_a_microphone(peak: float | None, samples: int, lost: int, status: str, word: str) -> None:
    got = judging.microphone(peak, samples, lost, "darwin")
    assert got.status == status
    assert word in got.found
    if peak is None:
        assert "System Settings > Privacy & Security > Microphone" in got.fix


@pytest.mark.parametrize(
    ("heard", "status", "word"),
    [
        (None, "ok", "not heard"),
        (loopback.Loop(0.09, -23.0), "ok", "after 90 ms, 23 dB quieter"),
        (loopback.Loop(0.7, -23.0), "warn", "after 700 ms"),
        (loopback.Loop(0.1, 9.0), "warn", "9 dB louder"),
    ],
)
def test_an_echo(heard: loopback.Loop | None, status: str, word: str) -> None:
    got = judging.loop(heard, 48_000)
    assert (got.status, word in got.found) == (status, True)


def test_a_microphone_with_a_noise_gate_is_not_dead() -> None:
    dead = judging.microphone(None, 16000, 0, "linux")
    assert judging.together(dead, judging.loop(loopback.Loop(0.1, -20.0), 48_000))[0].status == "ok"
    assert judging.together(dead, judging.loop(None, 48_000))[0] is dead


def test_software() -> None:
    whole: Any = {kind: ["one"] for kind in ("vad", "stt", "llm", "tts")}
    assert judging.engines(whole, {}).status == "ok"
    assert judging.engines({**whole, "tts": []}, {}).status == "fail"
    assert judging.engines(whole, {"plugin": "ImportError: no"}).status == "warn"
    assert "locara[kokoro]" in judging.extras(["wake"], ["kokoro"]).fix
    assert judging.models(["a"], ["b"], 10, "/m") == Verdict(
        "models", "fail", "not whole: b", "locara models pull b",
        {"folder": "/m", "whole": ["a"], "damaged": ["b"], "disk": 10},
    )  # fmt: skip
    assert judging.models([], [], 0, "/m").status == judging.models(["a"], [], 5, "/m").status == "ok"
    assert judging.disk(10**11, True, "/m").status == "ok"
    assert judging.disk(10**8, True, "/m").status == judging.disk(10**11, False, "/m").status == "warn"
    assert judging.server("", "", ()).status == judging.server("Ollama", "u", ("m",)).status == "ok"
    assert judging.server("Ollama", "u", ()).status == "warn"


def test_a_latency_is_the_sum_of_what_was_measured() -> None:
    chosen = {"stt": "a", "llm": "b", "tts": "c"}
    good = judging.latency(chosen, {}, {"a": 0.2, "b": 0.3, "c": 0.1})
    assert (good.status, good.facts["total"]) == ("ok", 1.1)
    assert good.found.startswith("about 1.1 s")
    assert judging.latency(chosen, {}, {"a": 3.0, "b": 0.6, "c": 0.1}).status == "warn"
    assert judging.latency(chosen, {"c": Speed(1.2)}, {"a": 0.2, "b": 0.3, "c": 0.1}).status == "warn"
    assert judging.latency(chosen, {}, {"c": 0.1}).status == "skip"


def test_the_worst_counts_and_a_line_has_its_fix_under_it() -> None:
    ok, warn, fail, skip = (Verdict("c", status, "f", "x") for status in ("ok", "warn", "fail", "skip"))
    assert [worst(one) for one in ([], [ok, skip], [ok, warn], [warn, fail])] == ["ok", "ok", "warn", "fail"]
    assert line(fail).splitlines()[1].strip() == "-> x"
    assert "\x1b" not in line(replace(fail, found="\x1b[2Jbad"))


# --- the test tone ----------------------------------------------------------------------------------------------------


def heard(delay: float, gain: float, noise: float, seed: int, seconds: float = 1.4) -> Samples:
    room = np.random.default_rng(seed).normal(0.0, noise, round(seconds * RATE))
    tone = loopback.sweep(RATE) * gain
    at = round(delay * RATE)
    room[at : at + tone.size] += tone[: max(0, room.size - at)]
    return room.astype(np.float32)


@settings(max_examples=40)
@given(some.floats(0.0, 0.9), some.floats(0.01, 3.0), some.integers(0, 1000))
def test_a_tone_in_noise_is_found_where_it_is_and_as_loud_as_it_is(delay: float, gain: float, seed: int) -> None:
    got = loopback.found(heard(delay, gain, 0.001, seed), RATE, 0.0)
    assert got is not None
    assert got.delay == pytest.approx(delay, abs=0.001)
    assert got.gain == pytest.approx(20 * np.log10(gain), abs=1.5)


@settings(max_examples=40)
@given(some.integers(0, 10_000), some.sampled_from([0.0, 1e-5, 0.01, 0.3]))
def test_noise_alone_and_silence_are_no_tone(seed: int, noise: float) -> None:
    assert loopback.found(heard(0.2, 0.0, noise, seed), RATE, 0.0) is None


def test_too_little_sound_has_no_tone() -> None:
    assert loopback.found(np.zeros(100, dtype=np.float32), RATE, 0.0) is None
    assert np.abs(loopback.sweep(48_000)).max() <= loopback.LEVEL
