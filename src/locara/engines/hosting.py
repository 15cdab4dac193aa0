"""Any recogniser, language model or voice, run in a process of its own: the same contract, the same code.

What may live here: our side of it; the child is `locara.engines.host`. For engines whose library can take the process
down, holds the interpreter's lock, or must find its environment set before it is imported. Killing the child in the
middle of a turn gives an ``EngineFailed``; the next call starts it again.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, NoReturn, TypeVar, cast

import numpy as np

from locara import errors
from locara.audio import Samples
from locara.engines.child import Child, WorkerError
from locara.engines.contracts import (
    BringsTools,
    Engine,
    EngineInfo,
    Kind,
    Message,
    ReadsAhead,
    SpeaksLanguage,
    Speech,
    Tool,
    ToolCall,
    Transcript,
)
from locara.engines.frames import Reply
from locara.engines.hosted_wire import item_in, prompt_json, words_in
from locara.engines.lane import Lane
from locara.errors import ConfigError, EngineFailed, LocaraError

T = TypeVar("T")
_HOST = "locara.engines.host"
_LOAD_SECONDS = 300.0  # a large model from a slow disk
_ANSWER_SECONDS = 60.0  # for one answer; the session's own deadlines are shorter
_MARGIN = 1.0  # seconds that the lane waits longer than the child: then the child's own error is the one that is seen
_BLOCK_BYTES = 4 * 1024 * 1024  # of samples in one frame: a minute at 16 kHz

KINDS: tuple[Kind, ...] = ("stt", "llm", "tts")
"""What can be hosted. Detectors are called where they stand, thousands of times a minute; a speech model comes later."""


def hosted(kind: Kind, model: str, options: Mapping[str, Any], twin: Engine, environment: Mapping[str, str]) -> Engine:
    """``twin``, never loaded here, in a process of its own.

    ``options`` are those it was made with and must be plain data. ``environment`` is added to the child's. Raises
    ``ConfigError`` where it cannot be.
    """
    name = twin.info.engine
    if kind not in KINDS:
        raise ConfigError(f'{name}: process="own" is not possible for {kind}', hint="leave the option process out")
    if isinstance(twin, BringsTools):
        raise ConfigError(f'{name}: process="own": its own tools need this process', hint="leave the option out")
    try:
        plain = json.dumps(dict(options))
    except (TypeError, ValueError):
        raise ConfigError(
            f'{name}: process="own": its options must be plain data', hint="strings, numbers, lists; no functions"
        ) from None
    host = _Host(kind, model, plain.encode(), twin, environment)
    if kind == "stt":
        return HostedRecogniser(host)
    if kind == "tts":
        return HostedSpeakingVoice(host) if isinstance(twin, SpeaksLanguage) else HostedVoice(host)
    return HostedReadingModel(host) if isinstance(twin, ReadsAhead) else HostedModel(host)


class _Host:
    """The process, the thread that talks to it, and what is known of the engine in it."""

    def __init__(self, kind: Kind, model: str, options: bytes, twin: Engine, environment: Mapping[str, str]) -> None:
        self.kind = kind
        self.model = model
        self.info = dataclasses.replace(twin.info, where="child process")
        self.rate = int(getattr(twin, "rate", 0))
        self.language = twin.language if isinstance(twin, SpeaksLanguage) else ""
        name = twin.info.model or model
        self.child = Child(_HOST, stage=kind, model=name, environment=environment)
        self.lane = Lane(f"host-{kind}", stage=kind, model=name)
        self._options = options
        self._ready = 0  # the life of the child that has the engine loaded

    async def load(self) -> None:
        await self.lane.run(self.wake, deadline=2 * _LOAD_SECONDS, abandon=self.child.kill)

    async def close(self) -> None:
        await asyncio.to_thread(self.child.kill)
        self.lane.close()

    def wake(self) -> None:
        """Blocking, on the lane: makes sure that the process runs and the engine in it is loaded."""
        if self.child.alive and self._ready == self.child.lives:
            return
        self.child.start()
        try:
            said = self.child.request("load", self._options, deadline=_LOAD_SECONDS, kind=self.kind, model=self.model)
        except WorkerError as error:
            self.child.kill()
            _raise(error)
        self.info = dataclasses.replace(EngineInfo(**said.header["info"]), where="child process")
        self.rate = int(said.header["rate"])
        self.language = str(said.header["language"] or "")
        self._ready = self.child.lives

    def request(self, op: str, payload: bytes = b"", ticket: int | None = None) -> Reply:
        """Blocking, on the lane: one call and its answer."""
        try:
            return self.child.request(op, payload, deadline=_ANSWER_SECONDS, ticket=ticket)
        except WorkerError as error:
            _raise(error)

    async def ask(self, op: str, payload: bytes = b"") -> Reply:
        """One call; cancelling it cancels what the engine does for it."""
        ticket = self.child.ticket()
        return await self.lane.run(
            lambda: self.request(op, payload, ticket),
            deadline=_ANSWER_SECONDS + _MARGIN,
            abandon=lambda: self.child.cancel(ticket),
        )

    async def stream(self, op: str, payload: bytes) -> AsyncGenerator[Reply]:
        """The items of one call; closing it cancels what the engine does for it."""
        ticket = self.child.ticket()

        def start() -> Iterator[Reply]:
            self.wake()
            try:
                yield from self.child.stream(op, payload, deadline=_ANSWER_SECONDS, ticket=ticket)
            except WorkerError as error:
                _raise(error)

        items = self.lane.stream(
            start, deadline=_LOAD_SECONDS + _ANSWER_SECONDS, abandon=lambda: self.child.cancel(ticket)
        )
        async with aclosing(cast("AsyncGenerator[Reply, None]", items)) as replies:
            async for reply in replies:
                yield reply


class _Hosted:
    """What all hosted engines have in common."""

    def __init__(self, host: _Host) -> None:
        self._host = host

    @property
    def info(self) -> EngineInfo:
        """The engine's own, and that it runs in a child process."""
        return self._host.info

    async def load(self) -> None:
        """Starts the process and loads the engine in it. Raises what the engine's own ``load`` raises."""
        await self._host.load()

    async def close(self) -> None:
        """Ends the process and the thread."""
        await self._host.close()

    @property
    def pid(self) -> int | None:
        """The process, None before the first start."""
        return self._host.child.pid


