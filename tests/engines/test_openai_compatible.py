"""The client for OpenAI-compatible servers, against a real server on loopback; its parsers, against any bytes."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable, Coroutine
from itertools import count, pairwise
from typing import Any

import pytest
from chat_server import Answer, ChatServer, Request, event, fails, models, says, streams  # type: ignore[import-not-found]
from hypothesis import given
from hypothesis import strategies as st

from locara.engines import local_servers
from locara.engines.contracts import Message, Tool, ToolCall
from locara.engines.openai_compatible import Calls, Events, OpenAICompatible, WithoutThoughts, create, understand
from locara.errors import ConfigError, EngineFailed, EngineTimeout, LocaraError, SessionError

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


def test_address_and_model_can_be_given_in_three_ways() -> None:
    for name, options in [
        ("http://127.0.0.1:8080/v1#m", {}),
        ("m", {"url": "http://127.0.0.1:8080/v1/"}),
        ("http://127.0.0.1:8080/v1/chat/completions", {"model": "m"}),
    ]:
        settings = understand(name, options)
        assert settings is not None
        assert (settings.url, settings.model) == ("http://127.0.0.1:8080/v1", "m")


def test_an_address_without_a_path_gets_v1() -> None:
    settings = understand("http://localhost:11434", {})
    assert settings is not None
    assert (settings.url, settings.model) == ("http://localhost:11434/v1", "")


@pytest.mark.parametrize(
    ("name", "options", "word"),
    [
        ("m", {"url": "ftp://x"}, "address"),
        ("http://", {}, "address"),
        ("http://h:99999/v1", {}, "address"),
        ("http://h/v1?x=1", {}, "address"),
        ("http://h/v1", {"temprature": 1}, "temprature"),
        ("http://h/v1", {"timeout": 0}, "timeout"),
        ("http://h/v1", {"timeout": float("nan")}, "timeout"),
        ("http://h/v1", {"max_tokens": "many"}, "max_tokens"),
        ("http://h/v1", {"api_key": "a\nb"}, "api_key"),
    ],
)
def test_an_option_that_cannot_work_is_named(name: str, options: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word) as caught:
        create(name, options)
    assert caught.value.hint


def test_keys_and_passwords_are_not_shown() -> None:
    settings = understand("http://me:secret@h/v1", {"api_key": "sk-hidden"})
    assert settings is not None
    engine = OpenAICompatible(settings)
    assert "hidden" not in repr(settings)
    assert "secret" not in repr(engine.info)
    assert "leaves this machine" in engine.info.note


# --- replies ----------------------------------------------------------------------------------------------------------


def test_pieces_come_as_they_are_made_not_at_the_end() -> None:
    async def use(_: Any, engine: OpenAICompatible) -> None:
        pieces = engine.reply(HELLO)
        assert await anext(pieces) == "Hel"
        first = time.perf_counter()
        assert [piece async for piece in pieces] == ["lo"]
        assert time.perf_counter() - first > 0.4

    talk(says("Hel", 0.5, "lo"), use)


def test_the_request_says_what_the_conversation_was() -> None:
    tool = Tool("add", "Adds.", {"type": "object"}, run=int)
    messages = [
        Message("system", "Be brief."),
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
    assert [one["role"] for one in body["messages"]] == ["system", "assistant", "tool"]
    call = body["messages"][1]["tool_calls"][0]
    assert (call["id"], call["type"], call["function"]["name"]) == ("c1", "function", "add")
    assert json.loads(call["function"]["arguments"]) == {"a": "ä"}
    assert body["messages"][2]["tool_call_id"] == "c1"
    assert body["tools"][0]["function"] == {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}


def test_noise_between_events_is_passed_over() -> None:
    body = b": ping\r\n\r\nevent: x\r\nid: 1\r\nretry: 5\r\n" + event({"content": "Gr\u00fc\u00df"}) + b":\n\n"
    body += event({"reasoning_content": "hm"}) + event({"content": "e", "reasoning": None})
    body += b'data: {"choices": [], "usage": {"total_tokens": 3}}\n\n' + event({}, "stop") + b"data: [DONE]\n\n"
    single = streams(*(body[i : i + 1] for i in range(len(body))))
    assert "".join(answers(streams(body))) == "".join(answers(single)) == "Grüße"


def test_thinking_text_is_left_out_also_when_its_tags_are_split() -> None:
    assert "".join(answers(says("<th", "ink>", "secret", " plan</th", "ink>\n", "\nHel", "lo <", "b"))) == "Hello <b"


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
    assert answers(streams(event({"content": "Hi"}), event({}, "stop"), 5.0)) == ["Hi"]
    assert time.perf_counter() - began < 2.0


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
    error = error_of(says(5.0, "late"), timeout=0.2)
    assert isinstance(error, EngineTimeout)
    assert "first token" in error.message
    assert time.perf_counter() - began < 1.5


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


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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


# --- finding servers --------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCARA_LLM_URL", raising=False)
    monkeypatch.delenv("LOCARA_NO_SERVERS", raising=False)


def find(*listed: Answer | None) -> tuple[local_servers.LocalServer | None, list[int]]:
    """What is found where servers with these lists run, the first preferred; None is a closed port."""

    async def run() -> tuple[local_servers.LocalServer | None, list[int]]:
        servers = [ChatServer(says("x"), one) for one in listed if one is not None]
        for server in servers:
            await server.__aenter__()
        running = iter(servers)
        ports = [closed_port() if one is None else next(running).port for one in listed]
        try:
            return await local_servers.find(0.5, [(port, f"server {i}") for i, port in enumerate(ports)]), ports
        finally:
            for server in servers:
                await server.__aexit__(None, None, None)

    return asyncio.run(run())


def test_the_preferred_server_with_a_chat_model_is_found() -> None:
    found, ports = find(None, models("bge-m3"), models("bge-m3", "qwen", "llama"), models("other"))
    assert found == local_servers.LocalServer("server 2", f"http://127.0.0.1:{ports[2]}/v1", ("qwen", "llama"))


def test_a_server_is_called_what_it_calls_itself() -> None:
    found, _ = find(models("qwen", owner="vllm"))
    assert found is not None
    assert found.name == "vLLM"


@pytest.mark.parametrize(
    "listed",
    [
        Answer(body=[b"<html>It works!</html>"], content_type="text/html"),
        fails(200, {"data": [{"id": "x"}]}),
        fails(200, {"object": "list", "data": [{"id": 3}]}),
        fails(200, {"object": "list", "data": None}),
        fails(401, {"object": "list", "data": [{"id": "x"}]}),
        fails(307, b"", "Location: http://127.0.0.1:1/\r\n"),
        Answer(body=[b"x" * 65536] * 40),
        Answer(body=[3.0]),
        Answer(body=[b"{"], cut=True),
    ],
)
def test_something_else_on_the_port_is_not_taken_for_a_server(listed: Answer) -> None:
    began = time.perf_counter()
    assert find(listed)[0] is None
    assert time.perf_counter() - began < 2.0


def test_nothing_is_found_where_nothing_runs() -> None:
    assert find(None, None)[0] is None


def test_the_search_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCARA_NO_SERVERS", "1")
    monkeypatch.setenv("LOCARA_LLM_URL", "http://127.0.0.1:9/v1#m")
    assert find(models("qwen"))[0] is None


def test_an_address_in_the_environment_takes_the_place_of_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCARA_LLM_URL", "http://127.0.0.1:9/v1#m")
    assert find(models("qwen"))[0] == local_servers.LocalServer("LOCARA_LLM_URL", "http://127.0.0.1:9/v1", ("m",))
    monkeypatch.setenv("LOCARA_LLM_URL", f"http://127.0.0.1:{closed_port()}")
    found, _ = find(models("qwen"))
    assert found is not None
    assert found.url.endswith("/v1")
    assert found.models == ()


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:1/v1", True),
        ("http://127.8.8.8", True),
        ("http://[::1]:1/v1", True),
        ("http://LOCALHOST:1", True),
        ("http://0.0.0.0:1", True),
        ("http://192.168.1.4", False),
        ("http://localhost.example.com", False),
        ("http://127.0.0.1.example.com", False),
    ],
)
def test_loopback_is_told_from_elsewhere(url: str, local: bool) -> None:
    assert local_servers.is_loopback(url) is local


def test_chat_models_are_told_by_name() -> None:
    speech = ["text-embedding-3", "bge-m3:latest", "jina-reranker", "tts-1", "openai/whisper-large", "gte-small"]
    chat = ["qwen2.5:3b", "llama-3.2-3b", "gpt-oss:20b", "Phi-4", "settler", "attstral"]
    assert local_servers.chat_models([*speech, *chat]) == tuple(chat)


# --- the parsers ------------------------------------------------------------------------------------------------------


def pieces_of(draw_cuts: list[int], whole: bytes) -> list[bytes]:
    cuts = sorted({cut % (len(whole) + 1) for cut in draw_cuts} | {0, len(whole)})
    return [whole[a:b] for a, b in pairwise(cuts)]


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), min_size=1), max_size=5),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.lists(st.integers(0, 10_000), max_size=12),
)
def test_events_do_not_depend_on_how_the_bytes_are_cut(data: list[str], newline: str, cuts: list[int]) -> None:
    whole = "".join(f": note{newline}data: {one}{newline}{newline}" for one in data).encode()
    events = Events()
    found = [one for block in pieces_of(cuts, whole) for one in events.push(block)]
    assert [*found, *events.flush()] == data


def test_an_event_without_end_is_refused() -> None:
    events = Events()
    endless = (one for _ in range(100) for one in events.push(b"x" * 100_000))
    with pytest.raises(ValueError, match="more in one event"):
        list(endless)


@given(
    st.lists(st.tuples(st.booleans(), st.text("ab<>/think \n", max_size=12)), max_size=6),
    st.lists(st.integers(0, 10_000), max_size=12),
)
def test_thoughts_do_not_depend_on_how_the_text_is_cut(parts: list[tuple[bool, str]], cuts: list[int]) -> None:
    text = "".join(f"<think>{part}</think>" if thought else part for thought, part in parts)
    whole, pieces = WithoutThoughts(), WithoutThoughts()
    expected = whole.push(text) + whole.flush()
    cut = [block.decode() for block in pieces_of(cuts, text.encode())]
    assert "".join(map(pieces.push, cut)) + pieces.flush() == expected
    assert "<think>" not in expected


def test_calls_with_one_index_for_all_are_told_apart_by_their_ids() -> None:
    calls = Calls()
    calls.add([{"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}}])
    calls.add([{"index": 0, "id": "b", "function": {"name": "f", "arguments": "{}"}}])
    calls.add([{"function": {"name": "g", "arguments": ""}}, {"function": {"name": "h"}}, "noise"])
    assert list(calls.decoded(count(1))) == [
        ToolCall("a", "f", {"x": 1}),
        ToolCall("b", "f", {}),
        ToolCall("call_1", "g", {}),
        ToolCall("call_2", "h", {}),
    ]
