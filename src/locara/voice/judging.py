"""The end-of-turn model at work: asked once in a pause, beside everything else; the newest question is the only one.

What may live here: the task of one question, its deadline, and what becomes of a model that fails.
"""

from __future__ import annotations

import asyncio

from locara.audio import Samples
from locara.engines.contracts import TurnDetector
from locara.voice.brain import Post, failure
from locara.voice.moves import Judged

ANSWER_SECONDS = 1.0
"""A judgement that comes later than this is worth nothing any more: the pause is over, or the turn is."""


class Judging:
    """``judge`` returns at once; the judgement is posted as `Judged`, a failure as `Failed`, the first time only: without
    the model, the words and the silence still decide."""

    def __init__(self, detector: TurnDetector, post: Post) -> None:
        self.seconds = detector.seconds
        self._detector = detector
        self._post = post
        self._asking: asyncio.Task[None] | None = None
        self._told = False

    def judge(self, turn: int, revision: int, samples: Samples) -> None:
        """Asks about the pause at the end of ``samples`` (16 kHz)."""
        self.stop()
        self._asking = asyncio.create_task(self._ask(turn, revision, samples), name=f"judge-{turn}")

    def stop(self) -> None:
        """Nothing is wanted any more."""
        if self._asking is not None:
            self._asking.cancel()

    async def close(self) -> None:
        """Ends the question under way and waits for it."""
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _ask(self, turn: int, revision: int, samples: Samples) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                finished = await self._detector.finished(samples)
        except Exception as error:  # any engine, any fault: it becomes an event that names the stage
            if not self._told:
                self._told = True
                await self._post(failure(error, "turn"))
            return
        await self._post(Judged(turn, revision, min(1.0, max(0.0, finished))))
