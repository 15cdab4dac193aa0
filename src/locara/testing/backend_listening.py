"""One session of a `VoiceBackend` under examination: driven as a conversation drives it, everything it tells kept.

What may live here: this driving. What is expected of what came is `conformance_backend` and `conformance_replies`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

import numpy as np

from locara.audio import RATE, Samples, resample, silence
from locara.engines.backend import (
    BackendEvent,
    BackendSettings,
    Cancel,
    Disregard,
    Ended,
    Frame,
    Played,
    ReplyAudio,
    ReplyBegan,
    ReplyEnded,
    ReplyText,
    ToolWanted,
    TurnEnd,
    VoiceBackend,
)
from locara.engines.contracts import Message, Sound
from locara.testing.conformance import Failed, NotForThis, Specimen, expect

BLOCK_SECONDS = 0.08
"""Of sound in one push: what a microphone gives at once, more or less."""

ANSWER_SECONDS = 30.0
"""In which a reply to some seconds of sound has begun and ended. A small model on a busy machine needs a few."""

SOON_SECONDS = 5.0
"""In which a cancelled reply has ended, and a session that is stopped has."""

QUIET_SECONDS = 0.3
"""For which it is watched whether something comes that must not."""

HEARD_SECONDS = 4.0
"""Of sound for a model that answers when it wants to: time enough to show what it does."""

OfReply = ReplyBegan | ReplyText | ReplyAudio | ReplyEnded | ToolWanted


def of_reply(event: BackendEvent, reply: int) -> bool:
    """Whether this belongs to reply ``reply``."""
    return isinstance(event, OfReply) and event.reply == reply


class Listening:
    """``async with``: a session that was begun, and is stopped. ``events``: what came, and after how many pushed samples."""

    def __init__(self, backend: VoiceBackend, settings: BackendSettings | None = None) -> None:
        self.backend = backend
        self.settings = settings or BackendSettings()
        self.can = backend.capabilities
        self.events: list[BackendEvent] = []
        self.pushed = 0
        """Samples, at the model's rate."""
        self.session = ""
        self._heard: list[Samples] = []
        self._news = asyncio.Event()
        self._taking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.session = await self.backend.start_session(self.settings)
        expect(isinstance(self.session, str) and bool(self.session), f"start_session gave {self.session!r}, no name")
        self._taking = asyncio.create_task(self._take(), name="examined-events")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.backend.stop_session(self.session)
        finally:
            assert self._taking is not None
            if kind is None:
                await asyncio.wait([self._taking], timeout=SOON_SECONDS)
            self._taking.cancel()
            await asyncio.wait([self._taking])

    async def _take(self) -> None:
        async for event in self.backend.event_stream(self.session):
            self.events.append(event)
            self._news.set()
        self._news.set()

    @property
    def over(self) -> bool:
        """The stream has ended, by itself or by an error."""
        return self._taking is not None and self._taking.done()

    def why_over(self) -> str:
        """With what the stream ended, where that was an error."""
        assert self._taking is not None
        error = None if self._taking.cancelled() or not self._taking.done() else self._taking.exception()
        return "" if error is None else f": {type(error).__name__}: {error}"

    # --- driving ------------------------------------------------------------------------------------------------------

    async def hear(self, sound: Samples, *, paced: bool | None = None) -> None:
        """``sound`` (16 kHz) block by block; at the pace of the clock where the model is clocked."""
        self._heard.append(sound)
        converted = resample(sound, RATE, self.can.input_rate)
        step = round(BLOCK_SECONDS * self.can.input_rate)
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number, start in enumerate(range(0, converted.size, step), 1):
            block = converted[start : start + step]
            await self.backend.push_audio(self.session, block)
            self.pushed += block.size
            if self.can.clocked if paced is None else paced:
                await asyncio.sleep(max(0.0, began + number * BLOCK_SECONDS - loop.time()))

    async def ask(self, reply: int, typed: str = "") -> bool:
        """The end of a turn: with the whole of it as a message, where the model does not keep it itself. ``typed``: it was
        written, not said."""
        sound = np.concatenate(self._heard) if self._heard else silence(0)
        message = Message("user", typed) if typed else Message("user", "", sounds=(Sound(sound),))
        messages = (message,) if self.can.memory == "locara" else ()
        return await self.backend.signal(self.session, TurnEnd(reply, messages))

    def begin_turn(self) -> None:
        """What was heard until now is not of the next turn."""
        self._heard = []

    async def until(self, what: str, found: Callable[[Sequence[BackendEvent]], bool], seconds: float) -> None:
        """Waits until ``found`` is true of the events so far. Raises `Failed` that says ``what`` did not come."""
        try:
            async with asyncio.timeout(seconds):
                while not found(self.events):
                    if self.over:
                        raise Failed(f"the events ended before {what}{self.why_over()}")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise Failed(f"{what} did not come within {seconds:g} s") from None

    async def replied(self, reply: int, seconds: float) -> None:
        """Waits for the end of this reply."""
        await self.until(f"the end of reply {reply}", lambda all_: any(_ends(one, reply) for one in all_), seconds)

    def sound_of(self, reply: int) -> Samples:
        """Everything of this reply."""
        pieces = [one.samples for one in self.events if isinstance(one, ReplyAudio) and one.reply == reply]
        return np.concatenate(pieces) if pieces else silence(0)

    def text_of(self, reply: int) -> str:
        """The same of its text."""
        return "".join(one.text for one in self.events if isinstance(one, ReplyText) and one.reply == reply)

    def ends(self) -> list[Ended]:
        """How often it ended; once is right."""
        return [one for one in self.events if isinstance(one, Ended)]

    def all_sound(self) -> list[Samples]:
        """Of replies and of frames."""
        return [one.samples for one in self.events if isinstance(one, ReplyAudio | Frame)]


