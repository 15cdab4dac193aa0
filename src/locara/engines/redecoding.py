"""Streaming with a recogniser that cannot stream: the turn so far is decoded again and again, within a share of time.

What may live here: how sound is gathered, when it is decoded, cut and reused, for every recogniser that is only a function
from samples to text (whisper by CTranslate2, whisper.cpp). Which words of a growing text stay is `local_agreement`'s; what
the model is, is its own file's.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from locara.audio import BLOCK, FLOOR_DBFS, RATE, Samples, silence
from locara.engines.contracts import EngineInfo, TimedWord, Transcript
from locara.engines.lane import Lane
from locara.engines.local_agreement import Agreement, agree
from locara.engines.quietness import is_nothing, levels, quietest
from locara.errors import EngineFailed

_CUT_FROM = 14 * RATE
_CUT_TO = 26 * RATE
"""Samples. A turn longer than ``_CUT_TO`` is cut at its quietest moment from ``_CUT_FROM`` on: two seconds less than the
window of 30 s, so that the sound that comes while it is decoded still fits."""
_BACKLOG = 60 * RATE
"""Samples that may wait undecoded; then ``push`` waits. A recogniser a minute behind never catches up."""
_WARM_SECONDS = 1.0
_LOAD_SECONDS = 90.0
_CLOSE_SECONDS = 1.0
_LEVELS_KEPT = 3000  # a minute of 20 ms: whoever was quiet for longer says something new in any case


class Stopped(Exception):
    """A decode ended because its ``stop`` was set."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What one decode gave. ``words``: with times from the first sample it was given. ``firm``: nothing would be gained by
    decoding the same sound again with more effort."""

    text: str
    confidence: float | None = None
    words: tuple[TimedWord, ...] = ()
    firm: bool = True


class Decoder(Protocol):
    """A loaded model. Called on one thread, one call at a time."""

    @property
    def info(self) -> EngineInfo: ...

    def decode(self, samples: Samples, *, final: bool, stop: threading.Event) -> Decoded:
        """The text of at most 30 s of sound at 16 kHz. ``final``: this text is what counts, a second attempt is worth its
        time. Looks at ``stop`` as often as it can and raises `Stopped`."""
        ...

    def close(self) -> None:
        """Frees the weights."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """``partials``: ``all`` (stable words and the newest after them), ``stable`` (only what two decodes agree on), ``none``.
    ``step``: seconds of new sound before the next decode. ``share``: of the time that decoding may take while the user
    speaks, 0 to 1. ``deadline``: seconds for one decode."""

    partials: str = "all"
    step: float = 0.5
    share: float = 0.5
    deadline: float = 20.0


def wait_between(pace: Pace, cost: float) -> float:
    """Seconds of sound from the start of a decode that took ``cost`` seconds to the start of the next."""
    return max(pace.step, cost / pace.share)


class RedecodingRecogniser:
    """See `locara.engines.contracts.Recogniser`. ``make`` loads the model, blocking, and raises ``StageError``."""

    def __init__(self, info: EngineInfo, make: Callable[[], Decoder], pace: Pace) -> None:
        self._info = info
        self._make = make
        self.pace = pace
        self.lane = Lane(info.engine, stage="stt", model=info.model)
        self.decoder: Decoder | None = None
        self.current: Redecoding | None = None
        self._stop = threading.Event()

    @property
    def info(self) -> EngineInfo:
        """What it is; once it is loaded, also what it found out."""
        decoder = self.decoder
        return self._info if decoder is None else decoder.info

    async def load(self) -> None:
        """Loads the weights and decodes a second of silence. Raises ``StageError``."""

        def work() -> None:
            if self.decoder is None:
                decoder = self._make()
                decoder.decode(silence(round(_WARM_SECONDS * RATE)), final=False, stop=self._stop)
                self.decoder = decoder

        await self.lane.run(work, deadline=_LOAD_SECONDS)

    async def close(self) -> None:
        """Ends what is being decoded and the thread, and frees the weights. May be called twice."""
        self._stop.set()
        if self.current is not None:
            await self.current.close()
        decoder, self.decoder = self.decoder, None
        if decoder is not None:
            with contextlib.suppress(
                Exception
            ):  # closed meanwhile, or still busy: the weights go with the last reference
                await self.lane.run(decoder.close, deadline=_CLOSE_SECONDS)
        await asyncio.to_thread(self.lane.close)

    def open(self) -> Redecoding:
        """A new recognition. The one before it, if it is still open, cannot be used any longer."""
        if self.current is not None:
            self.current.abandon()
        self.current = Redecoding(self)
        return self.current


@dataclass(frozen=True, slots=True)
class _Landed:
    """A decode that is done: of the samples from the window's beginning to ``size``, in ``cost`` seconds. ``head``: they
    were the beginning of a long turn, and will not be decoded again."""

    decoded: Decoded
    size: int
    cost: float
    head: bool


class Redecoding:
    """One turn being recognised. See `locara.engines.contracts.Recognition`.

    ``push`` never waits for the decoder (but at a backlog of a minute). No text is carried over from one window to the next
    or from one turn to the next: that is how Whisper comes to repeat itself.
    """

    def __init__(self, engine: RedecodingRecogniser) -> None:
        self._engine = engine
        self._blocks: list[Samples] = []
        self._size = 0  # samples of the window, the sound that is not done with
        self._begins = 0  # samples done with, before the window
        self._done: list[Decoded] = []  # what stood in them
        self._agreement = Agreement()
        self._latest: _Landed | None = None  # the last decode of this window
        self._started = 0  # samples of the window when the last decode began
        self._flight: asyncio.Task[_Landed] | None = None
        self._stop = threading.Event()
        self._cutting = False  # whether the decode under way is of the beginning of a long turn
        self._given = ""
        self._settled: Transcript | None = None
        self._loudest = FLOOR_DBFS
        self._part = silence(0)  # less than a block, of no known level yet
        self._since: list[float] = []  # levels after the sound that the last decode or transcript covered
        self._closed = False

    async def push(self, samples: Samples) -> str | None:
        """The next samples at 16 kHz. Returns the text so far when it has changed, else None."""
        self._check()
        if samples.size:
            self._hear(samples)
        if self._flight is not None and (self._flight.done() or self._size > _BACKLOG):
            await self._land()
        if self._flight is None and self._due():
            self._fly(final=False)
        return self._news()

    async def settle(self) -> Transcript:
        """The best transcript of everything pushed so far; without new sound, the same as before, at once."""
        self._check()
        if self._settled is not None and self._covered():
            return self._settled
        while not self._covered():
            if self._flight is not None:
                if not self._cutting and not is_nothing(self._since, self._loudest):
                    self._stop.set()  # words came after it began: what it would say is not needed any more
                await self._land()
            else:
                self._fly(final=True)
        self._settled = self._transcript()
        self._given = self._settled.text
        return self._settled

    async def close(self) -> None:
        """Ends this recognition. Never raises."""
        self.abandon()
        flight, self._flight = self._flight, None
        if flight is not None:
            await asyncio.wait([flight])
            if not flight.cancelled():
                flight.exception()  # looked at: whoever closes does not want to hear of it
        if self._engine.current is self:
            self._engine.current = None

    def abandon(self) -> None:
        """Stops at once, without waiting for what is being decoded."""
        self._closed = True
        self._stop.set()
        self._blocks.clear()
        if self._flight is not None:
            self._flight.cancel()

    def _check(self) -> None:
        engine = self._engine
        if self._closed or engine.current is not self:
            raise self._ended()
        if engine.decoder is None:
            raise self._failed("it is not loaded", hint="await load() first")

    def _hear(self, samples: Samples) -> None:
        self._blocks.append(np.array(samples, dtype=np.float32))  # a copy: the caller may use its array again
        self._size += samples.size
        part = np.concatenate([self._part, samples]) if self._part.size else samples
        whole = part.size - part.size % BLOCK
        self._part = part[whole:].copy()
        loud = levels(part[:whole])
        self._loudest = max([self._loudest, *loud])
        self._since += loud
        del self._since[:-_LEVELS_KEPT]

    def _window(self) -> Samples:
        self._blocks = [np.concatenate(self._blocks)] if self._blocks else []
        return self._blocks[0] if self._blocks else silence(0)

    def _due(self) -> bool:
        pace = self._engine.pace
        if self._size > _CUT_TO:
            return True
        if pace.partials == "none" or is_nothing(self._since, self._loudest):
            return False
        cost = 0.0 if self._latest is None else self._latest.cost
        return self._size - self._started >= wait_between(pace, cost) * RATE

    def _covered(self) -> bool:
        """Whether the decodes so far hold every word that was said."""
        if self._flight is not None:
            return False
        latest = self._latest
        if not is_nothing(self._since, self._loudest):
            return False
        # Quiet only: either all of it was decoded well enough, or there was nothing at all to decode.
        return latest.decoded.firm if latest is not None else True

    def _fly(self, *, final: bool) -> None:
        window = self._window()
        head = window.size > _CUT_TO
        if head:
            window = window[: quietest(window, _CUT_FROM, _CUT_TO)]
        else:
            self._started = window.size
            self._since.clear()
        self._stop = threading.Event()
        self._cutting = head
        self._flight = asyncio.create_task(self._decode(window, self._stop, head=head, final=final or head))

    async def _decode(self, window: Samples, stop: threading.Event, *, head: bool, final: bool) -> _Landed:
        decoder = self._engine.decoder
        assert decoder is not None

        def work() -> _Landed:
            if stop.is_set():
                raise Stopped
            began = time.perf_counter()
            decoded = decoder.decode(window, final=final, stop=stop)
            return _Landed(replace(decoded, firm=decoded.firm or final), window.size, time.perf_counter() - began, head)

        return await self._engine.lane.run(work, deadline=self._engine.pace.deadline, abandon=stop.set)

    async def _land(self) -> None:
        """Takes in the decode that is under way. Cancelled, it leaves it under way: nothing is lost."""
        flight = self._flight
        assert flight is not None
        try:
            landed = await asyncio.shield(flight)
        except asyncio.CancelledError:
            asking = asyncio.current_task()
            if flight.cancelled() and asking is not None and not asking.cancelling():
                raise self._ended() from None  # not we who ask were cancelled: the recognition was closed meanwhile
            raise
        except BaseException as error:
            self._flight = None
            self._since = [0.0] * _LEVELS_KEPT  # it covered nothing: all of it has to be decoded
            if isinstance(error, Stopped):
                return
            raise
        if self._flight is flight:
            self._flight = None
            self._take_in(landed)

    def _take_in(self, landed: _Landed) -> None:
        self._settled = None
        if landed.head:
            self._done.append(_later(landed.decoded, self._begins / RATE))
            self._blocks = [self._window()[landed.size :]]
            self._begins += landed.size
            self._size -= landed.size
            self._since = levels(self._window())[-_LEVELS_KEPT:]  # of the rest nothing is known any more
            self._agreement, self._latest, self._started = Agreement(), None, 0
            return
        self._latest = landed
        self._agreement = agree(self._agreement, tuple(landed.decoded.text.split()))

    def _news(self) -> str | None:
        pace = self._engine.pace
        if pace.partials == "none":
            return None
        words = self._agreement.words if pace.partials == "all" else self._agreement.stable
        text = " ".join([*(one.text for one in self._done if one.text), *words])
        if text == self._given:
            return None
        self._given = text
        return text

    def _transcript(self) -> Transcript:
        parts = list(self._done)
        if self._latest is not None:
            parts.append(_later(self._latest.decoded, self._begins / RATE))
        parts = [part for part in parts if part.text]
        sure = [part.confidence for part in parts if part.confidence is not None]
        return Transcript(
            " ".join(part.text for part in parts),
            min(sure) if sure else None,
            tuple(word for part in parts for word in part.words),
        )

    def _ended(self) -> EngineFailed:
        return self._failed("this recognition has ended", hint="open() a new one for each turn")

    def _failed(self, why: str, *, hint: str) -> EngineFailed:
        info = self._engine.info
        return EngineFailed(f"stt: {info.model}: {why}", stage="stt", model=info.model, hint=hint)


def _later(decoded: Decoded, seconds: float) -> Decoded:
    """The same, its words counted from the turn's beginning."""
    words = tuple(TimedWord(word.text, word.start + seconds, word.end + seconds) for word in decoded.words)
    return replace(decoded, words=words)
