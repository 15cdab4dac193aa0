"""Scripted engines: they keep the engines' contracts, know what will be said, and take exactly the time they are told.

They are for conversations in virtual time. They prove what the session does, never that an engine works.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from locara.audio import RATE, Samples, dbfs, samples_in
from locara.engines.contracts import EngineInfo, Message, Speech, Tool, ToolCall, Transcript, WordMark

FOREVER = 1e6
"""Seconds that a hanging engine hangs."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong in a scripted engine: it ``raises`` or ``hangs``, on ``load`` or on its call number ``call``
    (from 0) of ``where``, and on all later ones if it is ``lasting``."""

    kind: Literal["raises", "hangs"]
    where: str
    call: int = 0
    lasting: bool = False


class _Faulty:
    """Counts calls and fails at the one that was asked for."""

    def __init__(self, fault: Fault | None) -> None:
        self._fault = fault
        self._calls: dict[str, int] = {}

    async def pass_through(self, where: str) -> None:
        """Raises, hangs, or does nothing."""
        number = self._calls.get(where, 0)
        self._calls[where] = number + 1
        fault = self._fault
        if (
            fault is None
            or fault.where != where
            or not (number == fault.call or (fault.lasting and number > fault.call))
        ):
            return
        if fault.kind == "hangs":
            await asyncio.sleep(FOREVER)
        raise RuntimeError(f"scripted fault in {where}")


def _info(kind: str, *, word_times: bool = False) -> EngineInfo:
    return EngineInfo("scripted", f"scripted {kind}", "Apache-2.0", word_times=word_times)


class EnergyDetector:
    """Voice is what is louder than ``threshold_dbfs``. Good enough for scripted sound, and for nothing else."""

    window = 512

    def __init__(self, threshold_dbfs: float = -45.0, *, fault: Fault | None = None) -> None:
        self.info = _info("voice activity")
        self._threshold = threshold_dbfs
        self._faulty = _Faulty(fault)

    async def load(self) -> None:
        """Ready at once."""
        await self._faulty.pass_through("load")

    async def close(self) -> None:
        """Nothing to close."""

    def probability(self, window: Samples) -> float:
        """1 above the threshold, 0 below."""
        return 1.0 if dbfs(window) > self._threshold else 0.0

    def reset(self) -> None:
        """It remembers nothing."""


class ScriptedTurnDetector:
    """Says of each pause what ``chances`` say, in order (the last again and again), after ``delay`` seconds."""

    seconds = 8.0

    def __init__(self, chances: Sequence[float] = (0.5,), *, delay: float = 0.05, fault: Fault | None = None) -> None:
        self.info = _info("end of turn")
        self.asked: list[Samples] = []
        """What it was given, each time."""
        self._chances = list(chances)
        self._delay = delay
        self._faulty = _Faulty(fault)

    async def load(self) -> None:
        """Ready at once."""
        await self._faulty.pass_through("load")

    async def close(self) -> None:
        """Nothing to close."""

    async def finished(self, samples: Samples) -> float:
        """The next of the chances."""
        chance = self._chances[min(len(self.asked), len(self._chances) - 1)]
        self.asked.append(samples)
        await self._faulty.pass_through("finished")
        await asyncio.sleep(self._delay)
        return chance


@dataclass(frozen=True, slots=True)
class Spoken:
    """The user says ``text`` from ``start`` to ``end``, in seconds of the session's clock. An empty text is noise."""

    start: float
    end: float
    text: str


