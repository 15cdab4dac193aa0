"""The loop of a conversation: one inbox, one decision, one act.

What may live here: the way from what happened to what is done about it. Every decision is made in `turns`; every sound
passes the gate; engines and devices are driven, never entered. What an app sees of it is `conversation`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from locara.audio import BLOCK, RATE, Samples, silence
from locara.devices.choose import Kind
from locara.devices.contracts import Sink, Source, TellsHeard
from locara.engines.contracts import Announces, Detector, Engine, Message, TurnDetector, WakeWord
from locara.errors import ConfigError, DeviceError, LocaraError
from locara.gate.canceller import Canceller
from locara.gate.ear import Ear
from locara.gate.echo_watch import Listening
from locara.gate.heard import HeardProgress
from locara.gate.mouth import Mouth
from locara.gate.opening import Grant, Unasked, allowed
from locara.gate.reference import Reference
from locara.gate.waking import Spotted, Waking
from locara.voice import events as tell
from locara.voice import loading, misheard, moves, turns
from locara.voice.brain import Adjusts, Brain, Deadlines, Exchanges, KeepsSound, Leads, Speculates, acting, failure
from locara.voice.broadcast import Broadcast
from locara.voice.counting import Counters
from locara.voice.following import Following
from locara.voice.forbidding import Forbidding
from locara.voice.history import HISTORY_CHARACTERS, Said, Used, as_messages
from locara.voice.judging import Judging
from locara.voice.ledger import ClauseSpan
from locara.voice.state import SOUNDING, Rules, State, at_rest

_log = logging.getLogger("locara")


def _no_names(kind: str, stage: Any, why: dict[str, str]) -> Engine:
    """Stands for `building` in a session that was put together by hand."""
    if not hasattr(stage, "load"):
        raise ConfigError(f"{kind}={stage!r}: this session takes engine objects only", hint="make it by voice.session")
    why[kind] = "given by the app"
    return cast(Engine, stage)


EVENTS_WAITING = 2048
"""Events a consumer may lag behind: more than a minute of the busiest conversation."""

BLOCKS_WAITING = 3000
"""Blocks of raw sound a consumer may lag behind: one minute."""

INBOX = 512
"""Pieces of news that may wait. Whoever has more waits too."""

DEAF_TAIL_SECONDS = 0.25
"""Half duplex: the room's answer to our last word."""

SCRIPTS = 64
"""Replies of which it is kept where their words lie: a client tells what it heard of the last one, or the one before."""

AFTER_INPUT_SECONDS = 60.0
"""A model that leads may never come to rest. So long after the end of a recording it has said enough."""

REST_SECONDS = 0.8
"""A recording has ended when nobody has anything to say for so long after its end."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a session is built of; see `building`, which builds it."""

    brain: Brain
    detector: Detector
    source: Source
    sink: Sink
    rules: Rules = field(default_factory=Rules)
    turn: TurnDetector | None = None
    """The end-of-turn model; None: words and silence decide alone."""
    wake: WakeWord | None = None
    """What listens for the wake word; ``rules.wake_word`` is set with it."""
    half_duplex: bool = False
    cancel_echo: bool = False
    """What is played is taken out of what is heard. Ignored where ``half_duplex`` is True."""
    noise_suppression: bool = False
    gain_control: bool = False
    microphone: bool = False
    """The source is a real microphone, so digital zeros mean that something is wrong with it."""
    why: dict[str, str] = field(default_factory=dict)
    """Stage -> why this engine, for the plan."""
    deadlines: Deadlines = field(default_factory=Deadlines)
    end_with_input: bool = False
    """End when a recording has ended and everything is said."""
    history_characters: int = HISTORY_CHARACTERS
    """How much of the conversation the model is given."""
    make: Callable[[Any, Any, dict[str, str]], Engine] = _no_names
    """(kind, stage as `voice.session` takes it, why) -> an engine, not loaded: for changes while the session runs."""
    lent: tuple[Engine, ...] = ()
    """Engines that are loaded already, and that whoever lent them closes."""
    grant: Grant = field(default_factory=Unasked)
    """What the app was granted: asked before a device is opened, and looked at for every block."""

    def own(self, stages: Mapping[str, Engine]) -> dict[str, Engine]:
        """Those of ``stages`` that this session loads and closes."""
        return {stage: one for stage, one in stages.items() if not any(one is other for other in self.lent)}


