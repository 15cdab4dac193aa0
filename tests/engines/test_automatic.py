"""The language model that is there: a server if one answers, else the built-in responder, and always a reason."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from chat_server import Answer, ChatServer, closed_port, fails, models, says  # type: ignore[import-not-found]

from locara.engines import automatic, registry
from locara.engines.contracts import Message
from locara.errors import LocaraError, SessionError

HELLO = [Message("user", "hello")]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCARA_LLM_URL", raising=False)
    monkeypatch.delenv("LOCARA_NO_SERVERS", raising=False)


def chosen(
    options: dict[str, Any] | None = None,
    use: Callable[[automatic.Automatic], Coroutine[Any, Any, Any]] | None = None,
) -> tuple[str, str, Any]:
    """(engine, why, what ``use`` gave) of an automatic model that was loaded."""

    async def run() -> tuple[str, str, Any]:
        model = automatic.Automatic(options or {})
        try:
            async with asyncio.timeout(20):
                await model.load()
                return model.info.engine, model.why, await use(model) if use is not None else None
        finally:
            await model.close()
            await model.close()

    return asyncio.run(run())


def with_server(
    monkeypatch: pytest.MonkeyPatch,
    chat: Answer,
    listed: Answer | None = None,
    *,
    named: str = "",
    use: Callable[[automatic.Automatic], Coroutine[Any, Any, Any]] | None = None,
    options: dict[str, Any] | None = None,
) -> tuple[str, str, Any, ChatServer]:
    """The same, beside a server that `LOCARA_LLM_URL` names."""

    async def run() -> tuple[str, str, Any, ChatServer]:
        async with ChatServer(chat, listed) as server:
            monkeypatch.setenv("LOCARA_LLM_URL", server.url + named)
            model = automatic.Automatic(options or {})
            try:
                async with asyncio.timeout(20):
                    await model.load()
                    return model.info.engine, model.why, await use(model) if use is not None else None, server
            finally:
                await model.close()

    return asyncio.run(run())


async def ask(model: automatic.Automatic) -> str:
    return "".join([str(piece) async for piece in model.reply(HELLO)])


def test_a_server_that_answers_is_taken_with_its_first_chat_model(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = models("nomic-embed-text", "qwen", "llama")
    engine, why, text, server = with_server(monkeypatch, says("Hi ", "there."), listed, use=ask)
    assert (engine, text) == ("openai-compatible", "Hi there.")
    assert "already runs at" in why
    assert server.url in why
    assert {one.body["model"] for one in server.requests if one.body} == {"qwen"}


def test_the_model_named_behind_the_address_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, _, _, server = with_server(monkeypatch, says("Hi."), named="#big-one", use=ask)
    assert engine == "openai-compatible"
    assert {one.body["model"] for one in server.requests if one.body} == {"big-one"}


@pytest.mark.parametrize("chat", [fails(500, {"error": "out of memory"}), fails(404, {"error": "no such model"})])
def test_a_server_that_does_not_answer_is_passed_over_and_why_says_so(
    monkeypatch: pytest.MonkeyPatch, chat: Answer
) -> None:
    engine, why, text, _ = with_server(monkeypatch, chat, use=ask)
    assert engine == "built-in"
    assert "gave no answer" in why
    assert text


def test_without_any_server_it_is_the_built_in_responder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCARA_NO_SERVERS", "1")
    engine, why, text = chosen(use=ask)
    assert engine == "built-in"
    assert "no model server" in why
    assert text


def test_a_named_server_that_is_not_there_is_what_why_speaks_of(monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"http://127.0.0.1:{closed_port()}/v1"
    monkeypatch.setenv("LOCARA_LLM_URL", address)
    engine, why, _ = chosen()
    assert engine == "built-in"
    assert address in why


def test_a_named_address_that_is_none_is_no_bare_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCARA_LLM_URL", "http://[bad")
    with contextlib.suppress(LocaraError):
        engine, why, _ = chosen()
        assert engine == "built-in"
        assert "http://[bad" in why


def test_options_that_only_a_language_model_knows_do_not_keep_the_built_in_from_loading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOCARA_NO_SERVERS", "1")
    assert chosen({"temperature": 0.1, "engine": "auto", "system": "Be brief."})[0] == "built-in"
    monkeypatch.delenv("LOCARA_NO_SERVERS")
    engine, _, _, server = with_server(monkeypatch, says("Hi."), options={"temperature": 0.1}, use=ask)
    assert engine == "openai-compatible"
    assert server.requests[-1].body["temperature"] == 0.1


def test_it_brings_the_tools_and_the_announcements_of_what_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCARA_NO_SERVERS", "1")

    async def use(model: automatic.Automatic) -> list[str]:
        assert {one.name for one in model.tools} >= {"set_timer"}
        listening = asyncio.create_task(_collect(model))
        await asyncio.sleep(0.01)
        assert not listening.done()
        await model.close()
        return await listening

    assert chosen(use=use)[2] == []
    monkeypatch.delenv("LOCARA_NO_SERVERS")

    async def none(model: automatic.Automatic) -> list[str]:
        assert model.tools == ()
        return await _collect(model)

    assert with_server(monkeypatch, says("Hi."), use=none)[2] == []


async def _collect(model: automatic.Automatic) -> list[str]:
    return [text async for text in model.announcements()]


def test_before_it_was_loaded_it_says_what_it_is_and_answers_nothing() -> None:
    model = automatic.Automatic({})
    assert (model.info.engine, model.tools) == ("automatic", ())
    with pytest.raises(SessionError) as caught:
        model.reply(HELLO)
    assert caught.value.hint
    asyncio.run(model.close())


@pytest.mark.parametrize(
    ("model", "options", "is_it"),
    [
        ("", {}, True),
        ("auto", {}, True),
        ("", {"url": "http://x"}, False),
        ("built-in", {}, False),
        ("qwen", {}, False),
    ],
)
def test_it_is_meant_where_nothing_else_is_named(model: str, options: dict[str, Any], is_it: bool) -> None:
    assert (automatic.create(model, options) is not None) == is_it


def test_the_registry_gives_it_where_nothing_is_named() -> None:
    assert isinstance(registry.create("llm", "", {}), automatic.Automatic)
