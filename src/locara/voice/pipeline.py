"""The pipeline: a recogniser, a language model and a voice behind the `Brain` seam.

What may live here: which task serves which turn and which reply. The work itself is in `recognising` and `making`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, cast

from locara.audio import Samples
from locara.engines.contracts import BringsTools, Engine, LanguageModel, Message, Recogniser, Tool, ToolCall, Voice
from locara.voice import tools as tooling
from locara.voice.brain import Deadlines, Exactness, Post
from locara.voice.making import Engines, Making
from locara.voice.moves import Happened, ToolRan, Understood, Wish
from locara.voice.pacing import Pace
from locara.voice.reading_ahead import ReadingAhead
from locara.voice.recognising import Recognising


class PipelineBrain:
    """Speech to text, text to text, text to speech."""

    lead: Literal["session"] = "session"
    words = True

    def __init__(
        self,
        stt: Recogniser | None,
        llm: LanguageModel,
        tts: Voice,
        *,
        system: str = "",
        tools: Sequence[Tool] = (),
        deadlines: Deadlines | None = None,
    ) -> None:
        self._stt = stt
        self._system = system
        self._apps_tools = tuple(tools)
        self._engines = Engines(llm, tts, tuple(tools), deadlines or Deadlines())
        self._recognising: dict[int, Recognising] = {}
        self._making: dict[int, Making] = {}
        self._turn_of: dict[int, int] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._reading: ReadingAhead | None = None
        self._history: Callable[[], Sequence[Message]] = tuple
        self._post: Post | None = None
        self._rate = 24_000
        self._speaks = True

    @property
    def engines(self) -> dict[str, Engine]:
        """Stage -> engine."""
        hearing: dict[str, Engine] = {} if self._stt is None else {"stt": self._stt}
        return {**hearing, "llm": self._engines.llm, "tts": self._engines.tts}

    @property
    def capabilities(self) -> dict[str, Exactness]:
        """With word times the heard text is exact, else it is estimated from each clause's length."""
        exact: Exactness = "exact"
        return {
            "partial-transcript": exact if self._stt is not None and self._stt.info.streaming else "absent",
            "final-transcript": exact,
            "llm-token": exact,
            "audio-chunk": exact,
            "turn-end": exact,
            "barge-in": exact if self._engines.tts.info.word_times else "estimated",
            "error": exact,
        }

    @property
    def counts(self) -> Mapping[str, float]:
        """Requests that read the prompt ahead, and the seconds the model spent on them while nobody waited."""
        reading = self._reading
        if reading is None:
            return {"read_ahead": 0.0, "read_ahead_seconds": 0.0}
        return {"read_ahead": float(reading.requests), "read_ahead_seconds": reading.seconds}

    def start(self, post: Post, output_rate: int, history: Callable[[], Sequence[Message]]) -> None:
        """Where news goes, and at what rate sound is made. The engines are loaded now, so their own tools are known."""
        self._post = post
        self._rate = output_rate
        self._history = history
        self._begin_reading()

    def _begin_reading(self) -> None:
        """With the model that there is now, and its own tools beside the app's."""
        llm = self._engines.llm
        own = tuple(llm.tools) if isinstance(llm, BringsTools) else ()
        self._engines = replace(self._engines, tools=(*own, *self._apps_tools))
        deadline = self._engines.deadlines.first_token
        self._reading = ReadingAhead(llm, self._engines.tools, self._system, self._history, deadline=deadline)
        if self._system or self._engines.tools:
            self._reading.begins()  # the first turn then finds at least this much read

    def exchange(self, new: Mapping[str, Engine], system: str | None = None) -> tuple[asyncio.Task[Any], ...]:
        """See `Exchanges`. What was read ahead into the old model is read into the new one."""
        left: set[asyncio.Task[Any]] = set(self._running)
        before = self._reading
        self._stt = cast(Recogniser, new.get("stt", self._stt))
        llm, tts = new.get("llm", self._engines.llm), new.get("tts", self._engines.tts)
        pace = Pace() if "tts" in new else self._engines.pace  # how fast it speaks was learned of the old voice
        self._engines = replace(self._engines, llm=cast(LanguageModel, llm), tts=cast(Voice, tts), pace=pace)
        if before is not None and ("llm" in new or system is not None):
            self._system = self._system if system is None else system
            left.add(asyncio.create_task(before.close(), name="read-ahead-close"))
            self._begin_reading()
            assert self._reading is not None
            self._reading.requests, self._reading.seconds = before.requests, before.seconds
        return tuple(left)

    def adjust(self, wish: Wish) -> None:
        """See `Adjusts`. What was read ahead is read again where it has changed."""
        self._speaks = self._speaks if wish.speaks is None else wish.speaks
        if wish.system is None and wish.tools is None:
            return
        self._system = self._system if wish.system is None else wish.system
        self._apps_tools = self._apps_tools if wish.tools is None else wish.tools
        before = self._reading
        if before is not None:
            self._keep(asyncio.create_task(before.close(), name="read-ahead-close"))
            self._begin_reading()
            assert self._reading is not None
            self._reading.requests, self._reading.seconds = before.requests, before.seconds

    # --- hearing ------------------------------------------------------------------------------------------------------

    def listen(self, turn: int, at: int, samples: Samples) -> None:
        """Begins, or goes on, recognising this turn."""
        assert self._stt is not None
        if turn not in self._recognising:
            self._recognising[turn] = Recognising(turn, self._stt, self._overhear, self._engines.deadlines)
            self._keep(self._recognising[turn].task)
            self._read_ahead()
        self._recognising[turn].push(at, samples)

    def _read_ahead(self, text: str | None = None) -> None:
        """Not while a reply is made or heard: it would be slowed, and the history is not yet what the next prompt has."""
        if self._reading is None or self._making:
            return
        if text is None:
            self._reading.begins()
        else:
            self._reading.heard(text)

    async def _overhear(self, news: Happened) -> None:
        """What the recogniser tells passes here on its way to the inbox. A settled text is answered, not read ahead."""
        if isinstance(news, Understood) and not news.settled:
            self._read_ahead(news.text)
        assert self._post is not None
        await self._post(news)

    def hear(self, turn: int, at: int, samples: Samples) -> None:
        """The next block of this turn."""
        if turn in self._recognising:
            self._recognising[turn].push(at, samples)

    def settle(self, turn: int, revision: int) -> None:
        """Asks for the settled text."""
        if turn in self._recognising:
            self._recognising[turn].settle(revision)

    def forget(self, turn: int) -> None:
        """Ends the recognition of this turn."""
        recognising = self._recognising.pop(turn, None)
        if recognising is not None:
            recognising.finish()

    # --- answering ----------------------------------------------------------------------------------------------------

    def prepare(
        self,
        reply: int,
        turn: int,
        history: Sequence[Message],
        text: str,
        *,
        verbatim: bool,
        wish: Wish | None = None,
    ) -> None:
        """Starts making a reply."""
        assert self._post is not None
        self._turn_of[reply] = turn
        if verbatim:
            making = Making(reply, self._engines, self._post, self._rate, text=text)
        else:
            if self._reading is not None:
                self._reading.asked(text)
            asked = () if wish is not None else (self._asked(turn, text),)
            making = self._made(reply, (*history, *asked), wish or Wish())
        self._making[reply] = making
        self._keep(making.task)

    def _made(self, reply: int, messages: Sequence[Message], wish: Wish) -> Making:
        """A reply of the model, made as the app wishes, or as the session's replies are."""
        assert self._post is not None
        system = self._system if wish.system is None else wish.system
        engines = self._engines
        if wish.tools is not None:
            own = tuple(one for one in engines.tools if one not in self._apps_tools)
            engines = replace(engines, tools=(*own, *wish.tools))
        told = [Message("system", system)] if system else []
        asked = messages if wish.messages is None else wish.messages
        speaks = self._speaks if wish.speaks is None else wish.speaks
        return Making(reply, engines, self._post, self._rate, messages=[*told, *asked], speaks=speaks)

    def _asked(self, turn: int, text: str) -> Message:
        """What the user said in this turn, for the model."""
        return Message("user", text)

    def commit(self, reply: int) -> None:
        """Nothing to do: the turn machine lets tools run by itself."""

    def played(self, reply: int, seconds: float) -> None:
        """Makes room for more sound."""
        if reply in self._making:
            self._making[reply].played(seconds)

    def discard(self, reply: int) -> None:
        """Cancels the making of this reply."""
        making = self._making.pop(reply, None)
        self._turn_of.pop(reply, None)
        if making is not None:
            making.task.cancel()
            if self._recognising:
                self._read_ahead()  # the user interrupted: the history has just changed

    def run_tool(self, reply: int, call: ToolCall) -> None:
        """Runs a tool to its end, even if its reply ends before."""
        self._keep(
            asyncio.create_task(self._run_tool(reply, self._turn_of.get(reply, 0), call), name=f"tool-{call.name}")
        )

    async def _run_tool(self, reply: int, turn: int, call: ToolCall) -> None:
        making = self._making.get(reply)
        tools = self._engines.tools if making is None else making.tools
        tool = next(one for one in tools if one.name == call.name)
        result: Any = await tooling.run(tool, call.arguments, self._engines.deadlines.tool)
        assert self._post is not None
        await self._post(ToolRan(reply, turn, call, result))
        making = self._making.get(reply)
        if making is not None:
            making.tool_result(call, result)

    # --- ending -------------------------------------------------------------------------------------------------------

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Ends every task and waits for it."""
        if self._reading is not None:
            await self._reading.close()
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self._engines.deadlines.close)
        self._recognising.clear()
        self._making.clear()
