"""What waits to be sent to a realtime server: messages and sound, in the order in which they came. Bounded.

What may live here: this queue. It sends nothing itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from locara.audio import Samples

BEHIND_SECONDS = 5.0
"""So much sound may wait; then half of it is left out, so that the model stays at the present."""
MOST_MESSAGES = 2000
"""So many messages may wait: a connection that takes none for that long is dead."""
MOST_SECONDS = 1.0
"""Of sound in one message."""


class Outbox:
    """The queue of one session. ``rate``: hertz; ``least``: seconds of sound that are worth a message."""

    def __init__(self, rate: int, least: float) -> None:
        self._rate = rate
        self._least = max(1, round(least * rate))
        self._items: deque[Samples | Mapping[str, Any]] = deque()
        self._samples = 0
        self._messages = 0

    @property
    def full(self) -> bool:
        """Too many messages wait."""
        return self._messages > MOST_MESSAGES

    def message(self, message: Mapping[str, Any], *, first: bool = False) -> None:
        """A message; ``first``: before everything else, because it was not sent after all."""
        (self._items.appendleft if first else self._items.append)(message)
        self._messages += 1

    def sound(self, samples: Samples, *, skip: bool = True) -> int:
        """The next samples. Returns how many had to be left out (with ``skip``), the oldest first."""
        if samples.size:
            self._items.append(samples)
            self._samples += samples.size
        if not skip or self._samples <= BEHIND_SECONDS * self._rate:
            return 0
        left, skipped = self._samples - int(BEHIND_SECONDS * self._rate / 2), 0
        kept: deque[Samples | Mapping[str, Any]] = deque()
        for item in self._items:
            if isinstance(item, np.ndarray) and skipped < left:
                skipped += item.size
            else:
                kept.append(item)
        self._items = kept
        self._samples -= skipped
        return skipped

    def clear(self) -> None:
        """Nothing of it is to be sent any longer."""
        self._items.clear()
        self._samples = self._messages = 0

    def next(self) -> Samples | Mapping[str, Any] | None:
        """What is to be sent now; None: nothing, or too little sound to be worth a message."""
        if not self._items:
            return None
        if not isinstance(self._items[0], np.ndarray):
            self._messages -= 1
            return self._items.popleft()
        ready = self._samples >= self._least or self._messages > 0
        if not ready:
            return None
        parts: list[Samples] = []
        size = 0
        while self._items and isinstance(self._items[0], np.ndarray) and size < MOST_SECONDS * self._rate:
            part = self._items.popleft()
            assert isinstance(part, np.ndarray)
            parts.append(part)
            size += part.size
        self._samples -= size
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
