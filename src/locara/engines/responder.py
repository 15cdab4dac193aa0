"""The built-in responder: stands where a language model would, needs no download, and says what it is.

What may live here: the engine around the pure files ``responder_*``: messages in, words and tool calls out, and the
announcements of timers. What changes something is never done in ``reply``, which may be called for a turn that is still
being decided: it is a `ToolCall`, and the session runs the tool once the turn is committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from locara.engines.contracts import EngineInfo, LanguageModel, Message, Tool, ToolCall
from locara.engines.responder_answers import Do, State, answer, report
from locara.engines.responder_timers import Keeping
from locara.errors import ConfigError, EngineFailed, LocaraError, SessionError

MODELS = ("built-in",)
OPTIONS = ("now", "system")
"""What ``create`` takes."""
_PIECE = re.compile(r"\S+\s*")
_MOST_CHARACTERS = 2000  # of a sentence that is looked at; more is pasted text, not a wish
_WARM_UP = ("what time is it", "one time is at")  # the second fits no phrase by letter: the slow way is warmed, too


def create(model: str, options: Mapping[str, Any]) -> LanguageModel | None:
    """The responder for ``"built-in"``, None for any other model.

    ``options``: ``now``, a callable giving the date and time to tell (an aware ``datetime``); ``system`` is accepted and
    has no effect, there is nobody to instruct. Raises ``ConfigError`` for others.
    """
    if model not in MODELS:
        return None
    for name in options:
        if name not in (*OPTIONS, "engine"):
            raise ConfigError(
                f"llm: the built-in responder has no option {name!r}",
                hint=f"remove it, or choose a language model that has it; it knows {' and '.join(OPTIONS)}",
            )
    now = options.get("now", _wall_clock)
    if not callable(now):
        raise ConfigError("llm: option 'now' must be callable", hint="pass a function that returns a datetime")
    return Responder(now)


def _wall_clock() -> datetime:
    return datetime.now().astimezone()


class Responder:
    """A `LanguageModel` that also `BringsTools` and `Announces`. One instance serves one session."""

    def __init__(self, now: Callable[[], datetime] = _wall_clock) -> None:
        self._now = now
        self._calls = itertools.count(1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()
        self._closed = False
        self._keeping = Keeping(self._time, self._wake)
        self._tools = _tools(self._keeping)

    @property
    def info(self) -> EngineInfo:
        """What it is, and that it is no language model."""
        return EngineInfo(
            engine="built-in",
            model="built-in",
            licence="Apache-2.0",
            note="no language model: fixed skills (time, sums, units, timers, memory), English only",
            sharing="own",  # its timers and its memory are of one conversation
        )

    @property
    def tools(self) -> Sequence[Tool]:
        """What it does to the world: ``set_timer``, ``cancel_timer``, ``remember``."""
        return self._tools

    async def load(self) -> None:
        """Binds to the running loop, whose time the timers keep, and answers two questions to itself."""
        if self._closed:
            raise SessionError("llm: the built-in responder is closed", hint="start a new session")
        self._loop = asyncio.get_running_loop()
        try:
            for question in _WARM_UP:
                async for _ in self.reply([Message("user", question)]):
                    pass
        except LocaraError:
            raise
        except Exception as error:  # the app's own ``now`` may raise anything
            raise EngineFailed(
                f"llm: the built-in responder failed its first reply: {error}",
                stage="llm",
                model="built-in",
                hint="check the option 'now': it must return a datetime",
            ) from error

    async def close(self) -> None:
        """Ends `announcements`; timers and memory are gone. May be called twice."""
        self._closed = True
        self._woken.set()

    async def reply(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> AsyncIterator[str | ToolCall]:
        """The reply, word by word, or one call of an own tool; after its result, the sentence that tells of it.

        ``tools`` of the app are not called: that takes a language model. Changes nothing, so it may be called for a turn
        that is never committed. Raises ``SessionError`` before ``load`` and after ``close``.
        """
        if self._closed or self._loop is None:
            when = "closed" if self._closed else "not loaded"
            raise SessionError(f"llm: the built-in responder is {when}", hint="use it between load() and close()")
        results = _results(messages)
        if results:
            text = " ".join(report(tool, result) for tool, result in results)
        else:
            reply = answer(_last_said(messages), self._state(messages))
            if isinstance(reply, Do):
                yield ToolCall(f"built-in-{next(self._calls)}", reply.tool, dict(reply.arguments))
                return
            text = reply.text
        for piece in _PIECE.findall(text):
            yield piece

    async def announcements(self) -> AsyncIterator[str]:
        """What a timer says when it rings, at its time on the loop's clock. Ends with `close`.

        Waits without a deadline while no timer runs: it is woken by a new one, and by `close`.
        """
        while not self._closed:
            self._woken.clear()
            timer = self._keeping.take_due()
            if timer is not None:
                yield timer.ring
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._keeping.next_due()):
                    await self._woken.wait()

    def _state(self, messages: Sequence[Message]) -> State:
        replies = tuple(one.content for one in messages if one.role == "assistant" and one.content.strip())
        return State(self._now(), self._keeping.timers(), self._keeping.facts, replies)

    def _time(self) -> float:
        if self._closed or self._loop is None:
            raise SessionError("llm: timers run between load() and close()", hint="start the session first")
        return self._loop.time()

    def _wake(self) -> None:
        """Wakes `announcements` to look at the timers again; a tool may run on another thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)


def _last_said(messages: Sequence[Message]) -> str:
    return next((one.content for one in reversed(messages) if one.role == "user"), "")[:_MOST_CHARACTERS]


def _results(messages: Sequence[Message]) -> list[tuple[str, Any]]:
    """The tools that ran since the user spoke, each with its decoded result, where the conversation ends with them."""
    count = 0
    while count < len(messages) and messages[-1 - count].role == "tool":
        count += 1
    if not count or count == len(messages):
        return []
    names = {call.id: call.name for call in messages[-1 - count].tool_calls}
    ran = []
    for message in messages[-count:]:
        try:
            result = json.loads(message.content)
        except ValueError:
            result = None
        ran.append((names.get(message.tool_call_id, next(iter(names.values()), "")), result))
    return ran


def _tools(keeping: Keeping) -> tuple[Tool, ...]:
    def schema(properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
        return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}

    seconds = {"type": "integer", "minimum": 1, "maximum": 86400}
    ids = {"type": "array", "items": {"type": "integer"}, "maxItems": 20}
    return (
        Tool(
            "set_timer",
            "Starts a timer that is announced when it is done.",
            schema({"seconds": seconds, "name": {"type": "string"}}, "seconds"),
            keeping.set_timer,
            inline=True,
        ),
        Tool("cancel_timer", "Stops running timers.", schema({"ids": ids}, "ids"), keeping.cancel_timer, inline=True),
        Tool(
            "remember",
            "Keeps a fact until the session ends.",
            schema({"text": {"type": "string", "maxLength": 300}}, "text"),
            keeping.remember,
            inline=True,
        ),
    )
