"""The loop of a conversation: one inbox, one decision, one act.

What may live here: the way from what happened to what is done about it. Every decision is made in `turns`; every sound
passes the gate; engines and devices are driven, never entered.
"""

from __future__ import annotations

import asyncio
import dataclasses
import statistics
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy.typing as npt

from locara.audio import BLOCK, RATE, Samples, seconds, silence
from locara.devices.contracts import Sink, Source
from locara.devices.pushed import PushedSource
from locara.engines.contracts import Announces, Detector
from locara.errors import DeviceError, LocaraError, SessionError
from locara.gate.ear import Ear
from locara.gate.mouth import Mouth
from locara.voice import events as tell
from locara.voice import loading, moves, turns
from locara.voice.brain import Brain, Deadlines
from locara.voice.broadcast import Broadcast
from locara.voice.history import Said, Used, as_messages
from locara.voice.state import SOUNDING, Rules, State, at_rest

EVENTS_WAITING = 2048
"""Events a consumer may lag behind: more than a minute of the busiest conversation."""

BLOCKS_WAITING = 3000
"""Blocks of raw sound a consumer may lag behind: one minute."""

INBOX = 512
STALL_SECONDS = 3.0
"""A source that gives no block for so long is lost: every other deadline counts its samples."""

DEAF_TAIL_SECONDS = 0.25
"""Half duplex: the room's answer to our last word."""

REST_SECONDS = 0.8
"""A recording has ended when nobody has anything to say for so long after its end."""


class Handle:
    """Something asked of the session. It is under way already; ``await`` it to know when it is done."""

    def __init__(self, waiting: Awaitable[Any] | None = None) -> None:
        self._waiting = waiting

    def __await__(self) -> Generator[Any, None, None]:
        if self._waiting is not None:
            yield from self._waiting.__await__()


@dataclass(slots=True)
class Counters:
    """What `metrics` counts."""

    turns: int = 0
    prepared: int = 0
    wasted: int = 0
    barge_ins: int = 0
    false_alarms: int = 0
    rejected: int = 0
    errors: int = 0
    latencies: list[float] = field(default_factory=list)
    slowest_step: float = 0.0


class PushToTalk:
    """The key of ``session.push_to_talk``: ``press`` and ``release``, or ``with session.push_to_talk:`` while it is down."""

    def __init__(self, post: Callable[[moves.Happened], None]) -> None:
        self._post = post
        self.held = False

    def press(self) -> None:
        """The key is down: everything from 300 ms ago on is the turn, until it is up; nothing else can end it."""
        if not self.held:
            self.held = True
            self._post(moves.Pressed())

    def release(self) -> None:
        """The key is up: the turn ends 300 ms later, for people let go early."""
        if self.held:
            self.held = False
            self._post(moves.Released())

    def __enter__(self) -> Self:
        self.press()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


@dataclass(frozen=True, slots=True)
class Parts:
    """What a session is built of; see `building`, which builds it."""

    brain: Brain
    detector: Detector
    source: Source
    sink: Sink
    rules: Rules = field(default_factory=Rules)
    half_duplex: bool = False
    microphone: bool = False
    """The source is a real microphone, so digital zeros mean that something is wrong with it."""
    why: dict[str, str] = field(default_factory=dict)
    """Stage -> why this engine, for the plan."""
    deadlines: Deadlines = field(default_factory=Deadlines)
    end_with_input: bool = False
    """End when a recording has ended and everything is said."""


