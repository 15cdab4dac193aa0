"""What the tests of the rig share: how a result is read, and what holds for every conversation.

What may live here: pure reading of a `Result`, and small scripted things that the public rig has no use for.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from locara import voice
from locara.audio import BLOCK, RATE, Samples
from locara.engines.backend import VoiceBackend
from locara.engines.contracts import Detector, Recogniser, Recognition, Speech, Transcript
from locara.testing import (
    Conversation,
    EnergyDetector,
    Line,
    Noise,
    Result,
    Room,
    ScriptedModel,
    ScriptedRecogniser,
    ScriptedVoice,
    Spoken,
    run,
)
from locara.testing.scripted import speech_like
from locara.voice import Deadlines
from locara.voice.conversation import Session
from locara.voice.events import AudioChunk, Event, LlmToken

BLOCK_SECONDS = BLOCK / RATE
DUCKED = 10 ** (-15 / 20)
"""The level of a lowered reply, as a factor (-15 dB)."""

LONG = "The first thing to know about it is this. The second thing is quite another matter, and then there is a third."
"""A reply of about seven seconds, in several clauses."""


def squeeze(text: str) -> str:
    """Without any blanks: what must be equal where only blanks may differ."""
    return "".join(text.split())


def joined(events: Sequence[Event], kind: type[LlmToken], turn: int) -> str:
    """The joined texts of one turn."""
    return "".join(one.text for one in events if isinstance(one, kind) and one.turn == turn)


def sound_of(events: Sequence[Event], turn: int) -> Samples:
    """The joined samples of a turn's audio chunks."""
    pieces = [one.samples for one in events if isinstance(one, AudioChunk) and one.turn == turn]
    return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.float32)


def at(result: Result, seconds: float) -> int:
    """Seconds on the session's clock as an index into ``result.output``."""
    return round(seconds * result.output_rate)


def during(result: Result, start: float, end: float) -> Samples:
    """What was played from ``start`` to ``end``, in seconds on the session's clock."""
    return result.output[at(result, start) : at(result, end)]


def first_audible(result: Result, after: float = 0.0) -> float:
    """Second of the first sample above -60 dB in the output."""
    start = at(result, after)
    loud = np.flatnonzero(np.abs(result.output[start:]) > 10 ** (-60 / 20))
    assert loud.size, "nothing was played"
    return (start + int(loud[0])) / result.output_rate


def last_loud_input(result: Result, before: float) -> float:
    """Second of the end of the last sample of the user's sound before ``before``."""
    loud = np.flatnonzero(np.abs(result.input[: round(before * RATE)]) > 10 ** (-45 / 20))
    assert loud.size, "nothing was said"
    return (int(loud[-1]) + 1) / RATE


def names(events: Sequence[Event]) -> list[str]:
    """The types, in order."""
    return [one.type for one in events]


def check_story(result: Result, *, words: bool = True) -> None:
    """What holds for every conversation, whatever was said, failed or asked in it. ``words``: the engines give the user's
    words, so a reply comes after a transcript."""
    events = result.events
    kinds = names(events)
    assert kinds[0] == "session-start", kinds[:3]
    assert kinds[-1] == "session-end"
    assert kinds.count("session-start") == kinds.count("session-end") == 1
    times = [one.t for one in events]
    assert times == sorted(times), "time goes on"
    assert not any(one.dropped for one in events)
    _check_turns(events)
    _check_replies(events, words=words)


def _check_turns(events: Sequence[Event]) -> None:
    opened = {one.turn for one in events if one.type in ("speech-start", "final-transcript", "rejected")}
    ends: dict[int | None, int] = defaultdict(int)
    finals: dict[int | None, int] = defaultdict(int)
    for one in events:
        if one.type == "turn-end" and getattr(one, "who", "") == "user":
            ends[one.turn] += 1
        elif one.type == "final-transcript":
            assert not ends[one.turn], f"turn {one.turn}: a transcript after its end"
            finals[one.turn] += 1
        elif one.type in ("partial-transcript", "speech-start", "speech-end"):
            assert not ends[one.turn], f"turn {one.turn}: {one.type} after its end"
            assert not finals[one.turn], f"turn {one.turn}: {one.type} after its final transcript"
    for turn in opened:
        assert ends[turn] == 1, f"turn {turn} of the user has {ends[turn]} ends"
    assert set(ends) <= opened | {None}, "only what began can end"
    assert all(count <= 1 for count in finals.values()), dict(finals)


def _check_replies(events: Sequence[Event], *, words: bool) -> None:
    grew: set[int | None] = set()
    ended: set[int | None] = set()
    finals: set[int | None] = set()
    users = {one.turn for one in events if words and one.type == "speech-start"}
    for one in events:
        if one.type in ("llm-token", "audio-chunk", "barge-in", "resume"):
            assert one.turn not in ended, f"reply to turn {one.turn}: {one.type} after its end"
            assert one.turn not in users or one.turn in finals, f"reply to turn {one.turn} before its transcript"
            grew.add(one.turn)
        elif one.type == "final-transcript":
            finals.add(one.turn)
        elif one.type == "turn-end" and getattr(one, "who", "") == "assistant":
            assert one.turn not in ended, f"reply to turn {one.turn} ends twice"
            ended.add(one.turn)
    assert grew <= ended, f"replies without an end: {grew - ended}"


Act = Callable[[Session], object]


def at_times(*asks: tuple[float, Act]) -> Callable[[Session], Awaitable[None]]:
    """Each act at its second of the session, for `play`."""

    async def acts(session: Session) -> None:
        now = 0.0
        for when, act in asks:
            await asyncio.sleep(when - now)
            now = when
            act(session)

    return acts


# --- scripted things --------------------------------------------------------------------------------------------------


