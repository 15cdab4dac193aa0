"""Our side of Qwen2.5-Omni and Qwen3-Omni: conversations, which take turns at one model in a process of its own.

What may live here: sessions, their replies, and what of the conversation the process is sent. The process is
`locara.engines.omni.qwen_omni_worker`.

The model keeps nothing of a conversation: each `TurnEnd` brings all of it. A turn's sound is sent once and kept there as
long as the conversation has it, so what is sent for a turn is that turn. One reply is made at a time; a second conversation
waits until the first one's reply is made, which is why there are few places.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

import numpy as np

from locara.audio import Samples
from locara.engines.backend import (
    BackendCapabilities,
    BackendEvent,
    BackendFailed,
    BackendSettings,
    Cancel,
    Disregard,
    ReplyAudio,
    ReplyEnded,
    ReplyText,
    Signal,
    TurnEnd,
    UserTyped,
)
from locara.engines.backend_events import SessionEvents
from locara.engines.backend_settings import demand
from locara.engines.child import WorkerError
from locara.engines.contracts import EngineInfo, Message, Sound
from locara.engines.frames import Reply
from locara.engines.isolated import LOAD_SECONDS, Environment, IsolatedProcess
from locara.engines.omni.qwen_omni_prompt import HEARD_RATE, LONGEST_SECONDS
from locara.errors import EngineBusy, EngineFailed, LocaraError

_SOUND_SECONDS = 30.0
"""For one sound to be taken: a few milliseconds of work, behind the rest of a reply that was just cancelled."""
_MARGIN = 1.0
"""Seconds that the lane waits longer than the child: then the child's own error is the one that is seen."""
_RATE = 24_000
_REMEMBERED = 64
"""Sessions that are over, whose last events may still be asked for."""

CAN = BackendCapabilities(
    duplex="half",
    turn_owner="locara",
    input_rate=HEARD_RATE,
    output_rate=_RATE,
    memory="locara",
    cancels=True,
    takes_text=True,
    instructions="any",
    max_sessions=1,
)
"""What is certain before it is loaded. What was not heard of a reply is forgotten by whoever keeps the conversation."""


