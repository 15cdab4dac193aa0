"""One model that hears and speaks, behind the same `Brain` seam: turns, barge-in and history stay ours (half duplex).

A model that leads its own turns (full duplex) is another brain with ``lead = "model"``; it needs nothing new in `session`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from locara.audio import BLOCK, RATE, Resampler, Samples, clean, silence
from locara.engines.contracts import Engine, Message, SpeechModel, ToolCall
from locara.errors import EngineFailed
from locara.voice.brain import Deadlines, Exactness, Post, failure
from locara.voice.moves import Chunk, ClauseReady, Finished, Sounded, Told, Understood, Wish
from locara.voice.streams import BEHIND_SECONDS, Fresh, each


class OmniBrain:
    """A `SpeechModel` as a brain. It gives no transcript of the user unless a recogniser stands beside it."""

    lead: Literal["session"] = "session"
    words = False

    def __init__(self, model: SpeechModel, *, deadlines: Deadlines | None = None) -> None:
        self._model = model
        self._deadlines = deadlines or Deadlines()
        self._heard: deque[Samples | tuple[int, int] | None] = deque()
        """What the model is still to be given: sound, a request to settle (turn, revision), or None: forget it all."""
        self._turn_of: dict[int, int] = {}
        self._fresh = Fresh()
        self._wake = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._post: Post | None = None
        self._rate = 24_000

    @property
    def engines(self) -> dict[str, Engine]:
        """Stage -> engine."""
        return {"omni": self._model}

    @property
    def capabilities(self) -> dict[str, Exactness]:
        """No user transcript; where in the text a barge-in came is estimated."""
        return {
            "partial-transcript": "absent",
            "final-transcript": "absent",
            "llm-token": "exact",
            "audio-chunk": "exact",
            "turn-end": "exact",
            "barge-in": "estimated",
            "error": "exact",
        }

    @property
    def counts(self) -> Mapping[str, float]:
        """Nothing."""
        return {}

    def start(self, post: Post, output_rate: int, history: Callable[[], Sequence[Message]]) -> None:
        """Begins to feed the model."""
        self._post = post
        self._rate = output_rate
        self._tasks["hear"] = asyncio.create_task(self._feed(), name="omni-hear")

    def listen(self, turn: int, at: int, samples: Samples) -> None:
        """The beginning of a turn, or its continuation."""
        self.hear(turn, at, samples)

    def hear(self, turn: int, at: int, samples: Samples) -> None:
        """The next samples of the turn; none is given twice."""
        samples = self._fresh.of(at, samples)
        if samples.size and len(self._heard) < BEHIND_SECONDS * RATE / BLOCK:  # each push has told its deadline by then
            self._heard.append(samples)
            self._wake.set()

    def settle(self, turn: int, revision: int) -> None:
        """There are no words to wait for; but what was heard has to be in the model first."""
        self._heard.append((turn, revision))
        self._wake.set()

    def forget(self, turn: int) -> None:
        """The turn is over; unless a reply answers it, the model forgets what it heard."""
        if turn not in self._turn_of.values():
            self._heard.append(None)
            self._wake.set()

    def prepare(
        self,
        reply: int,
        turn: int,
        history: Sequence[Message],
        text: str,
        *,
        verbatim: bool,
        wish: Wish | None = None,
    ) -> None:
        """Asks for the answer to what was heard. A speech model has neither a system's text nor tools to be wished for."""
        self._turn_of[reply] = turn
        if wish is not None and wish.messages is not None:
            history = wish.messages
        name = f"reply-{reply}"
        self._tasks[name] = asyncio.create_task(self._answer(reply, history, text, verbatim), name=name)
        self._tasks[name].add_done_callback(lambda _: self._tasks.pop(name, None))

    def commit(self, reply: int) -> None:
        """Nothing to do."""

    def run_tool(self, reply: int, call: ToolCall) -> None:
        """Speech models have no tools yet."""

    def played(self, reply: int, seconds: float) -> None:
        """The model makes its sound at its own pace."""

    def discard(self, reply: int) -> None:
        """Stops the answer."""
        self._turn_of.pop(reply, None)
        task = self._tasks.get(f"reply-{reply}")
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """Ends every task."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self._deadlines.close)

    async def _feed(self) -> None:
        assert self._post is not None
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._heard:
                item = self._heard.popleft()
                if isinstance(item, tuple):
                    await self._post(Understood(item[0], item[1], "", settled=True))
                    continue
                try:
                    async with asyncio.timeout(self._deadlines.push):
                        await (self._model.forget() if item is None else self._model.hear(item))
                except Exception as error:
                    await self._post(failure(error, "omni"))

    async def _answer(self, reply: int, history: Sequence[Message], text: str, verbatim: bool) -> None:
        assert self._post is not None
        try:
            if verbatim:
                raise EngineFailed(
                    f"omni: {self._model.info.model} cannot say a given text",
                    stage="omni",
                    hint="use a pipeline with a tts=... to have texts said",
                )
            asked = [*history, Message("user", text)] if text else list(history)
            await self._speak(reply, asked)
        except Exception as error:
            await self._post(failure(error, "omni", reply=reply))
        else:
            await self._post(Finished(reply))

    async def _speak(self, reply: int, history: Sequence[Message]) -> None:
        assert self._post is not None
        resampler = Resampler(self._model.rate, self._rate)
        end = 0
        opens = True
        stream = self._model.answer(history)
        async for part in each(stream, first=self._deadlines.first_sound, then=self._deadlines.sound):
            if part.text:
                end += len(part.text)
                await self._post(Told(reply, part.text))
            if part.speech is not None:
                if opens:
                    await self._post(ClauseReady(reply))
                samples = resampler.push(clean(part.speech.samples)[0])
                await self._post(Sounded(reply, Chunk(samples, 0, end, (), opens, False, part.text)))
                opens = False
        tail = resampler.push(silence(0), last=True)
        await self._post(Sounded(reply, Chunk(tail, 0, end, (), opens, True)))