class NotingRecogniser(ScriptedRecogniser):
    """Keeps what it was given, one array for each recognition."""

    def __init__(self, script: Sequence[Spoken], **options: Any) -> None:
        super().__init__(script, **options)
        self.given: list[list[Samples]] = []

    def open(self) -> Any:
        """A recognition that takes notes."""
        self.given.append([])
        return _Noting(super().open(), self.given[-1])

    def sound(self, number: int) -> Samples:
        """Everything that recognition ``number`` was given."""
        return np.concatenate(self.given[number])


class _Noting:
    def __init__(self, inner: Recognition, given: list[Samples]) -> None:
        self._inner = inner
        self._given = given

    async def push(self, samples: Samples) -> str | None:
        self._given.append(samples.copy())
        return await self._inner.push(samples)

    async def settle(self) -> Transcript:
        return await self._inner.settle()

    async def close(self) -> None:
        await self._inner.close()


class NotingDetector(EnergyDetector):
    """Keeps the samples at which it found the first voice of each stretch: the end of that window."""

    def __init__(self) -> None:
        super().__init__()
        self.onsets: list[int] = []
        self._seen = 0
        self._on = False

    def probability(self, window: Samples) -> float:
        """As the energy detector."""
        self._seen += window.size
        value = super().probability(window)
        if value and not self._on:
            self.onsets.append(self._seen)
        self._on = bool(value)
        return value


class Voices(ScriptedVoice):
    """A scripted voice whose sound is never zero and never the same twice, so that each sample can be told from any
    other: a ramp of tiny steps under a square wave."""

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        """Speech of the scripted length, made of other samples."""
        at = 0
        async for piece in super().speak(text):
            n = piece.samples.size
            steps = (np.arange(at, at + n) % 4096).astype(np.float32) / 8192.0 * 0.2 + np.float32(0.1)
            at += n
            yield Speech(steps.astype(np.float32), piece.words)


# --- a session under one's own control --------------------------------------------------------------------------------


@dataclass
class Scene:
    """A session in a room, not started. ``events`` fills as the session goes on."""

    session: Session
    room: Room
    llm: ScriptedModel
    tts: ScriptedVoice
    events: list[Event] = field(default_factory=list)
    collecting: asyncio.Task[None] | None = None

    def collect(self) -> None:
        """Begins to keep the events. Inside the loop."""
        self.collecting = asyncio.create_task(self._collect())

    async def _collect(self) -> None:
        async for event in self.session.events():
            self.events.append(event)


def scene(
    lines: Sequence[Line],
    replies: Sequence[str] = ("I see.",),
    *,
    stt: Callable[[Sequence[Spoken]], Recogniser] | None = None,
    llm: ScriptedModel | None = None,
    tts: ScriptedVoice | None = None,
    vad: Detector | None = None,
    **settings: Any,
) -> Scene:
    """The session of a conversation, for tests that start and stop it themselves."""
    script = [Spoken(one.at, one.end, one.text) for one in lines]
    room = Room(speech_like(script, max((one.end for one in script), default=0.0) + 0.1))
    hearing = stt(script) if stt is not None else ScriptedRecogniser(script)
    if isinstance(hearing, ScriptedRecogniser):
        hearing.began = lambda: room.began or 0.0
    thinking = llm or ScriptedModel(replies)
    speaking = tts or ScriptedVoice()
    session = voice.session(
        stt=hearing,
        llm=thinking,
        tts=speaking,
        vad=vad or EnergyDetector(),
        input=room.microphone,
        output=room.speaker,
        **settings,
    )
    return Scene(session, room, thinking, speaking)


def spoken(conversation: Conversation) -> list[Spoken]:
    """The lines of a conversation as a scripted recogniser takes them."""
    return [Spoken(one.at, one.end, one.text) for one in conversation.lines if isinstance(one, Line)]


Doing = Callable[[Session], Coroutine[Any, Any, None]]
"""What an app does meanwhile."""


def talk_to(
    omni: VoiceBackend,
    lines: Sequence[Line | Noise],
    *,
    deadlines: Deadlines,
    more: float = 6.0,
    act: Doing | None = None,
    **settings: Any,
) -> tuple[Result, dict[str, str]]:
    """A conversation with one model that hears and speaks, until ``more`` seconds after the last sound or its own end: what
    came of it, and the session's capabilities."""
    capabilities: dict[str, str] = {}

    async def main() -> Result:
        script = [Spoken(one.at, one.end if isinstance(one, Line) else one.at + one.seconds, "") for one in lines]
        end = max((one.end for one in script), default=0.0)
        room = Room(speech_like(script, end + 0.1))
        session = voice.session(
            omni=omni, vad=EnergyDetector(), input=room.microphone, output=room.speaker, deadlines=deadlines, **settings
        )
        capabilities.update(session.capabilities)
        streams: tuple[tuple[Any, list[Any]], ...] = (
            (session.events(), []),
            (session.raw_input(), []),
            (session.raw_output(), []),
        )

        async def collect(stream: Any, into: list[Any]) -> None:
            async for one in stream:
                into.append(one)

        taps = [asyncio.create_task(collect(*one)) for one in streams]
        async with session:
            acting = asyncio.create_task(act(session)) if act is not None else None
            await asyncio.wait([asyncio.create_task(session.wait_ended())], timeout=end + more)
            if acting is not None:
                acting.cancel()
                await asyncio.gather(acting, return_exceptions=True)
        await asyncio.gather(*taps)
        heard, played = (np.concatenate(one[1]) for one in streams[1:])
        return Result(streams[0][1], heard, played, session.output_rate, session.history, session.metrics())

    result = run(main())
    check_story(result, words=False)
    return result, capabilities
