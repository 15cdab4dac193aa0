"""The one that writes to the terminal: finished lines into the scrollback, and a few live lines under them.

What may live here: `Screen`, and what a terminal can do. What is shown is the business of `cli.view`. Finished lines go
up into the scrollback and are never touched again; only the few lines under them are painted anew.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import TextIO

from locara.cli.lines import Line, bare, broken, columns, inked, plain
from locara.cli.view import View, metered, render, reply_done, view_after, with_lines
from locara.cli.writer import Writer
from locara.voice import events as on

PAINTS_PER_SECOND = 20.0


def _terminal_size() -> tuple[int, int]:
    columns_, rows = shutil.get_terminal_size()
    return columns_, rows


class Screen:
    """Writes a `View` to a terminal, or finished lines to anything else. For one thread; ``with Screen() as screen``.

    ``out``: where to, standard output when None. ``now``: seconds, for the pace and the held peaks. ``size``: columns and
    rows. ``live``: None finds out: a terminal that is not dumb, and no ``NO_COLOR``; else finished lines only, no ANSI.
    """

    def __init__(
        self,
        out: TextIO | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
        size: Callable[[], tuple[int, int]] | None = None,
        live: bool | None = None,
    ) -> None:
        self.view = View()
        self._out = out if out is not None else sys.stdout
        self._now = now
        self._size = size if size is not None else _terminal_size
        self.live = can_be_live(self._out, os.environ) if live is None else live
        self._ascii = not _encodes(self._out, "●█░▏…·")
        self._painted: tuple[int, list[str]] = (0, [])
        self._last: float | None = None
        self._closed = False
        self._writer = Writer(self._out) if live is None and self.live else None

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def show(self, event: on.Event) -> None:
        """Shows what ``event`` changes, now or with the next paint."""
        self.change(view_after(self.view, event))

    def levels(self, microphone: float, speaker: float) -> None:
        """Levels in dBFS of the last blocks heard and played."""
        now = self._now()
        meters = metered(self.view.microphone, microphone, now), metered(self.view.speaker, speaker, now)
        self.change(replace(self.view, microphone=meters[0], speaker=meters[1]))

    def note(self, text: str) -> None:
        """A line of our own into the scrollback."""
        self.change(with_lines(self.view, Line(((text, "plain"),))))

    def change(self, view: View) -> None:
        """Shows another view, e.g. ``change(replace(screen.view, muted=True))``."""
        self.view = view
        self.tick()

    def tick(self) -> None:
        """Paints if something may have changed and the last paint is long enough ago. To be called now and then."""
        if self._closed:
            return
        if not self.live:
            self._write_finished()
            return
        if self._writer is not None and self._writer.busy:
            return  # the terminal takes nothing just now; lines wait, old ones are given up
        now = self._now()
        if self._last is None or not 0.0 <= now - self._last < 1.0 / PAINTS_PER_SECOND:
            self._last = now
            self._paint()

    def close(self) -> None:
        """Writes what is still unwritten, takes the live lines away and gives the cursor back. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self.view = reply_done(self.view)
        try:
            if not self.live:
                self._write_finished()
            elif self._last is not None:
                width, _ = self._size()
                self._put(f"{self._up(width)}{self._finished(width)}\x1b[J\x1b[?25h")
                if self._writer is not None:
                    self._writer.close()
        except (OSError, ValueError):  # the terminal is gone, or the pipe closed: nobody sees the cursor any more
            return

    def _write_finished(self) -> None:
        lines, self.view = self.view.finished, replace(self.view, finished=())
        if lines:
            self._put("".join(f"{bare(line)}\n" for line in lines))

    def _paint(self) -> None:
        """One write: up to the first live line, the new finished lines, the live lines, and nothing under them."""
        width, rows = self._size()
        first = not self._painted[1]
        lines = render(self.view, width, ascii_only=self._ascii)[-max(1, rows - 1) :]
        if not self.view.finished and self._painted == (width, lines):
            return
        up = self._up(width)
        finished = self._finished(width)
        live = "\n".join(f"{line}\x1b[K" for line in lines)
        self._painted = (width, lines)
        self._put(("\x1b[?25l" if first else "") + up + finished + live + "\x1b[J")

    def _up(self, width: int) -> str:
        """Back to the start of the first live line. A terminal that has become narrower has broken them into more."""
        rows = sum(max(1, math.ceil(columns(plain(line)) / max(1, width))) for line in self._painted[1])
        return f"\r\x1b[{rows - 1}A" if rows > 1 else "\r"

    def _finished(self, width: int) -> str:
        """The lines for the scrollback, which are then no longer the view's."""
        lines, self.view = self.view.finished, replace(self.view, finished=())
        return "".join(f"{inked(part)}\x1b[K\n" for line in lines for part in broken(line, max(20, width) - 1))

    def _put(self, text: str) -> None:
        encoding = getattr(self._out, "encoding", None) or "utf-8"
        text = text.encode(encoding, "replace").decode(encoding)
        if self._writer is not None:
            self._writer.write(text)
        else:
            self._out.write(text)
            self._out.flush()


def can_be_live(out: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether lines of ``out`` can be painted anew: a terminal, not a dumb one, and colours are not unwanted."""
    try:
        terminal = out.isatty()
    except ValueError:  # closed
        return False
    if not terminal or environ.get("NO_COLOR") or environ.get("TERM") == "dumb":
        return False
    return _windows_understands(out) if sys.platform == "win32" else bool(environ.get("TERM"))


def _windows_understands(out: TextIO) -> bool:
    """Asks the console of Windows 10 and later to understand escape sequences. Older ones refuse."""
    if sys.platform != "win32":
        return True
    import ctypes
    import msvcrt

    kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    handle = ctypes.c_void_p(msvcrt.get_osfhandle(out.fileno()))
    mode = ctypes.c_uint32()
    if not kernel.GetConsoleMode(handle, ctypes.byref(mode)):
        return False
    return bool(kernel.SetConsoleMode(handle, mode.value | 0x0004))  # ENABLE_VIRTUAL_TERMINAL_PROCESSING


def _encodes(out: TextIO, text: str) -> bool:
    try:
        text.encode(getattr(out, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
