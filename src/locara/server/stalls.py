"""How long the event loop stood still, and where.

What may live here: a heartbeat on the loop, and a thread that looks at it.

While the loop stands, no session hears, speaks or answers a ping. Below 50 ms nobody notices: that is less than a client
has in hand. The thread takes the place in the code (file and line, nothing of what is in it) while the loop still stands;
afterwards it would be too late.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from locara.server.counting import Counters

STALL_SECONDS = 0.05
"""What counts."""

BEAT_SECONDS = 0.02
_LOOK_SECONDS = 0.03
"""The thread looks before it is a stall: at one that lasts just so long there is no second look."""

_LOG_EVERY_SECONDS = 5.0
"""A line at most so often: a machine that is too slow is told so, not flooded."""

_MOST_FRAMES = 6

_log = logging.getLogger("locara.server")


@dataclass(frozen=True, slots=True)
class Stall:
    """The loop stood ``seconds``. ``where``: see `places`; empty if it was over before the thread could look."""

    seconds: float
    where: tuple[str, ...]


class Stalls:
    """``start`` on the loop that is to be watched, ``stop`` there too."""

    def __init__(self, counters: Counters | None = None) -> None:
        self.worst = Stall(0.0, ())
        self.count = 0
        self._counters = counters
        self._beat = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._seen: tuple[float, tuple[str, ...]] | None = None  # (the beat it belongs to, where)
        self._told = -_LOG_EVERY_SECONDS
        self._unsaid = 0

    def start(self) -> None:
        """Begins to watch."""
        self._loop = asyncio.get_running_loop()
        self._watched = threading.get_ident()
        self._beat = time.perf_counter()
        self._timer = self._loop.call_later(BEAT_SECONDS, self._beats)
        self._thread = threading.Thread(target=self._watch, name="locara-stalls", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends it. May be called twice."""
        if self._timer is not None:
            self._timer.cancel()
        self._over.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(1.0)

    def _beats(self) -> None:
        now = time.perf_counter()
        late = now - self._beat - BEAT_SECONDS
        if late >= STALL_SECONDS:
            seen = self._seen
            self._stood(Stall(late, seen[1] if seen is not None and seen[0] == self._beat else ()), now)
        self._beat = now
        self._timer = self._loop.call_later(BEAT_SECONDS, self._beats)

    def _stood(self, stall: Stall, now: float) -> None:
        self.count += 1
        if stall.seconds > self.worst.seconds:
            self.worst = stall
        if self._counters is not None:
            self._counters.observe("locara_stall_seconds", stall.seconds)
        self._unsaid += 1
        if now - self._told >= _LOG_EVERY_SECONDS:
            more = f" ({self._unsaid} since the last such line)" if self._unsaid > 1 else ""
            where = " < ".join(stall.where) or "(over before it could be seen)"
            _log.warning("the event loop stood %.0f ms at %s%s", stall.seconds * 1000, where, more)
            self._told, self._unsaid = now, 0

    def _watch(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            beat = self._beat
            if time.perf_counter() - beat < BEAT_SECONDS + _LOOK_SECONDS:
                continue
            if self._seen is None or self._seen[0] != beat:
                frame = sys._current_frames().get(self._watched)
                self._seen = (beat, places(frame))
                del frame


def places(frame: FrameType | None) -> tuple[str, ...]:
    """The lines of code that a frame stands in, innermost first: the innermost of all, then our own that led there. No
    names, no values."""
    found: list[str] = []
    while frame is not None and len(found) < _MOST_FRAMES:
        path = Path(frame.f_code.co_filename)
        if not found or "locara" in path.parts:
            found.append(f"{path.parent.name}/{path.name}:{frame.f_lineno}")
        frame = frame.f_back
    return tuple(found)
