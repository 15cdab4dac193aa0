"""Sound in, segments of text out: blocks to the detector and the cutter, utterances to the recogniser.

What may live here: the way of the sound. Where utterances begin and end is decided in `cutting`.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt

from locara.audio import BLOCK, RATE, Resampler, Samples, clean, mono, resample
from locara.devices.wav import read_wav
from locara.engines.contracts import Detector, EngineInfo, Recogniser, Recognition, TimedWord
from locara.errors import AudioError, EngineTimeout, SessionError
from locara.manifest.values import Manifest
from locara.transcribe.cutting import BEFORE_SECONDS, BEGIN_BLOCKS, Began, Cutter, Ended
from locara.voice.alone import alone
from locara.voice.brain import Deadlines
from locara.voice.building import Stage

T = TypeVar("T")

_BLOCKS_AT_ONCE = 5
"""Blocks, 100 ms, that go to the recogniser together."""

_YIELD_BLOCKS = 50
"""After a second of sound others get a turn: a file is read much faster than it was spoken."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of text. ``start`` and ``end`` in seconds from the beginning of the sound, the pause after it included.
    ``final``: it will not change any more; before that the same segment (same ``start``) comes again, with more text.
    ``confidence``: 0 to 1, None where the engine has none. ``words``: of a final one, with times on the same clock as
    ``start``; empty where the engine has none."""

    text: str
    start: float
    end: float
    final: bool = True
    confidence: float | None = None
    words: tuple[TimedWord, ...] = ()


@dataclass(frozen=True, slots=True)
class Transcription:
    """Of a whole recording of ``seconds``. ``engine``: what recognised it."""

    text: str
    segments: tuple[Segment, ...]
    seconds: float
    engine: EngineInfo


class Transcriber:
    """A loaded recogniser and voice-activity detector. One recording or stream at a time; see `transcriber`."""

    def __init__(self, recogniser: Recogniser, detector: Detector, deadlines: Deadlines) -> None:
        self._recogniser = recogniser
        self._detector = detector
        self._deadlines = deadlines
        self._busy = False

    @property
    def engine(self) -> EngineInfo:
        """What recognises."""
        return self._recogniser.info

    async def from_file(self, path: str | os.PathLike[str]) -> Transcription:
        """A WAV file of any rate, one or more channels. Raises ``AudioError`` and ``StageError``."""
        samples, rate = await asyncio.to_thread(read_wav, path)
        return await self.from_samples(samples, rate)

    async def from_samples(self, samples: npt.ArrayLike, sample_rate: int) -> Transcription:
        """Sound of shape ``(n,)`` or ``(n, channels)``: floats with full scale 1, or 16-bit integers."""
        sound = mono(samples)
        heard = await asyncio.to_thread(resample, sound, _hertz(sample_rate), RATE)

        async def all_of_it() -> AsyncGenerator[Samples]:
            yield heard

        async with aclosing(self._segments(all_of_it(), partial=False)) as segments:
            found = tuple([segment async for segment in segments])
        text = " ".join(segment.text for segment in found)
        return Transcription(text, found, sound.size / sample_rate, self.engine)

    async def stream(self, sound: AsyncIterable[npt.ArrayLike], sample_rate: int) -> AsyncGenerator[Segment]:
        """Segments while the sound comes: each several times, until it is ``final``. ``sound``: blocks of any size, as in
        `from_samples`. Ends when ``sound`` ends; closing it early closes nothing of yours."""
        resampler = Resampler(_hertz(sample_rate), RATE)

        async def at_our_rate() -> AsyncGenerator[Samples]:
            async for block in sound:
                yield resampler.push(mono(block))
            yield resampler.push(np.zeros(0, np.float32), last=True)

        async with aclosing(self._segments(at_our_rate(), partial=True)) as segments:
            async for segment in segments:
                yield segment

    async def _segments(self, sound: AsyncIterator[Samples], *, partial: bool) -> AsyncGenerator[Segment]:
        if self._busy:
            raise SessionError(
                "this transcriber is in use", hint="open a second one, or wait for the first stream to end"
            )
        self._busy = True
        self._detector.reset()
        utterances = _Utterances(self._recogniser, self._deadlines, partial=partial)
        try:
            number = 0
            async for block, probability in _heard(sound, self._detector):
                segment = await utterances.push(block, probability)
                if segment is not None:
                    yield segment
                number += 1
                if number % _YIELD_BLOCKS == 0:
                    await asyncio.sleep(0)
            segment = await utterances.finish()
            if segment is not None:
                yield segment
        finally:
            self._busy = False
            await utterances.close()


class _Utterances:
    """The utterance that is being recognised, and the moments before it."""

    def __init__(self, recogniser: Recogniser, deadlines: Deadlines, *, partial: bool) -> None:
        self._recogniser = recogniser
        self._deadlines = deadlines
        self._partial = partial
        self._cutter = Cutter()
        self._past: deque[Samples] = deque(maxlen=round(BEFORE_SECONDS * RATE / BLOCK) + BEGIN_BLOCKS)
        self._waiting: list[Samples] = []
        self._recognition: Recognition | None = None
        self._start = 0
        self._at = 0

    async def push(self, block: Samples, probability: float) -> Segment | None:
        """The next block; a segment when there is news."""
        self._at += BLOCK
        self._past.append(block)
        change = self._cutter.push(probability)
        if isinstance(change, Began):
            self._start, self._recognition = change.start, self._recogniser.open()
            self._waiting = list(self._past)[-((self._at - change.start) // BLOCK) :]
        elif self._recognition is not None:
            self._waiting.append(block)
        if isinstance(change, Ended):
            self._past.clear()
            return await self._settle(change.end)
        if self._recognition is not None and len(self._waiting) >= _BLOCKS_AT_ONCE:
            return await self._give()
        return None

    async def finish(self) -> Segment | None:
        """The sound has ended."""
        ended = self._cutter.finish()
        return None if ended is None else await self._settle(ended.end)

    async def close(self) -> None:
        recognition, self._recognition = self._recognition, None
        if recognition is not None:
            await recognition.close()

    async def _give(self) -> Segment | None:
        assert self._recognition is not None
        sound, self._waiting = np.concatenate(self._waiting), []
        text = await self._asked(self._recognition.push(sound), self._deadlines.push)
        if not self._partial or not text:
            return None
        return Segment(str(text), self._start / RATE, self._at / RATE, final=False)

    async def _settle(self, end: int) -> Segment | None:
        assert self._recognition is not None
        if self._waiting:
            await self._give()
        got = await self._asked(self._recognition.settle(), self._deadlines.settle + (end - self._start) / RATE)
        await self.close()
        start = self._start / RATE
        words = tuple(TimedWord(one.text, start + one.start, start + one.end) for one in got.words)
        return Segment(got.text, start, end / RATE, True, got.confidence, words) if got.text else None

    async def _asked(self, work: Awaitable[T], deadline: float) -> T:
        try:
            async with asyncio.timeout(deadline):
                return await work
        except TimeoutError:
            model = self._recogniser.info.model
            raise EngineTimeout(
                f"stt: {model} gave no answer within {deadline:g} s",
                stage="stt",
                model=model,
                hint="it is too slow for this machine or it hangs; choose a smaller model",
            ) from None


async def _heard(sound: AsyncIterator[Samples], detector: Detector) -> AsyncIterator[tuple[Samples, float]]:
    """Blocks of 20 ms, each with how likely it is speech."""
    rest = window = np.zeros(0, np.float32)
    probability = 0.0
    async for samples in sound:
        rest = np.concatenate((rest, clean(samples)[0]))
        whole = rest.size // BLOCK * BLOCK
        for start in range(0, whole, BLOCK):
            block = rest[start : start + BLOCK]
            window = np.concatenate((window, block))
            while window.size >= detector.window:
                probability = detector.probability(window[: detector.window])
                window = window[detector.window :]
            yield block, probability
        rest = rest[whole:]
    if rest.size:
        yield np.concatenate((rest, np.zeros(BLOCK - rest.size, np.float32))), probability


def _hertz(rate: int) -> int:
    if isinstance(rate, bool) or not isinstance(rate, int) or not 4_000 <= rate <= 384_000:
        raise AudioError(f"sample_rate={rate!r}", hint="a whole number of hertz, such as 16000 or 48000")
    return rate


@asynccontextmanager
async def transcriber(
    *,
    stt: Stage = None,
    vad: Stage = None,
    deadlines: Deadlines | None = None,
    manifest: Manifest | str | os.PathLike[str] | None = None,
) -> AsyncIterator[Transcriber]:
    """Models that stay loaded for several transcriptions. ``stt``, ``vad``, ``manifest``: as for `locara.voice.session`.

    Raises ``ConfigError``, ``EngineMissing`` and ``StageError``.
    """
    deadlines = deadlines or Deadlines()
    async with alone({"stt": stt, "vad": vad}, deadlines, manifest) as engines:
        yield Transcriber(cast(Recogniser, engines["stt"]), cast(Detector, engines["vad"]), deadlines)


async def from_file(path: str | os.PathLike[str], *, stt: Stage = None, vad: Stage = None) -> Transcription:
    """What is said in a WAV file. Raises ``AudioError``, ``ConfigError``, ``EngineMissing`` and ``StageError``."""
    samples, rate = await asyncio.to_thread(read_wav, path)  # before models are loaded for nothing
    async with transcriber(stt=stt, vad=vad) as one:
        return await one.from_samples(samples, rate)


async def stream(
    sound: AsyncIterable[npt.ArrayLike], sample_rate: int, *, stt: Stage = None, vad: Stage = None
) -> AsyncGenerator[Segment]:
    """What is said in ``sound``, while it comes. See `Transcriber.stream`."""
    async with transcriber(stt=stt, vad=vad) as one, aclosing(one.stream(sound, sample_rate)) as segments:
        async for segment in segments:
            yield segment