class QwenOmniBackend:
    """See `locara.engines.backend.VoiceBackend`. ``options``: plain data for the worker. ``sessions``: conversations at
    once. ``deadline``: seconds until the first piece of a reply, and from piece to piece."""

    def __init__(
        self,
        info: EngineInfo,
        where: Environment,
        options: Mapping[str, Any],
        *,
        sessions: int,
        deadline: float,
        python: object = None,
    ) -> None:
        self.process = IsolatedProcess(replace(info, sharing="shared"), where, options, stage="omni", python=python)
        self._capabilities = replace(CAN, max_sessions=sessions)
        self._deadline = deadline
        self._one = asyncio.Lock()
        self._conversations: dict[str, _Conversation] = {}
        self._begun = 0
        self._over: list[str] = []
        """Sessions whose sounds the process may still have: it is told with the next reply."""
        self._closed = False

    @property
    def info(self) -> EngineInfo:
        """What it is; the device for certain once it is loaded."""
        return replace(self.process.info, device=str(self.process.told.get("device", self.process.info.device)))

    @property
    def capabilities(self) -> BackendCapabilities:
        """What it can do; the voices once it is loaded."""
        return replace(self._capabilities, voices=tuple(self.process.told.get("voices", ())))

    async def load(self) -> None:
        """Starts the process, loads the model and lets it say something. Raises ``EngineMissing`` without its environment,
        ``EngineFailed`` for a folder that is not whole, and ``EngineTimeout``."""
        if self.process.told and self.process.child.alive:
            return
        await self.process.lane.run(self.process.wake, deadline=2 * LOAD_SECONDS + _MARGIN, abandon=self.process.kill)

    async def close(self) -> None:
        """Ends every session, the process and its thread."""
        self._closed = True
        for name in list(self._conversations):
            await self.stop_session(name)
        await asyncio.to_thread(self.process.kill)
        self.process.lane.close()

    async def start_session(self, settings: BackendSettings) -> str:
        """A conversation. Raises ``EngineBusy`` when all places are taken, ``ConfigError`` for a voice it has not or for
        tools, and what ``load`` raises."""
        most = self._capabilities.max_sessions or 1
        if self._closed:
            raise EngineFailed(f"omni: {self.info.model} is closed", stage="omni", hint="start a new session")
        # Taken before anything is awaited: two that come at once must not get one place.
        if sum(one.events.ended is None for one in self._conversations.values()) >= most:
            raise EngineBusy(
                f"omni: {self.info.model} has {most} place{'s' if most > 1 else ''}, and all are taken; it makes one reply "
                "at a time",
                stage="omni",
                model=self.info.model,
                hint="wait until a conversation ends, or set sessions= higher: replies then wait for each other",
            )
        self._begun += 1
        name = f"qwen-omni-{self._begun}"
        conversation = self._conversations[name] = _Conversation(self, name, settings)
        try:
            await self.load()
            demand(self.info.model, self.capabilities, settings)
        except BaseException:
            conversation.events.end("failed")
            del self._conversations[name]
            raise
        self._tidy()
        return name

    async def push_audio(self, session: str, samples: Samples) -> None:
        """Nothing is done with it: the turn comes as sound with its `TurnEnd`."""
        self._of(session)

    async def signal(self, session: str, signal: Signal) -> bool:
        """See the contract. A `TurnEnd` while a reply is made ends that reply."""
        conversation = self._of(session)
        if conversation.events.ended is not None:
            return False
        match signal:
            case TurnEnd(messages=messages) if messages:
                return conversation.answer(signal)
            case Cancel(reply=reply):
                return conversation.cancel(reply)
            case Disregard() | UserTyped():  # what was heard or typed is in no TurnEnd, or will be in one
                return True
        return False

    def event_stream(self, session: str) -> AsyncIterator[BackendEvent]:
        """Everything that comes of the session."""
        return self._of(session).events.stream()

    async def stop_session(self, session: str) -> None:
        """Ends it, and the reply that is being made."""
        conversation = self._of(session)
        if conversation.events.ended is None:
            await conversation.end()
            self._over.append(session)

    # --- for its conversations ----------------------------------------------------------------------------------------

    def pieces(self, conversation: _Conversation, asked: TurnEnd, stop: threading.Event) -> AsyncGenerator[Reply, None]:
        """The pieces of a reply. Closing it stops the model between two tokens."""
        ticket: list[int] = []

        def start() -> Iterator[Reply]:
            self.process.wake()
            child = self.process.child
            while self._over:
                child.request("forget", deadline=_SOUND_SECONDS, session=self._over.pop(), keep=[])
            for op, payload, fields in conversation.news(child.lives, asked.messages):
                if stop.is_set():
                    return
                child.request(op, payload, deadline=_SOUND_SECONDS, **fields)
            ticket.append(child.ticket())  # only now: the child forgets what was cancelled before the calls above
            if not stop.is_set():
                yield from child.stream(
                    "answer", conversation.question(asked.messages), deadline=self._deadline, ticket=ticket[0]
                )

        def abandon() -> None:
            stop.set()
            if ticket:
                self.process.child.cancel(ticket[0])

        items = self.process.lane.stream(start, deadline=2 * LOAD_SECONDS + self._deadline + _MARGIN, abandon=abandon)
        return cast("AsyncGenerator[Reply, None]", items)

    @property
    def one_at_a_time(self) -> asyncio.Lock:
        """Held while a reply is made: whoever waits longest is next."""
        return self._one

    def _of(self, session: str) -> _Conversation:
        if session not in self._conversations:
            raise EngineFailed(f"omni: there is no session {session!r}", stage="omni", hint="start one")
        return self._conversations[session]

    def _tidy(self) -> None:
        """Forgets the oldest sessions that are over."""
        over = [name for name, one in self._conversations.items() if one.events.ended is not None]
        for name in over[:-_REMEMBERED]:
            del self._conversations[name]


