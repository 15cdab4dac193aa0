"""One conversation with a realtime server: its connection, its queues, its clock.

What may live here: the tasks of a session and what each effect of the pure files becomes. Nothing is decided here. One task
reads, one writes, one timer looks at the clock; whatever ends the session ends all three.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import replace
from typing import Any

from locara.audio import Samples, clean, silence
from locara.engines.backend import BackendEvent, BackendSettings, Ended, Frame, Lag, ReplyAudio, Signal
from locara.engines.lane import Charging
from locara.engines.omni import realtime_connection as connection
from locara.engines.omni import realtime_parse as parse
from locara.engines.omni import realtime_say as say
from locara.engines.omni import realtime_state as states
from locara.engines.omni.realtime_connection import STAGE, Gone, Link
from locara.engines.omni.realtime_kept import Kept
from locara.engines.omni.realtime_outbox import BEHIND_SECONDS, Outbox
from locara.engines.omni.realtime_resuming import resumed
from locara.engines.omni.realtime_settings import Settings
from locara.engines.omni.realtime_shapes import encoded
from locara.engines.omni.realtime_state import Effect, State, Step
from locara.errors import EngineTimeout, LocaraError, SessionError

MOST_EVENTS = 8192
"""Unread events: whoever reads none of so many has stopped reading."""
MOST_UNREAD_SECONDS = 300.0
"""Of sound: servers make a reply faster than it is heard, but not ones of five minutes."""
HEARTBEAT_SECONDS = 30.0
_NORMAL = (1000, 1001)


class RealtimeSession:
    """See the file's head. ``start`` once, then the others; after ``Ended`` they do nothing."""

    def __init__(self, settings: Settings, wanted: BackendSettings) -> None:
        self._settings = settings
        self._wanted = wanted
        self._dialect = settings.dialect
        self.state: State = say.opening(settings, wanted)
        self._link: Link | None = None
        self._out = Outbox(self._dialect.input_rate, self._dialect.append_seconds)
        self._kept = Kept(self._dialect.input_rate, held=self._dialect.held)
        self._pushed = 0
        self._appends = 0
        self._wake = asyncio.Event()
        self._open = asyncio.Event()
        """Set while the connection is one to write to."""
        self._events: deque[BackendEvent] = deque()
        self._unread = 0.0
        self._news = asyncio.Event()
        self._taken = False
        self._reader: asyncio.Task[None] | None = None
        self._others: list[asyncio.Task[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._in_real_time = False
        self._opus: Any = None
        if self._dialect.encoding == "opus":
            from locara.engines.omni.realtime_opus import Codec, demand

            demand(settings.dialect.name)
            self._opus = Codec()

    # --- from outside -------------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether `Ended` was told."""
        return self.state.phase == "over"

    async def start(self) -> None:
        """Returns when sound may flow. Raises ``StageError`` and ``ConfigError``; then nothing is left open."""
        seconds = self._settings.start_deadline
        self._keep_time()
        try:
            async with asyncio.timeout(seconds):
                await self._connect()
        except TimeoutError:
            await self._shut()
            raise EngineTimeout(
                f"{STAGE}: {self._settings.shown} did not begin a session within {seconds:g} s", stage=STAGE,
                model=self._settings.model, hint="all its places may be taken; a larger start_deadline gives it more time",
            ) from None  # fmt: skip
        except BaseException:
            await self._shut()
            raise
        self._reader = asyncio.create_task(self._read(), name="realtime-read")
        self._others.append(asyncio.create_task(self._write(), name="realtime-write"))
        if self._dialect.heartbeat:
            self._others.append(asyncio.create_task(self._beat(), name="realtime-beat"))

    def push(self, samples: Samples) -> None:
        """The next samples of the user."""
        if self.over or not samples.size:
            return
        samples = clean(samples)[0]
        if self._dialect.turn_owner == "locara" and (skipped := self._kept.push(samples)):
            self._tell(Lag(0.0, skipped))
        if not self._dialect.held:
            self._append(samples)

    def signal(self, signal: Signal) -> bool:
        """Tells the server; see `realtime_say.said`."""
        now, kept = asyncio.get_running_loop().time(), self._kept
        self.state, effects, applies = say.said(self.state, signal, now, kept.pushed, kept=kept.whole)
        self._apply(effects)
        return applies

    async def events(self) -> AsyncIterator[BackendEvent]:
        """Everything that comes, to its end."""
        if self._taken:
            raise SessionError("the events of this session are read already", hint="ask for them once")
        self._taken = True
        while True:
            while self._events:
                event = self._events.popleft()
                self._unread -= self._seconds(event)
                yield event
                if isinstance(event, Ended):
                    return
            self._news.clear()
            await self._news.wait()

    async def stop(self) -> None:
        """Ends the session: `Ended` is told, and the connection is closed."""
        if not self.over:
            self._finish("stopped")
            if self._dialect.farewell and self._link is not None:
                with contextlib.suppress(Gone, TimeoutError):
                    async with asyncio.timeout(connection.CLOSE_SECONDS):
                        await self._link.send({"type": self._dialect.farewell, "event_id": "locara-farewell"})
        await self._shut()

    # --- the connection -----------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        """Connects and opens the session. Raises ``StageError`` and ``ConfigError``."""
        self._link = link = await connection.connect(self._settings)
        try:
            if self._dialect.first == "client":
                await link.send(self.state.hello)
            while self.state.phase == "opening":
                for effect in self._understand(await link.receive()):
                    if isinstance(effect, states.Send):
                        await link.send(effect.message)
                    elif isinstance(effect, states.Refused):
                        asked = self._wanted != BackendSettings()
                        raise connection.refused(self._settings, effect.code, effect.message, asked=asked)
                    elif not isinstance(effect, states.Ready):
                        self._apply((effect,))
        except Gone as gone:
            raise connection.refused(
                self._settings,
                f"close-{gone.code}",
                gone.reason[:200] or f"it closed the connection (code {gone.code})",
            ) from None
        self._open.set()
        self._wake.set()

    async def _read(self) -> None:
        """The task that reads, and comes back to a lost session where the server keeps it."""
        try:
            while not self.over and self._link is not None:
                try:
                    self._apply(self._understand(await self._link.receive()))
                except Gone as gone:
                    self._open.clear()
                    if not await self._resume(gone):
                        self._end(gone)
        except LocaraError as error:
            self._fail(error.code, error.message, error.hint)
        except Exception as error:  # as in `_write`
            self._fail("engine-failed", f"{type(error).__name__} while reading {self._settings.shown}", "report it")
        finally:
            if self.over:
                self._stop_tasks()
                if self._link is not None:
                    await self._link.close()

    def _understand(self, raw: str) -> tuple[Effect, ...]:
        now = asyncio.get_running_loop().time()
        self.state, effects = parse.heard(self.state, raw, now, self._pushed)
        return effects

    def _end(self, gone: Gone) -> None:
        if gone.code in _NORMAL:
            self._finish("closed")
        else:
            self._fail(*connection.lost(gone, self._settings))

    async def _resume(self, gone: Gone) -> bool:
        """Whether the session goes on, by another connection."""
        if not self._dialect.resumes or not self.state.token or gone.code in _NORMAL:
            return False
        found = await resumed(self._settings, self.state)
        if found is None:
            return False
        before, (self._link, came) = self._link, found
        if before is not None:
            await before.close()
        for raw in came:
            self._apply(self._understand(raw))
        self._open.set()
        self._wake.set()
        return True

    async def _renew(self, before: asyncio.Task[None] | None) -> None:
        """A new connection in the place of the old one, to a server that cannot be stopped in another way."""
        if before is not None:
            before.cancel()
            await asyncio.wait([before])
        if self._link is not None:
            await self._link.close()
        try:
            async with asyncio.timeout(self._settings.start_deadline):
                await self._connect()
        except TimeoutError:
            self._fail("connection-lost", f"{self._settings.shown} did not begin again", "look at the server's log")
        except LocaraError as error:
            self._fail(error.code, error.message, error.hint)
        await self._read()

    # --- writing ------------------------------------------------------------------------------------------------------

    def _append(self, samples: Samples, *, skip: bool = True) -> None:
        self._pushed += samples.size
        skipped = self._out.sound(samples, skip=skip)
        if skipped:
            self._tell(Lag(BEHIND_SECONDS, skipped))
        self._wake.set()

    async def _write(self) -> None:
        """The task that writes, in order."""
        try:
            while not self.over:
                await self._wake.wait()
                self._wake.clear()
                await self._open.wait()
                while self._open.is_set() and (item := self._out.next()) is not None:
                    await self._send(item)
        except TimeoutError:
            self._fail(
                "connection-stalled",
                f"{self._settings.shown} took nothing for {self._settings.deadline:g} s",
                "the server, or the network, is too slow",
            )
        except Exception as error:  # a task that ended silently would leave a session that is never answered
            self._fail("engine-failed", f"{type(error).__name__} while sending to {self._settings.shown}", "report it")

    async def _send(self, item: Samples | Mapping[str, Any]) -> None:
        message = item if isinstance(item, Mapping) else self._sound_message(item)
        assert self._link is not None
        if message is None:
            return
        if self._dialect.numbered and "event_id" not in message:
            message = {**message, "event_id": f"locara-{self._appends}"}
        try:
            async with asyncio.timeout(self._settings.deadline):
                await self._link.send(message)
        except Gone:
            self._open.clear()  # whoever reads sees it too, and decides
            self._out.message(message, first=True)

    def _sound_message(self, samples: Samples) -> Mapping[str, Any] | None:
        sound = self._opus.encode(samples) if self._opus is not None else encoded(samples, self._dialect.encoding)
        if not sound:
            return None  # it waits for a whole packet
        message = say.appended(self._dialect, sound, self._appends)
        self._appends += 1
        return message

    async def _beat(self) -> None:
        while not self.over:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            self._apply((states.Send({"type": self._dialect.heartbeat}),))

    # --- effects ------------------------------------------------------------------------------------------------------

    def _apply(self, effects: Iterable[Effect]) -> None:  # noqa: C901, PLR0912  one line an effect
        for effect in effects:
            match effect:
                case states.Send(message):
                    self._out.message(message)
                    self._wake.set()
                case states.Commit(padding):
                    sounds = self._kept.commit()
                    for sound in sounds if self._dialect.held else ():
                        self._append(sound, skip=False)
                    self._append(silence(padding))
                case states.Revoke():
                    sounds = self._kept.revoke()
                    if not self._dialect.held:
                        self._out.message({"type": "input_audio_buffer.clear"})
                        for sound in sounds:
                            self._append(sound, skip=False)
                case states.Forget():
                    self._kept.forget()
                case states.Renew():
                    self._open.clear()
                    self._out.clear()  # it was for the reply that is not wanted any more
                    self._reader = asyncio.create_task(self._renew(self._reader), name="realtime-read")
                case states.Packed(reply, data):
                    self._unpack(reply, data)
                case states.Ready() | states.Refused():
                    pass  # only while it opens
                case _:
                    self._tell(effect)
        if self._out.full:
            self._fail("connection-stalled", f"{self._settings.shown} takes nothing any more", "it may hang")
        self._keep_time()

    def _unpack(self, reply: int, data: bytes) -> None:
        try:
            samples = self._opus.decode(data)
        except ValueError as error:
            self._fail("bad-event", f"{self._dialect.server}: {error}", "begin a new session")
            return
        now = asyncio.get_running_loop().time()
        self.state, effects = parse.sounded(self.state, reply, samples, now)
        self._apply(effects)

    def _tell(self, event: BackendEvent) -> None:
        if self._events and isinstance(self._events[-1], Ended):
            return
        self._events.append(event)
        self._unread += self._seconds(event)
        self._news.set()
        if len(self._events) > MOST_EVENTS or self._unread > MOST_UNREAD_SECONDS:
            self._unread = 0.0
            self._events.clear()
            self._fail("not-read", "nobody read what the model said", "read event_stream without waiting in between")

    def _seconds(self, event: BackendEvent) -> float:
        if isinstance(event, ReplyAudio | Frame):
            return event.samples.size / self._dialect.output_rate
        return 0.0

    def _fail(self, code: str, message: str, hint: str) -> None:
        if not self.over:
            step = Step(replace(self.state, phase="ready"), 0.0)
            step.fail(code, message, hint)
            self._settle(step)

    def _finish(self, reason: Any) -> None:
        if not self.over:
            step = Step(replace(self.state, phase="ready"), 0.0)
            step.finish(reason)
            self._settle(step)

    def _settle(self, step: Step) -> None:
        self.state, effects = step.result
        self._apply(effects)
        self._stop_tasks()

    # --- time ---------------------------------------------------------------------------------------------------------

    def _keep_time(self) -> None:
        """Looks at the clock when it must, and lets time be real while the server's answer is awaited."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.state.due is not None:
            self._timer = loop.call_at(max(self.state.due, loop.time()), self._tick)
        waits = self.state.phase == "opening" or self.state.made is not None or self._dialect.clocked
        waits = waits and not self.over
        if isinstance(loop, Charging) and waits != self._in_real_time:
            self._in_real_time = waits
            (loop.begin_real if waits else loop.end_real)()

    def _tick(self) -> None:
        self._timer = None
        self.state, effects = say.ticked(self.state, asyncio.get_running_loop().time())
        self._apply(effects)

    # --- the end ------------------------------------------------------------------------------------------------------

    def _stop_tasks(self) -> None:
        current = asyncio.current_task()
        for task in (*self._others, self._reader):
            if task is not None and task is not current:
                task.cancel()

    async def _shut(self) -> None:
        """Nothing of it runs any longer, and its connection is closed."""
        self.state = replace(self.state, phase="over", replies=())
        self._stop_tasks()
        self._keep_time()
        tasks = [one for one in (*self._others, self._reader) if one is not None and one is not asyncio.current_task()]
        if tasks:
            await asyncio.wait(tasks, timeout=3 * connection.CLOSE_SECONDS)
        if self._link is not None:
            await self._link.close()