class ScriptedWakeWord:
    """Notices ``word`` wherever the script says it, ``lag`` seconds after its end, and nowhere else; not what it cannot
    hear, because the microphone is muted. ``script`` is filled in by `play`. ``given``: samples it has listened to."""

    window = 480
    threshold = 0.9

    def __init__(
        self, word: str = "hey jarvis", script: Sequence[Spoken] = (), *, lag: float = 0.13, fault: Fault | None = None
    ) -> None:
        self.info = _info("wake word")
        self.word = word
        self.script = tuple(script)
        self.lag = lag
        self.given = 0
        self._sounded = 0
        self._calls = 0
        self._fault = fault
        self._faulty = _Faulty(fault)

    async def load(self) -> None:
        """Ready at once."""
        await self._faulty.pass_through("load")

    async def close(self) -> None:
        """Nothing to close."""

    def probability(self, window: Samples) -> float | None:
        """1 in the window that reaches ``lag`` seconds past the word, 0 in all others."""
        fault, self._calls = self._fault, self._calls + 1
        if fault is not None and fault.where == "probability" and self._calls > fault.call:
            raise RuntimeError("scripted fault in probability")
        before, self.given = self.given, self.given + window.size
        due = (samples_in(end + self.lag) for end in self.ends())
        if window.any():
            self._sounded = self.given
        audible = self.given - self._sounded <= samples_in(self.lag) + 2 * window.size  # not muted, not deaf
        return 1.0 if audible and any(before < at <= self.given for at in due) else 0.0

    def ends(self) -> list[float]:
        """Where the word ends, in seconds, each time that it is said; all words of a line take the same time."""
        wanted = self.word.casefold().split()
        found = []
        for line in self.script:
            words = [word.strip(",.!?").casefold() for word in line.text.split()]
            for at in range(len(words) - len(wanted) + 1):
                if words[at : at + len(wanted)] == wanted:
                    found.append(line.start + (line.end - line.start) * (at + len(wanted)) / len(words))
        return found


class ScriptedRecogniser:
    """Knows what is said when. ``final_delay``: seconds from the end of speech to the settled text."""

    def __init__(
        self,
        script: Sequence[Spoken],
        *,
        final_delay: float = 0.1,
        partials: bool = True,
        fault: Fault | None = None,
    ) -> None:
        self.info = _info("recogniser")
        self.began: Callable[[], float] = lambda: 0.0
        """Loop time at which the session's clock began; set by `play`."""
        self.script = tuple(script)
        self.final_delay = final_delay
        self.partials = partials
        self.faulty = _Faulty(fault)

    async def load(self) -> None:
        """Ready at once."""
        await self.faulty.pass_through("load")

    async def close(self) -> None:
        """Nothing to close."""

    def now(self) -> float:
        """Seconds on the session's clock."""
        return asyncio.get_running_loop().time() - self.began()

    def open(self) -> _ScriptedRecognition:
        """Hears from a moment before now on."""
        return _ScriptedRecognition(self)


class _ScriptedRecognition:
    def __init__(self, recogniser: ScriptedRecogniser) -> None:
        self._of = recogniser
        self._from: float | None = None
        self._told = ""

    async def push(self, samples: Samples) -> str | None:
        await self._of.faulty.pass_through("push")
        now = self._of.now()
        if self._from is None:
            self._from = now - samples.size / RATE
        text = self._so_far(now)
        if not self._of.partials or text == self._told:
            return None
        self._told = text
        return text

    async def settle(self) -> Transcript:
        await self._of.faulty.pass_through("settle")
        now = self._of.now()
        said = [one for one in self._lines() if one.start < now]
        ready = (min(said[-1].end, now) if said else now) + self._of.final_delay
        await asyncio.sleep(max(0.0, ready - now))
        return Transcript(self._so_far(now), 0.9)

    def _lines(self) -> list[Spoken]:
        return [one for one in self._of.script if one.text and self._from is not None and one.end > self._from]

    def _so_far(self, now: float) -> str:
        words: list[str] = []
        for line in self._lines():
            share = (now - line.start) / max(1e-9, line.end - line.start)
            spoken = line.text.split()
            words += spoken[: int(len(spoken) * min(1.0, max(0.0, share)) + 1e-6)]
        return " ".join(words)

    async def close(self) -> None:
        """Nothing to close."""


