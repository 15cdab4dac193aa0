"""A scripted model that leads: frame by frame it hears, is silent, speaks, and yields, at exactly the times it was told.

It keeps the contract of `locara.engines.backend`, and proves what the session does, never that an engine works.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from locara.audio import Samples, dbfs, samples_in, silence
from locara.engines.backend import (
    BackendCapabilities,
    BackendEvent,
    BackendFailed,
    BackendSettings,
    Ended,
    Frame,
    Lag,
    Signal,
    UserText,
)
from locara.engines.contracts import EngineInfo
from locara.errors import EngineBusy, EngineFailed
from locara.testing.scripted import Fault, _Faulty, tone

CHARS_PER_SECOND = 15.0
SPOKEN_DBFS = -45.0
"""From here on a frame counts as the user's voice."""


@dataclass(frozen=True, slots=True)
class Mishap:
    """At second ``at`` of a session something happens that nobody wants. ``ends``: the session is over, for this reason."""

    at: float
    ends: str = "failed"


@dataclass
class _Session:
    """One conversation. Frames are counted from its start."""

    events: asyncio.Queue[BackendEvent | None] = field(default_factory=lambda: asyncio.Queue(10_000))
    rest: Samples = field(default_factory=lambda: silence(0))
    heard: int = 0
    quiet: int = 0
    """Frames since the user's last voice; negative: none so far."""
    spoke: int = 0
    """Frames of the user's voice in a row."""
    words: list[tuple[str, Samples]] = field(default_factory=list)
    """What is left to say: (text, sound) for each frame."""
    ended: bool = False


