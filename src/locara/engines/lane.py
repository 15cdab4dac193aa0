"""A lane: where the blocking calls of one engine run, one after the other, off the event loop, each with a deadline.

Native code must not block the loop, and one engine must not be entered twice at once: a lane is one thread with a
queue. Under the virtual clock of `locara.testing` the loop waits for the thread while virtual time stands still, and
the call is then charged what it really took: a conversation with real engines runs the same way at any speed.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from locara.errors import EngineTimeout, SessionError

T = TypeVar("T")
_JOIN_SECONDS = 2.0
_END: Any = object()


@runtime_checkable
class Charging(Protocol):
    """An event loop whose time stands still while real work is done (``locara.testing.clock.VirtualLoop``)."""

    def charge(self, real_seconds: float) -> float:
        """How many virtual seconds a piece of real work costs."""
        ...

    def begin_real(self) -> None:
        """Something outside the process is awaited: from now on virtual time runs as real time does."""
        ...

    def end_real(self) -> None:
        """It has come."""
        ...


@contextmanager
def real_work() -> Iterator[None]:
    """Around an ``await`` on a socket: under the virtual clock, time then passes as it really does."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, Charging):
        yield
        return
    loop.begin_real()
    try:
        yield
    finally:
        loop.end_real()


class Lane:
    """One thread for one engine. ``stage`` and ``model`` name it in errors."""

    def __init__(self, name: str, *, stage: str, model: str = "") -> None:
        self.stage = stage
        self.model = model
        self._name = name
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._free_at = 0.0

    async def run(
        self,
        work: Callable[[], T],
        *,
        deadline: float,
        abandon: Callable[[], object] | None = None,
    ) -> T:
        """Runs ``work()`` on this lane's thread and returns what it returns.

        ``deadline`` is in seconds. ``abandon`` is called (from this thread) when nobody waits any longer: at the
        deadline, which then raises ``EngineTimeout``, or when the awaiting task is cancelled. It should make ``work``
        return soon, for example by telling a child process to stop.
        """
        future = self._submit(work)
        loop = asyncio.get_running_loop()
        if isinstance(loop, Charging):
            return await self._charged(loop, future, deadline, abandon)
        try:
            waited = asyncio.wrap_future(future)
            waited.add_done_callback(_seen)
            async with asyncio.timeout(deadline):
                return await asyncio.shield(waited)
        except TimeoutError:
            if future.done() and not future.cancelled() and isinstance(future.exception(), TimeoutError):
                raise
            self._give_up(future, abandon)
            raise self._timeout(deadline) from None
        except asyncio.CancelledError:
            self._give_up(future, abandon)
            raise

    async def stream(
        self, start: Callable[[], Iterator[T]], *, deadline: float, abandon: Callable[[], object] | None = None
    ) -> AsyncIterator[T]:
        """The items of a blocking iterator, each pulled on the lane. ``deadline`` holds for every item."""
        iterator = await self.run(start, deadline=deadline, abandon=abandon)
        finished = False
        try:
            while True:
                item = await self.run(lambda: next(iterator, _END), deadline=deadline, abandon=abandon)
                if item is _END:
                    finished = True
                    return
                yield cast(T, item)
        finally:
            if not finished:
                if abandon is not None:
                    abandon()
                closing = getattr(iterator, "close", None)
                if closing is not None and not self._closed:
                    self._submit(closing)

    def close(self) -> None:
        """Ends the thread after the job it is in. Waits a moment for it; may be called twice."""
        if self._closed:
            return
        self._closed = True
        self._jobs.put(None)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_SECONDS)

    def _submit(self, work: Callable[[], T]) -> Future[T]:
        if self._closed:
            raise SessionError(f"the {self.stage} engine is closed", hint="start a new session")
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=f"locara-{self._name}", daemon=True)
            self._thread.start()
        future: Future[T] = Future()
        self._jobs.put((work, future))
        return future

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, future = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)
            del job, work, future

    async def _charged(self, loop: Any, future: Future[T], deadline: float, abandon: Callable[[], object] | None) -> T:
        began = time.perf_counter()
        try:
            future.exception(timeout=deadline)
        except FutureTimeout:
            self._give_up(future, abandon)
            raise self._timeout(deadline) from None
        cost = loop.charge(time.perf_counter() - began)
        self._free_at = max(self._free_at, loop.time()) + cost
        await asyncio.sleep(self._free_at - loop.time())
        return future.result()

    def _give_up(self, future: Future[T], abandon: Callable[[], object] | None) -> None:
        future.cancel()
        if abandon is not None and not future.done():
            abandon()

    def _timeout(self, deadline: float) -> EngineTimeout:
        return EngineTimeout(
            f"{self.stage}: {self.model or self._name} gave no answer within {deadline:g} s",
            stage=self.stage,
            model=self.model,
            hint="it is too slow for this machine or it hangs; choose a smaller model",
        )


def _seen(future: asyncio.Future[Any]) -> None:
    """Looks at an abandoned result, so that asyncio does not report it as forgotten."""
    if not future.cancelled():
        future.exception()