class ScriptedModel:
    """Gives ``replies`` in order (the last again and again), or what ``replies`` computes from the messages.

    ``first_token``: seconds to the first token; then ``tokens_per_second``. A reply may be a list of tokens and tool
    calls; a plain string is split into words, each with its leading space.
    """

    def __init__(
        self,
        replies: Sequence[str | Sequence[str | ToolCall]] | Callable[[Sequence[Message]], str] = ("I see.",),
        *,
        first_token: float = 0.1,
        tokens_per_second: float = 20.0,
        hears: bool = False,
        fault: Fault | None = None,
    ) -> None:
        self.info = _info("language model")
        self.hears = hears
        """Whether it takes sound: `locara.engines.contracts.HearsAudio`."""
        self.asked: list[tuple[Message, ...]] = []
        """The messages of every request, in order."""
        self.cancelled = 0
        """Replies that were closed before their end."""
        self._replies = replies
        self._given = 0
        self._first = first_token
        self._gap = 1.0 / tokens_per_second
        self._faulty = _Faulty(fault)

    async def load(self) -> None:
        """Ready at once."""
        await self._faulty.pass_through("load")

    async def close(self) -> None:
        """Nothing to close."""

    def _pieces(self, messages: Sequence[Message]) -> list[str | ToolCall]:
        if callable(self._replies):
            reply: str | Sequence[str | ToolCall] = self._replies(messages)
        else:
            users = sum(1 for one in messages if one.role == "user") - 1
            tools = sum(1 for one in messages if one.role == "tool")
            reply = self._replies[min(users + tools, len(self._replies) - 1)]
        if not isinstance(reply, str):
            return list(reply)
        words = reply.split(" ")
        return [words[0], *(" " + word for word in words[1:])]

    async def reply(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> AsyncIterator[str | ToolCall]:
        """The next reply of the script, token by token."""
        self.asked.append(tuple(messages))
        await self._faulty.pass_through("reply")
        done = False
        try:
            await asyncio.sleep(self._first)
            for number, piece in enumerate(self._pieces(messages)):
                if number:
                    await asyncio.sleep(self._gap)
                await self._faulty.pass_through("token")
                yield piece
            done = True
        finally:
            self.cancelled += not done


def tone(seconds: float, rate: int, *, pitch: float = 220.0, level: float = 0.2) -> Samples:
    """A buzz that any ear takes for sound: ``seconds`` at ``rate``, with harmonics, the same each time."""
    at = np.arange(round(seconds * rate)) / rate
    wave = np.sin(2 * np.pi * pitch * at) + 0.5 * np.sin(4 * np.pi * pitch * at) + 0.25 * np.sin(6 * np.pi * pitch * at)
    return (level / 1.75 * wave).astype(np.float32)


class ScriptedVoice:
    """Speaks tones: ``first_chunk`` seconds to the first piece, then ``speed`` times faster than it sounds. Each piece is
    ``chunk`` seconds long. ``word_times``: whether it says when each word begins."""

    def __init__(
        self,
        *,
        rate: int = 24_000,
        first_chunk: float = 0.1,
        speed: float = 8.0,
        chunk: float = 0.1,
        chars_per_second: float = 15.0,
        word_times: bool = True,
        fault: Fault | None = None,
    ) -> None:
        self.info = _info("voice", word_times=word_times)
        self.rate = rate
        self.spoken: list[str] = []
        """Every text it was given."""
        self._first = first_chunk
        self._speed = speed
        self._chunk = chunk
        self._chars = chars_per_second
        self._word_times = word_times
        self._faulty = _Faulty(fault)

    async def load(self) -> None:
        """Ready at once."""
        await self._faulty.pass_through("load")

    async def close(self) -> None:
        """Nothing to close."""

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        """A tone as long as the text would take."""
        self.spoken.append(text)
        await self._faulty.pass_through("speak")
        await asyncio.sleep(self._first)
        sound = tone(len(text) / self._chars, self.rate)
        marks = self._marks(text) if self._word_times else ()
        step = round(self._chunk * self.rate)
        for at in range(0, max(1, sound.size), step):
            if at:
                await asyncio.sleep(self._chunk / self._speed)
            await self._faulty.pass_through("chunk")
            piece = sound[at : at + step]
            yield Speech(piece, tuple(mark for mark in marks if at <= mark.at < at + step))

    def _marks(self, text: str) -> tuple[WordMark, ...]:
        marks: list[WordMark] = []
        start = 0
        for word in text.split(" "):
            if word:
                marks.append(WordMark(round(start / self._chars * self.rate), start, start + len(word)))
            start += len(word) + 1
        return tuple(marks)


def speech_like(lines: Sequence[Spoken], seconds: float) -> Samples:
    """The sound of a script: tones where something is said, silence between, ``seconds`` long at ``RATE``."""
    sound = np.zeros(samples_in(seconds), dtype=np.float32)
    for line in lines:
        burst = tone(line.end - line.start, RATE, pitch=140.0)
        at = samples_in(line.start)
        sound[at : at + burst.size] = burst[: max(0, sound.size - at)]
    return sound
