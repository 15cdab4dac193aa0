"""The language model that is there: a server that already runs on this machine, else the built-in responder.

Looked up when the session starts, not when it is made, because looking takes a network call to loopback.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from locara.engines import local_servers, openai_compatible, responder
from locara.engines.contracts import (
    Announces,
    BringsTools,
    EngineInfo,
    HearsAudio,
    LanguageModel,
    Message,
    ReadsAhead,
    Tool,
    ToolCall,
)
from locara.errors import LocaraError, SessionError

MODELS = ("auto",)


def create(model: str, options: Mapping[str, Any]) -> LanguageModel | None:
    """``"auto"``, or no name at all and no address."""
    if model not in ("", *MODELS) or "url" in options:
        return None
    return Automatic(options)


class Automatic:
    """Decides in ``load``, and is from then on what it decided for. ``otherwise``: an engine, not loaded, that is taken
    before the built-in responder where no server answers."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = {name: value for name, value in options.items() if name not in ("engine", "otherwise")}
        self._otherwise: LanguageModel | None = options.get("otherwise")
        self._chosen: LanguageModel | None = None
        self.why = "looked for when the session starts"

    @property
    def info(self) -> EngineInfo:
        """Of the model that was chosen."""
        if self._chosen is None:
            return EngineInfo("automatic", "auto", "", note="a running model server, else the built-in responder")
        return replace(self._chosen.info, why=self.why)

    @property
    def tools(self) -> Sequence[Tool]:
        """Of the model that was chosen."""
        return tuple(self._chosen.tools) if isinstance(self._chosen, BringsTools) else ()

    @property
    def hears(self) -> bool:
        """Of the model that was chosen."""
        return isinstance(self._chosen, HearsAudio) and self._chosen.hears

    async def load(self) -> None:
        """Takes a server that answers with a real token; one that does not is passed over, and ``why`` says so."""
        server = await local_servers.find()
        if server is not None:
            address = f"{server.url}#{server.models[0]}" if server.models else server.url
            model = openai_compatible.create(address, self._options)
            if model is not None and await self._answers(model, server):
                return
        else:
            self.why = "no model server answers on this machine (Ollama, LM Studio, llama-server, vLLM were looked for)"
        if self._otherwise is not None:
            await self._otherwise.load()
            self._chosen = self._otherwise
            return
        # A temperature or a limit of tokens means nothing to it; only what it knows is passed on.
        known = {name: value for name, value in self._options.items() if name in responder.OPTIONS}
        built_in = responder.create("built-in", known)
        assert built_in is not None
        await built_in.load()
        self._chosen = built_in

    async def _answers(self, model: LanguageModel, server: local_servers.LocalServer) -> bool:
        try:
            await model.load()
        except LocaraError as error:
            self.why = f"{server.name} at {server.url} was found but gave no answer: {error.message}"
            await model.close()
            return False
        except BaseException:
            await model.close()
            raise
        self.why = f"{server.name} already runs at {server.url}"
        self._chosen = model
        return True

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> AsyncIterator[str | ToolCall]:
        """See the model that was chosen."""
        if self._chosen is None:
            raise SessionError("the language model was asked before it was loaded", hint="await load() first")
        return self._chosen.reply(messages, tools)

    async def read(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> bool:
        """See the model that was chosen; the built-in responder has nothing to read."""
        return isinstance(self._chosen, ReadsAhead) and await self._chosen.read(messages, tools)

    async def announcements(self) -> AsyncIterator[str]:
        """See the model that was chosen; nothing where it never speaks unasked."""
        if isinstance(self._chosen, Announces):
            async for text in self._chosen.announcements():
                yield text

    async def close(self) -> None:
        """Closes what was chosen."""
        if self._chosen is not None:
            await self._chosen.close()
