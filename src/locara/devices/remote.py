"""The microphone and the speaker of a client: a browser or a program, at the other end of a connection.

What may live here: the two devices and the clock between them and the session. The protocol is the server's: this speaker
gives its sound to a function, this microphone is pushed to.

The session renders at the pace of the event loop's time, a lead ahead of it while something sounds, so that the client
has a little in hand against the network's unrest; a duck or a stop is then heard that much later. What was *heard* is what
the client reports (`heard_until`); of one that never reports, it is what the clock says.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from locara.audio import BLOCK, RATE, Samples
from locara.devices.contracts import Pull
from locara.devices.pushed import PushedSource
from locara.errors import ConfigError, DeviceError

LEAD_SECONDS = 0.12
"""Rendered ahead of the clock while something sounds: the 60 to 90 ms that a browser's player keeps, and a block of the
network's unrest. A barge-in stops the client's player at once; only ducking is late by this much."""

CATCH_UP_SECONDS = 0.4
"""Pushed sound beyond this is heard as fast as it can be: twice what a push may be late. A client that was held up for a
moment is then not late for the rest of the conversation, and one that sends a recording need not wait for its length."""

_STEP = BLOCK / RATE  # seconds rendered at once
_SOUNDING = 1e-5  # -100 dBFS: below it a block is silence
_PAUSE = 0.5  # seconds of silence that are still sent: the pauses within a reply then last as long at the client

Deliver = Callable[[int, Samples], None]
"""``deliver(at, samples)``: samples to send, float32 of shape ``(n,)``; ``at`` is the first one's place in the stream, in
samples since the speaker was opened. Called on the event loop; must not wait. Of a silence, half a second is delivered."""


class RemoteMicrophone(PushedSource):
    """A microphone at the other end of a connection. Pushed to as it comes, see `PushedSource`; but what waits longer than
    ``CATCH_UP_SECONDS`` is heard faster than real time."""

    remote = True

    def __init__(self, name: str = "remote microphone", *, buffer: float = 60.0) -> None:
        super().__init__(name, buffer=buffer, catch_up=CATCH_UP_SECONDS)


class RemoteSpeaker:
    """A speaker at the other end of a connection; ``rate`` in hertz. ``reports``: the client says what it has played
    (`heard_until`); otherwise the clock says it."""

    remote = True
    own_clock = True

    def __init__(
        self,
        deliver: Deliver,
        rate: int = 24_000,
        *,
        name: str = "default",
        reports: bool = False,
        lead: float = LEAD_SECONDS,
    ) -> None:
        if not 8_000 <= rate <= 48_000:
            raise ConfigError(f"a remote output rate of {rate} Hz", hint="use 8000 to 48000; 24000 is usual")
        self.rate = rate
        self.name = name
        self.delay = 0.0
        self.underruns = 0
        self._deliver = deliver
        self._reports = reports
        self._lead = lead
        self._pull: Pull | None = None
        self._task: asyncio.Task[None] | None = None
        self._pulled = 0
        self._reported = 0
        self._delivered = 0
        self._loud_until = -rate  # where the last sound ended
        self._ahead = 0.0  # seconds that are rendered ahead of the clock
        self._standing = asyncio.Event()
        self._standing.set()

    @property
    def pulled(self) -> int:
        """Samples rendered so far: the end of the stream."""
        return self._pulled

    @property
    def heard(self) -> int:
        """Samples of the stream that have been heard."""
        if self._reports and self._reported < self._delivered:
            return self._reported
        return max(0, self._pulled - round(self._ahead * self.rate))  # after what it has played there was only silence

    def heard_until(self, at: int) -> None:
        """The client has played the stream until here. Never goes back, and never beyond what was rendered: a client
        cannot have heard more than there was."""
        self._reported = max(self._reported, min(at, self._pulled))

    def stand(self) -> None:
        """The client is gone for the moment: nothing is rendered, so a reply stands at its sample."""
        self._standing.clear()

    def go_on(self) -> None:
        """It is back."""
        self._standing.set()

    @property
    def stands(self) -> bool:
        """Whether it stands, see `stand`."""
        return not self._standing.is_set()

    async def open(self, pull: Pull) -> None:
        """Begins to render."""
        if self._task is not None:
            raise DeviceError("a remote speaker is opened once", hint="make another one")
        self._pull = pull
        self._task = asyncio.create_task(self._render(), name="locara-remote-speaker")

    def advance(self, blocks: int = 1) -> None:
        """Not for this one: it has a clock of its own."""
        raise DeviceError("a remote speaker has its own clock", hint="this should not happen: please report it")

    async def close(self) -> None:
        """Ends the rendering. May be called twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _render(self) -> None:
        assert self._pull is not None
        loop = asyncio.get_running_loop()
        began, rendered = loop.time(), 0.0
        while True:
            if self.stands:
                await self._standing.wait()
                began, rendered = loop.time(), 0.0  # the time it stood is not made up for
            wanted = rendered * self.rate
            n = round((rendered + _STEP) * self.rate) - round(wanted)
            samples = self._pull(n)
            at, self._pulled = self._pulled, self._pulled + samples.size
            rendered += _STEP
            if samples.any() and float(abs(samples).max()) > _SOUNDING:
                self._loud_until = self._pulled
            sounding = self._pulled - self._loud_until <= _PAUSE * self.rate
            if sounding:
                self._deliver(at, samples)
                self._delivered = self._pulled
            self._ahead = max(0.0, rendered - (loop.time() - began))
            # Silence is never ahead: the first sound after it is then rendered the moment it is there.
            if not sounding or self._ahead >= self._lead:
                await asyncio.sleep(max(0.0, self._ahead - (self._lead - _STEP if sounding else 0.0)))
            else:
                await asyncio.sleep(0)
            self._ahead = max(0.0, rendered - (loop.time() - began))
            late = loop.time() - began - rendered
            if late > 1.0:  # the loop was held up: what was not rendered then is not made up for in one burst
                began, rendered = loop.time(), 0.0
