"""One turn being recognised: a task that feeds the recogniser as fast as it can take, and asks it when asked.

What may live here: the way of the user's sound into a recogniser, its bound, its deadline and its second chance.
"""

from __future__ import annotations

import asyncio
from collections import deque

import numpy as np

from locara.audio import RATE, Samples
from locara.engines.contracts import Recogniser, Recognition
from locara.errors import EngineFailed
from locara.voice.brain import Deadlines, Post, failure, too_slow
from locara.voice.moves import Understood
from locara.voice.streams import BEHIND_SECONDS, Fresh

KEEP_SECONDS = 30.0
"""Sound of the turn that is kept for a second chance after a failure."""


class Recognising:
    """The recognition of one turn. ``push`` and ``settle`` only take note; the task does the work in their order."""

    def __init__(self, turn: int, recogniser: Recogniser, post: Post, deadlines: Deadlines) -> None:
        self._turn = turn
        self._recogniser = recogniser
        self._post = post
        self._deadlines = deadlines
        self._todo: deque[Samples | int | EngineFailed] = deque()
        self._behind = 0
        self._wake = asyncio.Event()
        self._done = False
        self._said: deque[Samples] = deque()
        self._said_samples = 0
        self._revision = 0
        self._fresh = Fresh()
        self._lagging = False
        self._broken = False
        self._recognition: Recognition | None = None
        self.task = asyncio.create_task(self._run(), name=f"recognise-{turn}")

    def push(self, at: int, samples: Samples) -> None:
        """Samples that lie at ``at`` on the session's clock; what was given before is not given twice."""
        samples = self._fresh.of(at, samples)
        if samples.size == 0 or self._lagging:
            return
        if self._behind > BEHIND_SECONDS * RATE:
            self._lagging = True
            self._todo.append(too_slow("stt", self._recogniser.info.model))
        else:
            self._todo.append(samples)
            self._behind += samples.size
        self._wake.set()

    def settle(self, revision: int) -> None:
        """Asks for the settled text of everything pushed so far."""
        self._todo.append(revision)
        self._wake.set()

    def finish(self) -> None:
        """Nothing more is wanted; ends the task."""
        self._done = True
        self.task.cancel()

    async def _run(self) -> None:
        try:
            while not self._done:
                await self._wake.wait()
                self._wake.clear()
                while self._todo:
                    try:
                        await self._next()
                    except Exception as error:  # any engine, any fault: it becomes an event that names the stage
                        self._broken = True
                        await self._drop()
                        await self._post(failure(error, "stt", turn=self._turn))
        finally:
            await self._drop()

    async def _next(self) -> None:
        item = self._todo.popleft()
        if isinstance(item, EngineFailed):
            raise item
        if isinstance(item, int):
            await self._settle(item)
            return
        blocks = [item]
        while self._todo and isinstance(more := self._todo[0], np.ndarray):
            blocks.append(more)
            self._todo.popleft()
        samples = np.concatenate(blocks)
        self._behind -= samples.size
        self._keep(samples)
        if self._broken:
            return  # told once; the next settle tries again from the beginning
        async with asyncio.timeout(self._deadlines.push):
            text = await self._opened().push(samples)
        if text is not None:
            await self._post(Understood(self._turn, self._revision, text, settled=False))

    def _opened(self) -> Recognition:
        if self._recognition is None:
            self._recognition = self._recogniser.open()
        return self._recognition

    async def _settle(self, revision: int) -> None:
        again = self._recognition is None
        recognition = self._opened()
        if again and self._said:
            async with asyncio.timeout(self._deadlines.settle):
                await recognition.push(np.concatenate(self._said))
        self._broken = self._lagging = False
        async with asyncio.timeout(self._deadlines.settle):
            got = await recognition.settle()
        await self._post(Understood(self._turn, revision, got.text, settled=True, confidence=got.confidence))
        self._revision = revision + 1

    def _keep(self, samples: Samples) -> None:
        self._said.append(samples)
        self._said_samples += samples.size
        while self._said_samples > KEEP_SECONDS * RATE and len(self._said) > 1:
            self._said_samples -= self._said.popleft().size

    async def _drop(self) -> None:
        recognition, self._recognition = self._recognition, None
        if recognition is not None:
            try:
                async with asyncio.timeout(self._deadlines.close):
                    await recognition.close()
            except Exception as error:  # closing what already failed; the first failure was the news
                await self._post(failure(error, "stt"))