class _Conversation:
    """One session: its events, the reply that is being made, and the sounds that the process has of it."""

    def __init__(self, of: QwenOmniBackend, name: str, settings: BackendSettings) -> None:
        self.events = SessionEvents()
        self._of = of
        self._name = name
        self._settings = settings
        self._reply: int | None = None
        self._making: asyncio.Task[None] | None = None
        self._stopping: set[asyncio.Task[None]] = set()
        self._life = 0
        self._known: dict[Sound, int] = {}  # on the lane's thread only
        self._named = 0

    def answer(self, asked: TurnEnd) -> bool:
        if self._reply is not None:
            self.cancel(self._reply)
        self._reply = asked.reply
        self._making = asyncio.create_task(self._make(asked), name=f"qwen-omni-{asked.reply}")
        return True

    def cancel(self, reply: int) -> bool:
        if self._reply != reply or self._making is None:
            return False
        self._reply = None  # from here on nothing more of it is told
        making, self._making = self._making, None
        making.cancel()
        self._stopping.add(making)
        making.add_done_callback(self._stopping.discard)
        self.events.tell(ReplyEnded(reply, "cancelled"))
        return True

    async def end(self) -> None:
        if self._reply is not None:
            self.cancel(self._reply)
        if self._stopping:
            await asyncio.wait(self._stopping)
        self._known = {}
        self.events.end("stopped")

    def news(self, life: int, messages: Sequence[Message]) -> Iterator[tuple[str, bytes, dict[str, Any]]]:
        """The calls that bring the process up to date with the sounds of the conversation. On the lane's thread."""
        if life != self._life:
            self._known, self._life = {}, life
        sounds = [sound for message in messages for sound in message.sounds]
        if any(sound not in sounds for sound in self._known):
            self._known = {sound: number for sound, number in self._known.items() if sound in sounds}
            yield "forget", b"", {"session": self._name, "keep": list(self._known.values())}
        for sound in sounds:
            if sound not in self._known:
                self._named += 1
                samples = np.ascontiguousarray(sound.samples[-LONGEST_SECONDS * HEARD_RATE :], np.float32)
                yield "sound", samples.tobytes(), {"session": self._name, "name": self._named}
                self._known[sound] = self._named  # only when it was taken

    def question(self, messages: Sequence[Message]) -> bytes:
        """The reply that is asked for, as it travels. On the lane's thread, after `news`."""
        told = [
            {"role": one.role, "text": one.content, "sounds": [self._known[sound] for sound in one.sounds]}
            for one in messages
            if one.role != "tool"
        ]
        asked = {
            "session": self._name,
            "messages": told,
            "instructions": self._settings.instructions,
            "voice": self._settings.voice,
        }
        return json.dumps(asked).encode()

    async def _make(self, asked: TurnEnd) -> None:
        reply, stop = asked.reply, threading.Event()

        def tell(event: BackendEvent) -> None:
            if self._reply == reply and not self.events.tell(event):
                stop.set()

        try:
            async with self._of.one_at_a_time, aclosing(self._of.pieces(self, asked, stop)) as pieces:
                async for piece in pieces:
                    self._piece(reply, piece, tell)
                    if stop.is_set():
                        return
        except Exception as error:  # any engine, any fault: it becomes an event that names the stage
            tell(_failure(error, reply))
            tell(ReplyEnded(reply, "failed"))
        else:
            tell(ReplyEnded(reply))
        finally:
            if self._reply == reply:
                self._reply = self._making = None

    def _piece(self, reply: int, piece: Reply, tell: Callable[[BackendEvent], None]) -> None:
        if piece.header.get("what") == "text":
            tell(ReplyText(reply, piece.payload.decode("utf-8", "replace")))
        elif piece.payload:
            tell(ReplyAudio(reply, np.frombuffer(piece.payload, np.float32)))


def _failure(error: Exception, reply: int) -> BackendFailed:
    if isinstance(error, WorkerError):
        return BackendFailed(
            error.code, f"omni: {error.model} failed: {error.said or error.message}", error.hint, reply
        )
    if isinstance(error, LocaraError):
        return BackendFailed(error.code, error.message, error.hint, reply)
    return BackendFailed(
        EngineFailed.code, f"omni: {type(error).__name__}: {error}", "this is a fault of Locara", reply
    )
