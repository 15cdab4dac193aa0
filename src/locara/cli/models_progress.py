"""How far a pull is, on a terminal as a bar that is painted over, elsewhere as a line every few seconds.

What may live here: `Meter` (speed and time left, pure), the text of the bar (pure), and `Bar`, which writes it.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from locara.catalog.pulling import Progress
from locara.catalog.space import words
from locara.cli.lines import columns, plain
from locara.cli.screen import can_be_live

_WINDOW_SECONDS = 8.0
"""The speed is that of the last seconds: long enough to stand still for the eye, short enough to be true."""
_PAINT_SECONDS = 0.1
_LINE_SECONDS = 5.0
_WIDTH = 24


class Meter:
    """Bytes a second over the last seconds, and how long the rest takes. Times are given, so it needs no clock."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def mark(self, now: float, done: int) -> None:
        """``done`` bytes at ``now`` seconds. Fewer than before (it starts anew) forgets what was."""
        if self._marks and done < self._marks[-1][1]:
            self._marks.clear()
        self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[0][0] > _WINDOW_SECONDS:
            self._marks.popleft()

    def speed(self) -> float | None:
        """Bytes a second; None while there is too little to tell."""
        if len(self._marks) < 2 or self._marks[-1][0] - self._marks[0][0] < 0.5:
            return None
        return (self._marks[-1][1] - self._marks[0][1]) / (self._marks[-1][0] - self._marks[0][0])

    def left(self, total: int | None) -> float | None:
        """Seconds until ``total``; None where it cannot be told."""
        speed = self.speed()
        if total is None or not speed or speed <= 0:
            return None
        return max(0.0, (total - self._marks[-1][1]) / speed)


def told(progress: Progress, speed: float | None, left: float | None) -> str:
    """One line without a bar: ``kokoro-82m: downloading 120 MB of 330 MB (36%), 11.2 MB/s, 19 s left``."""
    if progress.note:
        return plain(f"{progress.model}: {progress.note}")
    parts = [words(progress.done)]
    if progress.total:
        parts[0] += f" of {words(progress.total)} ({min(100, 100 * progress.done // progress.total)}%)"
    if progress.stage == "downloading" and speed is not None:
        parts.append(f"{words(speed)}/s")
    if progress.stage == "downloading" and left is not None:
        parts.append(f"{_time(left)} left")
    return plain(f"{progress.model}: {progress.stage} {', '.join(parts)}")


def barred(progress: Progress, speed: float | None, left: float | None, width: int, *, ascii_only: bool) -> str:
    """The same with a bar, in at most ``width`` columns."""
    text = told(progress, speed, left)
    if progress.total and not progress.note and columns(text) + _WIDTH + 3 <= width:
        full = min(_WIDTH, _WIDTH * progress.done // progress.total)
        done, rest = ("#", ".") if ascii_only else ("█", "░")
        text = f"{done * full}{rest * (_WIDTH - full)}  {text}"
    while columns(text) > max(1, width - 1):
        text = text[:-1]
    return text


class Bar:
    """Shows `Progress`. ``with Bar() as bar: pull(..., progress=bar)``. ``now``: seconds."""

    def __init__(
        self, out: TextIO | None = None, *, live: bool | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._out = out if out is not None else sys.stderr
        self._live = can_be_live(self._out, os.environ) if live is None else live
        self._now = now
        self._meter = Meter()
        self._last: tuple[str, str, str, float] | None = None
        self._painted = False

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def __call__(self, progress: Progress) -> None:
        """Shows it, if it is news or long enough ago."""
        now = self._now()
        if progress.stage == "downloading":
            self._meter.mark(now, progress.done)
        news = (progress.model, progress.stage, progress.note)
        pause = _PAINT_SECONDS if self._live else _LINE_SECONDS
        if self._last is not None and self._last[:3] == news and 0.0 <= now - self._last[3] < pause:
            return
        if not self._live and self._last is not None and not progress.note and 0.0 <= now - self._last[3] < pause:
            return  # from file to file is no news for a log
        self._last = (*news, now)
        speed, left = self._meter.speed(), self._meter.left(progress.total)
        if not self._live:
            self._put(told(progress, speed, left) + "\n")
        elif progress.note:
            self._put(f"\r\x1b[K{told(progress, None, None)}\n")
        else:
            line = barred(progress, speed, left, shutil.get_terminal_size().columns, ascii_only=not self._blocks())
            self._put(f"\r\x1b[K{line}")
            self._painted = True

    def clear(self) -> None:
        """Takes the bar away."""
        if self._painted:
            self._painted = False
            self._put("\r\x1b[K")

    def _blocks(self) -> bool:
        try:
            "█░".encode(getattr(self._out, "encoding", None) or "utf-8")
        except UnicodeEncodeError:
            return False
        return True

    def _put(self, text: str) -> None:
        encoding = getattr(self._out, "encoding", None) or "utf-8"
        self._out.write(text.encode(encoding, "replace").decode(encoding))
        self._out.flush()


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
