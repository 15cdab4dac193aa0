"""The voices of Windows (OneCore), through Windows.Media.SpeechSynthesis: at once, without any download.

What may live here: this one voice. Windows is asked in a process of its own, `windows_tts_worker`: what it does to a process
that uses it for hours is not known, and a text that hangs can then be ended. The natural voices of Narrator are not
available to apps. Experimental: nobody has run this on Windows.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from locara.audio import from_pcm16
from locara.engines.child import Child, WorkerError
from locara.engines.contracts import EngineInfo, Speech, Voice, WordMark
from locara.engines.frames import Reply
from locara.engines.lane import Lane
from locara.engines.option_values import known, language, number
from locara.engines.sidecar_voice import Positions, mark
from locara.errors import ConfigError, EngineFailed, EngineMissing

MODELS = ("windows-tts",)
"""And ``windows-tts:VOICE``, for example ``windows-tts:Zira``."""
NAME = "windows-tts"
EXTRA = 'pip install "locara[windows]"'

_WORKER = "locara.engines.windows_tts_worker"
_OPTIONS = ("voice", "language", "rate", "pitch", "deadline")
_MARGIN = 1.0  # seconds that the lane waits longer than the child: then the child's own error is the one that is seen
_VOICE_LENGTH = 200  # characters


@dataclass(frozen=True, slots=True)
class Settings:
    """``rate``: 0.5 to 6, 1 is usual; ``pitch``: 0 to 2, 1 is usual; ``deadline``: seconds to make a whole text."""

    voice: str
    language: str
    rate: float
    pitch: float
    deadline: float


def create(model: str, options: Mapping[str, Any], *, why: str = "") -> Voice | None:
    """The voice, or None when ``model`` is not ours.

    ``voice``: a name (``Zira``, ``Microsoft Zira``) or an id; ``language``: a code, if no voice is named. Raises
    ``ConfigError`` for options it does not know.
    """
    name, _, named = model.partition(":")
    if name not in MODELS:
        return None
    known(NAME, options, _OPTIONS)
    voice = options.get("voice", named)
    if not isinstance(voice, str) or len(voice) > _VOICE_LENGTH:
        raise ConfigError(f"{NAME}: voice is {voice!r}", hint="it must be the name of a voice, for example Zira")
    if named and voice != named:
        raise ConfigError(f"two voices: {named!r} and {voice!r}", hint="name the voice once")
    settings = Settings(
        voice,
        language(NAME, options, "language", ""),
        number(NAME, options, "rate", 1.0, 0.5, 6.0),
        number(NAME, options, "pitch", 1.0, 0.0, 2.0),
        number(NAME, options, "deadline", 15.0, 0.1, 600),
    )
    return WindowsVoice(settings, why)


def pieces(text: str, replies: Iterator[Reply], rate: int, learnt: Callable[[int], None]) -> Iterator[Speech]:
    """The worker's replies as speech with marks. ``rate``: hertz, 0 for not known yet; ``learnt`` is told then."""
    positions, after = Positions(text), 0
    for reply in replies:
        told = int(reply.header["rate"])
        if not rate:
            rate = told
            learnt(rate)
        if told != rate:
            raise EngineFailed(
                f"tts: {NAME}: sound at {told} Hz after sound at {rate} Hz", stage="tts", model=NAME,
                hint="name a voice with the option voice",
            )  # fmt: skip
        found: list[WordMark] = []
        for seconds, start, end in reply.header["words"]:
            word = mark({"at": round(seconds * rate), "start": start, "end": end}, positions, len(text), after)
            if word is not None:
                found.append(word)
                after = word.at
        yield Speech(from_pcm16(reply.payload), tuple(found))


class WindowsVoice:
    """See `locara.engines.contracts.Voice`."""

    def __init__(self, settings: Settings, why: str = "") -> None:
        self._settings = settings
        self._why = why
        self._child = Child(_WORKER, stage="tts", model=NAME)
        self._lane = Lane("windows-tts", stage="tts", model=NAME)
        self._ready = 0  # the life of the child that has this voice loaded
        self._rate = 0
        self._language = settings.language
        self._name = settings.voice
        self._word_times = False

    @property
    def info(self) -> EngineInfo:
        """What it is; its voice, and whether it has word times, are known after ``load``."""
        return EngineInfo(
            engine=NAME,
            model=f"{NAME}:{self._name}" if self._name else NAME,
            licence="part of Windows",
            where="child process",
            streaming=False,
            word_times=self._word_times,
            note="experimental: nobody has run it",
            why=self._why,
        )

    @property
    def rate(self) -> int:
        """Hertz, known after ``load``."""
        return self._rate or 16_000

    @property
    def language(self) -> str:
        """Of its voice, as a code; known after ``load``."""
        return self._language

    async def load(self) -> None:
        """Starts the process and speaks two words. Raises ``EngineMissing``, ``EngineFailed`` or ``EngineTimeout``."""
        await self._lane.run(self._warm, deadline=80.0, abandon=self._child.kill)

    async def close(self) -> None:
        """Ends the process and the thread."""
        # It keeps nothing that would have to be saved: ending it also frees the lane, whatever that waits for.
        await asyncio.to_thread(self._child.kill)
        self._lane.close()

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        """The speech of ``text``: Windows makes all of it first. Closing the iterator stops what is left.

        Raises ``EngineFailed`` when the process dies; the next call starts it again.
        """
        if not text.strip():
            return
        ticket = self._child.ticket()
        stream = self._lane.stream(
            lambda: self._start(text, ticket),
            deadline=self._settings.deadline + _MARGIN,
            abandon=lambda: self._child.cancel(ticket),
        )
        async with aclosing(cast("AsyncGenerator[Speech, None]", stream)) as items:
            async for speech in items:
                yield speech

    # On the lane's thread:

    def _warm(self) -> None:
        marks = 0
        for speech in self._start("Ready now.", self._child.ticket()):
            marks += len(speech.words)
        if not self._rate:
            raise EngineFailed(
                f"tts: {NAME}: the voice made no sound", stage="tts", model=NAME, hint="choose another voice"
            )
        self._word_times = marks > 0

    def _start(self, text: str, ticket: int) -> Iterator[Speech]:
        self._wake()
        # Half a surrogate pair cannot be sent; a question mark in its place keeps all positions.
        sendable = text.encode("utf-8", "replace")
        replies = self._child.stream("speak", sendable, deadline=self._settings.deadline, ticket=ticket)
        return pieces(text, replies, self._rate, self._learn)

    def _learn(self, rate: int) -> None:
        self._rate = rate

    def _wake(self) -> None:
        """Makes sure that the process runs and has the voice loaded: it may have died since the last call."""
        if self._child.alive and self._ready == self._child.lives:
            return
        chosen = self._settings
        try:
            self._child.start()
            said = self._child.request(
                "load",
                deadline=30.0,
                voice=chosen.voice,
                language=chosen.language,
                rate=chosen.rate,
                pitch=chosen.pitch,
            )
        except WorkerError as error:
            if error.kind in ("ModuleNotFoundError", "ImportError"):
                raise _missing(error.message) from error
            raise
        self._language = str(said.header["language"])
        self._name = str(said.header["name"])
        self._ready = self._child.lives


def _missing(why: str) -> EngineMissing:
    if sys.platform == "win32":
        return EngineMissing(
            f"tts: {NAME} needs packages that are not installed: {why}", stage="tts", model=NAME, hint=EXTRA
        )
    return EngineMissing(
        f"tts: {NAME} is part of Windows, and this is none",
        stage="tts",
        model=NAME,
        hint="use a voice that runs everywhere, for example kokoro-82m (locara models list)",
    )
