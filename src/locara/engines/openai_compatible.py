"""A language model behind any OpenAI-compatible server: Ollama, llama-server, LM Studio, vLLM, or one elsewhere.

What may live here: this client. What it is told stands in `chat_settings`, what it sends and gets is `chat_wire`'s, and
finding a server is the business of `local_servers`. Every wait has a deadline; closing a reply closes its connection,
which is how these servers are told to stop generating.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import itertools
import json
from collections.abc import AsyncGenerator, Awaitable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from locara.audio import RATE, silence
from locara.engines.chat_settings import Settings, understand
from locara.engines.chat_wire import Calls, Events, merged, message_json, reason_in, tool_json
from locara.engines.contracts import EngineInfo, LanguageModel, Message, Sound, Tool, ToolCall
from locara.engines.lane import real_work
from locara.engines.local_servers import chat_models, is_loopback, model_ids
from locara.engines.server_facts import Facts, of_llama_server, of_ollama, root, wishes
from locara.errors import EngineFailed, EngineTimeout, LocaraError, SessionError

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
_ASK_SECONDS = 5.0  # for short answers: the list of models, the text of an error
_CLOSE_SECONDS = 2.0
_AFTER_END_SECONDS = 1.0  # a server that never closes its finished reply
_RETRY_SECONDS = 0.5
_HINTS = {
    300: "use the address it redirects to",
    401: 'give the key of this server as the option "api_key"',
    403: 'give a key that may use this model as the option "api_key"',
    404: "the address must end where /chat/completions begins, mostly in /v1",
    429: "too many requests: wait a moment, or use a server that is less busy",
    500: "look at the server's log; it may have run out of memory",
}  # by status, else by its hundred
_IDLE_SECONDS = 3.0  # shorter than the 5 s after which uvicorn, Node and llama-server drop an idle connection


def create(model: str, options: Mapping[str, Any]) -> LanguageModel | None:
    """The engine for ``http://host:port/v1`` or ``http://host:port/v1#model-name``, or for any name with a ``url`` option;
    None when the name is not for this engine.

    ``options``: ``url``, ``model``, ``api_key``, ``temperature``, ``max_tokens``, ``timeout`` (seconds to the first
    token, 20), ``gap_timeout`` (seconds between tokens, 10), ``load_timeout`` (seconds to load and warm up, 120),
    ``read_ahead`` (read the prompt while the user speaks; without it: only on this machine), ``audio_input`` (the model
    shall hear; one that cannot is refused in ``load``), ``reasoning`` (False: it shall answer without thinking first, which
    is what a server on this machine is told anyway), ``keep_alive`` (Ollama: how long the model stays in memory after the
    last request, for example ``"1h"``, or -1 for ever).
    Raises ``ConfigError`` for an address or option that cannot work.
    """
    settings = understand(model, options)
    return None if settings is None else OpenAICompatible(settings)


class OpenAICompatible:
    """One model of one server. May give several replies at once, as far as the server does."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._model = settings.model
        self._client: httpx.AsyncClient | None = None
        self._closed = False
        self.reads_ahead = is_loopback(settings.url) if settings.read_ahead is None else settings.read_ahead
        """Elsewhere it would cost money, and send away words that the user has not finished."""
        self._numbers = itertools.count(1)
        self._wishes = wishes(settings.url, settings.reasoning, here=is_loopback(settings.url))
        parts = urlsplit(settings.url)
        self._shown = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))  # never shows a password

    @property
    def info(self) -> EngineInfo:
        here = is_loopback(self._settings.url)
        return EngineInfo(
            engine="openai-compatible",
            model=self._model or self._shown,
            licence="that of the served model",
            device="chosen by the server",
            where=self._shown,
            note="" if here else "the text of the conversation leaves this machine",
            sharing="shared",
        )

    @property
    def hears(self) -> bool:
        """Whether it was asked to, and loaded: `locara.engines.contracts.HearsAudio`."""
        return self._settings.audio_input

    async def load(self) -> None:
        """Chooses a model where none was named, and generates one token. Raises ``StageError``."""
        try:
            async with asyncio.timeout(self._settings.load):
                while not await self._try_to_load():
                    with real_work():
                        await asyncio.sleep(_RETRY_SECONDS)
        except TimeoutError:
            raise self._too_late("to load the model", self._settings.load) from None

    async def close(self) -> None:
        """Closes all connections, those of running replies too."""
        self._closed = True
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(TimeoutError), real_work():
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await client.aclose()

    async def read(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> bool:
        """Has the server read this prompt into its prefix cache. See `locara.engines.contracts.ReadsAhead`.

        One token is asked for and thrown away. It costs nothing where it comes from the prompt's own last step, as in
        llama-server; 0 would be clearer, but means "no limit" to some servers and is an error to others.
        """
        if not self.reads_ahead:
            return False
        payload = {**self._prompt(messages, tools), "max_tokens": 1}
        try:
            async with contextlib.aclosing(self._deltas(payload, self._settings.first)) as deltas:
                async for _ in deltas:
                    break
        except LocaraError:  # the reply will meet the same fault, and is the one to tell it
            return False
        return True

    async def reply(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> AsyncGenerator[str | ToolCall]:
        """The reply as pieces of text, then the tool calls. Closing the iterator closes the connection.

        Raises ``EngineTimeout`` and ``EngineFailed``, both after what has been received so far was yielded.
        """
        payload = self._prompt(messages, tools)
        if self._settings.max_tokens is not None:
            payload["max_tokens"] = self._settings.max_tokens
        calls = Calls()
        async with contextlib.aclosing(self._deltas(payload, self._settings.first)) as deltas:
            async for delta in deltas:
                calls.add(delta.get("tool_calls"))
                content = delta.get("content")
                if isinstance(content, str) and content:
                    yield content
        try:
            wanted = list(calls.decoded(self._numbers))
        except ValueError as error:
            raise self._failed(
                f"called a tool in a way that cannot be read: {error}",
                "choose a model that was trained to use tools, or leave the tools out",
            ) from None
        for call in wanted:
            yield call

    # --- one exchange -------------------------------------------------------------------------------------------------

    @staticmethod
    def _prompt(messages: Sequence[Message], tools: Sequence[Tool]) -> dict[str, Any]:
        """What the model reads. To read ahead, it must be the same for a reply, byte for byte."""
        payload: dict[str, Any] = {"messages": [message_json(one) for one in merged(messages)]}
        if tools:
            payload["tools"] = [tool_json(one) for one in tools]
        return payload

    async def _try_to_load(self) -> bool:
        """True when one token was generated; False when the server is still loading its weights."""
        if not self._model:
            names = await self._list()
            usable = chat_models(names or ())
            if names is None or not usable:
                found = "gives no list of models" if names is None else "has no chat model"
                raise self._failed(
                    found, "name a model (http://host:port/v1#model), or get one, e.g. `ollama pull qwen2.5:3b`"
                )
            self._model = usable[0]
        try:
            await self._warm()
        except _StillLoading:
            return False
        return True

    async def _warm(self) -> None:
        """One token. If the model shall hear, after half a second of silence; first the server is asked whether it does,
        because some pass over what they do not understand."""
        settings = self._settings
        if settings.keep_alive is not None:
            await self._own("POST", "/api/generate", {"model": self._model, "keep_alive": settings.keep_alive})
        if settings.audio_input and (await self._facts()).audio is False:
            raise self._deaf("says that it takes no sound")
        sounds = (Sound(silence(RATE // 2)),) if settings.audio_input else ()
        payload = {"messages": [message_json(Message("user", "Hi", sounds=sounds))], "max_tokens": 1}
        try:
            await self._one_token(payload)
        except _StillLoading:
            raise
        except EngineFailed as error:
            if self._wishes and "answered 400" in error.message:
                self._wishes = {}  # an old server that knows the word and not the value (Ollama before reasoning "none")
                await self._warm()
                return
            raise self._deaf(f"refuses sound: {error.message}") if sounds else error from None

    async def _one_token(self, payload: dict[str, Any]) -> None:
        async with contextlib.aclosing(self._deltas(payload, self._settings.load)) as deltas:
            async for _ in deltas:
                break  # warm; a server that does not know max_tokens would go on for long

    def _deaf(self, why: str) -> EngineFailed:
        return self._failed(
            f"{why} ({self._model})",
            "serve a model with audio input (llama-server: with its --mmproj), or leave audio_input out",
        )

    async def _facts(self) -> Facts:
        """What the program behind the address says of the model."""
        found = of_llama_server(await self._own("GET", "/props"))
        return found or of_ollama(await self._own("POST", "/api/show", {"model": self._model})) or Facts()

    async def _own(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """An answer of the program's own protocol; None for a program that has no such path."""
        request = self._open().request(method, root(self._settings.url) + path, json=body)
        response = await self._wait(
            request, self._settings.load if path == "/api/generate" else _ASK_SECONDS, "for " + path
        )
        try:
            return response.json() if response.status_code == 200 else None
        except ValueError:
            return None

    async def _deltas(self, payload: dict[str, Any], first: float) -> AsyncGenerator[Mapping[str, Any]]:
        """What the model adds to its message, piece by piece. ``first``: seconds to the first token."""
        body = {"model": self._model, **payload, **self._wishes, "stream": True}
        if self._settings.temperature is not None:
            body["temperature"] = self._settings.temperature
        clock = asyncio.get_running_loop()
        client = self._open()
        request = client.build_request("POST", f"{self._settings.url}/chat/completions", json=body)
        left, waiting_for, finished = first, "for the first token", False
        began = clock.time()
        response = await self._wait(client.send(request, stream=True), left, waiting_for)
        left -= clock.time() - began
        try:
            if response.status_code != 200:
                raise await self._refused(response)
            events = Events(whole="json" in response.headers.get("content-type", ""))
            blocks = aiter(response.aiter_bytes())
            while True:
                began = clock.time()
                try:
                    block = await self._wait(anext(blocks, None), left, waiting_for)
                except EngineTimeout:
                    if finished:
                        return  # all was said; the server only keeps the connection open
                    raise
                left -= clock.time() - began  # waiting for the server, not time in which nobody asked for a token
                for data in self._read(events, block):
                    if data == "[DONE]":
                        return
                    delta, ended = self._delta(data)
                    finished = finished or ended
                    if any(delta.values()):
                        left, waiting_for = self._settings.gap, "for the next token"
                        yield delta
                if finished:
                    left = min(left, _AFTER_END_SECONDS)
                if block is None:
                    if finished:
                        return
                    raise self._failed("ended the connection in the middle of its reply", "look at the server's log")
        finally:
            with contextlib.suppress(TimeoutError), real_work():
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await response.aclose()

    def _read(self, events: Events, block: bytes | None) -> Iterator[str]:
        """The events in the next block; None is the end."""
        try:
            yield from events.flush() if block is None else events.push(block)
        except ValueError as error:
            raise self._failed(str(error), "is this an OpenAI-compatible server?") from None

    def _delta(self, data: str) -> tuple[Mapping[str, Any], bool]:
        """What one event adds to the message, and whether it says that the message is complete."""
        try:
            event = json.loads(data)
        except ValueError:
            raise self._failed("sent an event that is not JSON", "look at the server's log") from None
        if isinstance(event, Mapping) and event.get("error"):
            raise self._failed(f"failed during its reply: {reason_in(data)}", "look at the server's log")
        choices = event.get("choices") if isinstance(event, Mapping) else None
        if choices is not None and not isinstance(choices, list):
            raise self._failed("sent an event with choices that are no list", "is this an OpenAI-compatible server?")
        choice = choices[0] if choices else {}  # without choices: a report of usage
        delta = (choice.get("delta") or choice.get("message") or {}) if isinstance(choice, Mapping) else {}
        kept = {name: delta.get(name) for name in ("content", "reasoning_content", "reasoning", "tool_calls")}
        return kept, isinstance(choice, Mapping) and bool(choice.get("finish_reason"))

    async def _list(self) -> tuple[str, ...] | None:
        """The names of the server's models, or None when it does not say."""
        response = await self._wait(self._open().get(f"{self._settings.url}/models"), _ASK_SECONDS, "for its models")
        if response.status_code in (401, 403, 429) or response.status_code >= 500:
            raise await self._refused(response)
        try:
            return model_ids(response.json()) if response.status_code == 200 else None
        except ValueError:
            return None

    async def _refused(self, response: httpx.Response) -> EngineFailed:
        """The error for an answer that is not 200."""
        status = response.status_code
        text = (await self._wait(_beginning(response), _ASK_SECONDS, "for the text of its error")).decode(
            "utf-8", "replace"
        )
        why = f"answered {status}" + (f": {reason}" if (reason := reason_in(text)) else "")
        if status == 503 and "loading" in text.lower():
            return _StillLoading(f"llm: {self._shown} is still loading its model", stage="llm", model=self._model)
        if status in (400, 404):
            with contextlib.suppress(EngineFailed, EngineTimeout):
                names = await self._list()
                if names and self._model not in names:
                    return self._failed(f"has no model {self._model!r}", _instead(self._model, names))
        if 300 <= status < 400:
            why += " (a redirection, which is not followed)"
        return self._failed(
            why, _HINTS.get(status) or _HINTS.get(status // 100 * 100) or "check the options of the llm"
        )

    # --- small parts --------------------------------------------------------------------------------------------------

    def _open(self) -> httpx.AsyncClient:
        if self._closed:
            raise SessionError("the llm engine is closed", hint="start a new session")
        if self._client is None:
            import httpx

            key = self._settings.api_key
            self._client = httpx.AsyncClient(
                timeout=None,  # noqa: S113 - every wait stands in asyncio.timeout, which also counts queueing and parsing
                trust_env=not is_loopback(self._settings.url),  # a proxy must not see what stays on this machine
                follow_redirects=False,
                verify=self._settings.url.startswith("https"),  # plain http needs no certificates: 0.1 s saved
                headers={"Authorization": f"Bearer {key}"} if key else None,
                limits=httpx.Limits(
                    max_connections=32,
                    # llama-server (cpp-httplib) at times drops the connection of a streamed answer when that has ended,
                    # and the next request on it fails. A new one costs 0.2 ms on loopback.
                    max_keepalive_connections=0 if is_loopback(self._settings.url) else None,
                    keepalive_expiry=_IDLE_SECONDS,
                ),
            )
        return self._client

    async def _wait(self, awaitable: Awaitable[T], seconds: float, waiting_for: str) -> T:
        import httpx

        try:
            with real_work():
                async with asyncio.timeout(max(0.0, seconds)):
                    return await awaitable
        except TimeoutError:
            raise self._too_late(waiting_for, seconds) from None
        except httpx.ConnectError as error:
            raise self._failed(
                f"cannot be reached: {error}", "start the server (for Ollama: `ollama serve`), or check the address"
            ) from None
        except httpx.HTTPError as error:
            what = str(error) or type(error).__name__
            raise self._failed(
                f"broke off: {what}", "look at the server's log; it may have run out of memory"
            ) from None

    def _failed(self, what: str, hint: str) -> EngineFailed:
        return EngineFailed(f"llm: {self._shown} {what}", stage="llm", model=self._model, hint=hint)

    def _too_late(self, waiting_for: str, seconds: float) -> EngineTimeout:
        return EngineTimeout(
            f"llm: {self._shown} was given up after {max(0.0, seconds):.3g} s of waiting {waiting_for}",
            stage="llm",
            model=self._model,
            hint="it is too slow for this machine or it hangs; choose a smaller model, or raise the option timeout",
        )


class _StillLoading(EngineFailed):
    """The server is up, its model is not."""


async def _beginning(response: httpx.Response) -> bytes:
    body = b""
    if response.is_stream_consumed:
        return response.content[:65536]
    async for block in response.aiter_bytes():
        body += block
        if len(body) > 65536:
            break
    return body


def _instead(model: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(model, names, 1, 0.5) or [one for one in names if one.startswith(model)]
    guess = f"did you mean {close[0]!r}? " if close else ""
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return f"{guess}it has: {shown}"
