"""Writing to a terminal that may take nothing for a while (a stalled connection, text being selected in a console).

What may live here: the one thread that waits for the terminal, so that the conversation does not.
"""

from __future__ import annotations

import queue
import threading
from typing import TextIO

_CLOSE_SECONDS = 1.0


class Writer:
    """Takes one text at a time; whoever has more looks at ``busy`` first and comes again later."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._texts: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._waiting = 0
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """True while the terminal has not taken the last text."""
        return self._waiting > 0

    def write(self, text: str) -> None:
        """Hands ``text`` over; returns at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="locara-screen", daemon=True)
            self._thread.start()
        self._waiting += 1
        self._texts.put(text)

    def close(self) -> None:
        """Waits a moment for what was handed over, and no longer."""
        if self._thread is not None:
            self._texts.put(None)
            self._thread.join(_CLOSE_SECONDS)

    def _work(self) -> None:
        gone = False
        while (text := self._texts.get()) is not None:
            if not gone:
                try:
                    self._out.write(text)
                    self._out.flush()
                except (OSError, ValueError):  # the terminal is gone: the conversation does not depend on it
                    gone = True
            self._waiting = 0 if self._texts.empty() else self._waiting - 1
