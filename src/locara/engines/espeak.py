"""The embedded voice: espeak-ng, a formant synthesiser. Not pretty, and at once: a tenth of a millisecond to its first
sound, on every machine, in a hundred languages, with an exact time for each word.

What may live here: this one voice. espeak-ng is GPL-3.0-or-later and never loaded into our process: it runs in a program
of its own, `locara.engines.espeak_worker`, which alone imports it, and we exchange text and sound with that program.
"""

from __future__ import annotations

import asyncio
import re
from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from locara.audio import from_pcm16
from locara.engines.child import Child, WorkerError
from locara.engines.contracts import EngineInfo, Speech, Voice, WordMark
from locara.engines.frames import Reply
from locara.engines.lane import Lane
from locara.errors import ConfigError, EngineMissing

MODELS = ("espeak-ng", "espeak")
"""And ``espeak-ng:VOICE``, for example ``espeak-ng:en-gb``."""

_WORKER = "locara.engines.espeak_worker"
_MARGIN = 1.0  # seconds that the lane waits longer than the child: then the child's own error is the one that is seen
_OPTIONS = ("voice", "rate_wpm", "pitch", "data", "deadline")


@dataclass(frozen=True, slots=True)
class Settings:
    """``rate_wpm``: words a minute; ``pitch``: 0 to 100; ``data``: another folder with espeak-ng's data; ``deadline``:
    seconds to wait for a chunk."""

    voice: str = "en-us"
    rate_wpm: int = 175
    pitch: int = 50
    data: str | None = None
    deadline: float = 10.0


def create(model: str, options: Mapping[str, Any]) -> Voice | None:
    """The voice, or None when ``model`` is none of ours. Raises ``ConfigError`` for options it does not know."""
    name, _, voice = model.partition(":")
    if name not in ("", *MODELS) or (not name and voice):
        return None
    return Espeak(model or MODELS[0], _settings(voice, options))


def _settings(voice: str, options: Mapping[str, Any]) -> Settings:
    options = {name: one for name, one in options.items() if name != "engine"}
    for name in options:
        if name not in _OPTIONS:
            raise ConfigError(f"espeak-ng has no option {name!r}", hint=f"it knows {', '.join(_OPTIONS)}")
    if voice and options.get("voice", voice) != voice:
        raise ConfigError(f"two voices: {voice!r} and {options['voice']!r}", hint="name the voice once")
    settings = Settings(**{**options, **({"voice": voice} if voice else {})})
    if not isinstance(settings.voice, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_+/ -]{0,60}", settings.voice):
        raise ConfigError(f"{settings.voice!r} is no voice of espeak-ng", hint="for example en-us, en-gb or de")
    _within("rate_wpm", settings.rate_wpm, 80, 450)
    _within("pitch", settings.pitch, 0, 100)
    _within("deadline", settings.deadline, 0.1, 600)
    return settings