class Session:
    """One conversation. Made by ``voice.session(...)``; ``async with session:`` starts and stops it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._brain = parts.brain
        self._ear = Ear(parts.detector)
        self._mouth: Mouth | None = None
        self._state = State(rules=parts.rules)
        self._events: Broadcast[tell.Event] = Broadcast(EVENTS_WAITING, expendable=_expendable, marked=_marked)
        self._raw_in: Broadcast[Samples] = Broadcast(BLOCKS_WAITING)
        self._raw_out: Broadcast[Samples] = Broadcast(BLOCKS_WAITING)
        self._inbox: asyncio.Queue[moves.Happened] = asyncio.Queue(INBOX)
        self._tasks: list[asyncio.Task[None]] = []
        self._history: list[Said | Used] = []
        self._counters = Counters()
        self._phase = "new"
        self._ended = asyncio.Event()
        self._end_reason = "stopped"
        self._sayings: list[asyncio.Future[None]] = []
        self._said: dict[int, asyncio.Future[None]] = {}
        self._quiet_since = 0
        self._deaf_until = 0
        self._told_dead = False
        self._out: deque[Samples] = deque(maxlen=BLOCKS_WAITING)
        self.push_to_talk = PushToTalk(self._post_now)
        """The push-to-talk key."""

    # --- starting and stopping ----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Loads every stage with one real inference each, opens the devices and listens.

        Raises ``StageError`` (which stage, which model, why, what to do) or ``DeviceError``; nothing is left open then.
        """
        if self._phase != "new":
            raise SessionError(f"this session is {self._phase}", hint="make a new one: voice.session(...)")
        self._phase = "starting"
        try:
            await loading.load_all({"vad": self._parts.detector, **self._brain.engines}, self._parts.deadlines.load)
            await self._parts.sink.open(self._pull)
            rate = self._parts.sink.rate
            self._mouth = Mouth(rate)
            self._state = dataclasses.replace(
                self._state, rules=dataclasses.replace(self._parts.rules, output_rate=rate, words=self._brain.words)
            )
            self._brain.start(self._inbox.put, rate)
            await self._parts.source.open()
        except BaseException:
            self._phase = "failed"
            await self._release()
            raise
        self._phase = "running"
        self._emit(tell.SessionStart(t=0.0, plan=self.plan))
        self._tasks = [
            asyncio.create_task(self._run(), name="locara-session"),
            asyncio.create_task(self._listen(), name="locara-listen"),
        ]
        for engine in self._brain.engines.values():
            if isinstance(engine, Announces):
                self._tasks.append(asyncio.create_task(self._announce(engine), name="locara-announce"))

    async def stop(self) -> None:
        """Ends the conversation and everything that belongs to it. May be called from any state, and twice."""
        if self._phase == "running":
            self._phase = "stopping"
            # The machine ends turn and reply; if it cannot any more, the end comes all the same.
            try:
                async with asyncio.timeout(self._parts.deadlines.close):
                    await self._inbox.put(moves.Stop())
                    await self._ended.wait()
            except TimeoutError:
                self._finish("failed")
            await self._release()
        elif self._phase in ("starting", "ended"):
            await self._release()

    async def _release(self) -> None:
        """Closes what is open, in the order in which it depends on each other."""
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks = []
        engines: tuple[loading.Closable, ...] = (*self._brain.engines.values(), self._parts.detector)
        closing: tuple[loading.Closable, ...] = (self._parts.source, self._brain, self._parts.sink, *engines)
        await loading.close_all(closing, self._parts.deadlines.close)
        if self._phase != "failed":
            self._phase = "closed"
        self._events.close()
        self._raw_in.close()
        self._raw_out.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # --- what an app sees and says ------------------------------------------------------------------------------------

    def events(self) -> AsyncIterator[tell.Event]:
        """The events from this moment on. Several may iterate; one that is too slow loses events (never the sound's
        time) and learns how many from ``dropped`` of the next it gets."""
        return self._events.subscribe()

    def raw_input(self) -> AsyncIterator[Samples]:
        """Blocks as heard: float32 of shape ``(320,)`` at 16 kHz, after muting, before echo handling."""
        return self._raw_in.subscribe()

    def raw_output(self) -> AsyncIterator[Samples]:
        """Blocks as played: float32 at ``output_rate``, after level and fades, silence included."""
        return self._raw_out.subscribe()

    @property
    def output_rate(self) -> int:
        """Hertz of ``raw_output`` and of ``audio-chunk``."""
        return self._parts.sink.rate

    def push_audio(self, samples: npt.ArrayLike, sample_rate: int = RATE) -> Handle:
        """Sound from an app that owns its microphone: float32 or int16, shape ``(n,)`` or ``(n, channels)``.

        Needs ``voice.session(input="push")``. Takes it at once; ``await`` the result to not run ahead.
        """
        source = self._parts.source
        if not isinstance(source, PushedSource):
            raise SessionError(
                f"push_audio: this session listens to {source.name}",
                hint='make it with voice.session(input="push") to give it sound yourself',
            )
        source.push(samples, sample_rate)
        return Handle(source.drain())

    def send_text(self, text: str) -> Handle:
        """What the user types instead of speaking. Takes the floor as speaking does."""
        self._post_now(moves.Typed(text))
        return Handle()

    def say(self, text: str) -> Handle:
        """Says ``text`` as it is, as soon as the floor is free. ``await`` the result to know when it was said or cut."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._post_now(moves.Say(text))
        if text.strip():
            self._sayings.append(done)
        else:
            done.set_result(None)
        return Handle(done)

    def interrupt(self) -> Handle:
        """Stops what the assistant is saying or about to say."""
        self._post_now(moves.Interrupt())
        return Handle()

    def mute(self) -> Handle:
        """From now on the microphone gives zeros, before anything else sees it."""
        self._ear.muted = True
        self._post_now(moves.Muted())
        return Handle()

    def unmute(self) -> Handle:
        """Listens again."""
        self._ear.muted = False
        return Handle()

    @property
    def muted(self) -> bool:
        """Whether the microphone is muted."""
        return self._ear.muted

    @property
    def state(self) -> tuple[str, str]:
        """(what the user does, what the assistant does): the states of ``docs/turns.md``."""
        return self._state.user.value, self._state.assistant.value

    @property
    def history(self) -> tuple[Said | Used, ...]:
        """What each side said; for the assistant, what was heard."""
        return tuple(self._history)

    @property
    def plan(self) -> dict[str, dict[str, str]]:
        """Stage -> engine, model, device, licence, and why it was chosen."""
        return loading.plan_of({"vad": self._parts.detector, **self._brain.engines}, self._parts.why)

    @property
    def capabilities(self) -> dict[str, str]:
        """Event type -> ``exact``, ``estimated`` or ``absent`` with these engines."""
        return dict(self._brain.capabilities)

    def metrics(self) -> dict[str, float]:
        """Counts and seconds of this session so far."""
        counted = dataclasses.asdict(self._counters)
        latencies: list[float] = counted.pop("latencies")
        return {
            **{name: float(value) for name, value in counted.items()},
            "latency_median": statistics.median(latencies) if latencies else 0.0,
            "latency_worst": max(latencies, default=0.0),
            "seconds_heard": seconds(self._ear.heard),
            "samples_mended": float(self._ear.mended),
            "input_overruns": float(self._parts.source.overruns),
            "output_underruns": float(self._parts.sink.underruns),
        }

    def _post_now(self, happened: moves.Happened) -> None:
        if self._phase != "running":
            raise SessionError(
                f"this session is {self._phase}", hint="use it inside `async with session:`, after start()"
            )
        try:
            self._inbox.put_nowait(happened)
        except asyncio.QueueFull:
            raise SessionError(
                f"{INBOX} requests wait already", hint="the event loop is blocked, or the app asks in a loop"
            ) from None

    # --- the loop -----------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Every block: out what sounds meanwhile, in what was heard."""
        source, sink = self._parts.source, self._parts.sink
        blocks = source.blocks()
        try:
            while True:
                async with asyncio.timeout(STALL_SECONDS):
                    block = await anext(blocks)
                if not sink.own_clock:
                    sink.advance()
                self._ear.deaf = self._must_be_deaf()
                heard, like = self._ear.hear(block)
                if self._raw_in.listened_to:
                    self._raw_in.send(heard)
                self._told_of_dead_microphone()
                await self._inbox.put(moves.Heard(like.n, like.probability, like.loud_until))
        except StopAsyncIteration:
            await self._lost(f"{source.name} was lost", "plug it in again, or choose another input")
        except TimeoutError:
            await self._lost(f"{source.name} gave no sound for {STALL_SECONDS:g} s", "look whether it is still there")
        except LocaraError as error:
            await self._lost(error.message, error.hint)

    async def _lost(self, message: str, hint: str) -> None:
        error = DeviceError(message, hint=hint)
        self._emit(
            tell.Error(
                t=self._now, code=error.code, message=message, stage="input", fatal=True, hint=hint
            )
        )  # fmt: skip
        await self._inbox.put(moves.Stop("device-lost"))

    def _must_be_deaf(self) -> bool:
        if not self._parts.half_duplex:
            return False
        if self._state.assistant in SOUNDING:
            self._deaf_until = self._ear.heard + round(DEAF_TAIL_SECONDS * RATE)
        return self._ear.heard < self._deaf_until

    def _told_of_dead_microphone(self) -> None:
        if self._parts.microphone and self._ear.dead and not self._told_dead:
            self._told_dead = True
            name = self._parts.source.name
            hint = "is it muted by a switch, or is this program not permitted to use it? See `locara doctor`"
            self._emit(tell.DeviceSilent(t=self._now, device=name, hint=hint))

    async def _run(self) -> None:
        """One inbox, one decision, one act."""
        while True:
            happened = await self._inbox.get()
            began = time.perf_counter()
            self._decide(happened)
            if isinstance(happened, moves.Heard):
                self._after_block()
            self._counters.slowest_step = max(self._counters.slowest_step, time.perf_counter() - began)
            if self._state.ended:
                self._tasks[1].cancel()  # nothing is captured for a conversation that is over
                return

    def _decide(self, happened: moves.Happened) -> None:
        self._state, effects = turns.receive(self._state, happened)
        for effect in effects:
            self._do(effect)

    def _after_block(self) -> None:
        assert self._mouth is not None
        self._drain_output()
        if self._state.reply is not None and self._state.assistant in SOUNDING:
            self._report_progress(self._mouth)
        if self._parts.end_with_input and self._parts.source.exhausted:
            if not at_rest(self._state):
                self._quiet_since = self._state.now
            elif self._state.now - self._quiet_since >= REST_SECONDS * RATE:
                self._decide(moves.Stop("input-ended"))
        else:
            self._quiet_since = self._state.now

    def _report_progress(self, mouth: Mouth) -> None:
        progress = mouth.progress
        reply = self._state.reply
        if reply is None or progress.reply != reply.id or progress.played == reply.played:
            return
        audible = None
        if progress.audible is not None:
            delay = self._parts.sink.delay
            audible = self._ear.heard - round(progress.audible / mouth.rate * RATE) + round(delay * RATE)
        self._brain.played(reply.id, progress.played / mouth.rate)
        self._decide(moves.Played(reply.id, progress.played, audible))

    def _do(self, effect: moves.Effect) -> None:
        """The one place where a decision becomes an act."""
        brain = self._brain
        match effect:
            case moves.Emit(event=event):
                self._emit(event)
            case moves.Feed(turn=turn):
                at, samples = self._ear.since(self._state.now - BLOCK)
                brain.hear(turn, at, samples)
            case moves.Listen(turn=turn, start=start):
                at, samples = self._ear.since(start)
                brain.listen(turn, at, samples)
            case moves.Settle(turn=turn, revision=revision):
                brain.settle(turn, revision)
            case moves.Forget(turn=turn):
                brain.forget(turn)
            case moves.Remember() | moves.RememberTool():
                self._remember(effect)
            case moves.End(reason=reason):
                self._finish(reason)
            case _:
                self._do_with_output(effect)

    def _do_with_output(self, effect: moves.Effect) -> None:
        assert self._mouth is not None
        mouth = self._mouth
        match effect:
            case moves.Play(reply=reply, chunk=chunk):
                mouth.play(reply, chunk.samples)
            case moves.Duck():
                mouth.duck()
            case moves.Hold():
                mouth.hold()
            case moves.GoOn():
                mouth.go_on()
            case moves.Hush(reply=reply):
                mouth.hush(reply)
            case _:
                self._do_with_reply(effect)

    def _do_with_reply(self, effect: moves.Effect) -> None:
        brain = self._brain
        match effect:
            case moves.Prepare(reply=reply, turn=turn, text=text, verbatim=verbatim):
                self._counters.prepared += 1
                if verbatim and self._sayings:
                    self._said[turn] = self._sayings.pop(0)
                brain.prepare(reply, turn, as_messages(self._history), text, verbatim=verbatim)
            case moves.Discard(reply=reply, wasted=wasted):
                self._counters.wasted += wasted
                brain.discard(reply)
            case moves.Commit(reply=reply):
                brain.commit(reply)
            case moves.RunTool(reply=reply, call=call):
                brain.run_tool(reply, call)

    def _remember(self, effect: moves.Remember | moves.RememberTool) -> None:
        if isinstance(effect, moves.RememberTool):
            self._history.append(Used(effect.turn, effect.call, effect.result))
        else:
            role: Any = effect.role
            self._history.append(Said(effect.turn, role, effect.text, effect.cut, effect.unheard))

    def _emit(self, event: tell.Event) -> None:
        self._count(event)
        self._events.send(event)

    def _count(self, event: tell.Event) -> None:
        counters = self._counters
        match event:
            case tell.TurnEnd(who="user", latency=latency):
                counters.turns += 1
                if latency is not None:
                    counters.latencies.append(latency.total)
            case tell.TurnEnd(who="assistant", turn=int(turn)):
                said = self._said.pop(turn, None)
                if said is not None and not said.done():
                    said.set_result(None)
            case tell.BargeIn():
                counters.barge_ins += 1
            case tell.Resume():
                counters.false_alarms += 1
            case tell.Rejected():
                counters.rejected += 1
            case tell.Error():
                counters.errors += 1

    @property
    def _now(self) -> float:
        return self._state.now / RATE

    def _finish(self, reason: str) -> None:
        self._end_reason = reason
        for waiting in (*self._sayings, *self._said.values()):
            if not waiting.done():
                waiting.set_result(None)
        if self._phase == "running":
            self._phase = "ended"
        self._emit(tell.SessionEnd(t=self._now, reason=reason))
        self._ended.set()
        self._events.close()

    async def wait_ended(self) -> str:
        """Waits for the end of the conversation, whoever ends it; returns the reason."""
        await self._ended.wait()
        return self._end_reason

    async def _announce(self, engine: Announces) -> None:
        async for text in engine.announcements():
            await self._inbox.put(moves.Say(text))

    # --- the output ---------------------------------------------------------------------------------------------------

    def _pull(self, n: int) -> Samples:
        """Called by the sink, perhaps on the audio thread: renders, and leaves a copy for `raw_output`."""
        mouth = self._mouth
        out = mouth.render(n) if mouth is not None else silence(n)
        if self._raw_out.listened_to:
            self._out.append(out)
        return out

    def _drain_output(self) -> None:
        while self._out:
            self._raw_out.send(self._out.popleft())


def _expendable(event: tell.Event) -> bool:
    return isinstance(event, tell.AudioChunk | tell.PartialTranscript | tell.LlmToken)


def _marked(event: tell.Event, lost: int) -> tell.Event:
    return dataclasses.replace(event, dropped=lost)
