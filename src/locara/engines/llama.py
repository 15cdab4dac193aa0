"""llama.cpp in this process, through the wheel xllamacpp: any GGUF file, without a server beside.

What may live here: the engine, and the one generation that is under way. Its options and the checks of its file are
`llama_settings`'; what it is sent and sends is chat JSON as over the wire, so `chat_wire` reads it.

The wheel starts a HTTP server on a free loopback port with every model, and nothing turns that off. It gets a random key
that nobody is told, so that another program of this machine cannot use the model or read what is in its cache: it
answers 401 to everything but ``/health``, which says "ok" and no more. Once offline was promised it gets no port, but a file
that is removed at once: see `llama_door`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import secrets
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, Final

from locara.engines.chat_wire import Calls, merged, message_json, tool_json
from locara.engines.contracts import EngineInfo, LanguageModel, Message, Tool, ToolCall
from locara.engines.lane import Lane
from locara.engines.llama_door import side_door
from locara.engines.llama_settings import BATCH, ENGINE, GPU_BATCH, Found, Settings, find, understand
from locara.errors import EngineFailed, EngineMissing, EngineTimeout, LocaraError, SessionError

_WAITING = 64  # pieces that wait to be taken; then generating waits
_STOP_SECONDS = 30.0  # a batch of the prompt on a slow machine: only after it does llama.cpp look whether to stop
_END: Final = object()

PROCESS = "own"
"""It can take its process down (a fault in native code, memory that runs out), and computes on all cores but one."""

ENVIRONMENT = {"OMP_WAIT_POLICY": "passive"}
"""See `_library`; in a process of its own it is set from the start."""


def create(model: str, options: Mapping[str, Any]) -> LanguageModel | None:
    """The engine for a GGUF file: ``model`` ends in ``.gguf``, or ``path`` does, or ``engine`` is ``"llama"`` and ``path``
    is the folder of the model.

    ``options``: ``path``, ``context`` (tokens, 4,096 or what the model can), ``threads`` (cores but one), ``gpu_layers``
    (what fits), ``temperature``, ``top_p``, ``max_tokens`` (1,024), ``seed``, ``reasoning`` (False: the model is told not
    to think first), ``mmproj`` (a projector, with which some models hear), ``read_ahead`` (True), ``check_memory`` (True),
    ``timeout``, ``gap_timeout``, ``load_timeout`` (seconds to the first token, between tokens, to load).
    Raises ``ConfigError`` and ``ModelMissing``.
    """
    settings = understand(model, options)
    return None if settings is None else Llama(settings)


create.models = (ENGINE,)  # type: ignore[attr-defined]  # for "did you mean"


class Llama:
    """One model in memory, with one conversation in its cache. One reply at a time; the next waits for it to stop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lane = Lane("llama", stage="llm", model=settings.model)
        self._server: Any = None
        self._found: Found | None = None
        self._running: _Generation | None = None
        self._closed = False
        self._numbers = itertools.count(1)
        self._key = ""
        self._card = ""  # the graphics card that computes
        self.timings: Mapping[str, float] = {}
        """Of the last generation that ran to its end, as llama.cpp measures: ``cache_n`` and ``prompt_n`` (tokens that
        were kept, and read), ``prompt_per_second``, ``predicted_per_second``."""

    @property
    def info(self) -> EngineInfo:
        """With what the file says, once it is loaded."""
        settings, found = self._settings, self._found
        if found is None:
            return EngineInfo(engine=ENGINE, model=settings.model, licence="that of the model's file")
        return EngineInfo(
            engine=ENGINE,
            model=settings.model,
            licence=found.model.licence or "that of the model's file",
            device=self._card or "cpu",
            note=f"{found.model.architecture}, {found.model.parameters / 1e9:.2g} billion weights, "
            f"{found.model.quantisation}, {found.context} tokens of context, {settings.cores} threads",
        )

    @property
    def hears(self) -> bool:
        """Whether messages may carry sound (`locara.engines.contracts.HearsAudio`): it has a projector for sound."""
        return self._found is not None and self._found.hears

    @property
    def reads_ahead(self) -> bool:
        """Whether `read` does anything."""
        return self._settings.read_ahead

    @property
    def side_address(self) -> str:
        """Where the wheel's own server listens; empty while nothing is loaded. It is of no use: it wants a key."""
        return "" if self._server is None else str(self._server.listening_address)

    async def load(self) -> None:
        """Checks the file, loads it, and generates one token.

        Raises ``EngineMissing`` (the wheel), ``ModelMissing``, ``EngineFailed`` (the file, or memory), ``EngineTimeout``.
        """
        await self._lane.run(self._load, deadline=self._settings.load)
        payload = {"messages": [message_json(Message("user", "Hi"))], "max_tokens": 1}
        async with contextlib.aclosing(self._chunks(payload, self._settings.load)) as chunks:
            async for _ in chunks:
                pass

    async def close(self) -> None:
        """Stops what is under way, frees the model and closes the wheel's server."""
        if self._closed:
            return
        self._closed = True
        if self._running is not None:
            self._running.stop()
        try:
            # A generation stops at its next token, or after the batch of the prompt that it is in.
            await self._lane.run(self._unload, deadline=_STOP_SECONDS)
        finally:
            self._lane.close()

    async def reply(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> AsyncGenerator[str | ToolCall]:
        """The reply as pieces of text, then the tool calls. Closing the iterator stops generating.

        Raises ``EngineTimeout`` and ``EngineFailed``, both after what has been generated so far was yielded.
        """
        calls = Calls()
        payload = {**self._prompt(messages, tools), **self._sampling()}
        async with contextlib.aclosing(self._chunks(payload, self._settings.first)) as chunks:
            async for delta in chunks:
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

    async def read(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> bool:
        """Reads this prompt into the cache. See `locara.engines.contracts.ReadsAhead`. What was read when it is cancelled
        stays read."""
        if not self._settings.read_ahead:
            return False
        payload = {**self._prompt(messages, tools), "max_tokens": 0}
        try:
            async with contextlib.aclosing(self._chunks(payload, self._settings.first)) as chunks:
                async for _ in chunks:
                    pass
        except LocaraError:  # the reply will meet the same fault, and is the one to tell it
            return False
        return True

    # --- one generation -----------------------------------------------------------------------------------------------

    def _prompt(self, messages: Sequence[Message], tools: Sequence[Tool]) -> dict[str, Any]:
        """What the model reads. To read ahead, it must be the same for a reply, byte for byte."""
        payload: dict[str, Any] = {"messages": [message_json(one) for one in merged(messages)]}
        if tools:
            payload["tools"] = [tool_json(one) for one in tools]
        # Templates that know no such word ignore it.
        payload["chat_template_kwargs"] = {"enable_thinking": self._settings.reasoning}
        return payload

    def _sampling(self) -> dict[str, Any]:
        settings = self._settings
        wanted = {"temperature": settings.temperature, "top_p": settings.top_p, "seed": settings.seed}
        return {"max_tokens": settings.max_tokens, **{name: one for name, one in wanted.items() if one is not None}}

    async def _chunks(self, payload: Mapping[str, Any], first: float) -> AsyncGenerator[Mapping[str, Any]]:
        """What the model adds to its message, piece by piece. ``first``: seconds to the first token."""
        if self._closed or self._server is None:
            state = "closed" if self._closed else "not loaded"
            raise SessionError(f"the llm engine is {state}", hint="start a new session")
        before = self._running
        if before is not None:
            before.stop()
        server = self._server
        generation = self._running = _Generation(lambda take: self._generate(server, payload, take))
        left, patience, waiting_for = first, first, "for the first token"
        clock = asyncio.get_running_loop()
        try:
            while True:
                began = clock.time()
                chunk = await self._next(generation, before, left, f"{patience:.3g} s of waiting {waiting_for}")
                left -= clock.time() - began
                if chunk is _END:
                    return
                delta = self._delta(chunk)
                if any(delta.get(name) for name in ("content", "reasoning_content", "tool_calls")):
                    left = patience = self._settings.gap
                    waiting_for = "for the next token"
                    yield delta
        finally:
            generation.stop()

    async def _next(self, generation: _Generation, before: _Generation | None, left: float, waited: str) -> Any:
        def take() -> Any:
            if before is not None and not before.wait(_STOP_SECONDS):
                raise self._failed("does not stop its last reply", "choose a smaller model; this one hangs")
            return generation.next()

        try:
            return await self._lane.run(take, deadline=max(0.0, left), abandon=generation.stop)
        except EngineTimeout:
            raise EngineTimeout(
                f"llm: {self._settings.model} was given up after {waited}",
                stage="llm",
                model=self._settings.model,
                hint="it is too slow for this machine; choose a smaller model, or raise the option timeout",
            ) from None

    @staticmethod
    def _generate(server: Any, payload: Mapping[str, Any], take: Callable[[Any], bool]) -> None:
        """Blocks until all is generated or ``take`` returns True. It is called for each token, and after each batch of the
        prompt: that is what ``return_progress`` is for."""
        request = {**payload, "stream": True, "cache_prompt": True, "return_progress": True}
        server.handle_chat_completions(request, take)

    def _delta(self, chunk: Any) -> Mapping[str, Any]:
        """What one chunk adds to the message; an error is raised."""
        if not isinstance(chunk, Mapping):
            return {}
        if error := chunk.get("error"):
            raise self._refused(error)
        if isinstance(timings := chunk.get("timings"), Mapping):
            self.timings = dict(timings)
        choices = chunk.get("choices")
        delta = choices[0].get("delta") if isinstance(choices, list) and choices else None
        return delta if isinstance(delta, Mapping) else {}

    def _refused(self, error: Any) -> EngineFailed:
        facts = error if isinstance(error, Mapping) else {"message": str(error)}
        if facts.get("type") == "exceed_context_size_error":
            return self._failed(
                f"was given {facts.get('n_prompt_tokens')} tokens and keeps {facts.get('n_ctx')} in mind",
                "raise the option context, or lower history (characters of the conversation that it is given)",
            )
        return self._failed(
            f"failed: {facts.get('message') or 'without a reason'}", "see the message; try another model"
        )

    # --- loading (on the lane) ----------------------------------------------------------------------------------------

    def _load(self) -> None:
        if self._server is not None:
            return
        found = find(self._settings)
        library = _library(self._settings.model)
        self._card = "" if self._settings.gpu_layers == 0 else _card(library)
        key = secrets.token_urlsafe(32)
        try:
            with side_door() as hosts:
                self._server = library.Server(self._parameters(library, found, key, hosts))
        except Exception as error:  # whatever the library raises, mostly one RuntimeError for everything
            raise self._failed(
                f"could not be loaded: {error}; {found.model.path.name} is "
                f"{found.model.architecture} {found.model.quantisation}",
                "update xllamacpp (pip install -U xllamacpp): it may not know this kind of model yet",
            ) from None
        self._found, self._key = found, key

    def _parameters(self, library: Any, found: Found, key: str, hosts: list[str]) -> Any:
        settings = self._settings
        wanted = library.CommonParams()
        wanted.model.path = str(found.model.path)
        if found.mmproj is not None:
            wanted.mmproj.path = str(found.mmproj.path)
        wanted.n_ctx = found.context
        wanted.n_parallel = 1  # one conversation: a second slot would halve the context, and share nothing read ahead
        wanted.n_batch = wanted.n_ubatch = GPU_BATCH if self._card else BATCH
        for threads in (wanted.cpuparams, wanted.cpuparams_batch):
            threads.n_threads = settings.cores
        if settings.gpu_layers is not None:
            wanted.n_gpu_layers = settings.gpu_layers
        wanted.enable_reasoning = int(settings.reasoning)
        wanted.cache_ram_mib = 0  # other conversations' caches; there are none
        wanted.verbosity = -1
        wanted.offline = True
        wanted.ui = False
        wanted.endpoint_slots = False
        wanted.n_threads_http = 2
        wanted.hostnames = hosts
        wanted.api_keys = [key]
        return wanted

    def _unload(self) -> None:
        if self._running is not None:
            self._running.wait(_STOP_SECONDS)
            self._running = None
        self._server = None  # the library ends its threads and its server when the object goes

    def _failed(self, what: str, hint: str) -> EngineFailed:
        return EngineFailed(f"llm: {self._settings.model} {what}", stage="llm", model=self._settings.model, hint=hint)


class _Generation:
    """A thread that generates, and the pieces it has made. The library calls back; here the pieces are taken from it."""

    def __init__(self, work: Callable[[Callable[[Any], bool]], None]) -> None:
        self._work = work
        self._chunks: deque[Any] = deque()
        self._changed = threading.Condition()
        self._stopped = False
        self._thread: threading.Thread | None = None

    def next(self) -> Any:
        """The next piece, ``_END`` after the last. Raises what the library raised. Called on the lane."""
        with self._changed:
            if self._thread is None and not self._stopped:
                self._thread = threading.Thread(target=self._run, name="locara-llama-generation", daemon=True)
                self._thread.start()
            # No deadline here: whoever waits has one, and stops this when it has passed.
            self._changed.wait_for(lambda: self._stopped or bool(self._chunks))
            if self._stopped:
                return _END
            chunk = self._chunks.popleft()
            self._changed.notify_all()
        if isinstance(chunk, BaseException):
            raise chunk
        return chunk

    def stop(self) -> None:
        """Nothing more is wanted: it ends at the next token or batch. From any thread, any number of times."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Whether it has ended."""
        with self._changed:
            thread = self._thread
        if thread is None:
            return True
        thread.join(seconds)
        return not thread.is_alive()

    def _run(self) -> None:
        try:
            self._work(self._take)
        except BaseException as error:
            self._take(EngineFailed(f"llm: {error}", stage="llm", hint="see the message; try another model"))
        self._take(_END)

    def _take(self, chunk: Any) -> bool:
        """Called by the library for every piece; True stops it. Waits while nobody takes them."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or len(self._chunks) < _WAITING)
            self._chunks.append(chunk)
            self._changed.notify_all()
            return self._stopped


def _card(library: Any) -> str:
    """The graphics card that this build of the library computes on; empty where there is none."""
    try:
        devices = library.get_device_info()
    except Exception:  # only for a better guess: without it everything works as on a CPU
        return ""
    cards = [one for one in devices if str(getattr(one.get("type"), "name", "")).endswith(("_GPU", "_IGPU"))]
    return str(cards[0].get("description") or cards[0].get("name") or "gpu") if cards else ""


def _library(model: str) -> Any:
    """xllamacpp, imported with OpenMP told not to spin while it waits: spinning threads take the cores from the sound, and
    on a busy machine made it 10 to 20 times slower. The variable is read when the library's own OpenMP starts."""
    before = os.environ.get("OMP_WAIT_POLICY")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        import xllamacpp
    except ImportError as error:
        hint = 'pip install "locara[llama]"'
        if "libgomp" in str(error):  # Linux: the wheel uses the system's own, which small images lack
            hint = "install the system's OpenMP library: apt-get install libgomp1 (Fedora: dnf install libgomp)"
        raise EngineMissing(
            f"llm: {model} needs llama.cpp (xllamacpp), which cannot be imported: {error}",
            stage="llm",
            model=model,
            hint=hint,
        ) from error
    finally:
        if before is None:
            os.environ.pop("OMP_WAIT_POLICY", None)
    return xllamacpp