class HostedRecogniser(_Hosted):
    """See `locara.engines.contracts.Recogniser`."""

    def open(self) -> HostedRecognition:
        """A new recognition. The one before it, if it is still open, cannot be used any longer."""
        return HostedRecognition(self._host)


class HostedRecognition:
    """See `locara.engines.contracts.Recognition`."""

    def __init__(self, host: _Host) -> None:
        self._host = host
        self._life = 0  # of the child that has begun this turn
        self._closed = False

    async def push(self, samples: Samples) -> str | None:
        """The next samples at 16 kHz. Returns the text so far when it has changed, else None."""
        await self._begin()
        sound = np.ascontiguousarray(samples, dtype=np.float32).tobytes()
        text: str | None = None
        for start in range(0, len(sound), _BLOCK_BYTES):
            said = (await self._host.ask("push", sound[start : start + _BLOCK_BYTES])).header["text"]
            text = text if said is None else str(said)
        return text

    async def settle(self) -> Transcript:
        """The best transcript of everything pushed so far."""
        await self._begin()
        said = (await self._host.ask("settle")).header
        return Transcript(str(said["text"]), said["confidence"])

    async def close(self) -> None:
        """Ends this recognition. Never raises."""
        if not self._closed:
            self._closed = True
            if self._life and self._life == self._host.child.lives and self._host.child.alive:
                with suppress(LocaraError):
                    await self._host.ask("shut")

    async def _begin(self) -> None:
        if self._closed:
            raise self._failed("this recognition has ended", hint="open() a new one for each turn")
        if not self._life:

            def work() -> None:
                self._host.wake()
                self._host.request("open")

            await self._host.lane.run(work, deadline=2 * _LOAD_SECONDS, abandon=self._host.child.cancel)
            self._life = self._host.child.lives
        elif self._life != self._host.child.lives or not self._host.child.alive:
            raise self._failed("its process has died during this turn", hint="the next turn starts it again")

    def _failed(self, why: str, *, hint: str) -> EngineFailed:
        model = self._host.info.model
        return EngineFailed(f"{self._host.kind}: {model}: {why}", stage=self._host.kind, model=model, hint=hint)


class HostedVoice(_Hosted):
    """See `locara.engines.contracts.Voice`."""

    @property
    def rate(self) -> int:
        """Hertz of the samples it makes; right once it is loaded."""
        return self._host.rate

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        """The speech of ``text``. Closing the iterator cancels."""
        async with aclosing(self._host.stream("speak", text.encode("utf-8", "replace"))) as items:
            async for item in items:
                yield Speech(np.frombuffer(item.payload, dtype=np.float32), words_in(item.header["words"]))


class HostedSpeakingVoice(HostedVoice):
    """A voice that says which language it speaks."""

    @property
    def language(self) -> str:
        """As a code."""
        return self._host.language


class HostedModel(_Hosted):
    """See `locara.engines.contracts.LanguageModel`."""

    async def reply(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> AsyncIterator[str | ToolCall]:
        """The reply as pieces of text and tool calls. Closing the iterator cancels."""
        async with aclosing(self._host.stream("reply", prompt_json(messages, tools))) as items:
            async for item in items:
                yield item_in(item.payload)


class HostedReadingModel(HostedModel):
    """A language model that can read ahead."""

    async def read(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> bool:
        """See `locara.engines.contracts.ReadsAhead`."""
        try:
            said = await self._host.ask("read", prompt_json(messages, tools))
        except LocaraError:  # the reply will meet the same fault, and is the one to tell it
            return False
        return bool(said.header["read"])


def _raise(error: WorkerError) -> NoReturn:
    """The engine's own error, as it would have been raised here."""
    kind = getattr(errors, error.kind, None)
    if isinstance(kind, type) and issubclass(kind, errors.StageError):
        raise kind(error.said, stage=error.stage, model=error.model, hint=error.hint) from error
    if isinstance(kind, type) and issubclass(kind, LocaraError):
        raise kind(error.said, hint=error.hint) from error
    raise error
