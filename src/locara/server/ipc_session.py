"""One conversation of an IPC client, and what its client is told: on a connection, or waiting for one.

What may live here: the owner of a seat. All of it runs on the event loop, nothing in it waits for a client, and everything
that is sent goes through `_send`, in the order in which it happened. Requests belong to `ipc_methods`, sockets to
`ipc_connection`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from locara.audio import Samples, from_pcm16
from locara.client.frames import SPEAKER, Frame, after, packed, sounding
from locara.engines.contracts import Tool
from locara.errors import MessageError, SessionError
from locara.gate.mouth import FADE_SECONDS
from locara.server import ipc_wire as wire
from locara.server.places import without_places
from locara.server.private_logging import where
from locara.server.resuming import EventsKept, Pass, SoundKept
from locara.server.settings import Limits
from locara.server.tracing import TurnSpans, tracer
from locara.voice import events as tell

if TYPE_CHECKING:
    from locara.server.counting import Counters
    from locara.server.seats import Seat

_log = logging.getLogger("locara.server")

LOOK_SECONDS = 0.05
"""Between two looks whether a state has changed that no event tells: as long as a person takes for "at once"."""

MOST_CALLS = 32
"""Tools of the client that are being waited for. A reply calls a few."""

END_SECONDS = 10.0
"""For a session to end once it was told to: its own deadlines are shorter."""

_CUT = frozenset({"interrupted", "cancelled", "failed", "stopped"})
"""Ends of a reply after which what the client has not played yet is not to be played."""


class Line(Protocol):
    """Where it goes to the client. Never waits."""

    def send(self, message: str | bytes) -> None:
        """Puts it behind what waits already."""
        ...

    def send_again(self, messages: Sequence[str | bytes]) -> None:
        """The same for what was sent before, however much it is: one entry of what waits."""
        ...


class ServedSession:
    """Made before its seat is taken, because the seat's speaker already needs `deliver`; `begin` completes it."""

    def __init__(
        self, wanted: wire.SessionStart, limits: Limits, counters: Counters, gone: Callable[[ServedSession], None]
    ) -> None:
        """``gone`` is called when it has ended, whoever ended it."""
        self.key = Pass.new()
        self.wanted = wanted
        self.reason = ""
        """Why it ended; empty while it runs."""
        self._limits = limits
        self._counters = counters
        self._spans = TurnSpans(tracer(), door="ipc", session=self.key.session)
        self._gone = gone
        self._events = EventsKept()
        self._sound = SoundKept(wanted.output_rate)
        self._line: Line | None = None
        self._seat: Seat | None = None
        self._calls: dict[str, tuple[wire.ToolWanted, asyncio.Future[Any]]] = {}
        self._turn = -1
        self._fading_until = 0
        self._told_state: tuple[str, str, bool] | None = None
        self._pumping: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._grace: asyncio.TimerHandle | None = None
        self._heard_until: int | None = None  # of the microphone's stream on this connection

    # --- beginning and ending -----------------------------------------------------------------------------------------

    def begin(self, seat: Seat) -> None:
        """The seat is taken. Nothing is told before `attach`, and nothing is lost meanwhile."""
        self._seat = seat
        seat.speaker.stand()
        events = seat.session.events()
        self._pumping = asyncio.create_task(self._pump(events), name="locara-ipc-session")
        self._pumping.add_done_callback(self._pumped)
        loop = asyncio.get_running_loop()
        self._limit = loop.call_later(self._limits.session_seconds, self._too_long)
        self._look()

    @property
    def seat(self) -> Seat:
        """Raises ``SessionError`` once it has ended."""
        if self._seat is None or self.reason:
            raise SessionError(
                f"the conversation has ended: {self.reason or 'stopped'}", hint="begin another one: voice.session_start"
            )
        return self._seat

    async def stop(self, reason: str = "stopped") -> str:
        """Ends it; returns why it ended, which may be for another reason. May be called at any time, and twice."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(reason), name="locara-ipc-end")
        await asyncio.shield(self._ending)
        return self.reason

    async def _end(self, reason: str) -> None:
        self._cancel_timers()
        try:
            if self._seat is not None:
                self._seat.speaker.go_on()
                await self._seat.leave()
            if self._pumping is not None and self._pumping is not asyncio.current_task():
                # The session's last event comes out of it; then it ends by itself.
                with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                    await asyncio.wait_for(self._pumping, END_SECONDS)
        finally:
            self.reason = reason if reason != "stopped" else self.reason or "stopped"
            for _, waiting in self._calls.values():
                waiting.cancel()
            self._line = None
            self._gone(self)

    def _too_long(self) -> None:
        minutes = self._limits.session_seconds / 60
        self._tell(
            tell.Error(
                t=self._now(),
                code="time-limit",
                message=f"the conversation has lasted {minutes:g} minutes, which is the server's limit",
                stage="session",
                fatal=True,
                hint="begin another one",
            )
        )
        self._end_soon("time-limit")

    def _end_soon(self, reason: str) -> None:
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(reason), name="locara-ipc-end")

    def _cancel_timers(self) -> None:
        for timer in (self._limit, self._looking, self._grace):
            if timer is not None:
                timer.cancel()

    def _now(self) -> float:
        return self._seat.session.metrics()["seconds_heard"] if self._seat is not None else 0.0

    # --- connections --------------------------------------------------------------------------------------------------

    @property
    def attached(self) -> bool:
        """Whether a client is there."""
        return self._line is not None

    def attach(self, line: Line, seq: int = 0, received: int = 0) -> None:
        """From now on its client is at ``line``. It gets the events after number ``seq``, and of the sound what lies
        at ``received`` or behind. The conversation goes on."""
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        self._line = line
        self._heard_until = None  # another connection may count anew
        line.send_again(self._events.after(seq)[1])
        for wanted, waiting in self._calls.values():
            if not waiting.done():
                line.send(wire.push("tool", wanted))
        if self._sound.needs_flush(received):
            line.send(wire.flush(self._sound.flushed))
        line.send_again([packed(frame) for frame in self._sound.after(received)])
        self._told_state = None
        self._tell_state()
        if self._seat is not None:
            self._seat.speaker.go_on()

    def detach(self) -> None:
        """Its connection is gone: nothing is rendered, so a reply stands at its sample, for as long as the grace time."""
        self._line = None
        if self.reason or self._ending is not None or self._seat is None:
            return
        self._seat.speaker.stand()
        loop = asyncio.get_running_loop()
        if self._grace is None:
            self._grace = loop.call_later(self._limits.grace_seconds, self._end_soon, "connection-lost")

    def again(self, seq: int) -> tuple[int, int]:
        """(the newest event's number, how many after ``seq`` are lost)."""
        return self._events.newest, self._events.after(seq)[0]

    def resend(self, seq: int) -> None:
        """The events after number ``seq`` once more."""
        if self._line is not None:
            self._line.send_again(self._events.after(seq)[1])

    def output_at(self, received: int) -> int:
        """Where the sound begins that a client gets which has received the stream until here. Raises ``MessageError``."""
        if received > self._sound.end:
            raise MessageError(
                f"session.resume.received is {received}, and only {self._sound.end} samples were sent",
                hint="the end of the last binary frame that came: its `at` and its samples",
            )
        first = next(self._sound.after(received), None)
        return first.at if first is not None else received

    def _send(self, message: str | bytes) -> None:
        if self._line is not None:
            self._line.send(message)

    # --- what is told -------------------------------------------------------------------------------------------------

    async def _pump(self, events: AsyncIterator[tell.Event]) -> None:
        self._tell(tell.SessionStart(t=0.0, plan=self.seat.session.plan))
        async for event in events:
            if isinstance(event, tell.SessionStart):
                continue  # told already, whether or not it was emitted before there was anybody to hear it
            self._counters.event(event)
            self._spans.event(event)
            if isinstance(event, tell.AudioChunk) and event.turn is not None:
                self._turn = event.turn
            if isinstance(event, tell.BargeIn) or (
                isinstance(event, tell.TurnEnd) and event.who == "assistant" and event.reason in _CUT
            ):
                self._flush()
            self._tell(event)
            self._tell_state()
            if isinstance(event, tell.SessionEnd):
                self.reason = self.reason or event.reason
        self._end_soon(self.reason or "stopped")

    def _pumped(self, pumping: asyncio.Task[None]) -> None:
        """A fault of ours must not leave a session that hears and tells nobody."""
        error = None if pumping.cancelled() else pumping.exception()
        if error is not None:
            _log.error("%s failed: %s", pumping.get_name(), where(type(error), error.__traceback__))
            self._end_soon("failed")

    def _tell(self, event: tell.Event) -> None:
        if isinstance(event, tell.Error):
            event = replace(event, message=without_places(event.message), hint=without_places(event.hint))
        seq = self._events.number()
        text = wire.event(tell.to_json(event, audio=self.wanted.audio_chunks), seq)
        self._events.keep(seq, text)
        self._send(text)

    def _look(self) -> None:
        """Again and again while it runs."""
        if self.reason or self._ending is not None:
            return
        self._looking = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)
        self._tell_state()

    def _tell_state(self) -> None:
        if self._line is None or self._seat is None or self.reason:
            return
        now = (*self._seat.session.state, self._seat.session.muted)
        if now != self._told_state:
            self._told_state = now
            user, assistant, muted = now
            self._send(wire.push("state", wire.States(user=user, assistant=assistant, muted=muted)))

    def _flush(self) -> None:
        if self._sound.end > self._sound.flushed and self._seat is not None:
            rate = self._seat.speaker.rate
            # What the gate still renders of the cut reply is its fade, of which the client no longer has the beginning.
            self._fading_until = self._seat.speaker.pulled + round(FADE_SECONDS * rate)
            self._send(wire.flush(self._sound.flush()))

    # --- sound --------------------------------------------------------------------------------------------------------

    def deliver(self, at: int, samples: Samples) -> None:
        """What the speaker rendered: see `locara.devices.remote.Deliver`."""
        if at + samples.size <= self._fading_until:
            return
        frame = sounding(SPEAKER, at, samples, self._turn)
        self._sound.keep(frame)
        self._send(packed(frame))

    def played(self, milliseconds: float) -> None:
        """The client has played its stream until here."""
        speaker = self.seat.speaker
        at = min(round(milliseconds / 1000 * speaker.rate), self._sound.end)
        speaker.heard_until(at)
        self._sound.played(at)

    def hear(self, frame: Frame) -> int:
        """Sound of the client's microphone; returns how many samples were accepted. What this connection has sent before
        is not heard twice; a gap is heard as silence."""
        new = frame if self._heard_until is None else after(frame, self._heard_until)
        if new is None:
            return 0
        accepted = self.seat.microphone.push(new.samples, self.wanted.input_rate)
        self._heard_until = new.end
        return accepted

    def push(self, pcm: bytes, rate: int) -> int:
        """The same without a place in a stream; ``rate`` in hertz."""
        return self.seat.microphone.push(from_pcm16(pcm), rate)

    # --- tools of the client ------------------------------------------------------------------------------------------

    def tools(self) -> tuple[Tool, ...]:
        """The client's tools, as the session calls them."""
        return tuple(self._tool(one) for one in self.wanted.tools)

    def _tool(self, spec: wire.ToolSpec) -> Tool:
        async def run(**arguments: Any) -> Any:
            return await self._call(spec.name, arguments)

        return Tool(spec.name, spec.description, spec.parameters, run, side_effects=spec.side_effects)

    async def _call(self, name: str, arguments: dict[str, Any]) -> Any:
        """Asks the client and waits; the session ends the wait after its own deadline."""
        if len(self._calls) >= MOST_CALLS:
            return {"error": f"{MOST_CALLS} calls of tools wait for the client already"}
        wanted = wire.ToolWanted(call="c" + secrets.token_hex(6), name=name, arguments=arguments)
        waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._calls[wanted.call] = (wanted, waiting)
        self._send(wire.push("tool", wanted))
        try:
            return await waiting
        finally:
            del self._calls[wanted.call]

    def tool_result(self, call: str, result: Any) -> None:
        """Raises ``MessageError`` for a call that does not wait."""
        found = self._calls.get(call)
        if found is None or found[1].done():
            raise MessageError("no such call waits for a result", hint="it was answered, or took too long")
        found[1].set_result(result)
