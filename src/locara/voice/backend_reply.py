"""One reply of a `VoiceBackend` on its way to the turn machine: its text and its sound as moves, and the watch over it.

What may live here: what is known of one reply while it is made. Events of replies that are over never come here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from locara.audio import Samples
from locara.voice.moves import Happened
from locara.voice.spoken import Spoken


class BackendReply:
    """Reply ``number`` in turn ``turn``, made at ``rate`` hertz for an output of ``output_rate``."""

    def __init__(self, number: int, turn: int, rate: int, output_rate: int) -> None:
        self.number = number
        self.turn = turn
        self.committed = False
        self.complete = False
        """Nothing more of it comes: it ended, or it failed."""
        self.failed = False
        self.asked = False
        """The backend was asked for it."""
        self.played = 0.0
        """Seconds of it that were played."""
        self.tools: set[str] = set()
        """Ids of the calls that it waits for."""
        self.rounds = 0
        """Tools that it asked for so far."""
        self.moved = asyncio.Event()
        """Set with everything that comes of it."""
        self.watch: asyncio.Task[None] | None = None
        self._spoken = Spoken(number, rate, output_rate)

    def text(self, text: str) -> Iterator[Happened]:
        """The next piece of its text."""
        yield from self._spoken.say(text)

    def sound(self, samples: Samples, text: str = "") -> Iterator[Happened]:
        """The next piece of its sound. A model tells its text before, with or after the sound, so all of the reply is one
        clause that grows: where in the text an interruption comes is estimated from how long it all sounds."""
        yield from self._spoken.sound(samples, text)

    def end(self) -> Iterator[Happened]:
        """What the change of rates still holds, and that the clause is whole."""
        yield from self._spoken.finish()

    def over(self, *, failed: bool = False) -> None:
        """Nothing more of it counts."""
        self.complete, self.failed = True, failed
        if self.watch is not None and self.watch is not asyncio.current_task():
            self.watch.cancel()

    def answered(self, call: str) -> int | None:
        """The tool with this id was run: the reply's number if it waits for the result, None where it is over."""
        if self.complete:
            return None
        self.tools.discard(call)
        self.moved.set()
        return self.number

    async def stalled(self, first: float, then: float) -> None:
        """Returns when nothing came of it for ``first`` seconds, or later for ``then``; does not count while a tool runs."""
        limit = first
        while True:
            self.moved.clear()
            try:
                async with asyncio.timeout(None if self.tools else limit):
                    await self.moved.wait()
            except TimeoutError:
                return
            limit = then
