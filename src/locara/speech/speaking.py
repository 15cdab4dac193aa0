"""Text in, speech out: clauses, what of them is said, the voice, and the way to a speaker through the gate.

What may live here: the way of one text. How clauses are cut and made speakable is decided in `locara.voice`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from locara.audio import RATE, Resampler, Samples, clean, seconds, silence
from locara.consent import apps
from locara.consent.access import Access
from locara.devices.contracts import Sink
from locara.engines.contracts import EngineInfo, SpeaksLanguage, Voice
from locara.errors import AudioError, EngineTimeout
from locara.gate.mouth import Mouth
from locara.gate.opening import Grant, allowed, open_sink, refusal
from locara.manifest.values import Manifest
from locara.voice.alone import alone
from locara.voice.brain import Deadlines
from locara.voice.building import Stage, _sink
from locara.voice.clauses import Clauses
from locara.voice.loading import plan_of
from locara.voice.speakable import Speakable
from locara.voice.streams import each

_AHEAD_SECONDS = 4.0
"""Sound that waits to be played: never runs dry, and little to throw away when it is cancelled."""

_LOOK_SECONDS = 0.02
_STUCK_SECONDS = 10.0
"""A speaker that takes nothing for so long has gone away."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Some speech: float32 mono of shape ``(n,)``. ``text``: the clause that begins with it, as it was written, else
    empty."""

    samples: Samples
    sample_rate: int
    text: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """The speech of a whole text: float32 mono of shape ``(n,)``. ``engine``: what spoke."""

    samples: Samples
    sample_rate: int
    engine: EngineInfo

    @property
    def seconds(self) -> float:
        """How long it is."""
        return seconds(self.samples.size, self.sample_rate)


class Speaker:
    """A loaded voice. One text at a time; see `speaker`."""

    def __init__(self, voice: Voice, deadlines: Deadlines, app: Manifest | None = None) -> None:
        self._voice = voice
        self._app = app
        self._deadlines = deadlines

    @property
    def engine(self) -> EngineInfo:
        """What speaks."""
        return self._voice.info

    async def synthesize(self, text: str, *, sample_rate: int | None = None) -> Sound:
        """The speech of ``text`` in the voice's own rate, or in ``sample_rate``."""
        async with aclosing(self.stream(text, sample_rate=sample_rate)) as pieces:
            found = [piece async for piece in pieces]
        sound = np.concatenate([piece.samples for piece in found]) if found else silence(0)
        return Sound(sound, found[0].sample_rate if found else sample_rate or self._voice.rate, self.engine)

    async def stream(self, text: str | AsyncIterable[str], *, sample_rate: int | None = None) -> AsyncGenerator[Piece]:
        """The speech of ``text`` while it is made, and while it is written if it is a stream. Closing it stops the voice."""
        voice = self._voice
        rate = voice.rate if sample_rate is None else _hertz(sample_rate)
        resampler = Resampler(voice.rate, rate)
        speakable = Speakable(voice.language if isinstance(voice, SpeaksLanguage) else "en")
        async with aclosing(_clauses(text)) as clauses:
            async for clause in clauses:
                spoken = speakable.push(clause).text
                if not spoken.strip():
                    continue
                said = clause
                async with aclosing(self._spoken(spoken)) as sounds:
                    async for samples in sounds:
                        yield Piece(resampler.push(samples), rate, said)
                        said = ""
        last = resampler.push(silence(0), last=True)
        if last.size:
            yield Piece(last, rate)

    async def say(
        self,
        text: str | AsyncIterable[str],
        *,
        output: str | os.PathLike[str] | Sink = "default",
        grant: Grant | None = None,
    ) -> float:
        """Says ``text`` through the gate, to its end. ``output`` as for `locara.voice.session`. Returns the seconds played.

        ``grant``: what the app was granted; left out, what the ledger says. Cancelling it fades out within 20 ms.
        Raises ``CapabilityDenied``, ``SoundMuted``, ``DeviceError``, ``AudioError`` and ``StageError``.
        """
        sink, _ = _sink(output)
        grant = grant or Access(apps.this_app(self._app))
        mouth: Mouth | None = None

        def pull(n: int) -> Samples:
            return silence(n) if mouth is None else mouth.render(n)

        await open_sink(sink, pull, grant)
        try:
            grant.started(plan_of({"tts": self._voice}, {}))
            mouth = Mouth(sink.rate, allowed(sink, grant))
            playing = _Playing(sink, mouth, grant)
            async with aclosing(self.stream(text, sample_rate=sink.rate)) as pieces:
                async for piece in pieces:
                    await playing.play(piece.samples)
            return await playing.to_the_end()
        finally:
            if mouth is not None:
                mouth.hush(0)
                await asyncio.sleep(_LOOK_SECONDS * 2)  # the fade of what was cut
            await sink.close()
            grant.closed()

    async def _spoken(self, text: str) -> AsyncGenerator[Samples]:
        limits = self._deadlines
        try:
            sounds = each(self._voice.speak(text), first=limits.first_sound, then=limits.sound)
            async with aclosing(cast(Any, sounds)) as stream:
                async for speech in stream:
                    if speech.samples.size:
                        yield clean(speech.samples)[0]
        except TimeoutError:
            model = self._voice.info.model
            raise EngineTimeout(
                f"tts: {model} gave no sound in time",
                stage="tts",
                model=model,
                hint="it is too slow for this machine or it hangs; choose a smaller model",
            ) from None


