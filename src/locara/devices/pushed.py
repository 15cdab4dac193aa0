"""A microphone that belongs to the app: it pushes what it hears, from any thread, at any rate.

What may live here: the buffer between the app's pushes and the session's clock.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable

import numpy.typing as npt

from locara.audio import BLOCK, RATE, Resampler, Samples, clean, mono, silence
from locara.devices.null import Pace, fitted
from locara.devices.waiting import Waiting
from locara.errors import AudioError, ConfigError

JITTER = 0.2
"""Seconds that a push may come late before silence takes its place."""

_POLL = 0.005  # seconds between looks for a late push
_NEARLY_EMPTY = 1.0  # seconds of buffered sound at which `drain` returns
_PATIENCE = 5.0  # seconds that `drain` grants beyond the time the buffer takes to be heard


class PushedSource:
    """Sound that is pushed. It is heard at the pace of the event loop's time, one block every 20 ms.

    Pushes may come early, late or in bursts. A block that is not there when it is due is waited for, 200 ms at most; from
    then on there is silence, at the usual pace, until something is pushed again. Nothing that was accepted is lost, and
    the source never runs ahead of the clock, so what came in a burst is heard that much later; unless it may ``catch_up``.
    """

    def __init__(self, name: str = "pushed", *, buffer: float = 60.0, catch_up: float | None = None) -> None:
        """``buffer``: seconds of sound that may wait to be heard. ``catch_up``: seconds of it beyond which it is heard
        faster than real time; None: never."""
        if not 1.0 <= buffer <= 3600.0:
            raise ConfigError(f"a buffer of {buffer:g} s is not useful", hint="1 to 3600 seconds; 60 is usual")
        self.mended = 0
        self._name = name
        self._limit = round(buffer * RATE)
        self._waiting = Waiting()
        self._pushing = threading.Lock()  # pushes may come from several threads; the reader needs no lock
        self._resampler: Resampler | None = None
        self._given = 0  # samples, to this resampler
        self._got = 0  # samples, from it
        self._lost = 0  # samples at RATE
        self._catch_up = catch_up
        self._heard = 0  # samples at RATE that were given out of what was pushed
        self._marks: deque[tuple[int, Callable[[], None]]] = deque()
        self._finished = False
        self._closed = False

    @property
    def name(self) -> str:
        return self._name

    @property
    def exhausted(self) -> bool:
        """True once ``finish`` was called and everything has been heard."""
        return self._finished and self._waiting.filled == 0

    @property
    def overruns(self) -> int:
        """Blocks that were refused because the buffer was full; a part of a block counts as one."""
        return -(-self._lost // BLOCK)

    @property
    def buffered(self) -> float:
        """Seconds of sound that wait to be heard."""
        return self._waiting.filled / RATE

    async def open(self) -> None:
        self._closed = False

    def push(self, samples: npt.ArrayLike, sample_rate: int) -> int:
        """The next samples, shape ``(n,)`` or ``(n, channels)``, float32 (full scale 1.0) or integers, at ``sample_rate``
        hertz. May be called from any thread; never waits for the session.

        Returns how many of the ``n`` were accepted: fewer when the buffer is full (``drain`` waits for room; the rest
        may be pushed again), none after ``finish`` or ``close``. Raises ``AudioError`` for what is not sound.
        """
        new, mended = clean(mono(samples))
        with self._pushing:
            if self._finished or self._closed:
                return 0
            resampler = self._at_rate(sample_rate)
            room = max(0, self._limit - self._waiting.filled)
            accepted = min(new.size, room * sample_rate // RATE)
            self._lost += (new.size - accepted) * RATE // sample_rate
            self.mended += mended
            converted = resampler.push(new[:accepted])
            self._given += accepted
            self._got += converted.size
            self._keep(converted)
        return accepted

    def finish(self) -> None:
        """No more will be pushed: the rest is heard, then silence, and the source is ``exhausted``."""
        with self._pushing:
            if not self._finished:
                self._flush()
                self._finished = True

    def mark(self, reached: Callable[[], None]) -> None:
        """``reached`` is called, on the session's loop, when everything pushed so far has been heard. A block that is not
        full by then is filled up with silence. Called at once where nobody listens any more."""
        with self._pushing:
            if self._finished or self._closed:
                reached()
                return
            self._flush()
            self._marks.append((self._waiting.written, reached))

    async def drain(self) -> None:
        """Waits until less than one second is buffered, or the source is closed. Raises ``AudioError`` when nobody
        listens: the sound should have been heard, and has not been."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.buffered + _PATIENCE
        while self.buffered >= _NEARLY_EMPTY and not self._closed:
            if loop.time() > deadline:
                raise AudioError(
                    f"{self.buffered:.1f} s of pushed sound wait and nobody takes them",
                    hint="start the session before pushing, and keep its loop running",
                )
            await asyncio.sleep(BLOCK / RATE)

    async def blocks(self) -> AsyncIterator[Samples]:
        """Block ``k`` comes ``(k + 1) * 20`` ms after the first was asked for, or up to 200 ms later while a push is
        awaited; made up for as soon as it has come."""
        pace, block = Pace(), 0
        starved = True  # only a sound that has begun is waited for: without any, silence comes without delay
        while not self._closed:
            self._reach_marks()  # the block before has been taken in by whoever hears
            if self._catch_up is not None and self._waiting.filled > self._catch_up * RATE:
                pace.hurry(block)
            await pace.until(block)
            while self._waiting.filled < BLOCK and not (starved and self._waiting.filled == 0):
                if self._closed or self._finished or self._marks or pace.late(block) >= JITTER:
                    break
                await asyncio.sleep(_POLL)
            if self._closed:
                return
            starved = self._waiting.filled < BLOCK
            yield self._next() if self._waiting.filled else silence(BLOCK)
            block += 1

    def _next(self) -> Samples:
        """The next block; up to the next mark, so that what was pushed after it is heard after it."""
        most = min(BLOCK, self._marks[0][0] - self._heard) if self._marks else BLOCK
        samples = self._waiting.read(max(0, most))
        self._heard += samples.size
        return fitted(samples, BLOCK)

    def _reach_marks(self) -> None:
        while self._marks and (self._closed or self._marks[0][0] <= self._heard):
            self._marks.popleft()[1]()

    async def close(self) -> None:
        self._closed = True
        self._reach_marks()

    def _at_rate(self, sample_rate: int) -> Resampler:
        if self._resampler is None or self._resampler.rate_in != sample_rate:
            new = Resampler(sample_rate, RATE)  # raises for an impossible rate, before anything has changed
            self._flush()
            self._resampler, self._given, self._got = new, 0, 0
        return self._resampler

    def _flush(self) -> None:
        """Takes what the resampler holds back, to the sample. It gives its tail only when more is pushed, so silence is,
        and cut off again."""
        resampler, self._resampler = self._resampler, None
        if resampler is not None:
            owed = round(self._given * RATE / resampler.rate_in) - self._got
            tail = resampler.push(silence(resampler.rate_in // 20), last=True)
            self._keep(tail[: max(0, owed)])

    def _keep(self, samples: Samples) -> None:
        self._lost += samples.size - self._waiting.write(clean(samples)[0])
