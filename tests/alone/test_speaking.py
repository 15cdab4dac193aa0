"""Text to speech alone: the embedded voice, and scripted ones where the moment matters."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from locara import speech, testing
from locara.audio import Samples
from locara.devices.wav import read_wav
from locara.engines.contracts import EngineInfo, Speech
from locara.errors import AudioError, ConfigError, EngineTimeout
from locara.gate.mouth import CEILING
from locara.testing import Fault, ScriptedVoice
from locara.voice.brain import Deadlines


class Noting:
    """A voice that notes what it was given, and hums as long as the text is."""

    info = EngineInfo("noting", "noting", "Apache-2.0")
    rate = 16_000

    def __init__(self, level: float = 0.1) -> None:
        self.given: list[str] = []
        self.closed = 0
        self._level = level

    async def load(self) -> None: ...

    async def close(self) -> None: ...

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        self.given.append(text)
        try:
            for _ in text:
                yield Speech(np.full(160, self._level, np.float32))
                await asyncio.sleep(0)
        finally:
            self.closed += 1


def test_the_embedded_voice_gives_samples_of_the_rate_that_is_wanted() -> None:
    async def speak() -> tuple[speech.Sound, speech.Sound]:
        async with speech.speaker() as one:
            return await one.synthesize("It is a quarter past nine."), await one.synthesize(
                "It is a quarter past nine.", sample_rate=48_000
            )

    own, other = asyncio.run(speak())
    assert own.engine.engine == "espeak-ng"
    assert (own.sample_rate, other.sample_rate) == (22_050, 48_000)
    assert 1.0 < own.seconds < 4.0
    assert abs(own.seconds - other.seconds) < 0.05
    assert own.samples.dtype == np.float32
    assert np.abs(own.samples).max() > 0.1


def test_what_is_written_is_made_speakable_and_said_clause_by_clause() -> None:
    async def speak() -> tuple[list[str], list[str]]:
        voice = Noting()
        text = "**Well**, Dr. No paid 3.5 %. See https://example.org/a?b=c for `code`. 😀"
        async with speech.speaker(tts=voice) as one:
            return voice.given, [piece.text async for piece in one.stream(text) if piece.text]

    given, clauses = asyncio.run(speak())
    assert len(given) == len(clauses) >= 2
    assert not any(sign in " ".join(given) for sign in "*`😀/%")
    assert clauses[0].startswith("**Well**")


def test_speech_begins_while_the_text_is_still_being_written() -> None:
    written = 0

    async def writing() -> AsyncIterator[str]:
        nonlocal written
        for word in "The first sentence is here. And this is the second one, which comes later.".split():
            written += 1
            await asyncio.sleep(0.1)
            yield word + " "

    async def speak() -> tuple[int, int]:
        begun = 0
        async with speech.speaker(tts=Noting()) as one:
            async for _ in one.stream(writing()):
                begun = begun or written
        return begun, written

    begun, all_of_it = testing.run(speak())
    assert 0 < begun < all_of_it


def test_saying_into_a_file_goes_through_the_gate(tmp_path: Path) -> None:
    async def say() -> float:
        return await speech.say("One two three four.", tts=Noting(level=1.0), output=tmp_path / "out.wav")

    played = asyncio.run(say())
    sound, rate = read_wav(tmp_path / "out.wav")
    assert abs(sound.size / rate - played) < 0.1
    assert 0.85 < np.abs(sound).max() <= CEILING + 1e-4


class SlowSpeaker:
    """A device with a clock of its own: 20 ms every 20 ms; it notes what it pulled."""

    name, rate, own_clock, delay, underruns = "slow", 16_000, True, 0.0, 0

    def __init__(self, *, stuck: bool = False) -> None:
        self.pulled: list[Samples] = []
        self.closed = False
        self._stuck = stuck

    async def open(self, pull: object) -> None:
        async def run() -> None:
            while True:
                await asyncio.sleep(0.02)
                if not self._stuck:
                    self.pulled.append(pull(320))  # type: ignore[operator]

        self._task = asyncio.create_task(run())

    def advance(self, blocks: int = 1) -> None:
        raise AssertionError("it has a clock of its own")

    async def close(self) -> None:
        self.closed = True
        self._task.cancel()


def test_saying_ends_when_the_last_sample_was_played_and_cancelling_fades_out() -> None:
    async def say() -> None:
        sink = SlowSpeaker()
        began = asyncio.get_running_loop().time()
        played = await speech.say("one two three", tts=Noting(), output=sink)
        assert abs(asyncio.get_running_loop().time() - began - played) < 0.2
        assert sum(np.count_nonzero(block) for block in sink.pulled) == round(played * sink.rate)
        assert sink.closed

        voice, sink = Noting(), SlowSpeaker()
        task = asyncio.create_task(speech.say("one two three. " * 100, tts=voice, output=sink))
        await asyncio.sleep(1.0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert sink.closed
        assert voice.closed == len(voice.given)
        assert abs(sink.pulled[-1][-1]) < 1e-3  # faded, not torn off
        assert len(voice.given) < 60  # not everything was made ahead

    testing.run(say())


def test_a_speaker_that_takes_nothing_and_a_voice_that_hangs_are_told() -> None:
    async def stuck() -> None:
        await speech.say("one two three. " * 30, tts=Noting(), output=SlowSpeaker(stuck=True))

    with pytest.raises(AudioError, match="has taken no sound"):
        testing.run(stuck())

    async def hangs() -> None:
        voice = ScriptedVoice(fault=Fault("hangs", "speak"))
        async with speech.speaker(tts=voice, deadlines=Deadlines(first_sound=2.0)) as one:
            await one.synthesize("hello")

    with pytest.raises(EngineTimeout, match="no sound in time"):
        testing.run(hangs())


def test_bad_input_says_what_is_wrong() -> None:
    with pytest.raises(AudioError, match="sample_rate=1"):
        asyncio.run(speech.synthesize("hello", tts=Noting(), sample_rate=1))
    with pytest.raises(ConfigError, match="only WAV files"):
        asyncio.run(speech.say("hello", tts=Noting(), output="out.mp3"))
    assert asyncio.run(speech.synthesize(" 😀 ", tts=Noting())).samples.size == 0


def test_closing_a_stream_stops_the_voice() -> None:
    async def stop() -> None:
        voice = Noting()
        async with speech.speaker(tts=voice) as one:
            stream = one.stream("a long text that goes on. " * 50)
            await anext(stream)
            began = time.monotonic()
            await stream.aclose()
            assert time.monotonic() - began < 5
            assert voice.closed == len(voice.given) == 1

    asyncio.run(stop())
