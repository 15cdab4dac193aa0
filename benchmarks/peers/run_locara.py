"""Locara in the comparison, driven by its public API: fake engines, a source and a sink of our own.

python benchmarks/peers/run_locara.py SPEECH [--configuration normal|quick]
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import numpy as np
from script import arguments, report, show
from stage import FRAME, RATE_OUT, STT, Speaker, Stage

import locara
from locara import voice
from locara.audio import Samples
from locara.devices.contracts import Pull
from locara.engines.contracts import EngineInfo, Message, Speech, Tool, ToolCall, Transcript
from locara.voice.history import Said as Told


class Engine:
    """Ready at once."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.info = EngineInfo("comparison", type(self).__name__, "none")

    async def load(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """Nothing to close."""


class Hears(Engine):
    """The recogniser."""

    def open(self) -> Heard:
        """From a little before now on."""
        return Heard(self.stage)


class Heard:
    """One turn of the user."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._since = stage.mic.now - 0.5
        self._text = ""

    def _words(self, until: float) -> str:
        lines = [said for said in self._stage.mic.said if said.end > self._since]
        return " ".join(
            word
            for said in lines
            for word, end in zip(said.line.words, said.line.ends, strict=True)
            if said.start + end <= until
        )

    async def push(self, samples: Samples) -> str | None:
        """A word is known 150 ms after its end."""
        text = self._words(self._stage.mic.now - STT)
        if text == self._text:
            return None
        self._text = text
        return text

    async def settle(self) -> Transcript:
        """Everything that was said so far, 150 ms after the last of it."""
        now = self._stage.mic.now
        ends = [min(said.end, now) for said in self._stage.mic.said if said.start < now]
        await self._stage.clock.until(max(ends, default=0.0) + STT)
        return Transcript(self._words(now))

    async def close(self) -> None:
        """Nothing is open."""


class Thinks(Engine):
    """The language model."""

    async def reply(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> AsyncIterator[str | ToolCall]:
        """What the stage wants answered."""
        async for token in self.stage.thinks():
            yield token


class Speaks(Engine):
    """The voice, without word times: so have the others none."""

    rate = RATE_OUT

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        """A tone for each word."""
        async for samples in self.stage.speaks(text):
            yield Speech(samples)


class Source:
    """The stage's microphone."""

    name = "stage"
    exhausted = False
    overruns = 0

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def open(self) -> None:
        """It is open."""

    async def blocks(self) -> AsyncIterator[Samples]:
        """A block every 20 ms."""
        async for frame in self._stage.mic.frames():
            yield frame

    async def close(self) -> None:
        """Ends it."""
        self._stage.mic.closed = True


class Sink:
    """The stage's speaker."""

    name = "stage"
    rate = RATE_OUT
    own_clock = True
    delay = FRAME
    underruns = 0

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.pull: Pull = lambda count: np.zeros(count, np.float32)
        self.speaker = Speaker(stage.clock, self._pulled)

    def _pulled(self, count: int) -> Samples:
        return self.pull(count)

    async def open(self, pull: Pull) -> None:
        """Plays from now on."""
        self.pull = pull
        self.speaker.start()

    def advance(self, blocks: int = 1) -> None:
        """It has its own clock."""

    async def close(self) -> None:
        """Ends it."""
        self.speaker.stop()


class Locara:
    """One session."""

    def __init__(self, seed: int, patience: Any) -> None:
        self.stage = Stage(seed)
        self._sink = Sink(self.stage)
        self.speaker = self._sink.speaker
        self.session = voice.session(
            stt=Hears(self.stage),
            llm=Thinks(self.stage),
            tts=Speaks(self.stage),
            input=Source(self.stage),
            output=self._sink,
            patience=patience,
        )

    def history(self) -> list[tuple[str, str]]:
        """What each side said; of the assistant what was heard."""
        return [(one.role, one.text) for one in self.session.history if isinstance(one, Told)]


async def start(seed: int) -> tuple[Locara, Callable[[], Awaitable[Any]]]:
    """A running session and how to stop it."""
    system = Locara(seed, given.configuration)
    await system.session.start()
    return system, system.session.stop


if __name__ == "__main__":
    given = arguments("Locara in the comparison.", ("normal", "quick", "patient"))
    show(asyncio.run(report(given, "locara", {"locara": locara.__version__}, start)))