def _ends(event: BackendEvent, reply: int) -> bool:
    return isinstance(event, ReplyEnded) and event.reply == reply


class Examination:
    """A loaded backend, what to say to it, and one conversation with it on which several checks look."""

    def __init__(self, backend: VoiceBackend, specimen: Specimen) -> None:
        self.backend = backend
        self.can = backend.capabilities
        self.specimen = specimen
        self.asked = self.can.turn_owner == "locara"
        self._record: Listening | None = None
        self._why = ""

    async def record(self) -> Listening:
        """Two turns, or some seconds of sound for a model that leads. Raises `NotForThis` where it came to nothing."""
        if self._record is None and not self._why:
            try:
                self._record = await self._recorded()
            except Exception as error:
                self._why = f"no conversation came about: {error}"
        if self._record is None:
            raise NotForThis(self._why)
        return self._record

    async def _recorded(self) -> Listening:
        async with Listening(self.backend) as talk:
            if not self.asked:
                await talk.hear(long_enough(self.specimen.sound, HEARD_SECONDS))
                await asyncio.sleep(QUIET_SECONDS)
                return talk
            for reply in (3, 4):  # numbers are the turn machine's: they need not begin with 0
                talk.begin_turn()
                await talk.hear(self.specimen.sound)
                await talk.ask(reply)
                await talk.replied(reply, ANSWER_SECONDS)
                await self.backend.signal(talk.session, Played(reply, 0.1, ended=True))
            await asyncio.sleep(QUIET_SECONDS)
            return talk

    async def answer(self, *sounds: Samples, revoke_after: int = 0, noise: Samples | None = None) -> str:
        """The text (of a model that tells none the number of samples) of the reply to a turn of these ``sounds``. After
        the first ``revoke_after`` of them a reply is asked for and revoked; before all of them ``noise`` is heard and
        disregarded."""
        self.only_when_asked()
        async with Listening(self.backend) as talk:
            if noise is not None:
                await talk.hear(noise)
                await self.backend.signal(talk.session, Disregard())
                talk.begin_turn()
            for number, sound in enumerate(sounds, 1):
                await talk.hear(sound)
                if number == revoke_after:
                    await talk.ask(0)
                    await self.backend.signal(talk.session, Cancel(0, revoke=True))
            await talk.ask(1)
            await talk.replied(1, ANSWER_SECONDS)
            return talk.text_of(1) or f"{talk.sound_of(1).size} samples"

    def only_when_asked(self) -> None:
        """Raises `NotForThis` for a model that leads its turns itself."""
        if not self.asked:
            raise NotForThis("it leads its turns itself")


def long_enough(sound: Samples, seconds: float) -> Samples:
    """``sound`` again and again, for so many seconds at 16 kHz."""
    wanted = round(seconds * RATE)
    return np.tile(sound, -(-wanted // max(1, sound.size)))[:wanted]


BackendCheck = Callable[[Examination], Awaitable[None]]
