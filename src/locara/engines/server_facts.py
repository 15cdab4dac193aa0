"""What the programs behind an OpenAI-compatible address say of themselves beyond that protocol.

What may live here: pure readers of Ollama's and llama-server's own answers, and what each wants to be told. Asking is the
business of `openai_compatible`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

OLLAMA_PORT = 11434


@dataclass(frozen=True, slots=True)
class Facts:
    """``program``: ``Ollama``, ``llama-server`` or empty. ``audio``: whether the model takes sound, None if nobody says.
    ``context``: tokens that the model is run with, 0 if nobody says."""

    program: str = ""
    audio: bool | None = None
    context: int = 0


def root(url: str) -> str:
    """The address without the path of the OpenAI protocol: there the program's own paths begin."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/").removesuffix("/v1")))


def of_llama_server(answer: Any) -> Facts | None:
    """From ``GET /props`` (llama.cpp, tools/server/README.md); None for something else's answer."""
    if not isinstance(answer, Mapping) or not isinstance(answer.get("default_generation_settings"), Mapping):
        return None
    modalities = answer.get("modalities")
    # Servers from before audio (May 2025) do not name modalities.
    audio = bool(modalities.get("audio")) if isinstance(modalities, Mapping) else False
    context = answer["default_generation_settings"].get("n_ctx")
    return Facts("llama-server", audio, context if isinstance(context, int) else 0)


def of_ollama(answer: Any) -> Facts | None:
    """From ``POST /api/show`` (Ollama, docs/api.md); None for something else's answer. The context is what the model was
    made for; Ollama runs it with less unless OLLAMA_CONTEXT_LENGTH says otherwise, so it is not told here."""
    if not isinstance(answer, Mapping) or not isinstance(answer.get("capabilities"), list):
        return None
    return Facts("Ollama", "audio" in answer["capabilities"])


def wishes(url: str, reasoning: bool | None, *, here: bool) -> dict[str, Any]:
    """What is added to each request so that the model answers at once, or thinks first. ``here``: on this machine, where
    servers pass over what they do not know; others may refuse it, so it has to be asked for.

    llama-server and vLLM hand ``chat_template_kwargs`` to the template (Qwen3 and others know ``enable_thinking``); Ollama
    has ``reasoning_effort``, of which "none" turns it off.
    """
    if reasoning is None and not here:
        return {}
    out: dict[str, Any] = {"chat_template_kwargs": {"enable_thinking": bool(reasoning)}}
    if urlsplit(url).port == OLLAMA_PORT:
        out["reasoning_effort"] = "medium" if reasoning else "none"
    return out
