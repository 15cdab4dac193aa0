"""A conversation on a runtime server, in the shape of `locara.voice.Session`.

What may live here: what an app sees of it, and going on with it after its connection dropped.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy.typing as npt

from locara.audio import RATE, Resampler, Samples, mono
from locara.client.connection import ANSWER_SECONDS, LOAD_SECONDS, Connection, ConnectionLost
from locara.client.frames import MICROPHONE, Frame, packed, sounding
from locara.client.playing import Player
from locara.engines.contracts import Tool, ToolCall
from locara.errors import ConfigError, LocaraError, SessionError
from locara.voice import events as tell
from locara.voice import tools as tooling
from locara.voice.brain import Deadlines
from locara.voice.broadcast import Broadcast
from locara.voice.conversation import Handle, PushToTalk
from locara.voice.event_reading import from_json
from locara.voice.history import Said, Used
from locara.voice.loop import BLOCKS_WAITING, EVENTS_WAITING
from locara.voice.moves import Pressed

PIECE_SECONDS = 0.1
"""Of pushed sound in one frame, at most."""

_AGAIN = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds between attempts to connect again; the last one again and again, until the grace time is over."""


class Session:
    """``options`` are those of `voice.session` that a client can give: ``stt``, ``llm``, ``tts``, ``omni`` (names or
    mappings), ``patience``, ``attention``, ``idle``, ``idle_prompt``, ``language``, ``system``, ``tools``, ``echo``;
    ``manifest``, the path of a ``locara.toml``, or its text; ``input_rate`` and ``output_rate`` in hertz.

    ``delay``: seconds that the player keeps in hand. ``reports="app"``: the app plays ``raw_output`` itself, which then
    comes as it is received, and says so with `played`.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        manifest: str | os.PathLike[str] | None = None,
        tools: Sequence[Callable[..., Any] | Tool] = (),
        input_rate: int = RATE,
        output_rate: int = 24_000,
        delay: float = 0.06,
        reports: str = "clock",
        **options: Any,
    ) -> None:
        if reports not in ("clock", "app"):
            raise ConfigError(f"reports={reports!r} is not known", hint='use "clock" or "app"')
        self._connection = connection
        self._tools = {tool.name: tool for tool in map(tooling.as_tool, tools)}
        self._params: dict[str, Any] = {"input_rate": input_rate, "output_rate": output_rate, **options}
        if manifest is not None:
            self._params["manifest"] = _text_of(manifest)
        if self._tools:
            self._params["tools"] = [_spec(tool) for tool in self._tools.values()]
        self.input_rate = input_rate
        self.output_rate = output_rate
        self.plan: dict[str, dict[str, str]] = {}
        """Stage -> engine, model, device and why; known once it has started."""
        self.capabilities: dict[str, str] = {}
        """Event type -> ``exact``, ``estimated`` or ``absent``."""
        self.state = ("quiet", "idle")
        """(what the user does, what the assistant does)."""
        self.muted = False
        self.push_to_talk = PushToTalk(lambda happened: self._press(down=isinstance(happened, Pressed)))
        """The push-to-talk key."""
        self._delay = delay
        self._app_reports = reports == "app"
        self._events: Broadcast[tell.Event] = Broadcast(
            EVENTS_WAITING, expendable=_expendable, marked=lambda event, lost: dataclasses.replace(event, dropped=lost)
        )
        self._output: Broadcast[Samples] = Broadcast(BLOCKS_WAITING)
        self._player: Player | None = None
        self._received = 0
        self._phase = "new"
        self._seq = 0
        self._missed = 0
        self._pushed = 0
        self._resampler: Resampler | None = None
        self._key: dict[str, Any] = {}
        self._grace = 0.0
        self._t = 0.0
        self._reason = ""
        self._ended = asyncio.Event()
        self._work: set[asyncio.Task[None]] = set()

    # --- starting and stopping ----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Returns when the server has every stage warm and listens. Raises what `voice.Session.start` raises, and
        ``ConnectionLost``."""
        if self._phase != "new":
            raise SessionError(f"this session is {self._phase}", hint="make a new one: connection.session(...)")
        self._connection.listen(self)
        self._phase = "starting"
        if not self._app_reports:
            self._player = Player(self.output_rate, self._delay, self._output.send, self._report)
        try:
            started = await self._connection.request("voice.session_start", self._params, LOAD_SECONDS)
        except BaseException:
            self._phase = "failed"
            await self._release()
            raise
        self._phase = "running"
        self._key = {"session": started["session"], "resume_token": started["resume_token"]}
        self._grace = float(started["grace_seconds"])
        self.plan, self.capabilities = started["plan"], started["capabilities"]

    async def stop(self) -> None:
        """Ends the conversation. May be called from any state, and twice."""
        if self._phase == "running" and not self._ended.is_set():
            self._phase = "stopping"
            try:
                await self._connection.request("voice.session_stop")
            except LocaraError:
                self._end("connection-lost")
        self._phase = "closed"
        self._end("stopped")
        await self._release()

    async def _release(self) -> None:
        for task in list(self._work):
            if task is not asyncio.current_task():
                task.cancel()
        await asyncio.gather(*(one for one in self._work if one is not asyncio.current_task()), return_exceptions=True)
        if self._player is not None:
            await self._player.close()
            self._player = None
        self._events.close()
        self._output.close()
        self._connection.listen(None)

    async def wait_ended(self) -> str:
        """Waits for the end of the conversation, whoever ends it; returns the reason."""
        await self._ended.wait()
        return self._reason

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # --- what an app sees and says ------------------------------------------------------------------------------------

    def events(self) -> AsyncIterator[tell.Event]:
        """The events from this moment on. Several may iterate; a slow one loses some and learns how many from
        ``dropped``."""
        return self._events.subscribe()

    def raw_output(self) -> AsyncIterator[Samples]:
        """Blocks of float32 at ``output_rate`` as they are played, or, where the app reports, as they are received. Long
        silences are left out."""
        return self._output.subscribe()

    def push_audio(self, samples: npt.ArrayLike, sample_rate: int = RATE) -> Handle:
        """Sound of the app's microphone, float32 or int16, shape ``(n,)`` or ``(n, channels)``. What is pushed while the
        connection is down is not heard."""
        self._running()
        if self._resampler is None or self._resampler.rate_in != sample_rate:
            self._resampler = Resampler(sample_rate, self.input_rate)
        new = self._resampler.push(mono(samples))
        step = round(PIECE_SECONDS * self.input_rate)
        for at in range(0, new.size, step):
            frame = sounding(MICROPHONE, self._pushed, new[at : at + step])
            self._pushed = frame.end
            if self._connection.up:
                self._connection.send(packed(frame))
        return Handle(self._connection.sent)

    def played(self, at: int) -> None:
        """With ``reports="app"``: the app has played the stream until here, in samples of ``output_rate``."""
        self._report(at)

    def send_text(self, text: str) -> Handle:
        """What the user types instead of speaking."""
        return self._ask("session.send_text", text=text)

    def say(self, text: str) -> Handle:
        """Says ``text`` as it is, as soon as the floor is free. The result tells that the server has it, not that it was
        said: see the events."""
        return self._ask("session.say", text=text)

    def interrupt(self) -> Handle:
        """Stops what the assistant is saying or about to say."""
        return self._ask("session.interrupt")

    def mute(self) -> Handle:
        """From now on the microphone gives zeros."""
        self.muted = True
        return self._ask("session.mute")

    def unmute(self) -> Handle:
        """Listens again."""
        self.muted = False
        return self._ask("session.unmute")

    def _press(self, *, down: bool) -> None:
        self._ask("session.push_to_talk", down=down)

    async def change(self, *, stt: Any = None, llm: Any = None, tts: Any = None) -> dict[str, dict[str, str]]:
        """Other engines from now on; returns the new plan. What is left out stays."""
        named = {"stt": stt, "llm": llm, "tts": tts}
        wanted = {kind: stage for kind, stage in named.items() if stage is not None}
        self.plan = (await self._request("session.change", wanted, LOAD_SECONDS))["plan"]
        return self.plan

    async def configure(self, *, patience: Any = None, attention: str | None = None) -> None:
        """Other settings, from the next turn on. ``patience``: a name, or a mapping of ``even``, ``least`` and ``last``
        seconds."""
        wanted = {"patience": patience, "attention": attention}
        await self._request("session.configure", {name: one for name, one in wanted.items() if one is not None})

    async def history(self) -> tuple[Said | Used, ...]:
        """What each side said; for the assistant, what was heard."""
        told = (await self._request("session.history", {}))["history"]
        return tuple(_entry(one) for one in told)

    async def metrics(self) -> dict[str, float]:
        """Counts and seconds of this session so far."""
        return dict((await self._request("session.metrics", {}))["metrics"])

    def _running(self) -> None:
        if self._phase != "running":
            raise SessionError(
                f"this session is {self._phase}", hint="use it inside `async with session:`, after start()"
            )

    async def _request(self, method: str, params: Mapping[str, Any], seconds: float = ANSWER_SECONDS) -> Any:
        self._running()
        return await self._connection.request(method, params, seconds)

    def _ask(self, method: str, **params: Any) -> Handle:
        """Sent now. What the server refuses is raised where it is awaited, and told as an event where it is not."""
        self._running()
        answer = self._connection.ask(method, params)
        awaited = False

        async def wait() -> None:
            nonlocal awaited
            awaited = True
            await asyncio.wait_for(asyncio.shield(answer), ANSWER_SECONDS)

        def told(done: asyncio.Future[Any]) -> None:
            error = None if done.cancelled() else done.exception()
            if isinstance(error, LocaraError) and not awaited and not isinstance(error, ConnectionLost):
                self._tell(tell.Error(t=self._t, code=error.code, message=error.message, stage=method, hint=error.hint))

        answer.add_done_callback(told)
        return Handle(wait)

    # --- what the server says -----------------------------------------------------------------------------------------

    def pushed(self, message: Mapping[str, Any]) -> None:
        """See `locara.client.connection.Listener`."""
        if "event" in message:
            self._event(message["event"], int(message.get("seq", 0)))
        elif message.get("playback") == "flush":
            if self._player is not None:
                self._player.flush()
        elif "tool" in message:
            self._do(self._use(message["tool"]))
        elif "state" in message:
            told = message["state"]
            self.state = (str(told.get("user")), str(told.get("assistant")))
            self.muted = bool(told.get("muted"))

    def sounded(self, frame: Frame) -> None:
        """See `locara.client.connection.Listener`."""
        if self._player is not None:
            self._player.take(frame)
        elif frame.end > self._received:
            self._output.send(frame.samples[max(0, self._received - frame.at) :])
        self._received = max(self._received, frame.end)

    def lost(self) -> None:
        """See `locara.client.connection.Listener`."""
        if self._phase != "running" or self._ended.is_set():
            return
        if self._connection.closed:
            self._end("connection-lost")
        else:
            self._do(self._go_on())

    def _event(self, told: Mapping[str, Any], seq: int) -> None:
        if 0 < seq <= self._seq:
            return  # it came before the connection dropped
        self._seq = max(self._seq, seq)
        event = from_json(told)
        if event is None:
            return
        if self._missed:
            event, self._missed = dataclasses.replace(event, dropped=event.dropped + self._missed), 0
        self._t = event.t
        if isinstance(event, tell.PlanChanged):
            self.plan = event.plan
        if isinstance(event, tell.SessionEnd):
            self._end(event.reason, event)
        else:
            self._tell(event)

    def _tell(self, event: tell.Event) -> None:
        self._events.send(event)

    def _end(self, reason: str, event: tell.SessionEnd | None = None) -> None:
        if self._ended.is_set():
            return
        self._reason = reason
        self._tell(event or tell.SessionEnd(t=self._t, reason=reason))
        self._ended.set()
        self._events.close()
        self._output.close()

    def _report(self, at: int) -> None:
        if self._connection.up:
            played = {"played_ms": at / self.output_rate * 1000}
            self._connection.send({"method": "playback.ack", "params": played})

    def _do(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work, name="locara-client-session")
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _use(self, wanted: Mapping[str, Any]) -> None:
        """Runs a tool of the app."""
        tool = self._tools.get(str(wanted.get("name")))
        if tool is None:
            result: Any = {"error": f"this app has no tool {wanted.get('name')}"}
        else:
            result = await tooling.run(tool, wanted.get("arguments", {}), Deadlines().tool)
        if self._connection.up:
            self._connection.ask("tool.result", {"call": wanted["call"], "result": tooling_json(result)})

    async def _go_on(self) -> None:
        """Connects again and goes on from the sample and the event that came last, or ends."""
        loop = asyncio.get_running_loop()
        last, error = loop.time() + self._grace, LocaraError("the connection was lost")
        attempt = 0
        while loop.time() < last:
            await asyncio.sleep(_AGAIN[min(attempt, len(_AGAIN) - 1)])
            attempt += 1
            try:
                await self._connection.open()
                where = {"after": self._seq, "received": self._received}
                resumed = await self._connection.request("session.resume", {**self._key, **where})
            except ConnectionLost as lost:
                error = lost
            except LocaraError as refused:
                error = refused
                if getattr(refused, "retry_after", None) is None:
                    break
            else:
                self._missed += int(resumed["missed"])
                return
        hint = error.hint or "start a new one"
        self._tell(
            tell.Error(t=self._t, code=error.code, message=error.message, stage="connection", fatal=True, hint=hint)
        )
        self._end("connection-lost")


def tooling_json(result: Any) -> Any:
    """A tool's result as JSON values."""
    import json

    return json.loads(json.dumps(result, default=str))


def _expendable(event: tell.Event) -> bool:
    return isinstance(event, tell.AudioChunk | tell.PartialTranscript | tell.LlmToken)


def _text_of(manifest: str | os.PathLike[str]) -> str:
    if isinstance(manifest, str) and "\n" in manifest:
        return manifest
    path = Path(manifest)
    try:
        return (path / "locara.toml" if path.is_dir() else path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"the manifest cannot be read: {error}", hint="name the folder of the app") from error


def _spec(tool: Tool) -> dict[str, Any]:
    about = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {**about, "side_effects": tool.side_effects}


def _entry(told: Mapping[str, Any]) -> Said | Used:
    if "call" in told:
        call = told["call"]
        return Used(told["turn"], ToolCall(call["id"], call["name"], call["arguments"]), told["result"])
    return Said(told["turn"], told["role"], told["text"], told["interrupted"], told["unheard"])
