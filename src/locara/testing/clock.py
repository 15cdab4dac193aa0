"""Virtual time: an event loop whose clock jumps to the next timer. Nothing is patched; the loop is an ordinary one with
another selector.

Engines that compute for real (in a `Lane`) are waited for while virtual time stands still, and their calls are charged
what they really took, or what ``charge`` says. Around real sockets (`real_work`) time passes as it really does.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, Literal, TypeVar

T = TypeVar("T")

STUCK_SECONDS = 20.0
"""Real seconds after which a loop in which everybody waits and no timer runs is called stuck."""

_LOOK_SECONDS = 0.02


class _Jumping(selectors.BaseSelector):
    """Asks the real selector without waiting, and turns the wait for a timer into a jump of the clock."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.now = 0.0
        self.real_work = 0
        self._stuck_since: float | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(0)
        if ready or timeout == 0:
            self._stuck_since = None
            return ready
        if self.real_work:
            self._stuck_since = None
            began = time.perf_counter()
            ready = self._real.select(_LOOK_SECONDS if timeout is None else min(timeout, _LOOK_SECONDS))
            self.now += time.perf_counter() - began
            return ready
        if timeout is not None:
            self._stuck_since = None
            self.now += timeout
            return []
        return self._wait_for_a_thread()

    def _wait_for_a_thread(self) -> list[tuple[selectors.SelectorKey, int]]:
        began = self._stuck_since = self._stuck_since or time.perf_counter()
        ready = self._real.select(_LOOK_SECONDS)
        if not ready and time.perf_counter() - began > STUCK_SECONDS:
            raise RuntimeError("virtual time is stuck: every task waits, and there is no timer to jump to")
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Any:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time, which begins at 0. ``charge``: what a piece of real work of so many seconds costs in
    virtual ones: ``"measured"`` (what it took), or a number of seconds for every piece, which makes runs with real
    engines the same each time."""

    def __init__(self, charge: Literal["measured"] | float | Callable[[float], float] = "measured") -> None:
        self._jumping = _Jumping()
        self._charge = charge
        super().__init__(self._jumping)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.now

    def charge(self, real_seconds: float) -> float:
        """See `locara.engines.lane.Charging`."""
        if callable(self._charge):
            return self._charge(real_seconds)
        return real_seconds if self._charge == "measured" else float(self._charge)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Waits for worker threads as long as they really take."""
        self.begin_real()
        try:
            await super().shutdown_default_executor()
        finally:
            self.end_real()

    def begin_real(self) -> None:
        """A socket is awaited: time passes as it really does."""
        self._jumping.real_work += 1

    def end_real(self) -> None:
        """It has answered."""
        self._jumping.real_work -= 1


def run(
    main: Coroutine[Any, Any, T], *, charge: Literal["measured"] | float | Callable[[float], float] = "measured"
) -> T:
    """Like ``asyncio.run``, in virtual time. Tasks that are left over are cancelled, as there."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(charge)) as runner:
        return runner.run(main)
