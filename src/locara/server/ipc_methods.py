"""What each method of `/ipc` does, for one connection.

What may live here: from a request's parameters to its result. A method that answers at once is a plain function; one that
waits (for engines, for a person) is a coroutine, which the connection runs beside the others. What must be sent after the
answer, not before it, is given to `Desk.then`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from locara.client.frames import Frame
from locara.errors import ConfigError, ManifestError, MessageError, SessionError
from locara.server import ipc_app
from locara.server import ipc_wire as wire
from locara.server.ipc_models import models
from locara.server.ipc_session import Line, ServedSession
from locara.server.questions import Asking, Attending
from locara.server.runtime import Runtime
from locara.voice.endings import Patience
from locara.voice.history import Said

if TYPE_CHECKING:
    from locara.server.ipc import Door


class SessionTaken(SessionError):
    """Another connection has the session, and is alive. ``retry_after``: seconds."""

    code = "session-taken"
    retry_after = 1.5


ALIVE_SECONDS = SessionTaken.retry_after
"""A client that sent something so lately is there: its session is not given to another connection. One that streams its
microphone sends fifty messages a second, one that is muted acknowledges or pings."""


class Client(Line, Attending, Protocol):
    """What a desk needs of its connection."""

    @property
    def own_page(self) -> bool:
        """Its handshake came from the page that this server itself serves."""
        ...

    @property
    def heard_of(self) -> float:
        """Loop time at which something last came."""
        ...

    def drop(self, reason: str, hint: str) -> None:
        """Ends the connection."""
        ...


class Desk:
    """The requests of one connection, and the one session it may have."""

    def __init__(self, door: Door, runtime: Runtime, client: Client) -> None:
        self.session: ServedSession | None = None
        self._door = door
        self._runtime = runtime
        self._client = client
        self._starting: asyncio.Task[Any] | None = None
        self._left = False
        self._afterwards: list[Callable[[], None]] = []
        self._is_page = client.own_page
        if self._is_page:
            runtime.questions.attends(client)
        self._methods: Mapping[str, Callable[[Any], Any]] = {
            "voice.session_start": self._start,
            "voice.session_push": self._push,
            "voice.session_events": self._events,
            "voice.session_stop": self._stop,
            "session.resume": self._resume,
            "session.send_text": lambda p: self._asked(self._running.send_text(p.text)),
            "session.say": lambda p: self._asked(self._running.say(p.text)),
            "session.interrupt": lambda p: self._asked(self._running.interrupt()),
            "session.mute": lambda p: self._asked(self._running.mute()),
            "session.unmute": lambda p: self._asked(self._running.unmute()),
            "session.push_to_talk": self._push_to_talk,
            "session.change": self._change,
            "session.configure": self._configure,
            "session.history": self._history,
            "session.metrics": lambda p: wire.Measured(metrics=self._running.metrics()),
            "session.plan": lambda p: wire.Planned(plan=self._running.plan),
            "tool.result": self._tool_result,
            "consent.answer": self._consent_answer,
            "models.list": self._models,
            "playback.ack": self._playback_ack,
            "ping": lambda p: wire.Nothing(),
        }

    def do(self, request: wire.Request) -> Any:
        """The result, or a coroutine that gives it. Raises ``LocaraError``."""
        return self._methods[request.method](request.params)

    def then(self) -> None:
        """The answer is on its way: now what belongs behind it."""
        after, self._afterwards = self._afterwards, []
        for call in after:
            call()

    def heard(self, frame: Frame) -> None:
        """A binary frame. Raises ``LocaraError``."""
        self._served.hear(frame)

    def leave(self, *, for_good: bool) -> None:
        """The connection is gone. ``for_good``: its client said goodbye, or was sent away."""
        self._left = True
        self._runtime.questions.leaves(self._client)
        if self._starting is not None:
            self._starting.cancel()
        served, self.session = self.session, None
        if served is None or served.reason:
            return
        if for_good:
            self._door.end(served)
        else:
            served.detach()

    @property
    def alive(self) -> bool:
        """Whether its client has sent something lately."""
        return asyncio.get_running_loop().time() - self._client.heard_of < ALIVE_SECONDS

    def give_way(self) -> None:
        """Another connection goes on with its session."""
        if self.session is not None:
            self.session.detach()
            self.session = None
        self._client.drop("resumed", "another connection has gone on with the conversation")

    # --- the session --------------------------------------------------------------------------------------------------

    @property
    def _served(self) -> ServedSession:
        if self.session is None or self.session.reason:
            raise SessionError("this connection has no conversation", hint="begin one: voice.session_start")
        return self.session

    @property
    def _running(self) -> Any:
        return self._served.seat.session

    def _asked(self, handle: Any) -> wire.Nothing:
        """It is under way: a `Handle` need not be awaited."""
        return wire.Nothing()

    def _free(self) -> None:
        if self._starting is not None or (self.session is not None and not self.session.reason):
            raise SessionError(
                "this connection has a conversation already", hint="stop it first, or open another connection"
            )

    async def _start(self, p: wire.SessionStart) -> wire.Started:
        from locara.server.seats import Busy

        self._free()
        self._starting = asyncio.current_task()
        asking: Asking | None = None
        try:
            served, wish = self._wanted(p)
            asking = self._runtime.questions.asking(self._client)
            seat = await self._runtime.seats.take(wish, deliver=served.deliver, ask=asking)
        except asyncio.CancelledError:
            raise SessionError("the conversation was stopped while it started", hint="begin another one") from None
        except Busy:
            self._runtime.counters.add("locara_busy_total", door="ipc")
            raise
        finally:
            self._starting = None
            if asking is not None:
                asking.close()
        if self._left:  # the client went in the very moment in which it was ready
            await seat.leave()
            raise SessionError("the connection is closed", hint="begin another one")
        served.begin(seat)
        try:
            if not isinstance(p.patience, str):
                seat.session.configure(patience=_patience(p.patience))
        except BaseException:  # it has ended in the moment in which it began
            self._door.end(served)
            raise
        self._door.keep(served, self)
        self.session = served
        self._runtime.counters.add("locara_sessions_total", door="ipc")
        self._afterwards.append(lambda: served.attach(self._client))
        return wire.Started(
            session=served.key.session,
            resume_token=served.key.token,
            input_rate=p.input_rate,
            output_rate=p.output_rate,
            plan=seat.session.plan,
            capabilities=seat.session.capabilities,
            grace_seconds=self._runtime.settings.limits.grace_seconds,
        )

    def _wanted(self, p: wire.SessionStart) -> tuple[ServedSession, Any]:
        from locara.server.seats import Wish

        if p.manifest is not None:
            # Whoever speaks for an app cannot be the one who answers for the person: not before, and not after.
            self._is_page = False
            self._runtime.questions.leaves(self._client)
        if p.language is not None:
            raise ConfigError(
                f"language={p.language!r}: this server does not choose engines by language yet",
                hint='name them: stt={"model": ..., "language": "de"}',
            )
        _patience(p.patience)  # what is wrong with it is told before anything is loaded
        app = ipc_app.app_of(p.manifest, offline=self._runtime.settings.offline)
        if p.other_speaker and "device.speaker.select" not in app.capabilities:
            raise ManifestError(
                f"{app.id} does not declare device.speaker.select, so it plays on the default output",
                hint='add [capabilities."device.speaker.select"] with a reason, or leave other_speaker out',
            )
        named = {"stt": p.stt, "llm": p.llm, "tts": p.tts, "omni": p.omni}
        served = ServedSession(p, self._runtime.settings.limits, self._runtime.counters, self._door.forget)
        wish = Wish(
            app=app,
            stages=ipc_app.stages_of(named),
            patience=p.patience if isinstance(p.patience, str) else "normal",
            attention=p.attention,
            idle=p.idle,
            idle_prompt=p.idle_prompt,
            system=p.system,
            tools=served.tools(),
            output_rate=p.output_rate,
            reports=p.reports,
            echo=p.echo,
            other_speaker=p.other_speaker,
        )
        return served, wish

    async def _stop(self, p: wire.SessionStop) -> wire.Stopped:
        if self._starting is not None:
            self._starting.cancel()
            return wire.Stopped(reason="stopped")
        served = self._served
        reason = await served.stop()
        if self.session is served:
            self.session = None
        return wire.Stopped(reason=reason)

    def _resume(self, p: wire.SessionResume) -> wire.Resumed:
        self._free()
        served = self._door.held(p.session, p.resume_token)
        if served is None:
            raise SessionError(
                "there is no conversation to go on with under this number and token",
                hint="it ended, or its grace time is over: begin another one with voice.session_start",
            )
        before = self._door.desk_of(served)
        if before is not None and before.alive:
            raise SessionTaken(
                "another connection has this conversation, and is alive",
                hint=f"close that one first; one that has fallen silent for {ALIVE_SECONDS:g} s gives way",
            )
        output_at = served.output_at(p.received)
        seq, missed = served.again(p.after)
        if before is not None:
            before.give_way()
        self._door.keep(served, self)
        self.session = served
        self._afterwards.append(lambda: served.attach(self._client, p.after, p.received))
        return wire.Resumed(seq=seq, missed=missed, output_at=output_at)

    def _events(self, p: wire.SessionEvents) -> wire.Again:
        served = self._served
        seq, missed = served.again(p.after)
        self._afterwards.append(lambda: served.resend(p.after))
        return wire.Again(seq=seq, missed=missed)

    # --- what it is asked ---------------------------------------------------------------------------------------------

    def _push(self, p: wire.SessionPush) -> wire.Pushed:
        served = self._served
        accepted = served.push(wire.pcm_of(p), p.sample_rate)
        return wire.Pushed(accepted=accepted, buffered=round(served.seat.microphone.buffered, 3))

    def _push_to_talk(self, p: wire.PushToTalk) -> wire.Nothing:
        key = self._running.push_to_talk
        return self._asked(key.press() if p.down else key.release())

    async def _change(self, p: wire.Change) -> wire.Planned:
        stages = ipc_app.stages_of({"stt": p.stt, "llm": p.llm, "tts": p.tts})
        return wire.Planned(plan=await self._running.change(**stages))

    def _configure(self, p: wire.Configure) -> wire.Nothing:
        patience = None if p.patience is None else _patience(p.patience)
        return self._asked(self._running.configure(patience=patience, attention=p.attention))

    def _history(self, p: wire.History) -> wire.Said:
        return wire.Said(history=tuple(_said(one) for one in self._running.history))

    def _tool_result(self, p: wire.ToolResult) -> wire.Nothing:
        self._served.tool_result(p.call, p.result)
        return wire.Nothing()

    def _playback_ack(self, p: wire.PlaybackAck) -> wire.Nothing:
        self._served.played(p.played_ms)
        return wire.Nothing()

    def _consent_answer(self, p: wire.ConsentAnswer) -> wire.Nothing:
        if not self._is_page:
            raise MessageError(
                "this connection may not answer questions of consent",
                hint="the page of this server asks; elsewhere: locara grants allow APP CAPABILITY",
            )
        self._runtime.questions.answer(self._client, p.question, p.answer)
        return wire.Nothing()

    async def _models(self, p: wire.ModelsList) -> wire.Models:
        return wire.Models(models=await asyncio.to_thread(models, p.task))


def _patience(given: str | wire.Pauses) -> Any:
    """A name as it is; pauses as the session takes them. Raises ``ConfigError``."""
    if isinstance(given, str):
        return given
    if not given.least <= given.even <= given.last:
        raise ConfigError(
            f"patience: least {given.least:g}, even {given.even:g}, last {given.last:g} are not in order",
            hint="least <= even <= last, in seconds; all equal: a fixed silence",
        )
    return Patience(even=given.even, least=given.least, last=given.last)


def _said(entry: Any) -> dict[str, Any]:
    """An entry of the history as JSON."""
    if isinstance(entry, Said):
        return {name: getattr(entry, name) for name in ("turn", "role", "text", "interrupted", "unheard")}
    call = entry.call
    result = json.loads(json.dumps(entry.result, default=str))
    return {
        "turn": entry.turn,
        "call": {"id": call.id, "name": call.name, "arguments": dict(call.arguments)},
        "result": result,
    }
