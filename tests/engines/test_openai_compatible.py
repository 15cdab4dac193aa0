"""The client for OpenAI-compatible servers, against a real server on loopback."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

import pytest
from chat_server import (  # type: ignore[import-not-found]
    Answer,
    ChatServer,
    Request,
    closed_port,
    event,
    fails,
    models,
    says,
    streams,
)

from locara.engines.chat_settings import understand
from locara.engines.contracts import Message, Tool, ToolCall
from locara.engines.openai_compatible import OpenAICompatible, create
from locara.errors import EngineFailed, EngineTimeout, LocaraError, SessionError

HELLO = [Message("user", "Hello")]


def talk(
    chat: Answer | Callable[[Request], Answer],
    use: Callable[[Any, OpenAICompatible], Coroutine[Any, Any, Any]],
    listed: Answer | None = None,
    **options: Any,
) -> Any:
    """Runs ``use(server, engine)`` with both open, and checks that nothing is left running."""

    async def run() -> Any:
        async with ChatServer(chat, listed) as server:
            engine = create(options.pop("name", server.url + "#test-model"), {"url": server.url, **options})
            assert isinstance(engine, OpenAICompatible)
            try:
                return await asyncio.wait_for(use(server, engine), 10)
            finally:
                await engine.close()
                await engine.close()

    return asyncio.run(run())


async def collect(engine: OpenAICompatible, messages: list[Message] = HELLO, tools: tuple[Tool, ...] = ()) -> list[Any]:
    return [piece async for piece in engine.reply(messages, tools)]


def answers(chat: Answer, **options: Any) -> list[Any]:
    async def use(_: Any, engine: OpenAICompatible) -> list[Any]:
        return await collect(engine)

    pieces: list[Any] = talk(chat, use, **options)
    return pieces


def error_of(chat: Answer, listed: Answer | None = None, **options: Any) -> LocaraError:
    async def use(_: Any, engine: OpenAICompatible) -> LocaraError:
        with pytest.raises((EngineFailed, EngineTimeout)) as caught:
            await collect(engine)
        assert caught.value.stage == "llm"
        assert caught.value.hint
        return caught.value

    error: LocaraError = talk(chat, use, listed, **options)
    return error


# --- names and options ------------------------------------------------------------------------------------------------


def test_a_name_that_is_no_address_is_left_to_other_engines() -> None:
    assert create("qwen2.5-3b-instruct-q4", {}) is None
    assert create("", {"temperature": 1}) is None


def test_keys_and_passwords_are_not_shown() -> None:
    settings = understand("http://me:secret@h/v1", {"api_key": "sk-hidden"})
    assert settings is not None
    engine = OpenAICompatible(settings)
    assert "hidden" not in repr(settings)
    assert "secret" not in repr(engine.info)
    assert "leaves this machine" in engine.info.note


# --- replies ----------------------------------------------------------------------------------------------------------


def test_pieces_come_as_they_are_made_not_at_the_end() -> None:
    had_the_first = asyncio.Event()

    async def use(_: Any, engine: OpenAICompatible) -> None:
        pieces = engine.reply(HELLO)
        assert await anext(pieces) == "Hel"
        had_the_first.set()
        assert [piece async for piece in pieces] == ["lo"]

    talk(says("Hel", had_the_first, "lo"), use)


def test_the_request_says_what_the_conversation_was() -> None:
    tool = Tool("add", "Adds.", {"type": "object"}, run=int)
    messages = [
        Message("system", "Be brief."),
        Message("user", "Add them."),
        Message("assistant", "", (ToolCall("c1", "add", {"a": "ä"}),)),
        Message("tool", "3", tool_call_id="c1"),
    ]

    async def use(server: Any, engine: OpenAICompatible) -> Request:
        await collect(engine, messages, (tool,))
        request: Request = server.requests[0]
        return request

    request = talk(says("ok"), use, api_key="sk-1", temperature=0, max_tokens=9)
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer sk-1"
    body = request.body
    assert (body["model"], body["stream"], body["temperature"], body["max_tokens"]) == ("test-model", True, 0, 9)
    assert [one["role"] for one in body["messages"]] == ["system", "user", "assistant", "tool"]
    call = body["messages"][2]["tool_calls"][0]
    assert (call["id"], call["type"], call["function"]["name"]) == ("c1", "function", "add")
    assert json.loads(call["function"]["arguments"]) == {"a": "ä"}
    assert body["messages"][3]["tool_call_id"] == "c1"
    assert body["tools"][0]["function"] == {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}


def test_noise_between_events_is_passed_over() -> None:
    body = b": ping\r\n\r\nevent: x\r\nid: 1\r\nretry: 5\r\n" + event({"content": "Gr\u00fc\u00df"}) + b":\n\n"
    body += event({"reasoning_content": "hm"}) + event({"content": "e", "reasoning": None})
    body += b'data: {"choices": [], "usage": {"total_tokens": 3}}\n\n' + event({}, "stop") + b"data: [DONE]\n\n"
    single = streams(*(body[i : i + 1] for i in range(len(body))))
    assert "".join(answers(streams(body))) == "".join(answers(single)) == "Grüße"


def test_tool_calls_are_joined_from_fragments() -> None:
    def part(index: int, arguments: str, **more: Any) -> bytes:
        name = {"name": more.pop("name")} if "name" in more else {}
        sent: bytes = event({"tool_calls": [{"index": index, **more, "function": {"arguments": arguments, **name}}]})
        return sent

    chat = streams(
        event({"content": "Let me see."}),
        part(0, "", id="a", name="weather"),
        part(0, '{"city": "Par'),
        part(1, "", id="b", name="clock"),
        part(0, 'is"}'),
        event({}, "tool_calls"),
    )
    assert answers(chat) == ["Let me see.", ToolCall("a", "weather", {"city": "Paris"}), ToolCall("b", "clock", {})]


@pytest.mark.parametrize("arguments", ['{"a": ', "[1]", "x"])
def test_tool_arguments_that_cannot_be_read_are_an_error(arguments: str) -> None:
    calls = [{"index": 0, "id": "a", "function": {"name": "add", "arguments": arguments}}]
    error = error_of(streams(event({"tool_calls": calls}, "tool_calls")))
    assert "'add'" in error.message


def test_a_server_that_does_not_stream_is_understood() -> None:
    whole = {"choices": [{"message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}]}
    assert answers(fails(200, whole)) == ["Hi."]


def test_a_finished_reply_does_not_wait_for_a_connection_left_open() -> None:
    began = time.perf_counter()
    assert answers(streams(event({"content": "Hi"}), event({}, "stop"), 60.0)) == ["Hi"]
    assert time.perf_counter() - began < 9.0


def test_time_the_listener_takes_is_not_held_against_the_server() -> None:
    async def use(_: Any, engine: OpenAICompatible) -> list[Any]:
        pieces = []
        async for piece in engine.reply(HELLO):
            pieces.append(piece)
            await asyncio.sleep(0.3)
        return pieces

    assert talk(says("a", 0.05, "b"), use, gap_timeout=0.2, timeout=0.5) == ["a", "b"]


def test_replies_may_overlap() -> None:
    async def use(_: Any, engine: OpenAICompatible) -> list[list[Any]]:
        return await asyncio.gather(*(collect(engine) for _ in range(5)))

    assert talk(says("a", 0.1, "b"), use) == [["a", "b"]] * 5


# --- cancelling -------------------------------------------------------------------------------------------------------


def test_closing_the_reply_makes_the_server_stop() -> None:
    async def use(server: Any, engine: OpenAICompatible) -> None:
        pieces = engine.reply(HELLO)
        assert await anext(pieces) == "one"
        await pieces.aclose()
        await asyncio.wait_for(server.left.wait(), 1)
        assert await collect_first(engine) == "one"  # and the engine is usable

    async def collect_first(engine: OpenAICompatible) -> Any:
        pieces = engine.reply(HELLO)
        first = await anext(pieces)
        await pieces.aclose()
        return first

    talk(says("one", 8.0, "two"), use)


@pytest.mark.parametrize("chat", [says(8.0, "late"), says("one", 8.0, "two")], ids=["before", "between"])
def test_cancelling_the_waiting_task_makes_the_server_stop(chat: Answer) -> None:
    async def use(server: Any, engine: OpenAICompatible) -> None:
        task = asyncio.create_task(collect(engine))
        await asyncio.sleep(0.15)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.left.wait(), 1)

    talk(chat, use)


def test_after_close_a_reply_is_refused() -> None:
    async def use(_: Any, engine: OpenAICompatible) -> None:
        await engine.close()
        with pytest.raises(SessionError):
            await collect(engine)

    talk(says("x"), use)


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_server_that_hangs_is_given_up() -> None:
    began = time.perf_counter()
    error = error_of(says(60.0, "late"), timeout=0.2)
    assert isinstance(error, EngineTimeout)
    assert "first token" in error.message
    assert time.perf_counter() - began < 9.0


def test_keep_alives_are_no_tokens() -> None:
    alive: list[bytes | float] = [b": alive\n\n", 0.05] * 60
    assert isinstance(error_of(streams(*alive), timeout=0.3), EngineTimeout)


def test_a_gap_between_tokens_has_its_own_limit() -> None:
    error = error_of(says("a", 5.0, "b"), gap_timeout=0.2)
    assert isinstance(error, EngineTimeout)
    assert "next token" in error.message


@pytest.mark.parametrize("cut", [True, False])
def test_a_reply_cut_off_in_the_middle_is_an_error_after_what_came(cut: bool) -> None:
    async def use(_: Any, engine: OpenAICompatible) -> list[Any]:
        reply = engine.reply(HELLO)
        pieces = [await anext(reply)]
        with pytest.raises(EngineFailed, match=r"broke off|middle of its reply"):
            await anext(reply)
        return pieces

    assert talk(streams(event({"content": "Half"}), cut=cut), use) == ["Half"]


def test_what_is_not_json_is_an_error() -> None:
    assert "not JSON" in error_of(streams(b'data: {"choices": [\n\n')).message
    assert "not JSON" in error_of(Answer(body=[b"<html>hello</html>"])).message


def test_an_error_in_the_middle_of_a_stream_is_told() -> None:
    assert "out of memory" in error_of(streams(b'data: {"error": {"message": "out of memory"}}\n\n')).message
    assert "out of cache" in error_of(streams(b'error: {"code": 500, "message": "out of cache"}\n\n')).message


@pytest.mark.parametrize(
    ("status", "body", "message", "hint"),
    [
        (401, {"error": {"message": "bad key"}}, "401: bad key", "api_key"),
        (404, {"detail": "Not Found"}, "404: Not Found", "/v1"),
        (429, {"error": "slow down"}, "429: slow down", "wait"),
        (500, b"kaboom", "500: kaboom", "log"),
        (502, b"<html><body>Bad Gateway", "502", "log"),
        (307, b"", "307", "redirect"),
        (400, {"message": "context too long"}, "context too long", "options"),
    ],
)
def test_an_http_error_is_told_with_its_reason_and_a_next_step(status: int, body: Any, message: str, hint: str) -> None:
    error = error_of(fails(status, body, "Location: /elsewhere\r\n"))
    assert isinstance(error, EngineFailed)
    assert message in error.message
    assert hint in error.hint


def test_a_model_that_is_not_there_gets_a_proposal() -> None:
    error = error_of(fails(404, {"error": {"message": "no"}}), models("llama3.2:3b", "test-modell"))
    assert "no model 'test-model'" in error.message
    assert "did you mean 'test-modell'?" in error.hint
    assert "llama3.2:3b" in error.hint


def test_a_closed_port_is_told_with_the_address() -> None:
    port = closed_port()

    async def run() -> None:
        engine = create(f"http://127.0.0.1:{port}/v1", {})
        assert engine is not None
        with pytest.raises(EngineFailed, match=f"127.0.0.1:{port}.*cannot be reached") as caught:
            await engine.load()
        assert "start the server" in caught.value.hint
        await engine.close()

    asyncio.run(run())


def test_a_proxy_is_never_used_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert answers(says("direct")) == ["direct"]


# --- loading ----------------------------------------------------------------------------------------------------------


def test_loading_chooses_a_chat_model_and_generates_one_token() -> None:
    async def use(server: Any, engine: OpenAICompatible) -> list[Request]:
        await engine.load()
        assert engine.info.model == "qwen2.5:3b"
        requests: list[Request] = server.requests
        return requests

    listed = models("nomic-embed-text:latest", "bge-m3", "whisper-1", "kokoro-tts", "qwen2.5:3b", "llama3")
    first, second = talk(says("Hi"), use, listed, name="auto")
    assert first.path == "/v1/models"
    assert (second.body["model"], second.body["max_tokens"], second.body["stream"]) == ("qwen2.5:3b", 1, True)


def test_loading_waits_for_a_server_that_is_still_loading() -> None:
    numbers = count()

    def chat(_: Request) -> Answer:
        return says("Hi") if next(numbers) else fails(503, {"error": {"message": "Loading model"}})

    async def use(_: Any, engine: OpenAICompatible) -> None:
        await engine.load()

    talk(chat, use)
    assert next(numbers) == 2


def test_loading_forever_ends() -> None:
    async def use(_: Any, engine: OpenAICompatible) -> None:
        with pytest.raises(EngineTimeout, match="load"):
            await engine.load()

    talk(fails(503, {"error": {"message": "Loading model"}}), use, load_timeout=0.7)


@pytest.mark.parametrize("listed", [models("all-minilm"), models(), fails(404, b"no"), fails(200, b"[]")])
def test_a_server_without_a_chat_model_says_what_to_do(listed: Answer) -> None:
    async def use(_: Any, engine: OpenAICompatible) -> None:
        with pytest.raises(EngineFailed) as caught:
            await engine.load()
        assert "ollama pull" in caught.value.hint

    talk(says("x"), use, listed, name="auto")
