"""The child's side of `locara.engines.hosting`: ``python -m locara.engines.host`` holds one engine of any kind.

What may live here: answering calls by calling the engine, and nothing that others import. The engine runs on an event
loop of its own, in a thread: it is the same code that would run in the parent.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import aclosing
from typing import Any, TypeVar, cast

import numpy as np

from locara.engines import registry
from locara.engines.contracts import Engine, LanguageModel, ReadsAhead, Recogniser, Recognition, SpeaksLanguage, Voice
from locara.engines.frames import Call, serve
from locara.engines.hosted_wire import item_json, messages_in, tools_in, words_json

T = TypeVar("T")
_AHEAD = 4  # items that wait between the engine and the pipe
_END: Any = object()


class _Stopped(Exception):
    """Nobody waits for this call any longer."""


class Host:
    """The engine of this process, and the loop it lives on."""

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self._recognition: Recognition | None = None
        self._loop = asyncio.new_event_loop()
        self._call: Call | None = None
        self._running: list[Future[Any]] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._loop.run_forever, name="engine", daemon=True).start()

    # --- calls --------------------------------------------------------------------------------------------------------

    def load(self, call: Call) -> Mapping[str, Any]:
        """Fields ``kind`` and ``model``, payload the options. Replies with what the engine is."""
        kind, model = call.fields["kind"], str(call.fields["model"])
        if self.engine is None:
            self.engine = registry.create(kind, model, {**json.loads(call.payload), "process": "shared"})
        engine = self.engine
        self._await(call, engine.load)
        language = engine.language if isinstance(engine, SpeaksLanguage) else None
        return {"info": dataclasses.asdict(engine.info), "rate": getattr(engine, "rate", 0), "language": language}

    def open(self, call: Call) -> Mapping[str, Any]:
        """A new recognition in the place of the one before it."""
        self._await(call, self._open)
        return {}

    def push(self, call: Call) -> Mapping[str, Any]:
        """Payload: float32 samples at 16 kHz. Replies with the text so far, or null when it has not changed."""
        samples = np.frombuffer(call.payload, dtype=np.float32)
        return {"text": self._await(call, lambda: self._opened().push(samples))}

    def settle(self, call: Call) -> Mapping[str, Any]:
        """Replies with the best transcript of everything pushed."""
        got = self._await(call, lambda: self._opened().settle())
        return {"text": got.text, "confidence": got.confidence}

    def shut(self, call: Call) -> Mapping[str, Any]:
        """Ends the recognition."""
        self._await(call, self._shut)
        return {}

    def speak(self, call: Call) -> Mapping[str, Any]:
        """Payload: the text. Items: float32 samples, and the words that begin in them."""
        voice = cast(Voice, self.engine)
        for speech in self._each(call, lambda: voice.speak(call.payload.decode())):
            call.send(speech.samples.astype(np.float32).tobytes(), words=words_json(speech.words))
        return {}

    def reply(self, call: Call) -> Mapping[str, Any]:
        """Payload: messages and tools. Items: pieces of text and tool calls."""
        model, said = cast(LanguageModel, self.engine), json.loads(call.payload)
        asked = (messages_in(said["messages"]), tools_in(said["tools"]))
        for item in self._each(call, lambda: model.reply(*asked)):
            call.send(item_json(item))
        return {}

    def read(self, call: Call) -> Mapping[str, Any]:
        """Payload: messages and tools. Replies with whether they were read ahead."""
        model, said = cast(ReadsAhead, self.engine), json.loads(call.payload)
        asked = (messages_in(said["messages"]), tools_in(said["tools"]))
        return {"read": self._await(call, lambda: model.read(*asked))}

    def cancelled(self, number: int) -> None:
        """On the reader's thread: whatever runs for this call ends."""
        with self._lock:
            if self._call is not None and self._call.number == number:
                for future in self._running:
                    future.cancel()

    # --- on the engine's loop -----------------------------------------------------------------------------------------

    def _opened(self) -> Recognition:
        assert self._recognition is not None
        return self._recognition

    async def _open(self) -> None:
        await self._shut()
        self._recognition = cast(Recogniser, self.engine).open()

    async def _shut(self) -> None:
        recognition, self._recognition = self._recognition, None
        if recognition is not None:
            await recognition.close()

    def _await(self, call: Call, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        with self._lock:
            if call.cancelled:
                raise _Stopped
            self._call = call
            future = asyncio.run_coroutine_threadsafe(_begin(work), self._loop)
            self._running.append(future)
        try:
            return future.result()
        except CancelledError:
            raise _Stopped from None
        finally:
            with self._lock:
                self._running.remove(future)

    def _each(self, call: Call, start: Callable[[], AsyncIterator[T]]) -> Any:
        """The items of a stream, taken by one task from beginning to end: a deadline inside it belongs to that task."""
        waiting: asyncio.Queue[Any] = asyncio.Queue(_AHEAD)

        async def pump() -> None:
            async with aclosing(cast(Any, start())) as items:
                async for item in items:
                    await waiting.put(item)
            await waiting.put(_END)

        pumping = asyncio.run_coroutine_threadsafe(pump(), self._loop)
        with self._lock:
            self._running.append(pumping)
        try:
            while True:
                item = self._await(call, lambda: _next(waiting, pumping))
                if item is _END:
                    return
                yield item
        finally:
            with self._lock:
                self._running.remove(pumping)
            pumping.cancel()


async def _begin(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    return await work()


async def _next(waiting: asyncio.Queue[Any], pumping: Future[None]) -> Any:
    """The next item, or what went wrong in the task that makes them."""
    pump = asyncio.wrap_future(pumping)
    getting = asyncio.ensure_future(waiting.get())
    try:
        await asyncio.wait([getting, pump], return_when=asyncio.FIRST_COMPLETED)
        if not getting.done() and waiting.empty():
            pump.result()
            return _END
        return await getting
    finally:
        getting.cancel()


def main() -> None:
    """Serves until the parent has gone."""
    host = Host()

    def quietly(handler: Callable[[Call], Mapping[str, Any]]) -> Callable[[Call], Mapping[str, Any] | None]:
        def run(call: Call) -> Mapping[str, Any] | None:
            try:
                return handler(call)
            except _Stopped:
                return None  # the wire says that the call was cancelled

        return run

    calls = (host.load, host.open, host.push, host.settle, host.shut, host.speak, host.reply, host.read)
    serve({handler.__name__: quietly(handler) for handler in calls}, host.cancelled)


if __name__ == "__main__":
    main()
