"""Messages in, text out; tools run in between.

What may live here: one exchange with a language model outside a session.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from locara.engines.contracts import BringsTools, EngineInfo, LanguageModel, Message, Tool, ToolCall
from locara.errors import ConfigError, EngineFailed, EngineTimeout
from locara.voice import tools as tooling
from locara.voice.alone import alone
from locara.voice.brain import Deadlines
from locara.voice.building import Stage
from locara.voice.history import as_json
from locara.voice.making import MAX_TOOL_ROUNDS
from locara.voice.streams import each
from locara.voice.thinking import Thinking

Said = str | Sequence[Message | tuple[str, str]]
"""What the user asks, or a conversation: ``Message`` values or pairs ``(role, content)``, the last one by the user."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The whole reply. ``tools``: the calls that were made for it, in order. ``engine``: what replied."""

    text: str
    tools: tuple[ToolCall, ...]
    engine: EngineInfo


class Chatter:
    """A loaded language model; see `chatter`."""

    def __init__(self, model: LanguageModel, deadlines: Deadlines) -> None:
        self._model = model
        self._deadlines = deadlines

    @property
    def engine(self) -> EngineInfo:
        """What replies."""
        return self._model.info

    async def chat(self, messages: Said, *, system: str = "", tools: Sequence[Callable[..., Any] | Tool] = ()) -> Reply:
        """The whole reply. See `chat_stream`."""
        calls: list[ToolCall] = []
        async with aclosing(self._pieces(messages, system, tools, calls)) as pieces:
            text = "".join([piece async for piece in pieces])
        return Reply(text, tuple(calls), self.engine)

    async def chat_stream(
        self, messages: Said, *, system: str = "", tools: Sequence[Callable[..., Any] | Tool] = ()
    ) -> AsyncGenerator[str]:
        """The reply piece by piece. ``tools``: plain callables with type hints; they run when the model calls them.
        Closing it stops the model. Raises ``ConfigError`` and ``StageError``."""
        async with aclosing(self._pieces(messages, system, tools, [])) as pieces:
            async for piece in pieces:
                yield piece

    async def _pieces(
        self, said: Said, system: str, tools: Sequence[Callable[..., Any] | Tool], calls: list[ToolCall]
    ) -> AsyncGenerator[str]:
        messages = _messages(said, system)
        usable = [tooling.as_tool(one) for one in tools]
        if isinstance(self._model, BringsTools):
            usable = [*self._model.tools, *usable]
        for _ in range(MAX_TOOL_ROUNDS):
            asked: list[ToolCall] = []
            text = ""
            async with aclosing(self._round(messages, usable, asked)) as pieces:
                async for piece in pieces:
                    text += piece
                    yield piece
            if not asked:
                return
            calls += asked
            messages.append(Message("assistant", text, tool_calls=tuple(asked)))
            for call in asked:
                messages.append(Message("tool", as_json(await self._run(usable, call)), tool_call_id=call.id))
        raise EngineFailed(
            f"llm: the model asked for tools {MAX_TOOL_ROUNDS} times in one reply",
            stage="llm",
            model=self.engine.model,
            hint="look at what the tools answer: the model does not seem to understand it",
        )

    async def _round(
        self, messages: Sequence[Message], tools: Sequence[Tool], asked: list[ToolCall]
    ) -> AsyncGenerator[str]:
        thinking = Thinking()
        limits = self._deadlines
        stream = each(self._model.reply(tuple(messages), tools), first=limits.first_token, then=limits.token)
        try:
            async with aclosing(cast(Any, stream)) as items:
                async for item in items:
                    if isinstance(item, ToolCall):
                        asked.append(item)
                    elif answer := thinking.push(item):
                        yield answer
        except TimeoutError:
            raise EngineTimeout(
                f"llm: {self.engine.model} gave no token in time",
                stage="llm",
                model=self.engine.model,
                hint="it is too slow for this machine or it hangs; choose a smaller model",
            ) from None
        if rest := thinking.flush():
            yield rest

    async def _run(self, tools: Sequence[Tool], call: ToolCall) -> Any:
        tool = next((one for one in tools if one.name == call.name), None)
        if tool is None:
            return tooling.unknown(call.name, tools)
        return await tooling.run(tool, call.arguments, self._deadlines.tool)


def _messages(said: Said, system: str) -> list[Message]:
    first = [Message("system", system)] if system else []
    if isinstance(said, str):
        return [*first, Message("user", said)]
    found = [one if isinstance(one, Message) else _message(one) for one in said]
    if not found:
        raise ConfigError("there are no messages", hint='pass a text, or [("user", "...")]')
    return [*first, *found]


def _message(pair: tuple[str, str]) -> Message:
    role, content = pair
    if role not in ("system", "user", "assistant", "tool"):
        raise ConfigError(f"a message by {role!r}", hint='use "system", "user", "assistant" or "tool"')
    return Message(cast(Any, role), content)


@asynccontextmanager
async def chatter(*, llm: Stage = None, deadlines: Deadlines | None = None) -> AsyncIterator[Chatter]:
    """A model that stays loaded for several exchanges. ``llm``: as for `locara.voice.session`.

    Raises ``ConfigError``, ``EngineMissing`` and ``StageError``.
    """
    deadlines = deadlines or Deadlines()
    async with alone({"llm": llm}, deadlines) as engines:
        yield Chatter(cast(LanguageModel, engines["llm"]), deadlines)


async def chat(
    messages: Said, *, llm: Stage = None, system: str = "", tools: Sequence[Callable[..., Any] | Tool] = ()
) -> Reply:
    """The whole reply to ``messages``: a text, or a conversation. See `Chatter.chat_stream`."""
    async with chatter(llm=llm) as one:
        return await one.chat(messages, system=system, tools=tools)


async def chat_stream(
    messages: Said, *, llm: Stage = None, system: str = "", tools: Sequence[Callable[..., Any] | Tool] = ()
) -> AsyncGenerator[str]:
    """The reply piece by piece. See `Chatter.chat_stream`."""
    async with chatter(llm=llm) as one, aclosing(one.chat_stream(messages, system=system, tools=tools)) as pieces:
        async for piece in pieces:
            yield piece
