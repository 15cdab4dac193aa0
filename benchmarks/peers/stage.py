"""The stage on which all systems play the same conversation: a microphone, a speaker, fake engines, and the clock.

What may live here: what every runner shares, so that nothing but the system differs. Standard library and numpy only,
because it runs in each peer's own environment. All times are seconds since the microphone's first sample; microphone
and speaker count from the same instant.

The fakes take what good engines take: the settled text 150 ms after the last word, a model's first token after 200 ms
and then 50 a second, a voice's first sound after 100 ms and then at 8 times real time. Every word of a reply sounds for
exactly 200 ms, so the words that were heard can be counted in the recording.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
import wave
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Sound = npt.NDArray[np.float32]

RATE_IN = 16_000
RATE_OUT = 24_000
FRAME = 0.02
"""Seconds of one frame, in and out."""
FRAME_IN, FRAME_OUT = round(FRAME * RATE_IN), round(FRAME * RATE_OUT)

STT = 0.15
"""Seconds from the end of a word to its partial text, and from the end of speech to the settled text."""
LLM_FIRST, LLM_NEXT = 0.2, 1 / 50
"""Seconds to the first token, and from one to the next; a token is a word."""
TTS_FIRST, TTS_SPEED, TTS_CHUNK = 0.1, 8.0, 0.1
"""Seconds to the first sound of a text, how much faster than real time the rest comes, and seconds in a chunk."""
WORD = 0.2
"""Seconds that a spoken word of a reply lasts."""

AUDIBLE = 0.003
"""Full scale 1.0: below it a sample is silence. A ducked reply is far above it."""


@dataclass(frozen=True)
class Reply:
    """What the model answers. ``first`` is how many words its first sentence has."""

    name: str
    text: str
    first: int

    @property
    def words(self) -> int:
        """All its words."""
        return len(self.text.split())

    @property
    def parts(self) -> float:
        """Seconds that the engines alone take from the end of speech to the first sound, one after the other, when each
        sentence is spoken as soon as its last word is there."""
        return STT + LLM_FIRST + (self.first - 1) * LLM_NEXT + TTS_FIRST


ONE_WORD = Reply("1 word", "Sure. That boat leaves at noon.", 1)
FOURTEEN = Reply(
    "14 words", "The early train to our coast leaves from platform two at nine on Sundays. Bring coats.", 14
)
LONG = Reply(
    "long",
    "The northern railway crosses seven wooden bridges before it reaches our coast. "
    "Every morning two freight trains carry timber and fresh fish southward. "
    "Travellers often choose window seats because those cliffs look wonderful near sunset. "
    "Later small ferries connect islands whose harbours stay open all winter.",
    12,
)
SHORT = Reply("short", "Very well.", 2)


@dataclass(frozen=True)
class Line:
    """Something the user can say, or a noise when it has no words. ``ends``: seconds at which each word ends."""

    name: str
    sound: Sound
    words: tuple[str, ...]
    ends: tuple[float, ...]


@dataclass(frozen=True)
class Said:
    """A line that was said: its first and last audible sample, in seconds."""

    line: Line
    start: float
    end: float


def read_lines(folder: Path) -> dict[str, Line]:
    """The lines of a folder that ``make_speech.py`` wrote: ``speech.json`` and its WAV files."""
    lines = {}
    for one in json.loads((folder / "speech.json").read_text(encoding="utf-8")):
        with wave.open(str(folder / one["file"])) as file:
            if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (RATE_IN, 1, 2):
                raise SystemExit(f"{one['file']} must be 16 kHz, mono, 16 bit")
            sound: Sound = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32)
            sound /= np.float32(32768)
        lines[one["name"]] = Line(one["name"], sound, tuple(one["words"]), tuple(one["ends"]))
    return lines


class Microphone:
    """Gives a frame every 20 ms of real time: silence with a little noise, and what was said into it."""

    def __init__(self, clock: Clock, seed: int = 0) -> None:
        self._clock = clock
        self._random = random.Random(seed)
        self._noise = (np.random.default_rng(seed).standard_normal(RATE_IN) * 3e-4).astype(np.float32)
        self._frame = 0
        self._waiting: list[tuple[int, Sound]] = []
        self.said: list[Said] = []
        self.on_say: list[Callable[[Said], None]] = []
        self.closed = False

    @property
    def now(self) -> float:
        """Seconds of sound that were given so far."""
        return self._frame * FRAME

    def say(self, line: Line) -> Said:
        """Begins ``line`` within the next frames, at no lucky place inside one."""
        at = (self._frame + 2) * FRAME_IN + self._random.randrange(FRAME_IN)
        self._waiting.append((at, line.sound))
        said = Said(line, at / RATE_IN, (at + line.sound.size) / RATE_IN)
        self.said.append(said)
        for told in self.on_say:
            told(said)
        return said

    async def frames(self) -> AsyncIterator[Sound]:
        """Frame ``k`` comes when it is over: ``(k + 1) * 20`` ms after the start."""
        while not self.closed:
            await self._clock.until((self._frame + 1) * FRAME)
            yield self._next()

    def _next(self) -> Sound:
        begin = self._frame * FRAME_IN
        frame = self._noise[begin % (RATE_IN - FRAME_IN) :][:FRAME_IN].copy()
        for at, sound in self._waiting:
            low, high = max(begin, at), min(begin + FRAME_IN, at + sound.size)
            if low < high:
                frame[low - begin : high - begin] += sound[low - at : high - at]
        self._waiting = [(at, sound) for at, sound in self._waiting if at + sound.size > begin + FRAME_IN]
        self._frame += 1
        return frame


class Clock:
    """Real time since the start. Made inside the event loop."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began

    async def until(self, at: float) -> None:
        """Waits until ``at``; lets others run in any case."""
        await asyncio.sleep(max(0.0, at - self.now))


