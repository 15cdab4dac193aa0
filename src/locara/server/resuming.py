"""What of a conversation is kept for a client whose connection drops, so that it can go on from the exact sample.

What may live here: the memory of what was sent, and what of it is sent again. Pure but for that memory; the deadlines and
the connection are `ipc_session`'s.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from locara.client.frames import Frame, after

EVENTS_KEPT = 2_048
"""More than a minute of the busiest conversation: twice the grace time and more."""
EVENT_BYTES_KEPT = 4 << 20
"""With `audio-chunk` events that hold their samples: a minute and a half of 24 kHz as base64."""
SOUND_SECONDS_KEPT = 20.0
"""Sent and not yet told as played: the writer's queue holds ten seconds, the network and the client's player less."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What another connection needs to go on with a session. The ``token`` is a secret, 256 bits."""

    session: str
    token: str

    @classmethod
    def new(cls) -> Pass:
        """One that nobody has guessed."""
        return cls(secrets.token_urlsafe(12), secrets.token_urlsafe(32))

    def fits(self, token: str) -> bool:
        """Takes as long whatever is wrong with it."""
        return secrets.compare_digest(self.token.encode(), token.encode())


@dataclass(slots=True)
class EventsKept:
    """The last events as they were sent, with their numbers, which count from 1."""

    most: int = EVENTS_KEPT
    most_bytes: int = EVENT_BYTES_KEPT
    newest: int = 0
    _held: deque[tuple[int, str]] = field(default_factory=deque)
    _bytes: int = 0

    def number(self) -> int:
        """The next event's."""
        self.newest += 1
        return self.newest

    def keep(self, seq: int, text: str) -> None:
        """Forgets the oldest where there is no room."""
        self._held.append((seq, text))
        self._bytes += len(text)
        while len(self._held) > self.most or (self._bytes > self.most_bytes and len(self._held) > 1):
            self._bytes -= len(self._held.popleft()[1])

    def after(self, seq: int) -> tuple[int, list[str]]:
        """(how many after number ``seq`` are not kept any more, those that are, in order)."""
        kept = [text for number, text in self._held if number > seq]
        return max(0, self.newest - seq - len(kept)), kept


@dataclass(slots=True)
class SoundKept:
    """Frames that the client has not yet told as played. ``rate`` in hertz of the speaker's stream."""

    rate: int
    seconds: float = SOUND_SECONDS_KEPT
    end: int = 0
    """Where the stream is, as it was sent, in samples."""
    flushed: int = -1
    """Where it was when the client was told to throw away what it had; -1: never."""
    _held: deque[Frame] = field(default_factory=deque)
    _samples: int = 0

    def keep(self, frame: Frame) -> None:
        """Forgets the oldest where there is no room."""
        self._held.append(frame)
        self.end = max(self.end, frame.end)
        self._samples += frame.end - frame.at
        while self._samples > self.seconds * self.rate and len(self._held) > 1:
            self._drop()

    def played(self, at: int) -> None:
        """The client has played until here: that need not be sent again."""
        while self._held and self._held[0].end <= at:
            self._drop()

    def flush(self) -> int:
        """Nothing of what was sent so far is wanted any more. Returns where that was."""
        self._held.clear()
        self._samples = 0
        self.flushed = self.end
        return self.end

    def needs_flush(self, received: int) -> bool:
        """Whether a client that received the stream until here may not know that it was to throw that away. It knows if
        it has anything that came later."""
        return 0 <= received <= self.flushed

    def after(self, received: int) -> Iterator[Frame]:
        """What lies at ``received`` or behind, in order, the first one cut to the sample."""
        for frame in self._held:
            if (rest := after(frame, received)) is not None:
                yield rest

    def _drop(self) -> None:
        frame = self._held.popleft()
        self._samples -= frame.end - frame.at
