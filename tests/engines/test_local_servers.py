"""Finding language model servers, against real servers on loopback."""

from __future__ import annotations

import asyncio
import time

import pytest
from chat_server import Answer, ChatServer, closed_port, fails, models, says  # type: ignore[import-not-found]

from locara.engines import local_servers


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
        Answer(body=[60.0]),
        Answer(body=[b"{"], cut=True),
    ],
)
def test_something_else_on_the_port_is_not_taken_for_a_server(listed: Answer) -> None:
    began = time.perf_counter()
    assert find(listed)[0] is None
    assert time.perf_counter() - began < 9.0  # half a second is what it is given


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