class Speaker:
    """A sound card's output: a thread that takes 20 ms every 20 ms, and hears them 20 ms later. ``pull(n)`` gives them."""

    def __init__(self, clock: Clock, pull: Callable[[int], Sound]) -> None:
        self._clock = clock
        self._pull = pull
        self._frames: list[Sound] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="speaker", daemon=True)

    def start(self) -> None:
        """From now on it pulls."""
        self._skipped = int(self._clock.now / FRAME) + 1
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stop.set()
        self._thread.join(2.0)

    def _run(self) -> None:
        while not self._stop.wait(max(0.0, (self._skipped + len(self._frames)) * FRAME - self._clock.now)):
            self._frames.append(np.asarray(self._pull(FRAME_OUT), np.float32))

    def loud(self, since: float) -> npt.NDArray[np.float64]:
        """When it was audible, in seconds: the times of all samples after ``since`` that are no silence."""
        # A frame that is taken at k * FRAME sounds after the one before it: from (k + 1) * FRAME on.
        offset = (self._skipped + 1) * FRAME
        first = max(0, int((since - offset) / FRAME))
        frames = self._frames[first:]
        if not frames:
            return np.zeros(0)
        at = np.flatnonzero(np.abs(np.concatenate(frames)) > AUDIBLE) / RATE_OUT + offset + first * FRAME
        return at[at > since]


class Buffer:
    """What systems that push their sound write into: the driver's queue of `Speaker`. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: list[Sound] = []
        self._filled = 0
        self.paused = False

    @property
    def filled(self) -> float:
        """Seconds that wait to be played."""
        return self._filled / RATE_OUT

    def write(self, samples: Sound) -> None:
        """At the end of the queue."""
        with self._lock:
            self._queue.append(samples)
            self._filled += samples.size

    def clear(self) -> None:
        """Throws the queue away."""
        with self._lock:
            self._queue.clear()
            self._filled = 0

    def pull(self, count: int) -> Sound:
        """The next samples, silence where there are none."""
        out = np.zeros(count, np.float32)
        with self._lock:
            done = 0
            while done < count and self._queue and not self.paused:
                piece = self._queue[0]
                part = piece[: count - done]
                out[done : done + part.size] = part
                done += part.size
                if part.size == piece.size:
                    self._queue.pop(0)
                else:
                    self._queue[0] = piece[part.size :]
            self._filled -= done
        return out


class Stage:
    """One session's microphone, fakes and clock; the speaker is added by whoever knows where its samples come from."""

    def __init__(self, seed: int = 0) -> None:
        self.clock = Clock()
        self.mic = Microphone(self.clock, seed)
        self.reply = SHORT
        """What the model answers to the next question it gets."""
        self.questions = 0

    async def hears(self, said: Said, loud: Callable[[], float]) -> AsyncIterator[tuple[str, bool]]:
        """The texts of a line as a streaming recogniser has them: (text so far, settled). ``loud`` says up to when the
        recogniser was given anything but silence; what it was not given it does not hear."""
        text = ""
        for word, end in zip(said.line.words, said.line.ends, strict=True):
            await self.clock.until(said.start + end + STT)
            if loud() < said.start + end - 0.1:
                continue
            text = f"{text} {word}".strip()
            yield text, False
        await self.clock.until(said.end + STT)
        if text:
            yield text, True

    async def thinks(self) -> AsyncIterator[str]:
        """The reply, a word with its space at a time."""
        reply = self.reply
        self.questions += 1
        begun = self.clock.now
        for number, word in enumerate(reply.text.split()):
            await self.clock.until(begun + LLM_FIRST + number * LLM_NEXT)
            yield word if number == 0 else f" {word}"

    async def speaks(self, text: str) -> AsyncIterator[Sound]:
        """A tone for every word, in chunks of 100 ms at ``RATE_OUT``."""
        sound = spoken(text)
        begun = self.clock.now
        step = round(TTS_CHUNK * RATE_OUT)
        for number, at in enumerate(range(0, sound.size, step)):
            await self.clock.until(begun + TTS_FIRST + number * TTS_CHUNK / TTS_SPEED)
            yield sound[at : at + step]


def spoken(text: str) -> Sound:
    """The sound of a text: 200 ms of tone for every word, without a silent sample in between."""
    t = np.arange(round(WORD * RATE_OUT)) / RATE_OUT
    tones = [
        0.25 * np.sign(wave_) * np.maximum(np.abs(wave_), 0.5)
        for wave_ in (np.sin(2 * np.pi * (200 + 10 * (sum(map(ord, word)) % 40)) * t) for word in text.split())
    ]
    if not tones:
        return np.zeros(0, np.float32)
    sound: Sound = np.concatenate(tones).astype(np.float32)
    sound[sound == 0] = 0.125
    return sound
