"""Sound and settings that are not right: mended or refused with a reason, never a silent session."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from locara import voice
from locara.audio import RATE, Samples, resample
from locara.devices.null import NullSink
from locara.engines.contracts import Speech
from locara.errors import AudioError, ConfigError, EngineMissing, LocaraError
from locara.testing import (
    Conversation,
    EnergyDetector,
    Line,
    Result,
    ScriptedBackend,
    ScriptedModel,
    ScriptedRecogniser,
    ScriptedVoice,
    Spoken,
    play,
    run,
)
from locara.testing.scripted import speech_like
from locara.voice.events import Event

from .scenes import check_story, spoken

TALK = Conversation([Line(1.0, "what time is it now")], replies=["It is noon."])


def _sound(level: float = 1.0) -> Samples:
    return speech_like(spoken(TALK), 2.6) * np.float32(level)


def _play(user: Samples, talk: Conversation = TALK) -> Result:
    result = play(talk, user=user)
    check_story(result)
    assert np.isfinite(result.input).all()
    assert np.abs(result.input).max(initial=0.0) <= 1.0
    return result


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_mended_and_counted(bad: float) -> None:
    sound = _sound()
    sound[RATE : RATE + 4000 : 40] = bad
    result = _play(sound)
    assert result.texts("final-transcript") == ["what time is it now"]
    # The room's own limiter turns infinity into full scale; NaN goes through it.
    assert result.metrics["samples_mended"] == (100.0 if np.isnan(bad) else 0.0)


def test_only_nonsense_samples_are_silence() -> None:
    sound = np.full(2 * RATE, np.nan, dtype=np.float32)
    result = _play(sound, Conversation([]))
    assert not result.of("speech-start", "error")
    assert not result.input.any()


def test_a_clipped_microphone_is_understood() -> None:
    assert _play(_sound(50.0)).texts("final-transcript") == ["what time is it now"]


@pytest.mark.parametrize("user", [np.zeros(3 * RATE, dtype=np.float32), np.zeros(0, dtype=np.float32)])
def test_silence_and_nothing_are_a_session_without_turns(user: Samples) -> None:
    result = _play(user, Conversation([]))
    assert not result.of("turn-end", "error", "speech-start")
    assert result.of("session-end")[0].reason == "input-ended"


@pytest.mark.parametrize("level", [-0.9, 0.9])
def test_a_direct_current_is_not_taken_for_a_voice_that_never_ends(level: float) -> None:
    result = _play(np.full(RATE, level, dtype=np.float32), Conversation([], more=6.0))
    assert len(result.turn_ends("user")) == len({one.turn for one in result.of("speech-start")})


def test_a_voice_that_speaks_nonsense_samples_is_mended_before_it_sounds() -> None:
    class Nonsense(ScriptedVoice):
        """Every tenth sample is no number, the others are far too loud."""

        async def speak(self, text: str) -> AsyncIterator[Speech]:
            """Speech of the scripted length, mostly too loud."""
            async for piece in super().speak(text):
                samples = piece.samples * np.float32(40.0)
                samples[::10] = np.nan
                yield Speech(samples, piece.words)

    result = play(TALK, tts=Nonsense())
    check_story(result)
    assert np.isfinite(result.output).all()
    assert np.abs(result.output).max() <= 1.0
    assert result.turn_ends("user")[0].latency is not None


# --- pushed sound -----------------------------------------------------------------------------------------------------


def _pushed(pieces: list[tuple[npt.NDArray[Any], int]], *, ahead: bool = False) -> list[Event]:
    """A session that is pushed these pieces, each at its time or all at once."""

    async def main() -> list[Event]:
        ears = ScriptedRecogniser([Spoken(1.0, 2.36, "what time is it now")])
        session = voice.session(
            stt=ears,
            llm=ScriptedModel(["It is noon."]),
            tts=ScriptedVoice(),
            vad=EnergyDetector(),
            input="push",
            output=NullSink(),
        )
        events: list[Event] = []

        async def collect() -> None:
            async for event in session.events():
                events.append(event)

        collecting = asyncio.create_task(collect())
        async with session:
            began = asyncio.get_running_loop().time()
            ears.began = lambda: began
            for samples, rate in pieces:
                await session.push_audio(samples, rate)
                await asyncio.sleep(0.0 if ahead else len(samples) / rate)
            await asyncio.sleep(4.0)
        await collecting
        return events

    return run(main())


def _cut(samples: npt.NDArray[Any], rate: int, sizes: list[int]) -> list[tuple[npt.NDArray[Any], int]]:
    pieces: list[tuple[npt.NDArray[Any], int]] = []
    at = 0
    while at < len(samples):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append((samples[at : at + size], rate))
        at += size
    return pieces


def _as(kind: str, rate: int) -> npt.NDArray[Any]:
    sound = resample(_sound(), RATE, rate)
    if kind == "stereo int16":
        return (np.stack([sound, sound], axis=1) * 32767).astype(np.int16)
    return sound.astype(np.float64) if kind == "float64" else sound


@pytest.mark.parametrize("kind", ["float32", "float64", "stereo int16"])
@pytest.mark.parametrize(
    ("rate", "sizes"), [(16_000, [1, 37, 4001]), (44_100, [441]), (48_000, [960, 7]), (8_000, [160])]
)
def test_pushed_sound_of_any_size_rate_and_kind_is_heard(kind: str, rate: int, sizes: list[int]) -> None:
    events = _pushed(_cut(_as(kind, rate), rate, sizes))
    assert [one.text for one in events if one.type == "final-transcript"] == ["what time is it now"]  # type: ignore[attr-defined]
    assert [one.reason for one in events if one.type == "turn-end"] == ["complete", "finished"]  # type: ignore[attr-defined]


def test_sound_pushed_all_at_once_is_heard_at_its_own_pace() -> None:
    events = _pushed([(_sound(), RATE)], ahead=True)
    starts = [one.t for one in events if one.type == "speech-start"]
    assert starts == pytest.approx([1.08], abs=0.05)


@pytest.mark.parametrize(
    ("samples", "rate"),
    [
        (np.zeros((2, 2, 2), dtype=np.float32), RATE),
        (np.array(["a", "b"]), RATE),
        (np.zeros(10, dtype=np.complex64), RATE),
        (np.zeros(10, dtype=np.float32), 3),
    ],
    ids=["shape", "text", "complex", "rate"],
)
def test_what_is_not_sound_is_refused_and_the_session_lives_on(samples: npt.NDArray[Any], rate: int) -> None:
    async def main() -> str:
        session = voice.session(
            stt=ScriptedRecogniser([]), llm=ScriptedModel(), tts=ScriptedVoice(), vad=EnergyDetector(),
            input="push", output="none",
        )  # fmt: skip
        async with session:
            with pytest.raises(AudioError) as caught:
                session.push_audio(samples, rate)
            await session.push_audio(np.zeros(0, dtype=np.float32))
            await session.push_audio(np.zeros(1600, dtype=np.float32))
        return caught.value.hint

    assert run(main())


def test_sound_may_be_pushed_without_awaiting() -> None:
    async def main() -> None:
        session = voice.session(
            stt=ScriptedRecogniser([]), llm=ScriptedModel(), tts=ScriptedVoice(), vad=EnergyDetector(),
            input="push", output="none",
        )  # fmt: skip
        async with session:
            session.push_audio(np.zeros(1600, dtype=np.float32))
            await asyncio.sleep(0.2)

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        run(main())
        gc.collect()
    assert [str(one.message) for one in seen] == []


# --- settings ---------------------------------------------------------------------------------------------------------

SCRIPTED: dict[str, Any] = {"input": "none", "output": "none"}


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"stt": "pocketsfinx"}, EngineMissing, ("speech to text", "pocketsfinx", "did you mean 'pocketsphinx'")),
        ({"tts": "kokoro-82"}, EngineMissing, ("text to speech", "kokoro-82", "did you mean 'kokoro-82m'")),
        ({"llm": {"model": "gpt-99"}}, EngineMissing, ("language model", "gpt-99")),
        ({"vad": "gold"}, EngineMissing, ("voice activity", "gold")),
        ({"omni": "glm-4-voice"}, EngineMissing, ("omni", "glm-4-voice-9b", "only listed")),
        ({"omni": "moshy"}, EngineMissing, ("end-to-end", "did you mean 'moshiko-mlx-q4'")),
        (
            {"omni": ScriptedBackend(["a"]), "llm": ScriptedModel(), "stt": "pocketsphinx"},
            ConfigError,
            ("omni", "leave"),
        ),
        ({"omni": {"model": ScriptedBackend(), "voice": 7}}, ConfigError, ("voice", "string")),
        ({"omni": {"model": ScriptedBackend(), "system": "a", "instructions": "b"}}, ConfigError, ("same", "one of")),
        ({"omni": ScriptedBackend(["a"]), "llm": ScriptedModel()}, ConfigError, ("omni", "leave")),
        ({"omni": ScriptedBackend(["a"]), "tts": ScriptedVoice()}, ConfigError, ("omni", "leave")),
        ({"llm": {"model": "gpt-99", "audio_input": True}}, EngineMissing, ("language model", "gpt-99")),
        (
            {"stt": ScriptedRecogniser([]), "llm": {"model": ScriptedModel(hears=True), "audio_input": True}},
            ConfigError,
            ("hears by itself", "stt="),
        ),
        ({"patience": "endless"}, ConfigError, ("endless", "normal")),
        ({"echo": "loud"}, ConfigError, ("loud", "half-duplex")),
        ({"stt": {"model": 7}}, ConfigError, ("stt", "string")),
        ({"stt": 7}, ConfigError, ("stt=7", "model")),
        ({"vad": {"model": "silero", "speed": 3}}, ConfigError, ("silero", "speed")),
        ({"stt": {"modle": "pocketsphinx"}}, ConfigError, ("modle",)),
        ({"input": 7}, ConfigError, ("input=7",)),
        ({"output": 7}, ConfigError, ("output=7",)),
        ({"tools": [lambda x: x]}, ConfigError, ("tool",)),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings_that_cannot_work_say_what_and_what_to_do(
    settings: dict[str, Any], error: type[LocaraError], says: tuple[str, ...]
) -> None:
    with pytest.raises(error) as caught:
        voice.session(**{**SCRIPTED, **settings})
    for word in says:
        assert word in caught.value.explain(), caught.value.explain()
    assert caught.value.hint


def test_an_end_to_end_model_that_nothing_can_run_is_named_also_with_this_machines_own_microphone() -> None:
    with pytest.raises(EngineMissing, match="glm-4-voice-9b") as caught:
        voice.session(omni={"model": "glm-4-voice"})
    assert "only listed" in caught.value.message
    assert "no engine" in caught.value.hint
