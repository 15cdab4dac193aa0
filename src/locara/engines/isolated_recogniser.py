"""A recogniser whose packages live in a Python environment of their own: see `locara.engines.isolated`.

What may live here: our side of such a recogniser. The worker's side is ``listen`` of `locara.engines.isolated_worker`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from locara.audio import BLOCK, FLOOR_DBFS, RATE, Resampler, Samples, dbfs, silence
from locara.engines.child import Child
from locara.engines.contracts import EngineInfo, TimedWord, Transcript
from locara.engines.frames import Reply
from locara.engines.isolated import LOAD_SECONDS, Environment, IsolatedProcess
from locara.engines.quietness import is_nothing
from locara.errors import EngineFailed

_BATCH = 1280
"""Samples, 80 ms: what is less waits for more."""
_BACKLOG = 60 * RATE
"""Samples that wait before ``push`` waits too."""
_SLOWEST = 4.0
"""Seconds of work that a second of sound may cost, beyond the deadline, before a model counts as hanging."""
_MARGIN = 1.0  # seconds that the lane waits longer than the child: then the child's own error is the one that is seen
_LEVELS_KEPT = 3000  # a minute of 20 ms
_DEADLINE = 20.0


class IsolatedRecogniser:
    """See `locara.engines.contracts.Recogniser`. ``options``: plain data for the worker; ``deadline``: seconds for an
    answer about sound that was given as it was spoken."""

    def __init__(
        self,
        info: EngineInfo,
        where: Environment,
        options: Mapping[str, Any],
        *,
        deadline: float = _DEADLINE,
        python: object = None,
    ) -> None:
        self.process = IsolatedProcess(info, where, options, stage="stt", python=python)
        self.deadline = deadline
        self.current: IsolatedRecognition | None = None

    @property
    def info(self) -> EngineInfo:
        """What it is."""
        return self.process.info

    async def load(self) -> None:
        """Starts the process, loads the model and hears a second of silence. Raises ``EngineMissing``, ``EngineFailed``,
        ``EngineTimeout``."""

        def work() -> None:
            self.process.wake()
            self.process.child.request("begin", deadline=self.deadline)
            quiet = silence(int(self.process.told["rate"])).tobytes()
            self.process.child.request("settle", quiet, deadline=LOAD_SECONDS)

        await self.process.lane.run(work, deadline=3 * LOAD_SECONDS, abandon=self.process.kill)

    async def close(self) -> None:
        """Ends the process and the thread."""
        await asyncio.to_thread(self.process.kill)
        self.process.lane.close()

    def open(self) -> IsolatedRecognition:
        """A new recognition. The one before it, if it is still open, cannot be used any longer."""
        self.current = IsolatedRecognition(self)
        return self.current


class IsolatedRecognition:
    """One turn being recognised. See `locara.engines.contracts.Recognition`.

    ``push`` does not wait for the model: what has come meanwhile goes there in one piece, so a slow moment costs lateness
    of partial texts and nothing else.
    """

    def __init__(self, engine: IsolatedRecogniser) -> None:
        self._engine = engine
        self._process = engine.process
        self._lock = threading.Lock()
        self._waiting: list[Samples] = []
        self._size = 0  # samples in ``_waiting``, at 16 kHz
        self._resampler: Resampler | None = None  # on the lane's thread only
        self._life = 0  # of the child that has begun this turn
        self._flight: asyncio.Task[str] | None = None
        self._given = ""
        self._settled: Transcript | None = None
        self._loudest = FLOOR_DBFS
        self._since: list[float] = []  # levels of the 20 ms since the last transcript
        self._closed = False

    async def push(self, samples: Samples) -> str | None:
        """The next samples at 16 kHz. Returns the text so far when it has changed, else None."""
        self._check()
        if samples.size:
            self._hear(samples)
        news = await self._land(wait=self._size > _BACKLOG)
        if self._flight is None and self._size >= _BATCH:
            self._flight = asyncio.create_task(self._fly())
        return news

    async def settle(self) -> Transcript:
        """The best transcript of everything pushed so far; without new sound, the same as before, at once."""
        self._check()
        await self._land(wait=True)
        if is_nothing(self._since, self._loudest):
            return self._settled or Transcript("")  # nothing was said, or nothing since
        heard, self._since = self._since, []
        try:
            # Not cancelled in the child when nobody waits any longer: it has the sound, and the next call its words.
            limit = self._deadline(self._size) + self._engine.deadline + _MARGIN
            said = (await self._process.lane.run(lambda: self._ask("settle"), deadline=limit)).header
        except BaseException:
            self._since = heard + self._since
            raise
        self._given = str(said["text"])
        self._settled = Transcript(self._given, words=tuple(TimedWord(*word) for word in said["words"]))
        return self._settled

    async def close(self) -> None:
        """Ends this recognition. Never raises."""
        if self._closed:
            return
        self._closed = True
        with self._lock:
            self._waiting.clear()
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.wait([self._flight])
            if not self._flight.cancelled():
                self._flight.exception()  # looked at: whoever closes does not want to hear of it
            self._flight = None
        if self._engine.current is self:
            self._engine.current = None

    def _check(self) -> None:
        if self._closed or self._engine.current is not self:
            raise self._failed("this recognition has ended", hint="open() a new one for each turn")

    def _hear(self, samples: Samples) -> None:
        with self._lock:  # the lane's thread may be taking what waits
            self._waiting.append(np.array(samples, dtype=np.float32))
            self._size += samples.size
        for start in range(0, samples.size, BLOCK):
            level = dbfs(samples[start : start + BLOCK])
            self._loudest = max(self._loudest, level)
            self._since.append(level)
        del self._since[:-_LEVELS_KEPT]

    async def _land(self, *, wait: bool) -> str | None:
        """The text of the last flight, if it is back and brings news. Raises what went wrong with it."""
        flight = self._flight
        if flight is None or not (wait or flight.done()):
            return None
        try:
            text = await asyncio.shield(flight)
        except asyncio.CancelledError:
            if flight.cancelled():
                self._flight = None
            raise
        except BaseException:
            self._flight = None
            raise
        self._flight = None
        if text == self._given:
            return None
        self._given = text
        return text

    async def _fly(self) -> str:
        limit = self._deadline(self._size) + self._engine.deadline + _MARGIN
        said = await self._process.lane.run(lambda: self._ask("push"), deadline=limit)
        return str(said.header["text"])

    def _deadline(self, samples: int) -> float:
        """Seconds for an answer about so many new samples."""
        return self._engine.deadline + _SLOWEST * samples / RATE

    # On the lane's thread:

    def _ask(self, op: str) -> Reply:
        child = self._begin()
        with self._lock:
            waiting, self._waiting = self._waiting, []
            size, self._size = self._size, 0
        sound = np.concatenate(waiting) if waiting else silence(0)
        if self._resampler is None:
            self._resampler = Resampler(RATE, int(self._process.told["rate"]))
        return child.request(op, self._resampler.push(sound).tobytes(), deadline=self._deadline(size))

    def _begin(self) -> Child:
        child = self._process.child
        if not self._life:
            self._process.wake()
            try:
                child.request("begin", deadline=self._engine.deadline)
            except EngineFailed:
                if child.alive:
                    raise
                self._process.wake()  # it had died unnoticed since the last turn; nothing of this one is lost yet
                child.request("begin", deadline=self._engine.deadline)
            self._life = child.lives
        elif self._life != child.lives or not child.alive:
            raise self._failed("its process has died during this turn", hint="the next turn starts it again")
        return child

    def _failed(self, why: str, *, hint: str) -> EngineFailed:
        model = self._process.info.model
        return EngineFailed(f"stt: {model}: {why}", stage="stt", model=model, hint=hint)
