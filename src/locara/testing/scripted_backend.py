"""A scripted model that hears and speaks: it keeps the contract of `VoiceBackend`, and knows what it will answer.

What may live here: this one engine, for conversations in virtual time. It proves what a session does, never that an engine
works.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from locara.audio import Samples, silence
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
    ToolResult,
    ToolWanted,
    TurnEnd,
    UserText,
    UserTyped,
)
from locara.engines.backend_events import SessionEvents
from locara.engines.backend_settings import demand
from locara.engines.contracts import ToolCall
from locara.errors import EngineBusy, EngineFailed
from locara.testing.scripted import Fault, _Faulty, _info, tone

CHARACTERS_PER_SECOND = 15.0
WORD_SECONDS = 0.02
"""In which a word is made, however long it sounds."""

CAN = BackendCapabilities(
    duplex="half",
    turn_owner="locara",
    input_rate=16_000,
    output_rate=24_000,
    cancels=True,
    truncates=True,
    takes_text=True,
    tools=True,
    instructions="start",
    voices=("low", "high"),
    max_sessions=None,
)
"""What it can do, unless it is told otherwise."""


class ScriptedBackend:
    """Gives ``replies`` in order (the last again and again) in each session, or what ``replies`` computes from the sound of
    the turn, ``delay`` seconds after it is asked; a reply may be a list of pieces of text and tool calls. ``understands``:
    what it says the user said, turn by turn."""

    def __init__(
        self,
        replies: Sequence[str | Sequence[str | ToolCall]] | Callable[[Samples], str] = ("I see.",),
        *,
        delay: float = 0.2,
        rate: int = 24_000,
        understands: Sequence[str] = (),
        capabilities: BackendCapabilities | None = None,
        fault: Fault | None = None,
    ) -> None:
        self.info = replace(_info("speech model"), sharing="shared")
        can = capabilities or replace(CAN, user_text="final" if understands else "none")
        self.capabilities = replace(can, output_rate=rate)
        self.heard = 0
        """Samples it was given, in all sessions."""
        self.begun: list[BackendSettings] = []
        """The settings of every session that was begun."""
        self.told: list[Signal] = []
        """Every signal, in order."""
        self.turns: list[Samples] = []
        """The sound of every turn that was answered, again if it was answered again."""
        self._replies = replies
        self.understands = tuple(understands)
        self.delay = delay
        self.faulty = _Faulty(fault)
        self._sessions: dict[str, _Conversation] = {}

    async def load(self) -> None:
        """Ready at once."""
        await self.faulty.pass_through("load")

    async def close(self) -> None:
        """Ends every session."""
        for name in list(self._sessions):
            await self.stop_session(name)

    async def start_session(self, settings: BackendSettings) -> str:
        """A conversation that begins with the first reply."""
        demand(self.info.model, self.capabilities, settings)
        await self.faulty.pass_through("start_session")
        most = self.capabilities.max_sessions
        if most is not None and sum(one.events.ended is None for one in self._sessions.values()) >= most:
            raise EngineBusy(f"omni: all {most} sessions are taken", stage="omni", hint="try again later")
        name = f"session-{len(self.begun)}"
        self.begun.append(settings)
        self._sessions[name] = _Conversation(self)
        return name

    async def push_audio(self, session: str, samples: Samples) -> None:
        """Counts, and keeps it for the turn."""
        await self.faulty.pass_through("push_audio")
        self._of(session).push(samples)

    async def signal(self, session: str, signal: Signal) -> bool:
        """Answers a turn, stops a reply, takes a tool's result."""
        await self.faulty.pass_through("signal")
        self.told.append(signal)
        return await self._of(session).signal(signal)

    def event_stream(self, session: str) -> AsyncIterator[BackendEvent]:
        """Everything that comes of the session."""
        return self._of(session).events.stream()

    async def stop_session(self, session: str) -> None:
        """Ends it."""
        await self._of(session).end("stopped")

    async def drop(self, reason: Literal["limit", "closed", "failed"] = "closed") -> None:
        """Ends every session, as a server that goes away does."""
        for one in self._sessions.values():
            await one.end(reason)

    def reply(self, number: int, sound: Samples) -> Sequence[str | ToolCall]:
        """The pieces of the reply to the turn ``number`` of a session, which sounded so."""
        if callable(self._replies):
            return (self._replies(sound),)
        reply = self._replies[min(number, len(self._replies) - 1)]
        return (reply,) if isinstance(reply, str) else tuple(reply)

    def _of(self, session: str) -> _Conversation:
        if session not in self._sessions:
            raise EngineFailed(f"omni: there is no session {session!r}", stage="omni", hint="start one")
        return self._sessions[session]


