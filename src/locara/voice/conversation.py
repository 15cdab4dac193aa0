"""What an app sees of a conversation: a session, its streams, and what it can be asked to do."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from types import TracebackType
from typing import Any, Literal, Self

import numpy.typing as npt

from locara.audio import RATE, Samples, seconds
from locara.devices.pushed import PushedSource
from locara.engines.contracts import Message, Tool
from locara.errors import SessionError
from locara.gate.opening import Grant, needed, open_sink, open_source
from locara.voice import events as tell
from locara.voice import loading, moves, steering
from locara.voice.changing import Changing
from locara.voice.endings import Patience
from locara.voice.history import Said, Used
from locara.voice.loop import INBOX, Loop, Parts


class Handle:
    """Something asked of the session. It is under way already; ``await`` it to know when it is done."""

    def __init__(self, wait: Callable[[], Awaitable[Any]] | None = None) -> None:
        self._wait = wait

    def __await__(self) -> Generator[Any, None, None]:
        if self._wait is not None:
            yield from self._wait().__await__()


class PushToTalk:
    """The key of ``session.push_to_talk``: ``press`` and ``release``, or ``with session.push_to_talk:`` while it is down."""

    def __init__(self, post: Callable[[moves.Happened], None]) -> None:
        self._post = post
        self.held = False

    def press(self) -> None:
        """The key is down: everything from 300 ms ago on is the turn, until it is up; nothing else can end it."""
        if not self.held:
            self._post(moves.Pressed())
            self.held = True

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


class Session:
    """One conversation. Made by ``voice.session(...)``; ``async with session:`` starts and stops it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._loop = Loop(parts)
        self._phase = "new"
        self._said = 0
        self._stopping: asyncio.Task[None] | None = None
        self._changing = Changing(self._loop, parts, lambda: self.plan)
        self.push_to_talk = PushToTalk(self._post)
        """The push-to-talk key."""

    def granted_by(self, grant: Grant) -> Session:
        """The same session, not started, for which ``grant`` is asked: a server asks in the name of its client."""
        return Session(dataclasses.replace(self._parts, grant=grant))

    # --- starting and stopping ----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Asks for what is not granted yet, loads every stage with one real inference each, opens the devices and listens.

        Raises ``CapabilityDenied``, ``StageError`` (which stage, which model, why, what to do) or ``DeviceError``; nothing
        is left open then.
        """
        if self._phase != "new":
            raise SessionError(f"this session is {self._phase}", hint="make a new one: voice.session(...)")
        self._phase = "starting"
        try:
            # Before anything is loaded: whoever says no has not waited for nothing.
            for capability in (*needed(self._parts.source), *needed(self._parts.sink)):
                await self._parts.grant.demand(capability)
            await loading.load_all(self._parts.own(self._stages), self._parts.deadlines.load)
            await loading.open_brain(self._parts.brain, self._parts.deadlines.load)
            self._still_starting()
            # The source first: where it cannot be opened, a file that was to be the output is not emptied for nothing.
            await open_source(self._parts.source, self._parts.grant)
            await open_sink(self._parts.sink, self._loop.pull, self._parts.grant)
            self._loop.open_mouth(self._parts.sink.rate)
            self._still_starting()
        except BaseException:
            self._phase = "failed"
            await self._release()
            self._loop.close_streams()
            raise
        self._phase = "running"
        self._parts.grant.started(self.plan)
        self._loop.begin(self.plan)

    def _still_starting(self) -> None:
        if self._phase != "starting":
            raise SessionError("this session was stopped while it started", hint="make a new one")

    async def stop(self) -> None:
        """Ends the conversation and everything that belongs to it. May be called from any state, and twice."""
        if self._stopping is None:
            if self._phase not in ("running", "starting"):
                return
            self._stopping = asyncio.create_task(self._stop(), name="locara-stop")
        # Whoever waits may be cancelled; devices and processes are closed all the same.
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        running = self._phase == "running"
        self._phase = "stopping"
        try:
            await self._changing.close()
            if running:
                await self._end_conversation()
            await self._release()
        finally:
            self._phase = "closed"

    async def _end_conversation(self) -> None:
        """The machine ends turn and reply; if it cannot any more, the end comes all the same."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._parts.deadlines.close):
                await self._loop.inbox.put(moves.Stop())
                await self._loop.ended.wait()

    async def _release(self) -> None:
        """Closes what is open, in the order in which it depends on each other."""
        await self._loop.finish("failed")
        closing: tuple[loading.Closable, ...] = (
            self._parts.source,
            self._parts.brain,
            self._parts.sink,
            *self._parts.own(self._stages).values(),
            *self._changing.retired,
        )
        await loading.close_all(closing, self._parts.deadlines.close)
        self._parts.grant.closed(self._loop.end_reason)

    @property
    def _stages(self) -> dict[str, Any]:
        more = {"turn": self._parts.turn, "wake": self._parts.wake}
        listening = {stage: one for stage, one in more.items() if one is not None}
        return {"vad": self._parts.detector, **self._parts.brain.engines, **listening}

    async def wait_ended(self) -> str:
        """Waits for the end of the conversation, whoever ends it; returns the reason."""
        await self._loop.ended.wait()
        return self._loop.end_reason

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
        return self._loop.events.subscribe()

    def raw_input(self) -> AsyncIterator[Samples]:
        """Blocks as heard: float32 of shape ``(320,)`` at 16 kHz, after muting, before echo handling."""
        return self._loop.raw_input.subscribe()

    def raw_output(self) -> AsyncIterator[Samples]:
        """Blocks as played: float32 at ``output_rate``, after level and fades, silence included."""
        return self._loop.raw_output.subscribe()

    @property
    def output_rate(self) -> int:
        """Hertz of ``raw_output`` and of ``audio-chunk``."""
        return self._parts.sink.rate

    def push_audio(self, samples: npt.ArrayLike, sample_rate: int = RATE) -> Handle:
        """Sound from an app that owns its microphone: float32 or int16, shape ``(n,)`` or ``(n, channels)``.

        Needs ``voice.session(input="push")``. Takes it at once; ``await`` the result to not run ahead.
        """
        source = self._pushed()
        source.push(samples, sample_rate)
        return Handle(source.drain)

    def finish_audio(self) -> Handle:
        """No more sound will be pushed: silence follows, and with ``end_with_input`` the session ends when all is said."""
        self._pushed().finish()
        return Handle()

    def _pushed(self) -> PushedSource:
        source = self._parts.source
        if not isinstance(source, PushedSource):
            raise SessionError(
                f"this session listens to {source.name}: it takes no pushed sound",
                hint='make it with voice.session(input="push") to give it sound yourself',
            )
        return source

    def send_text(self, text: str) -> Handle:
        """What the user types instead of speaking. Takes the floor as speaking does."""
        self._post(moves.Typed(text))
        return Handle()

    def say(self, text: str) -> Handle:
        """Says ``text`` as it is, as soon as the floor is free. ``await`` the result to know when it was said or cut."""
        self._post(moves.Say(text, self._said + 1))
        return self._waited()

    def _waited(self) -> Handle:
        """For whoever waits until what was just asked for was said."""
        self._said += 1
        said = self._loop.waiting[self._said] = asyncio.get_running_loop().create_future()
        return Handle(lambda: asyncio.shield(said))

    def interrupt(self) -> Handle:
        """Stops what the assistant is saying or about to say."""
        self._post(moves.Interrupt())
        return Handle()

    async def change(self, *, stt: Any = None, llm: Any = None, tts: Any = None) -> dict[str, dict[str, str]]:
        """Other engines from now on, named as in ``voice.session``; returns the new plan. What is left out stays.

        Each is loaded and warmed beside the old one, so both need memory for a while. They take over in the next moment
        in which nobody speaks and nothing is awaited: never within a turn or a reply. A ``plan-changed`` event says so.
        Then the old ones are closed; what they kept to themselves (timers of the built-in responder) ends with them.

        Raises ``ConfigError``, ``EngineMissing``, ``ModelMissing`` or ``StageError`` where a new one cannot be had, and
        ``EngineTimeout`` where five minutes had no such moment: the old ones then go on as if nothing had been asked.
        """
        if self._phase != "running":
            raise SessionError(f"this session is {self._phase}", hint="change it inside `async with session:`")
        named: dict[Any, Any] = {"stt": stt, "llm": llm, "tts": tts}
        await self._changing.change({kind: stage for kind, stage in named.items() if stage is not None})
        return self.plan

    # --- for whoever leads the conversation turn by turn --------------------------------------------------------------

    def configure(
        self,
        *,
        patience: str | Patience | None = None,
        attention: Literal["open", "push-to-talk"] | None = None,
        answers: Literal["auto", "asked"] | None = None,
        interruptible: bool | None = None,
        tail: float | None = None,
        system: str | None = None,
        tools: Sequence[Callable[..., Any] | Tool] | None = None,
        speaks: bool | None = None,
    ) -> Handle:
        """Other settings from the next turn or reply on; what is left out stays.

        ``patience``: a name as in ``voice.session``, or seconds of your own. ``answers="asked"``: a turn ends, and nobody
        answers it before ``respond()``. ``interruptible=False``: a voice does not stop a reply; its turn is answered
        afterwards. ``tail``: seconds that are still heard after the push-to-talk key is up (0.3). ``system``, ``tools``: of
        the language model. ``speaks=False``: replies are text only (``llm-token``). Raises ``ConfigError``, also for what a
        model that leads the conversation cannot be held to (``answers="asked"``, ``interruptible=False``).
        """
        wish = steering.wish(self._parts.brain, system=system, tools=tools, speaks=speaks)
        steering.led(self._parts.brain, answers=answers, interruptible=interruptible)
        named = {"patience": patience, "attention": attention, "answers": answers}
        self._post(steering.ruled(**named, interruptible=interruptible, tail=tail, wish=wish))  # type: ignore[arg-type]
        return Handle()

    def respond(
        self,
        *,
        system: str | None = None,
        tools: Sequence[Callable[..., Any] | Tool] | None = None,
        speaks: bool | None = None,
        messages: Sequence[Message] | None = None,
        record: bool = True,
    ) -> Handle:
        """A reply to the conversation as it is, as soon as the floor is free. ``await`` the result to know when it was said
        or cut. For this reply alone: ``system``, ``tools`` and ``speaks`` as in ``configure``; ``messages`` instead of the
        history; ``record=False``: it does not go into it."""
        wish = steering.wish(
            self._parts.brain, system=system, tools=tools, speaks=speaks, messages=messages, record=record
        )
        self._post(moves.Respond(wish or moves.Wish(), self._said + 1))
        return self._waited()

    def remember(self, role: Literal["user", "assistant", "system"], text: str, *, key: str = "") -> Handle:
        """Into the history, without a reply. ``key``: by which ``forget`` finds it again."""
        steering.remember(self._loop, role, text, key)
        return Handle()

    def forget(self, *, turn: int = -1, role: str = "", key: str = "") -> bool:
        """Takes one entry out of the history: by its ``key``, or the last of ``role`` in ``turn``. False: there is none."""
        return steering.forget(self._loop, turn, role, key)

    def truncate(self, turn: int, seconds: float) -> str:
        """Of the assistant's reply in ``turn``, which has ended, only the first ``seconds`` were heard: corrects the history
        and returns the words that were. Never makes it more than what left the gate."""
        return steering.truncate(self._loop, turn, seconds)

    def disregard(self) -> Handle:
        """What the user has been saying is no turn: what is open of it is dismissed."""
        self._post(moves.Disregard())
        return Handle()

    def mute(self) -> Handle:
        """From now on the microphone gives zeros, before anything else sees it."""
        self._post(moves.Muted())
        self._loop.ear.muted = True
        return Handle()

    def unmute(self) -> Handle:
        """Listens again."""
        self._loop.ear.muted = False
        if self._phase == "running":
            self._post(moves.Unmuted())
        return Handle()

    @property
    def muted(self) -> bool:
        """Whether the microphone is muted."""
        return self._loop.ear.muted

    @property
    def state(self) -> tuple[str, str]:
        """(what the user does, what the assistant does): the states of ``docs/turns.md``."""
        return self._loop.state.user.value, self._loop.state.assistant.value

    @property
    def history(self) -> tuple[Said | Used, ...]:
        """What each side said; for the assistant, what was heard."""
        return tuple(self._loop.history)

    @property
    def plan(self) -> dict[str, dict[str, str]]:
        """Stage -> engine, model, device, licence, and why it was chosen."""
        return loading.plan_of(self._stages, self._parts.why)

    @property
    def capabilities(self) -> dict[str, str]:
        """Event type -> ``exact``, ``estimated`` or ``absent`` with these engines."""
        return dict(self._parts.brain.capabilities)

    def metrics(self) -> dict[str, float]:
        """Counts and seconds of this session so far; with ``echo="cancel"`` also what the room does to our voice."""
        return {
            **self._loop.counters.as_metrics(),
            **self._parts.brain.counts,
            **self._loop.echo_metrics(),
            **self._loop.forbidding.metrics(),
            "seconds_heard": seconds(self._loop.ear.heard),
            "samples_mended": float(self._loop.ear.mended),
            "input_overruns": float(self._parts.source.overruns),
            "output_underruns": float(self._parts.sink.underruns),
        }

    def _post(self, happened: moves.Happened) -> None:
        if self._phase != "running":
            raise SessionError(
                f"this session is {self._phase}", hint="use it inside `async with session:`, after start()"
            )
        try:
            self._loop.inbox.put_nowait(happened)
        except asyncio.QueueFull:
            raise SessionError(
                f"{INBOX} requests wait already", hint="the event loop is blocked, or the app asks in a loop"
            ) from None
