"""A terminal with ``locara talk`` in it: keys in, what a person would read out.

What may live here: the pseudo-terminal and waiting for text on it. Linux and macOS.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .talking import Running, running

_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


class Terminal:
    """Use `talking_in`. ``seen``: everything written so far, without colours and cursor movements."""

    def __init__(self, master: int, slave: int, run: Running) -> None:
        self.run = run
        self._master = master
        self._slave = slave
        self._data = b""
        self._mark = 0

    @property
    def raw(self) -> str:
        """Everything written so far, as it came."""
        return self._data.decode("utf-8", "replace")

    @property
    def seen(self) -> str:
        """What was written since the last ``press``."""
        return _SEQUENCE.sub("", self._data[self._mark :].decode("utf-8", "replace"))

    def press(self, keys: str) -> None:
        """Types ``keys``; from now on only what is written after them is looked at."""
        self.look(0.05)
        self._mark = len(self._data)
        os.write(self._master, keys.encode())

    def look(self, seconds: float) -> None:
        """Reads for so long."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            ready, _, _ = select.select([self._master], [], [], min(left, 0.05))
            if ready:
                with contextlib.suppress(OSError):
                    self._data += os.read(self._master, 65536)

    def wait_for(self, text: str, within: float = 15.0) -> None:
        """Until ``text`` can be read; fails after ``within`` seconds and shows what was there instead."""
        deadline = time.monotonic() + within
        while text not in self.seen:
            assert time.monotonic() < deadline, f"{text!r} was not shown; the end of what was: {self.seen[-800:]!r}"
            assert self.run.process.poll() is None, f"it ended without showing {text!r}: {self.seen[-800:]!r}"
            self.look(0.05)

    def ended(self, within: float = 8.0) -> int | None:
        """The exit code, None if it has not ended ``within`` seconds."""
        deadline = time.monotonic() + within
        while self.run.process.poll() is None and time.monotonic() < deadline:
            self.look(0.05)
        self.look(0.05)
        return self.run.process.poll()

    def settings(self) -> list[Any]:
        """The terminal's own settings: line mode, echo, special keys."""
        import termios

        return termios.tcgetattr(self._slave)


@contextlib.contextmanager
def talking_in(folder: Path, *arguments: str, extra: Mapping[str, str]) -> Iterator[tuple[Terminal, list[Any]]]:
    """``locara talk`` in a terminal of 100 columns and 30 rows, and the settings this terminal had before."""
    import termios

    master, slave = os.openpty()
    try:
        termios.tcsetwinsize(slave, (30, 100))
        before = termios.tcgetattr(slave)
        with running(
            folder, "talk", *arguments, extra={"TERM": "xterm-256color", "NO_COLOR": "", **extra},
            stdin=slave, stdout=slave, stderr=slave,
        ) as run:  # fmt: skip
            yield Terminal(master, slave, run), before
    finally:
        os.close(master)
        os.close(slave)
