"""The checks for language models. What may live here: checks, each one promise of `locara.engines.contracts`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any, cast

from locara.engines.contracts import Kind, LanguageModel, Message, ReadsAhead, Tool, ToolCall
from locara.testing.conformance import Check, NotForThis, Specimen, expect, refuses

_SYSTEM = Message("system", "Answer in one sentence.")
_ASKS = (_SYSTEM, Message("user", "what time is it"))
_MOST_ITEMS = 400  # of a reply that are taken: a model with random weights never stops
_LONG = "the kettle is on and the bread is in the oven " * 400


async def _reply(engine: LanguageModel, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> list[Any]:
    items: list[Any] = []
    async with aclosing(cast(Any, engine.reply(messages, tools))) as stream:
        async for item in stream:
            expect(isinstance(item, str | ToolCall), f"a reply gave {type(item).__name__}, neither text nor a call")
            items.append(item)
            if len(items) >= _MOST_ITEMS:
                break
    return items


async def _replies(engine: LanguageModel, specimen: Specimen) -> None:
    expect(bool(await _reply(engine, _ASKS)), "the reply was empty")


async def _streams(engine: LanguageModel, specimen: Specimen) -> None:
    if not engine.info.streaming:
        raise NotForThis("its info says that it does not stream")
    expect(len(await _reply(engine, _ASKS)) > 1, "all of it came in one piece")


async def _takes_any_history(engine: LanguageModel, specimen: Specimen) -> None:
    user, said = Message("user", "hello"), Message("assistant", "Hello, how can I")
    call = ToolCall("1", "clock", {})
    used = (Message("assistant", "", tool_calls=(call,)), Message("tool", '"noon"', tool_call_id="1"))
    for messages in (
        (user,),
        (_SYSTEM, user, user),  # interrupted before anything was heard
        (_SYSTEM, said, user),  # the app spoke first
        (_SYSTEM, user, said, said, user),
        (_SYSTEM, user, *used, user),
        (_SYSTEM, Message("user", "")),
        (_SYSTEM, Message("user", "Grüß Gott 你好 😀 \x00 \ud83d")),
    ):
        await _reply(engine, messages)


async def _takes_tools(engine: LanguageModel, specimen: Specimen) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = Tool("weather", "The weather in a city.", schema, lambda city: city)
    await _reply(engine, (_SYSTEM, Message("user", "what is the weather in Rome")), (tool,))


async def _survives_a_long_prompt(engine: LanguageModel, specimen: Specimen) -> None:
    await refuses(_reply(engine, (_SYSTEM, Message("user", _LONG))))
    expect(bool(await _reply(engine, _ASKS)), "after a long prompt the reply was empty")


async def _stops(engine: LanguageModel, specimen: Specimen) -> None:
    for _ in range(3):
        stream = cast(Any, engine.reply(_ASKS))
        await anext(stream, None)
        await stream.aclose()
    task = asyncio.create_task(_reply(engine, _ASKS))
    await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
    expect(bool(await _reply(engine, _ASKS)), "after being stopped the reply was empty")


async def _reads_ahead(engine: LanguageModel, specimen: Specimen) -> None:
    if not isinstance(engine, ReadsAhead):
        raise NotForThis("it does not read ahead")
    expect(isinstance(await engine.read(_ASKS[:1]), bool), "read gave neither True nor False")
    task = asyncio.create_task(engine.read((_SYSTEM, Message("user", _LONG[:4000]))))
    await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.wait([task])
    expect(bool(await _reply(engine, _ASKS)), "after reading ahead the reply was empty")


CHECKS: Mapping[Kind, dict[str, Check]] = {
    "llm": {
        "replies": _replies,
        "streams": _streams,
        "any history": _takes_any_history,
        "tools": _takes_tools,
        "long prompt": _survives_a_long_prompt,
        "cancel": _stops,
        "reads ahead": _reads_ahead,
    },
}
"""Kind -> name -> check."""
