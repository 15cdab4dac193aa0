"""A voice whose work is done by a sidecar: one text after the other, each under a number of its own.

What may live here: this side of the dialogue, for any voice that a sidecar brings. Which program that is, and what it is
told at its start, belongs to the engine's own file.

Orders: ``speak {id, text}``, ``stop {id}``. Answers: ``sound {id, rate, pcm}`` (16-bit little-endian mono in base64),
``word {id, at, start, end}`` (sample, and UTF-16 positions in the text), ``done {id}``, ``error {id, message, hint?}``. A
synthesiser that was stopped may go on for a while: what comes under an old number is dropped.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import dataclasses
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Any, cast

import numpy as np

from locara.audio import from_pcm16
from locara.engines.contracts import EngineInfo, Speech, WordMark
from locara.engines.lane import Lane
from locara.engines.sidecar import Message, Sidecar
from locara.errors import LocaraError

START_SECONDS = 65.0
"""To compile on first use and to start: with the first sound, less than the 90 s that a session waits for a stage."""
FIRST_SOUND_SECONDS = 15.0
"""Some voices of macOS render nothing at all while offline, and say nothing of it either."""
_MARGIN = (
    1.0  # seconds that the lane waits longer than the sidecar: then the sidecar's own error is the one that is seen
)
_WAITING = 64  # messages that wait to be taken; then the program waits


class Positions:
    """UTF-16 positions, as Apple's and Microsoft's systems count them, to characters of a Python text."""

    def __init__(self, text: str) -> None:
        self._starts: list[int] = []
        at = 0
        for character in text:
            self._starts.append(at)
            at += 2 if ord(character) > 0xFFFF else 1
        self._end = at

    def character(self, position: int) -> int:
        """The character that covers this position; the text's length at its end and past it."""
        if position >= self._end:
            return len(self._starts)
        return max(0, bisect_right(self._starts, position) - 1)


def mark(message: Message, positions: Positions, length: int, after: int) -> WordMark | None:
    """The word of a ``word`` message, or None if its numbers make no sense: a wrong mark is worse than none."""
    numbers = [message.get(name) for name in ("at", "start", "end")]
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
        return None
    at, first, last = cast("list[int]", numbers)
    start, end = positions.character(max(0, first)), positions.character(last)
    if not (after <= at and first >= 0 and start < end <= length):
        return None
    return WordMark(at, start, end)