class _Conversation:
    """One session: what is heard since the last turn, and the reply that is being made."""

    def __init__(self, of: ScriptedBackend) -> None:
        self.events = SessionEvents()
        self._of = of
        self._pending: list[Samples] = []
        self._asked: TurnEnd | None = None
        self._answered: list[Samples] = []
        self._given = 0
        self._making: asyncio.Task[None] | None = None
        self._results: dict[str, asyncio.Future[str]] = {}

    def push(self, samples: Samples) -> None:
        if self.events.ended is None and samples.size:
            self._of.heard += samples.size
            self._pending.append(samples)

    async def signal(self, signal: Signal) -> bool:
        if self.events.ended is not None:
            return False
        match signal:
            case TurnEnd():
                return await self._answer(signal)
            case Cancel(reply=reply, revoke=revoke):
                return await self._cancel(reply, revoke=revoke)
            case Disregard():
                self._pending = []
            case UserTyped():
                return self._of.capabilities.takes_text
            case ToolResult(call=call, content=content):
                waiting = self._results.pop(call.id, None)
                if waiting is None or waiting.done():
                    return False
                waiting.set_result(content)
        return True

    async def _answer(self, asked: TurnEnd) -> bool:
        if self._asked is not None and self._making is not None and not self._making.done():
            await self._cancel(self._asked.reply, revoke=False)
        sound = self._answered = self._pending
        self._pending, self._asked = [], asked
        self._of.turns.append(np.concatenate(sound) if sound else silence(0))
        pieces = self._of.reply(self._given, self._of.turns[-1])
        if understands := self._of.understands[self._given : self._given + 1]:
            self.events.tell(UserText(understands[0], final=True))
        self._given += 1
        self._making = asyncio.create_task(self._make(asked.reply, pieces), name="scripted-reply")
        return True

    async def _cancel(self, reply: int, *, revoke: bool) -> bool:
        if self._asked is None or self._asked.reply != reply:
            return False
        making = self._making
        running = making is not None and not making.done()
        if making is not None and running:
            making.cancel()
            await asyncio.wait([making])
            self.events.tell(ReplyEnded(reply, "cancelled"))
        if revoke:
            self._pending = [*self._answered, *self._pending]
            self._given -= 1
            self._asked = None
        return running or revoke

    async def _make(self, reply: int, pieces: Sequence[str | ToolCall]) -> None:
        try:
            await self._of.faulty.pass_through("answer")
            await asyncio.sleep(self._of.delay)
            for piece in pieces:
                if isinstance(piece, ToolCall):
                    result = self._results[piece.id] = asyncio.get_running_loop().create_future()
                    self.events.tell(ToolWanted(reply, piece))
                    await result
                else:
                    await self._say(reply, piece)
        except RuntimeError as error:
            self.events.tell(BackendFailed(EngineFailed.code, f"omni: {error}", reply=reply))
            self.events.tell(ReplyEnded(reply, "failed"))
        else:
            self.events.tell(ReplyEnded(reply))

    async def _say(self, reply: int, text: str) -> None:
        for number, word in enumerate(text.split(" ")):
            said = word if number == 0 else " " + word
            await asyncio.sleep(WORD_SECONDS)
            self.events.tell(ReplyText(reply, said))
            sound = tone(len(said) / CHARACTERS_PER_SECOND, self._of.capabilities.output_rate)
            self.events.tell(ReplyAudio(reply, sound))

    async def end(self, reason: Literal["stopped", "limit", "closed", "failed"]) -> None:
        if self._making is not None:
            self._making.cancel()
            await asyncio.wait([self._making])
        self.events.end(reason)