class ScriptedDuplex:
    """Answers ``replies`` in order, each ``delay`` seconds after the user fell silent. ``yields``: it stops when the user
    speaks over it for so many seconds; None: it goes on. ``openings``: at these seconds it begins to speak unasked.
    ``level``: dB relative to full scale of the noise of its codec while it is silent. ``hears``: it writes down so much of
    each of the user's turns. ``late``: seconds by which each frame comes late, in order, again and again. ``lags``: seconds
    of the session at which it tells that it missed a frame."""

    def __init__(
        self,
        replies: Sequence[str] = ("I see.",),
        *,
        delay: float = 0.24,
        yields: float | None = 0.32,
        openings: Sequence[float] = (),
        level: float = -70.0,
        hears: Sequence[str] = (),
        late: Sequence[float] = (),
        lags: Sequence[float] = (),
        mishaps: Sequence[Mishap] = (),
        input_rate: int = 24_000,
        output_rate: int = 24_000,
        fault: Fault | None = None,
        max_sessions: int = 1,
    ) -> None:
        self.info = EngineInfo("scripted", "scripted duplex", "Apache-2.0", sharing="shared")
        self.capabilities = BackendCapabilities(
            duplex="full",
            turn_owner="model",
            input_rate=input_rate,
            output_rate=output_rate,
            frame_seconds=0.08,
            clocked=True,
            marks_replies=False,
            user_text="final" if hears else "none",
            instructions="start",
            max_sessions=max_sessions,
        )
        self.settings: list[BackendSettings] = []
        """Of each session, in the order in which they began."""
        self.signals: list[Signal] = []
        self._given: list[Samples] = []
        self._replies = itertools.cycle(replies)
        self._delay = delay
        self._yields = yields
        self._openings = list(openings)
        self._noise = 10 ** (level / 20)
        self._hears = list(hears)
        self._late = itertools.cycle(late) if late else itertools.repeat(0.0)
        self._lags = list(lags)
        self._mishaps = list(mishaps)
        self._sessions: dict[str, _Session] = {}
        self._begun = 0
        self._faulty = _Faulty(fault)
        self._random = np.random.default_rng(7)

    @property
    def heard(self) -> Samples:
        """Everything it was given, at ``input_rate``."""
        return np.concatenate((silence(0), *self._given))

    async def load(self) -> None:
        """Ready at once."""
        await self._faulty.pass_through("load")

    async def close(self) -> None:
        """Ends what is left."""
        for name in list(self._sessions):
            await self.stop_session(name)

    async def start_session(self, settings: BackendSettings) -> str:
        """Another conversation."""
        await self._faulty.pass_through("start_session")
        limit = self.capabilities.max_sessions
        if limit is not None and sum(not one.ended for one in self._sessions.values()) >= limit:
            raise EngineBusy("omni: the scripted duplex has no place left", stage="omni", hint="stop another session")
        self._begun += 1
        self.settings.append(settings)
        self._sessions[name := f"s{self._begun}"] = _Session(quiet=-1)
        return name

    async def push_audio(self, session: str, samples: Samples) -> None:
        """Cuts it into frames, and answers each at once."""
        await self._faulty.pass_through("push_audio")
        one = self._known(session)
        if one.ended:
            return
        self._given.append(samples)
        one.rest = np.concatenate((one.rest, samples))
        size = samples_in(self.capabilities.frame_seconds, self.capabilities.input_rate)
        while one.rest.size >= size and not one.ended:
            frame, one.rest = one.rest[:size], one.rest[size:]
            one.heard += size
            await self._step(one, frame)

    async def signal(self, session: str, signal: Signal) -> bool:
        """Takes note."""
        self._known(session)
        self.signals.append(signal)
        return False

    async def event_stream(self, session: str) -> AsyncIterator[BackendEvent]:
        """What came of it."""
        one = self._known(session)
        while (event := await one.events.get()) is not None:
            if isinstance(event, Frame) and (late := next(self._late)) > 0.0:
                await asyncio.sleep(late)
            yield event

    async def stop_session(self, session: str) -> None:
        """Its place is free."""
        one = self._sessions.get(session)
        if one is not None:
            self._end(one, Ended("stopped"))

    def _known(self, session: str) -> _Session:
        if session not in self._sessions:
            raise EngineFailed(f"omni: there is no session {session}", stage="omni", hint="start one")
        return self._sessions[session]

    def _end(self, one: _Session, ended: Ended) -> None:
        if not one.ended:
            one.ended = True
            one.events.put_nowait(ended)
            one.events.put_nowait(None)

    async def _step(self, one: _Session, frame: Samples) -> None:
        await self._faulty.pass_through("step")
        its = self.capabilities
        second = one.heard / its.input_rate
        self._listen(one, dbfs(frame) >= SPOKEN_DBFS)
        if self._openings and second >= self._openings[0]:
            self._openings.pop(0)
            one.words = self._speech(next(self._replies))
        text, sound = one.words.pop(0) if one.words else ("", self._silent())
        one.events.put_nowait(Frame(sound, text, one.heard))
        if self._lags and second >= self._lags[0]:
            self._lags.pop(0)
            one.events.put_nowait(Lag(0.4, frame.size))
        if self._mishaps and second >= self._mishaps[0].at:
            self._happen(one, self._mishaps.pop(0))

    def _happen(self, one: _Session, mishap: Mishap) -> None:
        if mishap.ends == "failed":
            one.events.put_nowait(BackendFailed("engine-failed", "omni: scripted mishap", "try again", fatal=True))
        self._end(one, Ended(mishap.ends))  # type: ignore[arg-type]

    def _listen(self, one: _Session, voice: bool) -> None:
        frame = self.capabilities.frame_seconds
        if voice:
            one.spoke += 1
            one.quiet = 0
            if self._yields is not None and one.spoke * frame >= self._yields:
                one.words = []
            return
        one.spoke = 0
        if one.quiet < 0:
            return
        one.quiet += 1
        if one.quiet == round(self._delay / frame):
            if self._hears:
                one.events.put_nowait(UserText(self._hears.pop(0), final=True))
            if not one.words:
                one.words = self._speech(next(self._replies))

    def _silent(self) -> Samples:
        n = samples_in(self.capabilities.frame_seconds, self.capabilities.output_rate)
        return (self._noise * self._random.standard_normal(n)).astype(np.float32)

    def _speech(self, text: str) -> list[tuple[str, Samples]]:
        """A tone as long as the text would take, frame by frame, each word with the frame in which it begins."""
        rate, size = self.capabilities.output_rate, self._silent().size
        sound = tone(len(text) / CHARS_PER_SECOND, rate)
        sound = np.concatenate((sound, silence(-sound.size % size)))
        words: dict[int, str] = {}
        at = 0
        for word in text.split(" "):
            number = int(at / CHARS_PER_SECOND / self.capabilities.frame_seconds)
            words[number] = words.get(number, "") + " " + word
            at += len(word) + 1
        return [(words.get(n, ""), sound[n * size : (n + 1) * size]) for n in range(sound.size // size)]
