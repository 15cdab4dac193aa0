"""One reply being made: the model thinks, clauses are cut as they come, the voice speaks them, tools wait for the commit.

What may live here: the task of one reply. Two coroutines side by side, a bounded queue of clauses between them; cancelling
the task leaves nothing behind but a tool that already acts on the world, which runs to its end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from locara.audio import Resampler, clean, silence
from locara.engines.contracts import LanguageModel, Message, SpeaksLanguage, Tool, ToolCall, Voice
from locara.errors import EngineFailed
from locara.voice import tools as tooling
from locara.voice.brain import Deadlines, Post, failure
from locara.voice.clauses import Clauses
from locara.voice.history import as_json
from locara.voice.ledger import ClauseSpan, with_chunk
from locara.voice.marked import Spoken
from locara.voice.moves import Chunk, ClauseReady, Finished, Sounded, Told, Wanted
from locara.voice.opening import Opening
from locara.voice.pacing import Pace, plan, word_ends
from locara.voice.speakable import Speakable
from locara.voice.streams import each
from locara.voice.thinking import Thinking
from locara.voice.whole_text import WholeText

AHEAD_SECONDS = 8.0
"""Sound that is made ahead of what was played. Enough to never run dry, little to throw away at a barge-in."""

MAX_TOOL_ROUNDS = 8
"""A model that calls tools more often in one reply goes round in circles."""

_CLAUSES_WAITING = 32


@dataclass(frozen=True, slots=True)
class Engines:
    """What a reply is made with."""

    llm: LanguageModel
    tts: Voice
    tools: Sequence[Tool]
    deadlines: Deadlines
    pace: Pace = field(default_factory=Pace)
    """How fast the voice speaks, learned from one reply for the next."""


class Making:
    """The making of reply ``reply``. ``text`` is what is said verbatim, or None to ask the model with ``messages``.
    ``speaks`` False: its text only."""

    def __init__(
        self,
        reply: int,
        engines: Engines,
        post: Post,
        output_rate: int,
        *,
        messages: Sequence[Message] = (),
        text: str | None = None,
        speaks: bool = True,
    ) -> None:
        self.reply = reply
        self._engines = engines
        self._post = post
        self._rate = output_rate
        self._messages = list(messages)
        self._text = text
        self._speaks = speaks
        self._clauses: asyncio.Queue[str | None] = asyncio.Queue(_CLAUSES_WAITING)
        self._results: dict[str, asyncio.Future[Any]] = {}
        self._opening: Opening | None = Opening(engines.tts.rate)
        """Of the first clause, as long as that is spoken."""
        self._made = 0.0
        self._played = 0.0
        self._room = asyncio.Event()
        self._room.set()
        self._trouble: tuple[BaseException, str] | None = None
        self.task = asyncio.create_task(self._run(), name=f"reply-{reply}")

    @property
    def tools(self) -> Sequence[Tool]:
        """What the model may call in this reply."""
        return self._engines.tools

    def played(self, seconds: float) -> None:
        """So much of it was played."""
        self._played = seconds
        self._set_room()

    def tool_result(self, call: ToolCall, result: Any) -> None:
        """The tool that this reply waits for has its result."""
        waiting = self._results.get(call.id)
        if waiting is not None and not waiting.done():
            waiting.set_result(result)

    def _set_room(self) -> None:
        if self._made - self._played < AHEAD_SECONDS:
            self._room.set()
        else:
            self._room.clear()

    async def _run(self) -> None:
        thinking = asyncio.create_task(self._think(), name=f"think-{self.reply}")
        try:
            await self._speak()
        except Exception as error:  # any engine, any fault: it becomes an event that names the stage
            self._trouble = self._trouble or (error, "tts")
        finally:
            thinking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await thinking
        if self._trouble is not None:
            error_, stage = self._trouble
            await self._post(failure(error_, stage, reply=self.reply))
        else:
            await self._post(Finished(self.reply, silent=not self._speaks))

    # --- thinking -----------------------------------------------------------------------------------------------------

    async def _think(self) -> None:
        splitter = Clauses()
        try:
            if self._text is not None:
                await self._told(splitter, self._text)
            else:
                await self._ask(splitter)
        except Exception as error:  # what was thought so far is still said; then the failure is told
            self._trouble = (error, "llm")
        for clause in splitter.flush():
            await self._clauses.put(clause)
        await self._clauses.put(None)

    async def _ask(self, splitter: Clauses) -> None:
        for _ in range(MAX_TOOL_ROUNDS):
            said, calls = await self._round(splitter)
            if not calls:
                return
            self._messages.append(Message("assistant", said, tool_calls=tuple(calls)))
            if said and not said[-1].isspace():
                await self._told(splitter, " ")  # what the model says after its tool is another sentence
            for call in calls:
                result = await self._use(call)
                self._messages.append(Message("tool", as_json(result), tool_call_id=call.id))
        raise EngineFailed(
            f"llm: the model asked for tools {MAX_TOOL_ROUNDS} times in one reply",
            stage="llm",
            hint="look at what the tools answer: the model does not seem to understand it",
        )

    async def _round(self, splitter: Clauses) -> tuple[str, list[ToolCall]]:
        said = ""
        calls: list[ToolCall] = []
        thinking, characters = Thinking(), WholeText()
        deadlines = self._engines.deadlines
        stream = self._engines.llm.reply(tuple(self._messages), self._engines.tools)
        async for item in each(stream, first=deadlines.first_token, then=deadlines.token):
            if isinstance(item, ToolCall):
                calls.append(item)
            else:
                answer = thinking.push(characters.push(item))
                said += answer
                await self._told(splitter, answer, alive=True)
        rest = thinking.push(characters.flush()) + thinking.flush()
        await self._told(splitter, rest)
        return said + rest, calls

    async def _told(self, splitter: Clauses, text: str, *, alive: bool = False) -> None:
        """``alive``: also that there is no text is news, for a model that thinks has not stalled."""
        if not text and not alive:
            return
        await self._post(Told(self.reply, text))
        for clause in splitter.push(text):
            await self._clauses.put(clause)

    async def _use(self, call: ToolCall) -> Any:
        tool = next((one for one in self._engines.tools if one.name == call.name), None)
        if tool is None:
            return tooling.unknown(call.name, self._engines.tools)
        self._results[call.id] = asyncio.get_running_loop().create_future()
        await self._post(Wanted(self.reply, call, tool.side_effects))
        # No deadline here: the wait is for the turn's commit; the tool itself has one, and so has the whole reply.
        return await self._results[call.id]

    # --- speaking -----------------------------------------------------------------------------------------------------

    async def _speak(self) -> None:
        voice = self._engines.tts
        speakable = Speakable(voice.language if isinstance(voice, SpeaksLanguage) else "en")
        start = 0
        unspoken = 0
        while (clause := await self._clauses.get()) is not None:
            end = start + len(clause)
            if not self._speaks:
                continue  # its text was told, and that is all
            spoken = speakable.push(clause)
            if spoken.text.strip():
                await self._post(ClauseReady(self.reply))
                await self._speak_clause(clause, spoken, start, end, opens_at=unspoken)
                unspoken = end
            start = end

    async def _speak_clause(self, clause: str, spoken: Spoken, start: int, end: int, *, opens_at: int) -> None:
        voice, deadlines, pace = self._engines.tts, self._engines.deadlines, self._engines.pace
        resampler = Resampler(voice.rate, self._rate)
        ratio = self._rate / voice.rate
        planned = plan(spoken, clause, start)
        expected = round(pace.seconds(planned.units) * self._rate)
        opens, marked = True, None
        opening, self._opening = self._opening or Opening(voice.rate, most=0.0), None
        waiting: tuple[tuple[int, int], ...] = ()
        script: tuple[ClauseSpan, ...] = ()
        stream = voice.speak(spoken.text)
        async for speech in each(stream, first=deadlines.first_sound, then=deadlines.sound):
            samples = opening.of(clean(speech.samples)[0])
            waiting += word_ends(speech.words, marked, spoken, clause)
            marked = speech.words[-1] if speech.words else marked
            if not samples.size:
                continue  # only the silence before the first sound; its words come with that
            words = tuple((round(max(0, at - opening.dropped) * ratio), start + end) for at, end in waiting)
            sound, waiting = resampler.push(samples), ()
            if opens:
                chunk = Chunk(sound, opens_at, end, words, True, False, clause, planned.shares, expected)
            else:
                chunk = Chunk(sound, opens_at, end, words)
            script = with_chunk(script, chunk)
            await self._sound(chunk)
            opens = False
            await self._room.wait()
        if script:
            pace.learn(planned.units, (script[0].n - script[0].lead - script[0].tail) / self._rate)
        tail = resampler.push(silence(0), last=True)
        await self._sound(Chunk(tail, opens_at, end, (), opens, True, clause if opens else ""))

    async def _sound(self, chunk: Chunk) -> None:
        self._made += chunk.samples.size / self._rate
        self._set_room()
        await self._post(Sounded(self.reply, chunk))
