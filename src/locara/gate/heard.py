"""How far a reply has been *heard*, where the output renders ahead of what is heard. Pure but for its memory.

What may live here: the way from "so many samples of the stream" back to "so far was the reply then".
"""

from __future__ import annotations

from collections import deque

from locara.gate.mouth import Progress

MOST = 1_500
"""Blocks remembered: 30 s, more than any client may be behind before its reply counts as stalled."""


class HeardProgress:
    """Rendered on one side, perhaps on the audio thread (`rendered`); asked on the other (`at`)."""

    def __init__(self) -> None:
        self._stream = 0
        self._past: deque[tuple[int, Progress]] = deque(maxlen=MOST)
        self._last = Progress(-1, 0, None)

    def rendered(self, n: int, progress: Progress) -> None:
        """``n`` more samples of the stream were rendered; the reply is then at ``progress``."""
        self._stream += n
        self._past.append((self._stream, progress))

    def at(self, heard: int) -> Progress:
        """Where the reply was when ``heard`` samples of the stream had been rendered."""
        past = self._past
        while past and past[0][0] <= heard:
            self._last = past.popleft()[1]
        return self._last