class Loop:
    """Runs one conversation over loaded engines and open devices, from ``begin`` to ``ended``."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.ear = Ear(
            parts.detector,
            Canceller() if parts.cancel_echo and not parts.half_duplex else None,
            noise_suppression=parts.noise_suppression,
            gain_control=parts.gain_control,
            allowed=allowed(parts.source, parts.grant),
        )
        self.reference: Reference | None = None
        """What was played, for the canceller; None where there is none."""
        self.inbox: asyncio.Queue[moves.Happened] = asyncio.Queue(INBOX)
        self.events: Broadcast[tell.Event] = Broadcast(EVENTS_WAITING, expendable=_expendable, marked=_marked)
        self.raw_input: Broadcast[Samples] = Broadcast(BLOCKS_WAITING)
        self.raw_output: Broadcast[Samples] = Broadcast(BLOCKS_WAITING)
        self.history: list[Said | Used] = []
        self.counters = Counters()
        self.scripts: OrderedDict[int, tuple[str, tuple[ClauseSpan, ...]]] = OrderedDict()
        """Turn -> the whole text of the reply in it, and where in its sound the words lie: of the latest replies."""
        self.waiting: dict[int, asyncio.Future[None]] = {}
        """Number of a saying -> who waits for it to be said."""
        self.ended = asyncio.Event()
        self.end_reason = ""
        self.state = State(rules=parts.rules)
        self.following = Following(
            parts.source, parts.sink, emit=self.emit, now=lambda: self.now, path_changed=self._path_changed
        )
        self.forbidding = Forbidding(parts.source, parts.sink, parts.grant, emit=self.emit, now=lambda: self.now)
        self._brain = parts.brain
        self._judging = None if parts.turn is None else Judging(parts.turn, self.inbox.put)
        self._waking = Waking(parts.wake) if parts.wake is not None else None
        self._mouth: Mouth | None = None
        # Looked at for every block, so asked once: to ask a protocol costs as much as a decision.
        self._leads = parts.brain if isinstance(parts.brain, Leads) else None
        self._tells = parts.sink if isinstance(parts.sink, TellsHeard) else None
        self._heard = HeardProgress() if self._tells is not None else None
        """How far the reply was heard, of a sink that renders ahead of that."""
        self.between: Callable[[], None] | None = None
        """Called once, in the next moment between turns: see `changing`."""
        self._tasks: list[asyncio.Task[None]] = []
        self._announcing: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._being_said = (-1, 0)  # turn, number of the saying
        self._quiet_since = 0
        self._exhausted_for = 0
        self._deaf_until = 0
        self._told_listening = Listening.WHILE_SPEAKING
        self._newest_saying = 0
        self._out: deque[Samples] = deque(maxlen=BLOCKS_WAITING)

    # --- beginning and ending -----------------------------------------------------------------------------------------

    def open_mouth(self, rate: int) -> None:
        """The output is open and takes samples at ``rate`` hertz."""
        if self.ear.canceller is not None:
            self.reference = Reference(rate, own_clock=self.parts.sink.own_clock)
        self._mouth = Mouth(rate, allowed(self.parts.sink, self.parts.grant))
        led = self._brain.lead == "model"
        rules = dataclasses.replace(self.parts.rules, output_rate=rate, words=self._brain.words, led_by_model=led)
        if isinstance(self._brain, Speculates):
            rules = dataclasses.replace(rules, speculates=self._brain.speculates)
        if self.parts.wake is not None:
            rules = dataclasses.replace(rules, wake_word=self.parts.wake.word)  # known for certain once it is loaded
        self.state = dataclasses.replace(self.state, rules=rules)
        self._asks_back()
        self._brain.start(self.inbox.put, rate, self._conversation)

    def begin(self, plan: dict[str, dict[str, str]]) -> None:
        """Everything is warm and open: listens."""
        self.emit(tell.SessionStart(t=0.0, plan=plan))
        self._spawn(self._run(), "locara-session")
        self._listening = self._spawn(self._listen(), "locara-listen")
        self._spawn(self._keep_output(), "locara-output")
        self._spawn(self.following.keep_watch(), "locara-devices")
        self._listen_to_announcements()

    def _listen_to_announcements(self) -> None:
        for engine in self._brain.engines.values():
            if isinstance(engine, Announces):
                self._announcing = self._spawn(self._announce(engine), "locara-announce")

    def _asks_back(self) -> None:
        """In the language of the voice that there is now; a model that leads asks back by itself."""
        led = self._brain.lead == "model"
        said = "" if led else misheard.said_by(self._brain.engines.get("tts"), self.parts.rules.not_understood)
        rules = dataclasses.replace(self.state.rules, not_understood=said)
        self.state = dataclasses.replace(self.state, rules=rules)

    def exchange(self, new: Mapping[str, Engine], system: str | None) -> tuple[asyncio.Task[Any], ...]:
        """Other engines from here on. Only from `between`. Returns the tasks that still end with the old ones."""
        brain = acting(self._brain)
        assert isinstance(brain, Exchanges)
        left = brain.exchange(new, system)
        self._asks_back()
        announcing = self._announcing
        if "llm" not in new:
            return left
        self._announcing = None
        if announcing is not None:
            announcing.cancel()
            self._tasks.remove(announcing)
        self._listen_to_announcements()
        return left if announcing is None else (*left, announcing)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._task_ended)
        self._tasks.append(task)
        return task

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """A fault of our own, or of a source, sink or plugin, ends the session and is told; it never hangs silently."""
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        _log.error("%s failed", task.get_name(), exc_info=error)
        message = f"{task.get_name()}: {type(error).__name__}: {error}"
        hint = "this should not happen: please report it, with the log"
        self.emit(tell.Error(t=self.now, code="internal", message=message, stage="session", fatal=True, hint=hint))
        if task.get_name() != "locara-session" and not self.state.ended:
            self._decide(moves.Stop("failed"))
        self._end("failed")

    async def finish(self, reason: str) -> None:
        """Ends every task of the loop, wherever it is; tells the end if the machine could not."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._judging is not None:
            await self._judging.close()
        self._end(reason)

    def _end(self, reason: str) -> None:
        if self.ended.is_set():
            return
        self.end_reason = reason
        self._release_waiting(set(self.waiting))
        self.emit(tell.SessionEnd(t=self.now, reason=reason))
        self.ended.set()
        self.close_streams()

    def close_streams(self) -> None:
        """Every consumer gets what is left, and then its end."""
        self._drain_output()
        for stream in (self.events, self.raw_input, self.raw_output):
            stream.close()

    @property
    def now(self) -> float:
        """Seconds on the session's clock."""
        return self.state.now / RATE

    # --- the loop -----------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Every block: out what sounds meanwhile, in what was heard."""
        sink = self.parts.sink
        try:
            async with contextlib.aclosing(self.following.source.blocks()) as blocks:
                async for block in blocks:
                    if not sink.own_clock:
                        sink.advance()
                    self.ear.deaf = self._must_be_deaf()
                    heard, like = self.ear.hear(block, None if self.reference is None else self.reference.block())
                    if self.raw_input.listened_to:
                        self.raw_input.send(heard)
                    if self.parts.microphone:
                        self.following.listen_for_zeros(self.ear)
                    self._told_of_echo()
                    await self._told_of_the_gate()
                    impression = (like.n, like.probability, like.loud_until, like.echo, like.pitch, like.over_floor)
                    await self.inbox.put(moves.Heard(*impression))
                    if self._waking is not None:
                        await self._spot(self._waking, block.size)
        except LocaraError as error:
            await self._lost(error, "input")

    async def _told_of_the_gate(self) -> None:
        assert self._mouth is not None
        shut = self._mouth.shut
        self.forbidding.limited(self._mouth.passing)
        for news in (
            *self.forbidding.look("output", shut=shut),
            *self.forbidding.look("input", shut=self.ear.shut, muted=self.ear.muted and not self.ear.shut),
        ):
            await self.inbox.put(news)

    async def _spot(self, waking: Waking, n: int) -> None:
        """The newest ``n`` samples, as the decisions hear them, for the wake word."""
        spotted: Spotted | None = None
        try:
            spotted = waking.hear(self.ear.since(self.ear.heard - n)[1])
        except Exception as error:  # any engine, any fault: told once, and the conversation goes on by key and by text
            self._waking = None
            await self.inbox.put(failure(error, "wake"))
        if spotted is not None:
            await self.inbox.put(moves.Woken(spotted.word, spotted.ended, spotted.probability))

    async def _keep_output(self) -> None:
        try:
            await self.following.sink.keep()
        except LocaraError as error:
            await self._lost(error, "output")

    async def _lost(self, error: LocaraError, stage: str) -> None:
        self.emit(
            tell.Error(
                t=self.now, code=DeviceError.code, message=error.message, stage=stage, fatal=True, hint=error.hint
            )
        )  # fmt: skip
        await self.inbox.put(moves.Stop("device-lost"))

    def _path_changed(self, kind: Kind) -> None:
        """The microphone (``"input"``) or the speaker is another one, or was opened anew: see `Following`."""
        self.ear.device_changed()

    def _must_be_deaf(self) -> bool:
        half_duplex = self.parts.half_duplex or self.ear.listening is Listening.IN_TURNS
        if not half_duplex or self.following.sink.lost:
            return False
        if self.state.assistant in SOUNDING:
            self._deaf_until = self.ear.heard + round(DEAF_TAIL_SECONDS * RATE)
        return self.ear.heard < self._deaf_until

    def _told_of_echo(self) -> None:
        listening = self.ear.listening
        if listening is self._told_listening:
            return
        self._told_listening = listening
        if listening is Listening.IN_TURNS:
            reason, hint = "echo-not-cancelled", "use headphones, or turn the speaker down; it is tried again meanwhile"
        else:
            reason, hint = "echo-cancelled", ""
        self.emit(tell.EchoHandling(t=self.now, mode=listening.value, reason=reason, hint=hint))

    async def _run(self) -> None:
        """One inbox, one decision, one act."""
        while True:
            happened = await self.inbox.get()
            began = time.perf_counter()
            self._decide(happened)
            if isinstance(happened, moves.Heard):
                self._after_block()
            elif isinstance(happened, moves.Led):
                self._taken_over()
            if self.between is not None and at_rest(self.state):
                between, self.between = self.between, None
                between()
            self.counters.slowest_step = max(self.counters.slowest_step, time.perf_counter() - began)
            if self.state.ended:
                if self._listening is not None:
                    self._listening.cancel()  # nothing is captured for a conversation that is over
                if self.forbidding.revoked:  # and nothing stays open that was taken back, whenever the app calls stop()
                    await loading.close_all((self.parts.source, self.parts.sink), self.parts.deadlines.close)
                    self.parts.grant.closed("revoked")
                return

    def _decide(self, happened: moves.Happened) -> None:
        self.state, effects = turns.receive(self.state, happened)
        for effect in effects:
            self._do(effect)
        if self.waiting and isinstance(happened, moves.Say | moves.Respond | moves.Interrupt):
            # Sayings that the machine has seen and does not know any more were refused, empty, or interrupted.
            if not isinstance(happened, moves.Interrupt):
                self._newest_saying = max(self._newest_saying, happened.number)
            known = {saying.number for saying in self.state.sayings} | {self._being_said[1]}
            self._release_waiting({one for one in self.waiting if one <= self._newest_saying} - known)

    def _taken_over(self) -> None:
        """Another brain speaks now, with other engines."""
        self._asks_back()
        self._listen_to_announcements()
        stages = {"vad": self.parts.detector, **self._brain.engines}
        changed = tuple(self._brain.engines)
        self.emit(tell.PlanChanged(t=self.now, stages=changed, plan=loading.plan_of(stages, self.parts.why)))

    def _release_waiting(self, numbers: set[int]) -> None:
        for number in numbers:
            waiting = self.waiting.pop(number, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)

    def _after_block(self) -> None:
        assert self._mouth is not None
        self._drain_output()
        if self.state.reply is not None and self.state.assistant in SOUNDING:
            self._report_progress(self._mouth)
        if self.parts.end_with_input and self.parts.source.exhausted:
            self._exhausted_for += BLOCK
            endless = self.state.rules.led_by_model and self._exhausted_for >= AFTER_INPUT_SECONDS * RATE
            if endless:
                self._decide(moves.Stop("input-ended"))
            elif not at_rest(self.state):
                self._quiet_since = self.state.now
            elif self.state.now - self._quiet_since >= REST_SECONDS * RATE:
                self._decide(moves.Stop("input-ended"))
        else:
            self._quiet_since = self.state.now

    def _report_progress(self, mouth: Mouth) -> None:
        tells = self._tells
        progress = mouth.progress
        if self._heard is not None and tells is not None:
            progress = self._heard.at(tells.heard)
        reply = self.state.reply
        stands = tells is not None and tells.stands
        if reply is not None and (self.following.sink.lost or mouth.shut or stands):
            # It stands because nobody plays: that is no stall of its own.
            self._decide(moves.Played(reply.id, reply.played, None))
            return
        if reply is None or progress.reply != reply.id or progress.played == reply.played:
            return
        audible = None
        if progress.audible is not None:
            delay = self.parts.sink.delay
            audible = self.ear.heard - round(progress.audible / mouth.rate * RATE) + round(delay * RATE)
        self._brain.played(reply.id, progress.played / mouth.rate)
        self._decide(moves.Played(reply.id, progress.played, audible))

    def _do(self, effect: moves.Effect) -> None:
        """The one place where a decision becomes an act."""
        brain = self._brain
        match effect:
            case moves.Emit(event=event):
                self.emit(event)
            case moves.Feed(turn=turn):
                at, samples = self.ear.since(self.state.now - BLOCK)
                brain.hear(turn, at, samples)
            case moves.Stream(n=n, heard=heard):
                assert self._leads is not None
                samples = self.ear.since(self.state.now - n)[1][:n]  # the ear may be further than the decisions
                self._leads.stream(samples if heard else silence(n))
            case moves.PassOn(turn=turn, text=text):
                assert self._leads is not None
                self._leads.pass_on(turn, text)
            case moves.Listen(turn=turn, start=start):
                at, samples = self.ear.since(start)
                brain.listen(turn, at, samples)
            case moves.Settle(turn=turn, revision=revision):
                brain.settle(turn, revision)
            case moves.Judge(turn=turn, revision=revision, start=start):
                self._judge(turn, revision, start)
            case moves.Forget(turn=turn):
                brain.forget(turn)
            case moves.Remember() | moves.RememberTool():
                self._remember(effect)
            case moves.End(reason=reason):
                self._end(reason)
            case _:
                self._do_with_output(effect)

    def _judge(self, turn: int, revision: int, start: int) -> None:
        if self._judging is not None:
            window = round(self._judging.seconds * RATE)
            _, samples = self.ear.since(max(start, self.ear.heard - window))
            self._judging.judge(turn, revision, samples)

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

    def _conversation(self) -> Sequence[Message]:
        """What the model is given of it: the same for a reply and for what is read ahead, or nothing read would serve."""
        sound_of = self._brain.sound_of if isinstance(self._brain, KeepsSound) else None
        return as_messages(self.history, self.parts.history_characters, sound_of)

    def _do_with_reply(self, effect: moves.Effect) -> None:
        brain = self._brain
        match effect:
            case moves.Prepare(reply=reply, turn=turn, text=text, verbatim=verbatim, saying=saying, wish=wish):
                self.counters.prepared += not verbatim
                if verbatim or wish is not None:
                    self._being_said = (turn, saying)
                brain.prepare(reply, turn, self._conversation(), text, verbatim=verbatim, wish=wish)
            case moves.Adjust(wish=wish):
                if isinstance(
                    able := acting(brain), Adjusts
                ):  # else another brain has taken over in the moment between
                    able.adjust(wish)
            case moves.Discard(reply=reply, wasted=wasted):
                self.counters.wasted += wasted
                brain.discard(reply)
            case moves.Commit(reply=reply):
                brain.commit(reply)
            case moves.RunTool(reply=reply, call=call):
                brain.run_tool(reply, call)

    def _remember(self, effect: moves.Remember | moves.RememberTool) -> None:
        if isinstance(effect, moves.RememberTool):
            self.history.append(Used(effect.turn, effect.call, effect.result))
        else:
            role: Any = effect.role
            said = Said(effect.turn, role, effect.text, effect.cut, effect.unheard)
            self.history.append(dataclasses.replace(said, not_understood=effect.not_understood))
            if effect.script:
                self.scripts[effect.turn] = (effect.whole, effect.script)
                while len(self.scripts) > SCRIPTS:
                    self.scripts.popitem(last=False)

    def emit(self, event: tell.Event) -> None:
        """Counts an event and tells it to every consumer."""
        self.counters.count(event)
        if isinstance(event, tell.TurnEnd) and event.who == "assistant" and event.turn == self._being_said[0]:
            self._release_waiting({self._being_said[1]})
            self._being_said = (-1, 0)
        self.events.send(event)

    async def _announce(self, engine: Announces) -> None:
        try:
            async for text in engine.announcements():
                await self.inbox.put(moves.Say(text))
        except Exception as error:  # whoever cannot announce can still answer
            await self.inbox.put(failure(error, "llm"))

    # --- the output ---------------------------------------------------------------------------------------------------

    def pull(self, n: int) -> Samples:
        """Called by the sink, perhaps on the audio thread: renders, and leaves a copy for `raw_output`."""
        mouth = self._mouth
        out = mouth.render(n) if mouth is not None else silence(n)
        if self._heard is not None and mouth is not None:
            self._heard.rendered(n, mouth.progress)
        if self.reference is not None:
            self.reference.write(out)
        if self.raw_output.listened_to:
            self._out.append(out)
        return out

    def echo_metrics(self) -> dict[str, float]:
        """What is known of the echo: losses in dB, ``echo_delay`` in seconds, and how often the reference had to jump."""
        canceller, reference = self.ear.canceller, self.reference
        if canceller is None or reference is None:
            return {}
        return {
            "echo_return_loss": canceller.echo_return_loss,
            "echo_return_loss_enhancement": canceller.enhancement,
            "echo_delay": canceller.delay,
            "echo_restarts": float(canceller.restarts),
            "echo_resynchronised": float(reference.resynchronised),
            "echo_samples_inserted": float(reference.inserted),
            "echo_samples_dropped": float(reference.dropped),
        }

    def _drain_output(self) -> None:
        while self._out:
            self.raw_output.send(self._out.popleft())


def _expendable(event: tell.Event) -> bool:
    return isinstance(event, tell.AudioChunk | tell.PartialTranscript | tell.LlmToken)


def _marked(event: tell.Event, lost: int) -> tell.Event:
    return dataclasses.replace(event, dropped=lost)
