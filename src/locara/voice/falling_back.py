"""One model for everything, and a pipeline for when it cannot be had: ``omni={"model": ..., "fallback": True}``.

What may live here: the moment of the change, at the start or within a conversation. Both sides are brains like any other,
and do not know of each other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from locara.audio import Samples
from locara.engines.contracts import Engine, EngineInfo, Message, Sound, ToolCall
from locara.errors import LocaraError
from locara.voice import loading
from locara.voice.brain import Brain, Deadlines, Exactness, KeepsSound, Leads, Post, Speculates, failure
from locara.voice.moves import Failed, Happened, Led, Stop, Wish

_log = logging.getLogger("locara")


_SOONER = 0.95
"""A deadline within another one passes before it."""


class Forgiven:
    """An engine whose loading may fail: why it did is kept. Everything else goes to the engine itself."""

    def __init__(self, engine: Engine, deadline: float) -> None:
        self.engine = engine
        self.deadline = deadline * _SOONER
        self.failure: LocaraError | None = None

    @property
    def info(self) -> EngineInfo:
        """Of the engine."""
        return self.engine.info

    async def load(self) -> None:
        """As the engine does, and does not raise."""
        try:
            await loading.load_all({"omni": self.engine}, self.deadline)
        except LocaraError as error:
            self.failure = error

    async def close(self) -> None:
        """Closes the engine."""
        await self.engine.close()


class FallingBack:
    """``first`` as long as it can be had, then ``second()``, whose engines are loaded only then."""

    def __init__(
        self,
        first: Brain,
        second: Callable[[], Brain],
        deadlines: Deadlines,
        *,
        is_lent: Callable[[Engine], bool] = lambda _: False,
    ) -> None:
        self._now = first
        self._first = first
        self._second = second
        self._deadlines = deadlines
        self._lent = is_lent
        self._forgiven = {
            stage: engine if is_lent(engine) else Forgiven(engine, deadlines.load)
            for stage, engine in first.engines.items()
        }
        self._post: Post | None = None
        self._rate = 24_000
        self._history: Callable[[], Sequence[Message]] = tuple
        self._changing: asyncio.Task[None] | None = None
        self._why: Failed | None = None

    @property
    def acting(self) -> Brain:
        """See `StandsFor`."""
        return self._now

    @property
    def lead(self) -> Literal["session", "model"]:
        """Of the one that there is now."""
        return self._now.lead

    @property
    def words(self) -> bool:
        """Of the one that there is now."""
        return self._now.words

    @property
    def speculates(self) -> bool:
        """See `Speculates`. Of the one that there is now."""
        return self._now.speculates if isinstance(self._now, Speculates) else True

    @property
    def engines(self) -> dict[str, Engine]:
        """Of the one that there is now; those of the first may fail to load."""
        return self._forgiven if self._now is self._first else self._now.engines

    @property
    def capabilities(self) -> dict[str, Exactness]:
        """Of the one that there is now."""
        return self._now.capabilities

    @property
    def counts(self) -> Mapping[str, float]:
        """Of the one that there is now; ``fallbacks``: whether it is the second."""
        return {**self._now.counts, "fallbacks": float(self._now is not self._first)}

    # --- beginning and ending -----------------------------------------------------------------------------------------

    async def open(self) -> None:
        """The first, or if it cannot be had the second. Raises what the second raises."""
        failed = next(
            (one.failure for one in self._forgiven.values() if isinstance(one, Forgiven) and one.failure), None
        )
        if failed is None:
            try:
                await loading.open_brain(self._first, self._deadlines.load)
            except LocaraError as error:
                failed = error
        if failed is not None:
            _log.warning("%s", failed.message)
            hint = f"the pipeline speaks instead; {failed.hint}"
            self._why = Failed("omni", failed.code, failed.message, hint)
            await self._bring_up_second()

    def start(self, post: Post, output_rate: int, history: Callable[[], Sequence[Message]]) -> None:
        """From now on there is an inbox."""
        self._post, self._rate, self._history = post, output_rate, history
        self._now.start(self._overhear, output_rate, history)
        if self._why is not None:
            self._changing = asyncio.create_task(self._tell(self._why), name="omni-fallback")

    async def close(self) -> None:
        """Ends both."""
        if self._changing is not None:
            self._changing.cancel()
            await asyncio.wait([self._changing], timeout=self._deadlines.close)
        await self._first.close()
        if self._now is not self._first:  # whose engines nobody else closes now
            await self._now.close()
            await loading.close_all(self._forgiven.values(), self._deadlines.close)

    async def _bring_up_second(self) -> None:
        second = self._second()
        engines = {stage: one for stage, one in second.engines.items() if not self._lent(one)}
        try:
            await loading.load_all(engines, self._deadlines.load)
            await loading.open_brain(second, self._deadlines.load)
        except BaseException:
            await loading.close_all(engines.values(), self._deadlines.close)
            raise
        self._now = second

    async def _tell(self, news: Happened) -> None:
        assert self._post is not None
        await self._post(news)

    async def _overhear(self, news: Happened) -> None:
        """The end of the first is not the end of the conversation."""
        if self._now is self._first:
            if isinstance(news, Failed) and news.fatal:
                self._why = Failed(news.stage, news.code, news.message, f"the pipeline takes over; {news.hint}")
                await self._tell(self._why)
                return
            if isinstance(news, Stop):
                self._changing = asyncio.create_task(self._change(), name="omni-fallback")
                return
        await self._tell(news)

    async def _change(self) -> None:
        try:
            await self._bring_up_second()
        except Exception as error:  # any engine, any fault: now it is the end
            told = failure(error, "omni")
            await self._tell(Failed(told.stage, told.code, told.message, told.hint, fatal=True))
            await self._tell(Stop("engine-lost"))
            return
        self._now.start(self._overhear, self._rate, self._history)
        await self._tell(Led(by_model=self._now.lead == "model", words=self._now.words))

    # --- everything else is for the one that there is now -------------------------------------------------------------

    def stream(self, samples: Samples) -> None:
        """See `Leads`."""
        if isinstance(self._now, Leads):
            self._now.stream(samples)

    def pass_on(self, turn: int, text: str) -> None:
        """See `Leads`."""
        if isinstance(self._now, Leads):
            self._now.pass_on(turn, text)

    def sound_of(self, turn: int) -> Sound | None:
        """See `KeepsSound`."""
        return self._now.sound_of(turn) if isinstance(self._now, KeepsSound) else None

    def listen(self, turn: int, at: int, samples: Samples) -> None:
        """See `Brain`."""
        self._now.listen(turn, at, samples)

    def hear(self, turn: int, at: int, samples: Samples) -> None:
        """See `Brain`."""
        self._now.hear(turn, at, samples)

    def settle(self, turn: int, revision: int) -> None:
        """See `Brain`."""
        self._now.settle(turn, revision)

    def forget(self, turn: int) -> None:
        """See `Brain`."""
        self._now.forget(turn)

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
        """See `Brain`."""
        self._now.prepare(reply, turn, history, text, verbatim=verbatim, wish=wish)

    def commit(self, reply: int) -> None:
        """See `Brain`."""
        self._now.commit(reply)

    def run_tool(self, reply: int, call: ToolCall) -> None:
        """See `Brain`."""
        self._now.run_tool(reply, call)

    def played(self, reply: int, seconds: float) -> None:
        """See `Brain`."""
        self._now.played(reply, seconds)

    def discard(self, reply: int) -> None:
        """See `Brain`."""
        self._now.discard(reply)
