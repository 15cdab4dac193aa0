"""llama.cpp in this process, with a tiny model whose words are known: the real library, loader, template and cache."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from tiny_gguf import CALL_WORD, LOOP, LOOP_WORD, REPLY, tiny_model  # type: ignore[import-not-found]

from locara.engines import llama, llama_settings, registry
from locara.engines.contracts import LanguageModel, Message, ReadsAhead, Tool, ToolCall
from locara.errors import (
    ConfigError,
    EngineFailed,
    EngineMissing,
    EngineTimeout,
    LocaraError,
    ModelMissing,
    SessionError,
)

pytest.importorskip("xllamacpp", reason='llama.cpp is not installed: pip install "locara[llama]"')

SAID = "".join(REPLY)
WEATHER = Tool(
    "get_weather",
    "The weather in a city.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    lambda city: city,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tiny_model(tmp_path_factory.mktemp("llama") / "tiny.gguf")
    return path


def made(path: Path, **options: Any) -> llama.Llama:
    engine = llama.create("tiny", {"path": str(path), "threads": 1, **options})
    assert isinstance(engine, llama.Llama)
    return engine


def with_loaded(path: Path, work: Callable[[llama.Llama], Awaitable[Any]], **options: Any) -> Any:
    async def run() -> Any:
        async with loaded(path, **options) as engine:
            return await work(engine)

    return asyncio.run(run())


def load(engine: Any) -> None:
    """Loads it, and leaves nothing behind whatever comes of it."""

    async def run() -> None:
        try:
            await engine.load()
        finally:
            await engine.close()

    asyncio.run(run())


@contextlib.asynccontextmanager
async def loaded(path: Path, **options: Any) -> AsyncIterator[llama.Llama]:
    engine = made(path, **options)
    try:
        await engine.load()
        yield engine
    finally:
        await engine.close()


async def said_by(engine: LanguageModel, *words: str, tools: tuple[Tool, ...] = ()) -> list[str | ToolCall]:
    return [item async for item in engine.reply([Message("user", word) for word in words], tools)]


# --- talking ----------------------------------------------------------------------------------------------------------


def test_a_reply_comes_token_by_token(model: Path) -> None:
    assert with_loaded(model, lambda engine: said_by(engine, "Hello")) == list(REPLY)


def test_two_replies_one_after_the_other_and_a_conversation_in_between(model: Path) -> None:
    async def work(engine: llama.Llama) -> None:
        assert await said_by(engine, "Hello") == list(REPLY)
        history = [Message("system", "Be brief."), Message("user", "Hello"), Message("assistant", SAID)]
        again = [item async for item in engine.reply([*history, Message("user", "And now?")])]
        assert again == list(REPLY)

    with_loaded(model, work)


def test_a_limit_ends_a_reply_that_would_never_end(model: Path) -> None:
    pieces = with_loaded(model, lambda engine: said_by(engine, f"Go on {LOOP_WORD}"), max_tokens=9)
    assert "".join(pieces) == "".join((LOOP * 3)[:9])


def test_a_tool_is_called_with_its_arguments(model: Path) -> None:
    async def work(engine: llama.Llama) -> None:
        (call,) = await said_by(engine, f"What is the {CALL_WORD}?", tools=(WEATHER,))
        assert isinstance(call, ToolCall)
        assert (call.name, dict(call.arguments)) == ("get_weather", {"city": "Paris"})
        messages = [
            Message("user", f"What is the {CALL_WORD}?"),
            Message("assistant", "", tool_calls=(call,)),
            Message("tool", '"sunny"', tool_call_id=call.id),
        ]
        assert [item async for item in engine.reply(messages, (WEATHER,))] == list(REPLY)

    with_loaded(model, work)


def test_thoughts_are_no_part_of_the_reply_where_the_template_knows_them(tmp_path: Path) -> None:
    path = tiny_model(tmp_path / "thinks.gguf", thinks=True)
    pieces = with_loaded(path, lambda engine: said_by(engine, "Hello"))
    assert "".join(pieces).endswith(SAID)  # a template that does not: the session's `thinking` takes them out


def test_an_empty_message_and_an_odd_one_are_answered(model: Path) -> None:
    async def work(engine: llama.Llama) -> None:
        for text in ("", "\x00\ud800", "<|im_end|>", "🎈" * 50):
            assert await said_by(engine, text) == list(REPLY), ascii(text)

    with_loaded(model, work)


def test_a_template_that_wants_its_sides_in_turn_gets_them_so(tmp_path: Path) -> None:
    path = tiny_model(tmp_path / "strict.gguf", strict=True)

    async def work(engine: llama.Llama) -> None:
        for roles in ("uu", "suau", "auu", "saau", "suaau", "ssu"):
            names: dict[str, Any] = {"u": "user", "a": "assistant", "s": "system"}
            messages = [Message(names[role], f"{role}{at}") for at, role in enumerate(roles)]
            assert [item async for item in engine.reply(messages)] == list(REPLY), roles

    with_loaded(path, work)


# --- stopping ---------------------------------------------------------------------------------------------------------


def test_closing_the_iterator_stops_and_the_next_reply_is_its_own(model: Path) -> None:
    async def work(engine: llama.Llama) -> None:
        for _ in range(20):
            reply = engine.reply([Message("user", LOOP_WORD)])
            assert await anext(reply) == LOOP[0]
            await reply.aclose()
            assert await said_by(engine, "Hello") == list(REPLY)

    with_loaded(model, work, max_tokens=100_000)


def test_a_cancelled_task_stops_generating(model: Path) -> None:
    async def work(engine: llama.Llama) -> None:
        task = asyncio.create_task(said_by(engine, LOOP_WORD))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        assert await said_by(engine, "Hello") == list(REPLY)

    with_loaded(model, work, max_tokens=100_000)
    assert not [thread for thread in threading.enumerate() if "llama" in thread.name]


def test_closing_in_the_middle_of_a_reply_twice_and_before_loading(model: Path) -> None:
    async def run() -> None:
        engine = made(model, max_tokens=100_000)
        await engine.close()
        await engine.close()
        engine = made(model, max_tokens=100_000)
        await engine.load()
        reply = engine.reply([Message("user", LOOP_WORD)])
        await anext(reply)
        await engine.close()
        await engine.close()
        with contextlib.suppress(LocaraError, StopAsyncIteration):
            await anext(reply)
        await reply.aclose()
        with pytest.raises(SessionError, match="closed"):
            await said_by(engine, "Hello")

    asyncio.run(run())
    assert not [thread for thread in threading.enumerate() if "llama" in thread.name]


def test_a_reply_that_takes_too_long_is_given_up_and_the_engine_lives_on(model: Path) -> None:
    async def work(engine: llama.Llama) -> None:
        generate = engine._generate

        def slow(server: Any, payload: Any, take: Any) -> None:
            threading.Event().wait(0.5)
            generate(server, payload, take)

        engine._generate = slow  # type: ignore[method-assign]
        with pytest.raises(EngineTimeout, match="first token"):
            await said_by(engine, "Hello")
        engine._generate = generate  # type: ignore[method-assign]
        engine._settings = cast(Any, llama_settings.understand("tiny", {"path": str(model), "threads": 1}))
        assert await said_by(engine, "Hello") == list(REPLY)

    with_loaded(model, work, timeout=0.1)


# --- reading ahead ----------------------------------------------------------------------------------------------------


def test_what_was_read_ahead_is_not_read_again(model: Path) -> None:
    before = [Message("system", "You are brief. " * 40), Message("user", "tell me")]

    async def work(engine: llama.Llama) -> None:
        assert isinstance(engine, ReadsAhead)
        assert await engine.read(before)
        assert [item async for item in engine.reply([*before[:1], Message("user", "tell me all")])] == list(REPLY)
        assert engine.timings["cache_n"] > 500
        assert engine.timings["prompt_n"] < 40
        assert [item async for item in engine.reply([Message("user", "Something else")])] == list(REPLY)
        assert engine.timings["cache_n"] < 40

    with_loaded(model, work)


def test_reading_ahead_can_be_turned_off_and_never_raises(model: Path) -> None:
    async def work(engine: llama.Llama) -> None:
        assert not await engine.read([Message("user", "x" * 5000)])  # longer than the context
        assert await said_by(engine, "Hello") == list(REPLY)

    with_loaded(model, work)
    assert not with_loaded(model, lambda engine: engine.read([Message("user", "Hi")]), read_ahead=False)


# --- what must not be -------------------------------------------------------------------------------------------------


def test_the_wheel_s_own_server_lets_nobody_in(model: Path) -> None:
    async def work(engine: llama.Llama) -> str:
        where = engine.side_address
        assert where.startswith("http://127.0.0.1:")
        chat = {"messages": [{"role": "user", "content": "Hi"}]}
        bodies: dict[str, Any] = {
            **dict.fromkeys(("/health", "/v1/models", "/props", "/slots", "/metrics", "/", "/models", "/v1/health")),
            **dict.fromkeys(("/v1/chat/completions", "/completion", "/tokenize", "/apply-template", "/slots/0"), chat),
        }
        got = {}
        async with httpx.AsyncClient(base_url=where, trust_env=False, timeout=5.0) as client:
            for path, body in bodies.items():
                answer = await client.get(path) if body is None else await client.post(path, json=body)
                got[path] = answer.status_code
                if "health" in path:
                    assert answer.json() == {"status": "ok"}
        assert (got.pop("/health"), got.pop("/v1/health")) == (200, 200)
        assert set(got.values()) <= {401, 404}, got
        assert got["/v1/chat/completions"] == got["/completion"] == got["/v1/models"] == got["/props"] == 401
        return where

    where = with_loaded(model, work)
    with pytest.raises(httpx.ConnectError):  # closed with the engine
        httpx.get(where + "/health", timeout=5.0, trust_env=False)


def test_more_than_it_keeps_in_mind_is_told_with_the_way_out(model: Path) -> None:
    async def work(engine: llama.Llama) -> None:
        with pytest.raises(EngineFailed, match="tokens and keeps 1024 in mind") as caught:
            await said_by(engine, "x" * 3000)
        assert "context" in caught.value.hint
        assert await said_by(engine, "Hello") == list(REPLY)

    with_loaded(model, work, context=1024)


def test_files_that_are_no_model_are_told_by_their_name(model: Path, tmp_path: Path) -> None:
    good = model.read_bytes()
    for content, said in ((good[:-1000], "cut off"), (b"<html>" + bytes(50), "web page"), (b"", "broke off")):
        bad = tmp_path / "bad.gguf"
        bad.write_bytes(content)
        with pytest.raises(EngineFailed, match=rf"bad\.gguf cannot be used: .*{said}") as caught:
            load(made(bad))
        assert caught.value.hint


def test_a_file_whose_header_is_good_and_whose_insides_are_not_is_told(tmp_path: Path, model: Path) -> None:
    broken = tmp_path / "unknown.gguf"
    broken.write_bytes(
        model.read_bytes().replace(b"\x05\x00\x00\x00\x00\x00\x00\x00llama", b"\x05" + bytes(7) + b"llamX")
    )
    with pytest.raises(EngineFailed, match=r"unknown\.gguf is llamX"):
        load(made(broken))


def test_a_folder_with_one_model_will_do_and_one_with_several_is_asked_about(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="no GGUF file") as caught:
        load(made(tmp_path, engine="llama"))
    assert "locara models pull tiny" in caught.value.hint
    (tmp_path / "one.gguf").write_bytes(model.read_bytes())
    assert with_loaded(tmp_path, lambda engine: said_by(engine, "Hi"), engine="llama") == list(REPLY)
    (tmp_path / "two.gguf").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"one\.gguf, two\.gguf"):
        load(made(tmp_path, engine="llama"))


def test_a_model_that_does_not_fit_is_refused_before_it_is_loaded(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_settings, "free_memory", lambda: 200 << 20)
    with pytest.raises(EngineFailed, match="GB are free") as caught:
        load(made(model))
    assert "smaller" in caught.value.hint
    assert with_loaded(model, lambda engine: said_by(engine, "Hi"), check_memory=False) == list(REPLY)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"contxt": 5}, "no option 'contxt'"),
        ({"context": 5}, "context=5"),
        ({"context": True}, "context=True"),
        ({"threads": 0}, "threads=0"),
        ({"temperature": -1}, "temperature=-1"),
        ({"reasoning": "no"}, "reasoning='no'"),
        ({"gpu_layers": 1.5}, "gpu_layers=1.5"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        llama.create("x.gguf", options)
    assert caught.value.hint


def test_a_longer_context_than_the_model_has_is_refused(model: Path) -> None:
    with pytest.raises(ConfigError, match="2048"):
        load(made(model, context=4096))


def test_only_gguf_files_are_its_own(tmp_path: Path) -> None:
    assert llama.create("qwen2.5:3b", {}) is None
    assert llama.create("kokoro", {"path": str(tmp_path)}) is None
    assert llama.create("http://127.0.0.1:8080/v1", {}) is None
    assert llama.create("http://127.0.0.1:8080/v1#model.gguf", {}) is None
    assert llama.create("model.gguf", {"url": "http://127.0.0.1:8080/v1"}) is None
    with pytest.raises(ModelMissing, match="qwen3-4b"):
        llama.create("qwen3-4b", {"engine": "llama"})


def test_without_the_wheel_the_command_that_gets_it_is_told(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "xllamacpp", None)
    with pytest.raises(EngineMissing) as caught:
        load(made(model))
    assert caught.value.hint == 'pip install "locara[llama]"'


# --- by its name, in a process of its own -----------------------------------------------------------------------------


def test_by_its_name_it_runs_in_a_process_of_its_own_and_survives_its_death(model: Path) -> None:
    async def run() -> None:
        engine = registry.create("llm", "tiny", {"engine": "llama", "path": str(model), "threads": 1})
        hosted = cast(Any, engine)
        try:
            await hosted.load()
            assert hosted.info.where == "child process"
            assert await said_by(hosted, "Hello") == list(REPLY)
            assert await hosted.read([Message("user", "Hello there")])
            hosted._host.child.kill()
            assert await said_by(hosted, "Hello") == list(REPLY)
        finally:
            await hosted.close()

    asyncio.run(run())
