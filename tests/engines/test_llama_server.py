"""The client for OpenAI-compatible servers against a real one: llama.cpp's own server, which comes in the wheel xllamacpp.

It is the server that `locara.engines.llama` keeps closed with a random key; here the key is known. Streaming, cancelling,
tools, the prefix cache, a full context and the detection of sound are those of llama-server itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_gguf import CALL_WORD, LOOP, LOOP_WORD, REPLY, tiny_model  # type: ignore[import-not-found]

from locara.engines import llama, openai_compatible
from locara.engines.contracts import Message, Tool, ToolCall
from locara.errors import EngineFailed

pytest.importorskip("xllamacpp", reason='llama.cpp is not installed: pip install "locara[llama]"')

WEATHER = Tool(
    "get_weather",
    "The weather in a city.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    lambda city: city,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tiny_model(tmp_path_factory.mktemp("server") / "tiny.gguf")
    return path


def talk(
    model: Path, work: Callable[[openai_compatible.OpenAICompatible, llama.Llama], Awaitable[Any]], **options: Any
) -> Any:
    """Runs ``work`` with a client of a server that serves the tiny model."""

    async def run() -> Any:
        served = llama.create("tiny", {"path": str(model), "threads": 1})
        assert isinstance(served, llama.Llama)
        await served.load()
        client = openai_compatible.create(f"{served.side_address}/v1", {"api_key": served._key, **options})
        assert isinstance(client, openai_compatible.OpenAICompatible)
        try:
            await client.load()
            return await work(client, served)
        finally:
            await client.close()
            await served.close()

    return asyncio.run(run())


async def said_by(engine: openai_compatible.OpenAICompatible, text: str, *tools: Tool) -> list[str | ToolCall]:
    return [item async for item in engine.reply([Message("user", text)], tools)]


def test_it_streams_and_calls_tools(model: Path) -> None:
    async def work(client: openai_compatible.OpenAICompatible, _: llama.Llama) -> None:
        assert await said_by(client, "Hello") == list(REPLY)
        (call,) = await said_by(client, f"the {CALL_WORD}", WEATHER)
        assert isinstance(call, ToolCall)
        assert (call.name, dict(call.arguments)) == ("get_weather", {"city": "Paris"})

    talk(model, work)


def test_closing_a_reply_stops_the_server(model: Path) -> None:
    async def work(client: openai_compatible.OpenAICompatible, _: llama.Llama) -> None:
        for _turn in range(5):
            reply = client.reply([Message("user", LOOP_WORD)])
            assert await anext(reply) == LOOP[0]
            await reply.aclose()
            # One slot: it only answers when the one before has stopped.
            assert await asyncio.wait_for(said_by(client, "Hello"), 10) == list(REPLY)

    talk(model, work, max_tokens=1_000_000)


def test_what_is_read_ahead_is_in_the_cache(model: Path) -> None:
    async def work(client: openai_compatible.OpenAICompatible, served: llama.Llama) -> None:
        before = [Message("system", "You are brief. " * 40)]
        assert await client.read([*before, Message("user", "tell me")])
        assert [item async for item in served.reply([*before, Message("user", "tell me all")])] == list(REPLY)
        assert served.timings["cache_n"] > 500
        assert served.timings["prompt_n"] < 40

    talk(model, work)


def test_a_conversation_that_is_too_long_is_told_with_its_reason(model: Path) -> None:
    async def work(client: openai_compatible.OpenAICompatible, _: llama.Llama) -> None:
        with pytest.raises(EngineFailed, match="context size"):
            await said_by(client, "x" * 5000)
        assert await said_by(client, "Hello") == list(REPLY)

    talk(model, work)


def test_its_model_without_a_projector_is_refused_where_it_shall_hear(model: Path) -> None:
    async def work(client: openai_compatible.OpenAICompatible, _: llama.Llama) -> None:
        raise AssertionError("it was taken")

    with pytest.raises(EngineFailed, match="takes no sound"):
        talk(model, work, audio_input=True)


def test_without_the_key_nobody_gets_an_answer(model: Path) -> None:
    async def run() -> None:
        served = llama.create("tiny", {"path": str(model), "threads": 1})
        assert isinstance(served, llama.Llama)
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(served.close)
            await served.load()
            client = openai_compatible.create(f"{served.side_address}/v1#tiny", {"api_key": "guess"})
            assert client is not None
            stack.push_async_callback(client.close)
            with pytest.raises(EngineFailed, match="401"):
                await client.load()

    asyncio.run(run())