class SidecarVoice:
    """See `locara.engines.contracts.Voice`. ``deadline``: seconds to wait for the next sound, after the first."""

    def __init__(
        self,
        info: EngineInfo,
        command: Callable[[], Sequence[str]],
        *,
        language: str,
        deadline: float = 10.0,
        first_deadline: float = FIRST_SOUND_SECONDS,
        start_deadline: float = START_SECONDS,
        rate: int = 22_050,
        explain: Callable[[int | None, str], tuple[str, str] | None] = lambda _code, _words: None,
    ) -> None:
        self.voices: tuple[Message, ...] = ()
        """The voices of this system, once it is loaded: ``id``, ``name``, ``language``, ``quality``, ``personal``."""
        self.sidecar = Sidecar(
            command, stage="tts", model=info.model, listener=self._heard, full=self._full, explain=explain
        )
        self._info = info
        self._lane = Lane(info.engine, stage="tts", model=info.model)
        self._language = language
        self._rate = rate
        self._deadline = deadline
        self._first_deadline = first_deadline
        self._start_deadline = start_deadline
        self._last = 0
        # Under ``sidecar.changed``:
        self._speaking = 0  # the number of the text whose messages are wanted; 0: none
        self._waiting: deque[Message] = deque()

    @property
    def info(self) -> EngineInfo:
        """What it is; whether it has word times is known after ``load``."""
        return self._info

    @property
    def rate(self) -> int:
        """Hertz, known after ``load``: the voices of a system differ."""
        return self._rate

    @property
    def language(self) -> str:
        """Of its voice, as a code; known after ``load``."""
        return self._language

    async def load(self) -> None:
        """Starts the program and speaks two words, which tell the rate and whether words have times."""
        whole = self._start_deadline + self._first_deadline + self._deadline + _MARGIN
        await self._lane.run(self._warm, deadline=whole, abandon=self.sidecar.kill)

    async def close(self) -> None:
        """Ends the program and the thread."""
        # It keeps nothing that would have to be saved: ending it also frees the lane, whatever that waits for.
        await asyncio.to_thread(self.sidecar.kill)
        self._lane.close()

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        """The speech of ``text``, as it is made. Closing the iterator stops the work.

        Raises ``EngineFailed`` when the program dies (the next call starts it again) and ``EngineTimeout`` when no sound
        comes in time.
        """
        if not text.strip():
            return
        self._last += 1
        number = self._last
        stream = self._lane.stream(
            lambda: self._pieces(number, text),
            deadline=self._start_deadline + self._first_deadline + _MARGIN,
            abandon=lambda: self._stop(number),
        )
        async with aclosing(cast("AsyncGenerator[Speech, None]", stream)) as items:
            async for speech in items:
                yield speech

    # On the lane's thread:

    def _warm(self) -> None:
        ready = self.sidecar.start(self._start_deadline)
        voices = ready.get("voices")
        self.voices = tuple(voice for voice in voices if isinstance(voice, dict)) if isinstance(voices, list) else ()
        self._language = str(ready.get("language") or self._language)
        self._rate = 0  # the first sound tells it
        words = 0
        self._last += 1
        for speech in self._pieces(self._last, "Ready now."):
            words += len(speech.words)
        if not self._rate:
            raise self.sidecar.failed(
                "the voice made no sound at all",
                hint="it may have to be downloaded in the system's settings; choose another voice",
            )
        note = str(ready.get("note") or self._info.note)
        self._info = dataclasses.replace(self._info, word_times=words > 0, note=note)

    def _pieces(self, number: int, text: str) -> Iterator[Speech]:
        """Speech with the words that begin in it; a word's mark may come after its sound, ``at`` is right all the same."""
        self.sidecar.start(self._start_deadline)
        with self.sidecar.changed:
            self._speaking = number
            self._waiting.clear()
        # Half a surrogate pair cannot be sent; a question mark in its place keeps all positions.
        self.sidecar.order("speak", id=number, text=text.encode("utf-8", "replace").decode())
        positions, found, after, first = Positions(text), list[WordMark](), 0, True
        try:
            while (message := self._next(number, first)) is not None:
                if message["type"] == "word":
                    word = mark(message, positions, len(text), after)
                    if word is not None:
                        found.append(word)
                        after = word.at
                elif message["type"] == "sound":
                    yield Speech(self._samples(message), tuple(found))
                    first, found = False, []
                else:
                    break
            if found:
                yield Speech(np.zeros(0, np.float32), tuple(found))
        finally:
            self._stop(number)

    def _next(self, number: int, first: bool) -> Message | None:
        """The next message of this text, None when nobody wants it any more. Raises its errors."""
        deadline = self._first_deadline if first else self._deadline
        self.sidecar.wait(lambda: bool(self._waiting) or self._speaking != number, deadline=deadline)
        with self.sidecar.changed:
            if self._speaking != number:
                return None
            message = self._waiting.popleft()
            if message["type"] in ("done", "error"):
                self._speaking = 0
            self.sidecar.changed.notify_all()
        if message["type"] == "error":
            raise self.sidecar.failed(
                str(message.get("message") or "it could not speak this text"), hint=str(message.get("hint") or "")
            )
        return message

    def _samples(self, message: Message) -> Any:
        rate = message.get("rate")
        if isinstance(rate, bool) or not isinstance(rate, int) or not 8_000 <= rate <= 192_000:
            raise self._broken(f"sound with the rate {rate!r}")
        self._rate = self._rate or rate
        if rate != self._rate:
            raise self._broken(f"sound at {rate} Hz after sound at {self._rate} Hz")
        try:
            pcm = base64.b64decode(str(message.get("pcm")), validate=True)
        except (binascii.Error, ValueError):
            raise self._broken("sound that is not base64") from None
        if len(pcm) % 2:
            raise self._broken("half a sample")
        return from_pcm16(pcm)

    def _broken(self, what: str) -> LocaraError:
        self.sidecar.kill()
        return self.sidecar.failed(
            f"it sent {what}", hint="its program was ended; it is started again when it is needed"
        )

    def _stop(self, number: int) -> None:
        """Nobody wants this text any more. From any thread; does not wait."""
        with self.sidecar.changed:
            if self._speaking != number:
                return
            self._speaking = 0
            self._waiting.clear()
            self.sidecar.changed.notify_all()
        if self.sidecar.alive:
            with contextlib.suppress(LocaraError):
                self.sidecar.order("stop", id=number)

    # On the sidecar's reading thread, under ``changed``:

    def _heard(self, message: Message) -> None:
        if message.get("id") == self._speaking and message["type"] in ("sound", "word", "done", "error"):
            self._waiting.append(message)

    def _full(self) -> bool:
        return len(self._waiting) >= _WAITING
