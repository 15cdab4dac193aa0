"""Reading ahead over HTTP: what the server is sent, when it is not asked, and how a request ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from chat_server import (  # type: ignore[import-not-found]
    Answer,
    ChatServer,
    Request,
    fails,
    models,
    says,
    streams,
)

from locara.engines.automatic import Automatic
from locara.engines.chat_settings import understand
from locara.engines.contracts import Message, ReadsAhead, Tool
from locara.engines.openai_compatible import OpenAICompatible
from locara.engines.responder import create as create_responder
from locara.errors import ConfigError

PROMPT = [Message("system", "Be brief."), Message("user", "what time")]
TOOL = Tool("clock", "The time.", {"type": "object", "properties": {}}, lambda: "noon")


def talk(
    chat: Answer | Callable[[Request], Answer],
    use: Callable[[Any, OpenAICompatible], Coroutine[Any, Any, Any]],
    **options: Any,
) -> Any:
    """Runs ``use(server, engine)`` with both open."""

    async def run() -> Any:
        async with ChatServer(chat, models("test-model")) as server:
            settings = understand(server.url + "#test-model", options)
            assert settings is not None
            engine = OpenAICompatible(settings)
            try:
                return await asyncio.wait_for(use(server, engine), 10)
            finally:
                await engine.close()

    return asyncio.run(run())


def test_the_prompt_that_is_read_is_byte_for_byte_that_of_the_reply() -> None:
    async def use(server: Any, engine: OpenAICompatible) -> None:
        assert await engine.read(PROMPT, (TOOL,)) is True
        assert [piece async for piece in engine.reply(PROMPT, (TOOL,))] == ["It is noon."]
        read, asked = (request.body for request in server.requests)
        assert read.pop("max_tokens") == 1
        assert read == asked

    talk(says("It is noon."), use)


def test_reading_stops_at_the_first_token_also_where_the_server_knows_no_limit() -> None:
    async def use(server: Any, engine: OpenAICompatible) -> None:
        assert await engine.read(PROMPT)
        await asyncio.wait_for(server.left.wait(), 5)

    talk(says("It ", 5.0, "is."), use)


def test_a_cancelled_reading_hangs_up_and_the_reply_that_follows_comes() -> None:
    arrived = asyncio.Event()

    def chat(request: Request) -> Answer:
        arrived.set()
        return says(8.0, "x") if request.body.get("max_tokens") == 1 else says("Noon.")

    async def use(server: Any, engine: OpenAICompatible) -> None:
        reading = asyncio.create_task(engine.read(PROMPT))
        await arrived.wait()
        reading.cancel()
        assert [piece async for piece in engine.reply(PROMPT)] == ["Noon."]
        await asyncio.wait_for(server.left.wait(), 5)
        await asyncio.gather(reading, return_exceptions=True)
        assert reading.cancelled()

    talk(chat, use)


@pytest.mark.parametrize(
    "answer",
    [fails(400, {"error": "no"}), fails(500, b"<html>"), fails(503, {"error": "Loading model"}), streams(cut=True)],
)
def test_a_server_that_cannot_is_no_error(answer: Answer) -> None:
    async def use(_: Any, engine: OpenAICompatible) -> None:
        assert await engine.read(PROMPT) is False

    talk(answer, use)


def test_reading_after_the_end_is_no_error() -> None:
    async def use(_: Any, engine: OpenAICompatible) -> None:
        await engine.close()
        assert await engine.read(PROMPT) is False

    talk(says("x"), use)


@pytest.mark.parametrize(
    ("url", "asked", "reads"),
    [
        ("https://api.example.com/v1#m", None, False),
        ("http://192.168.1.5:8080/v1#m", None, False),
        ("https://api.example.com/v1#m", True, True),
        ("http://127.0.0.1:8080/v1#m", None, True),
        ("http://localhost:8080/v1#m", False, False),
    ],
)
def test_only_a_server_on_this_machine_is_read_ahead_unless_asked(url: str, asked: bool | None, reads: bool) -> None:
    settings = understand(url, {} if asked is None else {"read_ahead": asked})
    assert settings is not None
    assert OpenAICompatible(settings).reads_ahead is reads


def test_what_is_not_to_be_read_ahead_is_not_sent() -> None:
    async def use(server: Any, engine: OpenAICompatible) -> None:
        assert await engine.read(PROMPT) is False
        assert not server.requests

    talk(says("x"), use, read_ahead=False)


def test_the_option_is_checked() -> None:
    with pytest.raises(ConfigError, match="read_ahead"):
        understand("http://127.0.0.1:9/v1", {"read_ahead": "yes"})
    with pytest.raises(ConfigError, match="read_ahaed"):
        understand("http://127.0.0.1:9/v1", {"read_ahaed": True})


def test_what_is_chosen_by_itself_reads_ahead_as_far_as_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(url: str) -> bool:
        monkeypatch.setenv("LOCARA_LLM_URL", url)
        engine = Automatic({})
        assert isinstance(engine, ReadsAhead)
        await engine.load()
        try:
            return await engine.read(PROMPT)
        finally:
            await engine.close()

    async def with_server() -> bool:
        async with ChatServer(says("x"), models("test-model")) as server:
            return await main(server.url)

    async def without() -> bool:
        return await main("")

    assert asyncio.run(with_server()) is True
    monkeypatch.setenv("LOCARA_NO_SERVERS", "1")
    assert asyncio.run(without()) is False
    assert not isinstance(create_responder("built-in", {}), ReadsAhead)


def test_each_request_on_this_machine_has_a_connection_of_its_own() -> None:
    """llama-server drops some connections after a streamed answer; the next request on one then fails."""

    async def use(server: Any, engine: OpenAICompatible) -> None:
        for _ in range(3):
            assert await engine.read(PROMPT)
            assert [piece async for piece in engine.reply(PROMPT)] == ["Noon."]
        assert server.connections == 6

    talk(says("Noon."), use)
