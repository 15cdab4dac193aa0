"""The end of a turn from the sound itself: what is heard, what is not, and what happens when there is nothing."""

from __future__ import annotations

import asyncio
import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locara.audio import RATE, Samples, silence
from locara.engines import prosody, registry
from locara.engines.contracts import TurnDetector
from locara.engines.prosody import SECONDS, UNSURE, hear
from locara.engines.prosody_contours import Contours, contours
from locara.engines.prosody_features import features, ordered
from locara.engines.prosody_weights import SUREST, Weights, probability, read, write
from locara.errors import ConfigError, EngineFailed

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PAUSE = silence(RATE // 7)


def _voice(*syllables: tuple[float, float, float, float]) -> Samples:
    """Syllables (seconds, hertz at the start, hertz at the end, loudness), 50 ms apart, that break off in 10 ms."""
    parts: list[Samples] = []
    for seconds, start, end, loud in syllables:
        n = round(seconds * RATE)
        phase = 2 * np.pi * np.cumsum(np.linspace(start, end, n)) / RATE
        sound = loud * sum(np.sin(k * phase) / k for k in range(1, 12)) * np.minimum(1, np.arange(n)[::-1] / 160)
        parts += [np.asarray(sound, dtype=np.float32), silence(RATE // 20)]
    return np.concatenate(parts)


LEVEL = [(0.15, 150.0, 150.0, 0.1)] * 7
BROKEN_OFF = _voice(*LEVEL, (0.12, 150.0, 155.0, 0.1))
FALLING = _voice(*LEVEL, (0.35, 140.0, 90.0, 0.05))


@pytest.fixture(scope="module")
def weights() -> Weights:
    return prosody._load(None)


def _heard(samples: Samples) -> Contours:
    heard = contours(samples)
    assert heard is not None
    return heard


def _ask(samples: Samples) -> float:
    async def main() -> float:
        detector = prosody.create("prosody", {})
        assert detector is not None
        await detector.load()
        try:
            return await detector.finished(samples)
        finally:
            await detector.close()

    return asyncio.run(main())


# --- the engine -------------------------------------------------------------------------------------------------------


def test_weights_of_ones_own_are_read_and_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    own = tmp_path / "own.npz"
    own.write_bytes((Path(prosody.__file__).parent / "prosody.npz").read_bytes())

    async def answer(weights: Path) -> float:
        detector = prosody.Prosody(weights)
        await detector.load()
        try:
            return await detector.finished(np.zeros(RATE, np.float32))
        finally:
            await detector.close()

    assert asyncio.run(answer(own)) == 0.5
    own.write_bytes(b"no weights")
    with pytest.raises(EngineFailed, match="cannot be read") as caught:
        asyncio.run(answer(own))
    assert "own.npz" in caught.value.hint


def test_it_is_found_by_its_name_and_refuses_what_it_does_not_know() -> None:
    engine = registry.create("turn", "prosody", {})
    assert engine.info.engine == "prosody"
    assert prosody.create("smart-turn", {}) is None
    assert prosody.create("prosody", {"engine": "prosody"}) is not None
    with pytest.raises(ConfigError, match="treshold"):
        prosody.create("prosody", {"treshold": 0.5})


def test_before_load_and_after_close_it_says_so() -> None:
    async def main() -> None:
        detector = prosody.create("", {})
        assert detector is not None
        with pytest.raises(EngineFailed, match="not loaded"):
            await detector.finished(silence(RATE))
        await detector.load()
        await detector.load()
        await detector.close()
        await detector.close()
        with pytest.raises(EngineFailed, match="not loaded"):
            await detector.finished(silence(RATE))

    asyncio.run(main())


def test_no_thread_is_left() -> None:
    before = set(threading.enumerate())
    _ask(np.concatenate((FALLING, PAUSE)))
    assert {thread.name for thread in set(threading.enumerate()) - before} == set()


@pytest.mark.parametrize("samples", [np.zeros((RATE, 2), np.float32), np.zeros(RATE, np.int16)])
def test_what_is_no_sound_is_refused(samples: Samples) -> None:
    with pytest.raises(EngineFailed, match="float32 samples of shape"):
        _ask(samples)


def test_a_cancelled_question_leaves_it_usable() -> None:
    async def main() -> tuple[float, float]:
        detector = prosody.create("prosody", {})
        assert detector is not None
        await detector.load()
        try:
            sound = np.concatenate((FALLING, PAUSE))
            first = await detector.finished(sound)
            asked = asyncio.create_task(_finished(detector, sound))
            await asyncio.sleep(0)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            return first, await detector.finished(sound)
        finally:
            await detector.close()

    first, again = asyncio.run(main())
    assert first == again


async def _finished(detector: TurnDetector, samples: Samples) -> float:
    return await detector.finished(samples)


def test_only_the_last_seconds_are_looked_at() -> None:
    """So its work has a bound, however long the turn: at most 400 frames and 400 examples."""
    last = np.concatenate((np.tile(FALLING, 4), PAUSE))[-round(SECONDS * RATE) :]
    whole = np.concatenate((np.tile(BROKEN_OFF, 100), last))
    assert _ask(whole) == _ask(last)


def test_the_work_of_one_answer_is_small(weights: Weights) -> None:
    longest = np.concatenate((np.tile(BROKEN_OFF, 9), PAUSE))[-round(SECONDS * RATE) :]
    assert _heard(longest).level.size <= SECONDS * 100
    assert weights.examples.size <= 50_000


# --- what it answers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "samples",
    [silence(0), silence(100), silence(RATE), _voice((0.08, 120, 120, 0.1)), np.eye(1, RATE, RATE // 2)[0]],
    ids=["nothing", "100 samples", "silence", "80 ms", "click"],
)
def test_without_speech_it_is_unsure(samples: Samples, weights: Weights) -> None:
    assert hear(np.concatenate((samples, PAUSE)).astype(np.float32), weights) == UNSURE


def test_a_third_of_a_second_is_enough_for_an_answer(weights: Weights) -> None:
    assert hear(np.concatenate((_voice((0.3, 140, 90, 0.1)), PAUSE)), weights) != UNSURE


def test_a_long_falling_fading_syllable_is_more_of_an_end_than_a_level_one(weights: Weights) -> None:
    broken, falling = (hear(np.concatenate((one, PAUSE)), weights) for one in (BROKEN_OFF, FALLING))
    assert falling > broken + 0.1
    assert broken < 0.5


@pytest.mark.parametrize("decibels", [-20.0, -6.0, 10.0])
def test_the_level_of_the_microphone_does_not_matter(decibels: float, weights: Weights) -> None:
    sound = np.concatenate((BROKEN_OFF, PAUSE))
    louder = (sound * 10 ** (decibels / 20)).astype(np.float32)
    assert hear(louder, weights) == pytest.approx(hear(sound, weights), abs=0.01)


def test_it_hears_the_speech_not_the_silence_after_it(weights: Weights) -> None:
    """Composed scenes end in digital zeros, real rooms hiss: that must be no clue."""
    hiss = np.random.default_rng(3).standard_normal(RATE * 3).astype(np.float32)
    for sound in (BROKEN_OFF, FALLING):
        answers = []
        for level in (0.0, 1e-5, 1e-4, 5e-4):
            turn = np.concatenate((sound, PAUSE))
            answers.append(hear(turn + level * hiss[: turn.size], weights))
        for wait in (0.1, 0.15, 0.2):
            answers.append(hear(np.concatenate((sound, silence(round(wait * RATE)))), weights))
        assert max(answers) - min(answers) < 0.1


def test_the_same_sound_has_the_same_answer(weights: Weights) -> None:
    sound = np.concatenate((FALLING, PAUSE))
    assert {hear(sound.copy(), weights) for _ in range(5)} == {_ask(sound)}


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(0, 3 * RATE),
    loud=st.sampled_from([0.0, 1e-30, 1e-6, 0.01, 1.0, 1e6, np.inf, np.nan]),
)
def test_whatever_is_heard_it_is_a_probability(seed: int, size: int, loud: float) -> None:
    noise = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    with np.errstate(invalid="ignore"):
        noise[: size // 2] *= np.float32(loud)
    answer = hear(noise, prosody._load(None))
    assert 1 - SUREST <= answer <= SUREST


# --- what is measured -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hertz", [75.0, 120.0, 210.0, 330.0])
def test_a_fall_of_pitch_is_measured_in_semitones(hertz: float) -> None:
    sound = np.concatenate((_voice((1.2, hertz, hertz, 0.1), (0.3, hertz * 0.84, hertz * 0.84, 0.1)), PAUSE))
    assert features(_heard(sound))["pitch_last"] == pytest.approx(-3.0, abs=0.3)


def test_a_long_last_syllable_is_measured() -> None:
    short, long = (features(_heard(np.concatenate((one, PAUSE)))) for one in (BROKEN_OFF, FALLING))
    assert long["voiced_run_seconds"] > short["voiced_run_seconds"] + 0.15
    assert long["nucleus_seconds"] > short["nucleus_seconds"]
    assert short["syllables"] == 8


def test_the_end_is_found_in_noise() -> None:
    """Within three frames, at 20 dB: everything else is counted from there."""
    hiss = np.random.default_rng(4).standard_normal(3 * RATE).astype(np.float32)
    turn = np.concatenate((BROKEN_OFF, PAUSE))
    clear, noisy = _heard(turn), _heard(turn + 0.012 * hiss[: turn.size])
    assert abs(clear.level.size - noisy.level.size) <= 3


def test_features_are_finite_and_in_one_order() -> None:
    named = [features(_heard(np.concatenate((one, PAUSE)))) for one in (BROKEN_OFF, FALLING)]
    assert list(named[0]) == list(named[1])
    assert np.isfinite([ordered(one) for one in named]).all()


# --- the weights ------------------------------------------------------------------------------------------------------


def test_far_from_everything_it_has_heard_it_is_unsure(weights: Weights) -> None:
    rows = np.random.default_rng(1).choice([-1e3, 1e3], (20, len(weights.names))).astype(np.float32)
    assert np.abs(weights.log_odds(rows)).max() < 0.3
    assert probability(0.0) == 0.5
    assert probability(99.0) == SUREST


def test_weights_for_other_features_are_refused(weights: Weights) -> None:
    file = io.BytesIO()
    write(file, weights)
    file.seek(0)
    assert read(file, weights.names).names == weights.names
    file.seek(0)
    with pytest.raises(EngineFailed, match="features"):
        read(file, weights.names[:-1])


def test_ends_of_recorded_speech_are_told_from_pauses(weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = os.environ.get("LOCARA_SHARED")
    if not shared or not (Path(shared) / "audio" / "index.json").is_file():
        pytest.skip("LOCARA_SHARED names no folder with audio/index.json")
    pytest.importorskip("soundfile")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from prosody_clips import chance, moments, read_clips

    clips, around = read_clips(Path(shared) / "audio")
    said: dict[bool, list[float]] = {True: [], False: []}
    for clip in clips[::2]:
        if clip.category == "commands":
            for moment in moments(clip, around, chance(9, clip.name), plain=True):
                said[moment.finished].append(hear(moment.samples, weights))
    ends, pauses = np.array(said[True]), np.array(said[False])
    assert (ends[:, None] > pauses).mean() > 0.85  # 0.94 on clips it was not trained on
