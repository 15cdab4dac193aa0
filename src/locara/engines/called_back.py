"""Native code that hands out its results through a callback, as an iterator.

What may live here: that one turn-around. The native call gets a thread of its own and a bounded queue lies between: when
nobody takes, it waits in its callback; when the iterator is closed, the callback says so and the call ends at its next one.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

_WAITING = 4  # results that wait to be taken: a sentence each, or a second
_LOOK_SECONDS = 0.1  # how often a callback that waits looks whether it should end


class CalledBack(Generic[T]):
    """The results of ``work(give)``. ``give(result)`` is False when nobody wants more; ``work`` must then return soon.

    Iterate it in one thread (a `Lane`). What ``work`` raises is raised there. ``stop`` may be called from any thread.
    """

    def __init__(self, work: Callable[[Callable[[T], bool]], object], *, name: str) -> None:
        self._work = work
        self._results: queue.Queue[T | BaseException | None] = queue.Queue(_WAITING)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"locara-{name}", daemon=True)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._thread.ident is None and not self._stopped.is_set():
            self._thread.start()
        while not self._stopped.is_set():  # a stopped call has no end to wait for
            try:
                result = self._results.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
            if result is None:
                break
            if isinstance(result, BaseException):
                self.close()
                raise result
            return result
        self.close()
        raise StopIteration

    def stop(self) -> None:
        """Nobody wants more. Does not wait."""
        self._stopped.set()

    def close(self, timeout: float | None = None) -> None:
        """Stops, and waits (at most ``timeout`` seconds) until the native call has returned: nothing else may enter that
        library before."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        end: BaseException | None = None
        try:
            self._work(self._give)
        except BaseException as error:
            end = error
        self._put(end)

    def _give(self, result: T) -> bool:
        return self._put(result)

    def _put(self, result: T | BaseException | None) -> bool:
        while not self._stopped.is_set():
            try:
                self._results.put(result, timeout=_LOOK_SECONDS)
            except queue.Full:
                continue
            return True
        return False
