"""Language model servers that already run on this machine: Ollama, LM Studio, llama-server, vLLM.

What may live here: finding such a server, and reading its list of models. Nothing here loads a model or talks with one
(that is `openai_compatible`), and only loopback addresses are looked at, unless ``LOCARA_LLM_URL`` names another.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from locara.engines.lane import real_work
from locara.errors import ConfigError
from locara.offline import loopback

if TYPE_CHECKING:
    import httpx

PORTS: tuple[tuple[int, str], ...] = ((11434, "Ollama"), (1234, "LM Studio"), (8080, "llama-server"), (8000, "vLLM"))
"""Where servers listen unless told otherwise, the preferred one first."""

_LIST_BYTES = 1 << 20  # a list of models is a few kilobytes; more than this is something else
_OWNERS = {"llamacpp": "llama-server", "vllm": "vLLM"}  # what a server calls itself beats the port it was found on
_NO_CHAT = re.compile(
    r"embed|rerank|whisper|moderation|dall-e|stable-diffusion|minilm|parakeet|kokoro"
    r"|(?:^|[-_/:.])(?:tts|stt|asr|bge|gte|e5|clip|sdxl|flux)(?:$|[-_/:.\d])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A server that answers. ``url`` ends where ``/chat/completions`` begins; ``models`` are those one can chat with,
    in the server's own order. ``models`` is empty only for ``LOCARA_LLM_URL`` when that server did not answer in time:
    loading it will say why."""

    name: str
    url: str
    models: tuple[str, ...]


async def find(timeout: float = 0.3, ports: Sequence[tuple[int, str]] = PORTS) -> LocalServer | None:
    """The preferred server on this machine that has a chat model, or None.

    ``ports``: (port, name) pairs, the preferred one first; all are asked at once. ``timeout``: seconds for finding open
    ports, and again for asking those for their models: at most twice this in all. Never raises for a port that is
    closed, silent, or something else than a language model server. ``LOCARA_NO_SERVERS=1`` turns the search off;
    ``LOCARA_LLM_URL`` (an address, or address#model) takes its place.
    """
    if os.environ.get("LOCARA_NO_SERVERS", "") not in ("", "0"):
        return None
    with real_work():
        await loopback.ready()  # once offline was promised: a relay that still starts would look like a silent server
    if named := os.environ.get("LOCARA_LLM_URL", "").strip():
        return await _named(named, timeout)
    listening = await asyncio.gather(*(_open(port, timeout) for port, _ in ports))
    candidates = [place for place, is_open in zip(ports, listening, strict=True) if is_open]
    if not candidates:
        return None  # and httpx, 0.1 s of import, was not needed
    answers = await _ask_all([f"http://127.0.0.1:{port}/v1" for port, _ in candidates], timeout)
    for (port, name), payload in zip(candidates, answers, strict=True):
        if models := chat_models(model_ids(payload) or ()):
            return LocalServer(_own_name(payload) or name, f"http://127.0.0.1:{port}/v1", models)
    return None


def model_ids(payload: Any) -> tuple[str, ...] | None:
    """The model names in the decoded answer of ``GET /v1/models``; None when it is not such an answer."""
    if not isinstance(payload, Mapping) or payload.get("object", "list") != "list" or "data" not in payload:
        return None
    rows = payload["data"]
    if rows is None and payload.get("object") == "list":
        return ()  # how Ollama says that nothing has been pulled yet
    if not isinstance(rows, list):
        return None
    names = [row.get("id") if isinstance(row, Mapping) else None for row in rows]
    if not all(isinstance(name, str) and name for name in names):
        return None
    return tuple(str(name) for name in names)


def chat_models(names: Sequence[str]) -> tuple[str, ...]:
    """Those of ``names`` that can hold a conversation, as far as a name tells: no embedding, reranking, speech model."""
    return tuple(name for name in names if not _NO_CHAT.search(name))


def is_loopback(url: str) -> bool:
    """Whether ``url`` stays on this machine: no proxy must see it, and no text leaves."""
    host = (urlsplit(url).hostname or "").lower().rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified  # 0.0.0.0 is what servers print, and means this machine


async def _named(named: str, timeout: float) -> LocalServer:
    url, _, model = named.partition("#")
    url = url.rstrip("/")
    try:
        bare = not urlsplit(url).path
    except ValueError as error:
        raise ConfigError(
            f"LOCARA_LLM_URL={named} is no address: {error}", hint="write it like http://127.0.0.1:11434/v1#model"
        ) from error
    if model:
        return LocalServer("LOCARA_LLM_URL", url, (model,))
    if bare:
        url += "/v1"
    [payload] = await _ask_all([url], timeout)
    return LocalServer("LOCARA_LLM_URL", url, chat_models(model_ids(payload) or ()))


async def _open(port: int, timeout: float) -> bool:
    try:
        with real_work():
            async with asyncio.timeout(timeout):
                _, writer = await loopback.open_connection("127.0.0.1", port)
    except OSError:  # refused, unreachable, and TimeoutError, which is one
        return False
    writer.close()
    with contextlib.suppress(OSError), real_work():
        async with asyncio.timeout(timeout):
            await writer.wait_closed()
    return True


async def _ask_all(urls: Sequence[str], timeout: float) -> list[Any]:
    from locara.engines import loopback_http

    # Plain http on loopback: reading certificates would only cost 0.1 s. Each request has its own asyncio.timeout.
    verify = any(url.startswith("https") for url in urls)
    async with loopback_http.client(trust_env=False, verify=verify) as client:
        return list(await asyncio.gather(*(_ask(client, url, timeout) for url in urls)))


async def _ask(client: httpx.AsyncClient, url: str, timeout: float) -> Any:
    """The decoded list of models, or None for anything else."""
    import httpx

    try:
        with real_work():
            async with asyncio.timeout(timeout), client.stream("GET", f"{url}/models") as response:
                if response.status_code != 200:
                    return None
                body = bytearray()
                async for block in response.aiter_bytes():
                    body += block
                    if len(body) > _LIST_BYTES:
                        return None
        payload = json.loads(body)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError):
        return None
    # A web server's own JSON may well have "data"; a list of models says that it is a list.
    return payload if isinstance(payload, Mapping) and payload.get("object") == "list" else None


def _own_name(payload: Mapping[str, Any]) -> str | None:
    rows = payload.get("data") or ()
    return next((_OWNERS[row["owned_by"]] for row in rows if row.get("owned_by") in _OWNERS), None)