class _Playing:
    """Sound on its way out: not more of it waits than a few seconds."""

    def __init__(self, sink: Sink, mouth: Mouth, grant: Grant) -> None:
        self._grant = grant
        self._sink = sink
        self._mouth = mouth
        self._given = 0

    async def play(self, samples: Samples) -> None:
        """Queues it, and waits for room."""
        self._mouth.play(0, samples)
        self._given += samples.size
        await self._until(_AHEAD_SECONDS)

    async def to_the_end(self) -> float:
        """Waits until all is played and has left the device."""
        await self._until(0.0)
        if self._sink.own_clock:
            await asyncio.sleep(min(self._sink.delay + _LOOK_SECONDS, 1.0))
        return self._given / self._sink.rate

    async def _until(self, ahead: float) -> None:
        clock = asyncio.get_running_loop()
        last, since = -1, clock.time()
        while (left := self._given - self._mouth.progress.played) > ahead * self._sink.rate:
            if self._mouth.shut:
                raise refusal(self._sink, self._grant)
            if not self._sink.own_clock:  # a file: as fast as it is made
                self._sink.advance()
                await asyncio.sleep(0)
                continue
            if self._mouth.progress.played != last:
                last, since = self._mouth.progress.played, clock.time()
            elif clock.time() - since > _STUCK_SECONDS:
                raise AudioError(
                    f"{self._sink.name} has taken no sound for {_STUCK_SECONDS:g} s",
                    hint="see `locara devices`: is it still there?",
                )
            await asyncio.sleep(min(_LOOK_SECONDS, left / self._sink.rate))


async def _clauses(text: str | AsyncIterable[str]) -> AsyncGenerator[str]:
    splitter = Clauses()
    if isinstance(text, str):
        for clause in splitter.push(text):
            yield clause
    else:
        async for piece in text:
            for clause in splitter.push(piece):
                yield clause
    for clause in splitter.flush():
        yield clause


def _hertz(rate: int) -> int:
    if isinstance(rate, bool) or not isinstance(rate, int) or not 8_000 <= rate <= 192_000:
        raise AudioError(f"sample_rate={rate!r}", hint=f"a whole number of hertz, such as {RATE} or 48000")
    return rate


@asynccontextmanager
async def speaker(
    *, tts: Stage = None, deadlines: Deadlines | None = None, manifest: Manifest | str | os.PathLike[str] | None = None
) -> AsyncIterator[Speaker]:
    """A voice that stays loaded for several texts. ``tts``, ``manifest``: as for `locara.voice.session`.

    Raises ``ConfigError``, ``EngineMissing`` and ``StageError``.
    """
    deadlines = deadlines or Deadlines()
    app = apps.this_app(manifest)
    async with alone({"tts": tts}, deadlines, app) as engines:
        yield Speaker(cast(Voice, engines["tts"]), deadlines, app)


async def synthesize(text: str, *, tts: Stage = None, sample_rate: int | None = None) -> Sound:
    """The speech of ``text``. Raises ``ConfigError``, ``EngineMissing`` and ``StageError``."""
    async with speaker(tts=tts) as one:
        return await one.synthesize(text, sample_rate=sample_rate)


async def stream(
    text: str | AsyncIterable[str], *, tts: Stage = None, sample_rate: int | None = None
) -> AsyncGenerator[Piece]:
    """The speech of ``text``, piece by piece. See `Speaker.stream`."""
    async with speaker(tts=tts) as one, aclosing(one.stream(text, sample_rate=sample_rate)) as pieces:
        async for piece in pieces:
            yield piece


async def say(
    text: str | AsyncIterable[str], *, tts: Stage = None, output: str | os.PathLike[str] | Sink = "default"
) -> float:
    """Says ``text`` on a speaker, to its end. Returns the seconds played. See `Speaker.say`."""
    async with speaker(tts=tts) as one:
        return await one.say(text, output=output)
