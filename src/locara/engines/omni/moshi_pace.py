"""How far a Moshi server is behind its clock, from nothing but what was sent and what came: one frame out for one frame in.

What may live here: this counting, and what follows from it. Pure: sound is its clock. The servers take whatever is sent and
work through it in order, so one that is slower than real time, or stood still for a moment, would answer later and later
for the rest of the conversation. Nothing in the protocol asks them to catch up; leaving frames out does.
"""

from __future__ import annotations

from dataclasses import dataclass

from locara.engines.omni.moshi_wire import FRAME, RATE

FRAME_SECONDS = FRAME / RATE
BEHIND = 13
"""Frames on their way from which on it is behind: 1.04 s. A server far away has 0.3 s of them, a model two."""
CAUGHT_UP = 4
"""Frames on their way at which it is not behind any more: 0.32 s. Fewer than a busy server has would never be reached."""
LOST = 13
"""Frames left out in vain, nothing having come: those on their way are not late but lost (a server that drops some itself).
They are given up, else every frame of the rest would be left out for them."""


@dataclass(slots=True)
class Pace:
    """One conversation. All counts are of frames."""

    on_their_way: int = 0
    """Sent, and not answered yet."""
    silent: int = 0
    """Pushed since the last sound came."""
    behind: bool = False
    in_vain: int = 0
    """Left out since the last sound came."""

    def wants(self) -> bool:
        """A frame was pushed: whether it is to be sent. False: it is left out."""
        self.silent += 1
        if self.on_their_way >= BEHIND:
            self.behind = True
        elif self.on_their_way <= CAUGHT_UP:
            self.behind = False
        if self.behind and self.in_vain >= LOST:
            self.on_their_way = self.in_vain = 0
            self.behind = False
        self.in_vain += self.behind
        return not self.behind

    def sent(self) -> None:
        """A frame has gone."""
        self.on_their_way += 1

    def came(self) -> None:
        """A frame of sound has come. More than were sent say nothing of the future."""
        self.silent = self.in_vain = 0
        self.on_their_way = max(0, self.on_their_way - 1)

    @property
    def seconds(self) -> float:
        """How late it is."""
        return self.on_their_way * FRAME_SECONDS

    @property
    def silent_seconds(self) -> float:
        """For how long it has been given sound without giving any."""
        return self.silent * FRAME_SECONDS