def _within(name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ConfigError(f"espeak-ng: {name} is {value!r}", hint=f"it must be a number from {low:g} to {high:g}")


class Words:
    """The written words of ``text``, each found once: when its first part begins to sound.

    The library says a number or an abbreviation in several parts, each with an event that points somewhere into the
    word, and says nothing of the punctuation around it. A listener has heard words as they are written. An event that
    points at the space before a word is a guess: the start of a lower-case sentence has no better one, but after an
    emoji (said in several words) the word's own event is still to come.
    """

    def __init__(self, text: str) -> None:
        self._spans = [match.span() for match in re.finditer(r"\S+", text)]
        self._starts = [start for start, _ in self._spans]
        self._next = 0  # the first word that has not been found
        self._guess: int | None = None  # the sample at which that word may begin

    def mark(self, sample: int, character: int) -> list[WordMark]:
        """What an event at ``character`` (from 0) makes certain: perhaps a guessed word, perhaps the word it points to."""
        before = bisect_right(self._starts, character) - 1
        inside = before >= 0 and character < self._spans[before][1]
        target = before if inside else before + 1
        certain = self.rest() if target > self._next else []
        if self._next <= target < len(self._spans):
            self._next = target
            if inside:
                certain.append(self._found(sample))
            elif self._guess is None:
                self._guess = sample
        return certain

    def rest(self) -> list[WordMark]:
        """The guess that nothing has put right."""
        return [] if self._guess is None else [self._found(self._guess)]

    def _found(self, sample: int) -> WordMark:
        start, end = self._spans[self._next]
        self._next += 1
        self._guess = None
        return WordMark(at=sample, start=start, end=end)


def pieces(text: str, replies: Iterator[Reply]) -> Iterator[Speech]:
    """The program's replies as speech with marks: the first chunk at once, then two together (60 to 120 ms).

    A guessed word comes with the chunk of the event that decides it; ``at`` is right all the same, and only grows.
    """
    words = Words(text)
    sound: list[bytes] = []
    found: list[WordMark] = []
    first = True
    for reply in replies:
        for at, character, _ in reply.header["words"]:
            found += words.mark(at, character)
        if reply.payload:
            sound.append(reply.payload)
        if sound and (first or len(sound) == 2):
            yield Speech(from_pcm16(b"".join(sound)), tuple(found))
            first, sound, found = False, [], []
    found += words.rest()
    if sound or found:
        yield Speech(from_pcm16(b"".join(sound)), tuple(found))


class Espeak:
    """See `locara.engines.contracts.Voice`."""

    def __init__(self, model: str, settings: Settings) -> None:
        self._model = model
        self._settings = settings
        self._child = Child(_WORKER, stage="tts", model=model)
        self._lane = Lane("espeak", stage="tts", model=model)
        self._ready = 0  # the life of the child that has this voice loaded
        self._rate = 22_050
        self._note = "robotic"

    @property
    def info(self) -> EngineInfo:
        """What it is."""
        return EngineInfo(
            engine="espeak-ng",
            model=f"espeak-ng:{self._settings.voice}",
            licence="GPL-3.0-or-later (a separate program)",
            where="child process",
            word_times=True,
            note=self._note,
        )

    @property
    def rate(self) -> int:
        """22,050 Hz."""
        return self._rate

    @property
    def language(self) -> str:
        """The language of its voice: ``en-us+f3`` speaks ``en-us``. Empty for a voice with another kind of name."""
        name = self._settings.voice.partition("+")[0].lower()
        return name if re.fullmatch(r"[a-z]{2,3}(-[a-z0-9-]+)?", name) else ""

    async def load(self) -> None:
        """Starts the program and speaks one word. Raises ``EngineMissing``, ``EngineFailed`` or ``EngineTimeout``."""
        await self._lane.run(self._warm, deadline=60.0 + _MARGIN, abandon=self._child.kill)

    async def close(self) -> None:
        """Ends the program and the thread."""
        # It keeps nothing that would have to be saved: ending it also frees the lane, whatever that waits for.
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        """Blocking. The lane's thread may be starting the program at this moment: then it is ended after that."""
        self._child.kill()
        self._lane.close()
        self._child.kill()

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        """The speech of ``text``, in chunks of 60 to 120 ms. Closing the iterator stops the work within a chunk.

        Raises ``EngineFailed`` when the program dies; the next call starts it again.
        """
        if not text.strip():
            return
        # Half a surrogate pair cannot be sent; a question mark in its place keeps all positions.
        sendable = text.encode("utf-8", "replace")
        ticket = self._child.ticket()

        def start() -> Iterator[Speech]:
            self._wake()
            return pieces(text, self._child.stream("speak", sendable, deadline=self._settings.deadline, ticket=ticket))

        stream = self._lane.stream(
            start, deadline=self._settings.deadline + _MARGIN, abandon=lambda: self._child.cancel(ticket)
        )
        async with aclosing(cast("AsyncGenerator[Speech, None]", stream)) as items:
            async for speech in items:
                yield speech

    def _warm(self) -> None:
        self._wake()
        for _ in self._child.stream("speak", b"Ready.", deadline=self._settings.deadline):
            pass

    def _wake(self) -> None:
        """Makes sure that the program runs and has the voice loaded: it may have died since the last call."""
        if self._child.alive and self._ready == self._child.lives:
            return
        chosen = self._settings
        try:
            self._child.start()
            said = self._child.request(
                "load", deadline=30.0, voice=chosen.voice, rate_wpm=round(chosen.rate_wpm), pitch=round(chosen.pitch),
                data=chosen.data,
            )  # fmt: skip
        except WorkerError as error:
            if error.kind in ("ModuleNotFoundError", "ImportError"):
                raise EngineMissing(
                    f"tts: espeak-ng needs the package espeakng-loader: {error.message}", stage="tts",
                    model=self._model, hint="pip install espeakng-loader",
                ) from error  # fmt: skip
            raise
        self._rate = int(said.header["rate"])
        self._note = f"espeak-ng {str(said.header['version']).partition(' ')[0]}, robotic"
        self._ready = self._child.lives
