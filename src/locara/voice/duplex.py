"""A model that leads the conversation, behind the same `Brain` seam: it hears all the time, and speaks when it wants to.

What may live here: the way of the user's sound to such a model, and of what it gives to news. Where its utterances begin
and end, if it does not say so itself, is in `deriving`; what they are to an app is in `model_led`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal

from locara.audio import RATE, Samples, dbfs
from locara.engines.backend import (
    BackendEvent,
    BackendFailed,
    BackendSettings,
    Cancel,
    Ended,
    Frame,
    Lag,
    Played,
    ReplyAudio,
    ReplyBegan,
    ReplyEnded,
    ReplyText,
    ToolResult,
    ToolWanted,
    UserText,
    UserTyped,
    VoiceBackend,
)
from locara.engines.backend_settings import demand
from locara.engines.contracts import Engine, Message, Recogniser, ToolCall
from locara.voice import deriving
from locara.voice import tools as tooling
from locara.voice.brain import Deadlines, Exactness, Post, failure
from locara.voice.history import as_json
from locara.voice.moves import Failed, Happened, Stop, Told, ToolRan, Wanted, Wish, Yielded
from locara.voice.overheard import Overheard
from locara.voice.spoken import InTurn, Spoken
from locara.voice.to_backend import ToBackend

REMEMBERED = 125
"""Frames whose delay is remembered: ten seconds of Moshi."""

SLACK_SECONDS = 0.25
"""Sound that may wait at the output beyond what evenness needs; then silent frames are left out until it is less."""

LAG_TOLD_SECONDS = 10.0
"""A model that stays too slow is told of again after this."""

RESTARTS = 3
RESTARTS_SECONDS = 60.0
"""So many sessions of the model may end by themselves in so many seconds; after that the conversation ends, too."""


class DuplexBrain:
    """A `VoiceBackend` that decides by itself when it speaks. ``side``: a recogniser beside it, for the user's words."""

    lead: Literal["model"] = "model"

    def __init__(
        self,
        backend: VoiceBackend,
        *,
        side: Recogniser | None = None,
        settings: BackendSettings | None = None,
        deadlines: Deadlines | None = None,
    ) -> None:
        self._backend = backend
        self._side = side
        self._settings = settings or BackendSettings()
        self._deadlines = deadlines or Deadlines()
        self._session = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._post: Post | None = None
        self._rate = 24_000
        self._closing = False
        self._to = ToBackend(backend, lambda: self._session, self._not_taken, self._deadlines.push)
        self._line = InTurn(self._told)
        self._words = Overheard(side, self._told, self._deadlines)
        self._turn = 0
        """The latest turn of the user."""
        self._over_user = False
        """It is open: the user speaks, or has just spoken."""
        self._number = 0
        self._spoken: Spoken | None = None
        self._theirs = 0
        """The model's own number of ``_spoken``; 0 for what is derived."""
        self._over = 0
        """Our number of the latest reply that the session has ended: nothing more of it is wanted."""
        self._played = (0, 0.0)
        self._utterance = deriving.Utterance()
        self._delays: deque[float] = deque(maxlen=REMEMBERED)
        self._skipped = 0
        self._shed = 0
        self._lag_told = -LAG_TOLD_SECONDS
        self._restarts: deque[float] = deque(maxlen=RESTARTS)

    @property
    def words(self) -> bool:
        """Whether it gives the user's words."""
        return self._side is not None or self._backend.capabilities.user_text != "none"

    @property
    def engines(self) -> dict[str, Engine]:
        """Stage -> engine."""
        return {"omni": self._backend} if self._side is None else {"omni": self._backend, "stt": self._side}

    @property
    def capabilities(self) -> dict[str, Exactness]:
        """Whose turn it is, is only estimated: such a model marks no turns."""
        its = self._backend.capabilities
        streams = self._side.info.streaming if self._side is not None else its.user_text == "partial"
        return {
            "partial-transcript": "exact" if streams else "absent",
            "final-transcript": "exact" if self.words else "absent",
            "llm-token": "exact",
            "audio-chunk": "exact",
            "turn-end": "estimated",
            "barge-in": "estimated",
            "error": "exact",
        }

    @property
    def counts(self) -> Mapping[str, float]:
        """``omni_skipped_seconds``: sound the model was too slow to hear. ``omni_shed_frames``: silent ones that were not
        played, to stay at the present. ``omni_delay``: seconds from what it heard to its frame, the median of the last."""
        delays = sorted(self._delays)
        return {
            "omni_skipped_seconds": self._skipped / self._backend.capabilities.input_rate + self._to.unheard / RATE,
            "omni_shed_frames": float(self._shed),
            "omni_delay": delays[len(delays) // 2] if delays else 0.0,
            "omni_restarts": float(len(self._restarts)),
        }

    # --- beginning and ending -----------------------------------------------------------------------------------------

    async def open(self) -> None:
        """See `locara.voice.brain.Opens`."""
        demand(self._backend.info.model, self._backend.capabilities, self._settings)
        self._session = await self._backend.start_session(self._settings)

    def start(self, post: Post, output_rate: int, history: Callable[[], Sequence[Message]]) -> None:
        """Begins to hear and to be heard."""
        self._post = post
        self._rate = output_rate
        self._spawn(self._to.run(), "omni-hear")
        self._spawn(self._line.run(), "omni-speak")
        self._spawn(self._follow(), "omni-follow")

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Ends every task, and the model's session."""
        self._closing = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self._deadlines.close)
        await self._words.close()
        ended, self._session = self._session, ""
        if ended:
            await self._backend.stop_session(ended)

    async def _told(self, happened: Happened) -> None:
        if self._post is not None:
            await self._post(happened)

    async def _not_taken(self, error: Exception) -> None:
        await self._told(failure(error, "omni"))

    # --- to the model -------------------------------------------------------------------------------------------------

    def stream(self, samples: Samples) -> None:
        """The next block of the user's sound at 16 kHz, silence too."""
        self._to.sound(samples)

    def pass_on(self, turn: int, text: str) -> None:
        """What the user typed."""
        if self._backend.capabilities.takes_text:
            self._to.signal(UserTyped(text))
            return
        message = f"omni: {self._backend.info.model} takes no text"
        hint = "speak to it, or use a pipeline: it answers text, too"
        self._spawn(self._told(Failed("omni", "not-possible", message, hint)), "omni-tell")

    # --- from the model -----------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            reason = "failed"
            try:
                async with contextlib.aclosing(self._backend.event_stream(self._session)) as stream:  # type: ignore[type-var]
                    async for event in stream:
                        if isinstance(event, Ended):
                            reason = event.reason
                            break
                        await self._take(event)
            except Exception as error:
                await self._told(failure(error, "omni"))
            if self._closing or not await self._again(reason):
                return

    async def _take(self, event: BackendEvent) -> None:
        match event:
            case Frame():
                self._frame(event)
            case ReplyBegan(reply=reply):
                self._finish()
                self._begin(reply)
            case ReplyText(reply=reply) | ReplyAudio(reply=reply) | ReplyEnded(reply=reply) | ToolWanted(reply=reply):
                if (spoken := self._of(reply)) is not None:
                    self._grows(spoken, event)
            case UserText(text=text, final=final):
                await self._words.wrote(text, final=final)
            case Lag():
                await self._lags(event)
            case BackendFailed():
                await self._failed(event)

    def _grows(self, spoken: Spoken, event: ReplyText | ReplyAudio | ReplyEnded | ToolWanted) -> None:
        match event:
            case ReplyText(text=text):
                self._line.add(spoken.say(text))
            case ReplyAudio(samples=samples):
                self._line.add(spoken.sound(samples))
            case ToolWanted(call=call):
                self._line.add([Wanted(spoken.number, call, self._side_effects(call))])
            case ReplyEnded(reason="interrupted"):
                self._stopped(spoken)
            case ReplyEnded():
                self._finish()

    def _begin(self, theirs: int) -> Spoken:
        self._number += 1
        self._theirs = theirs
        self._spoken = Spoken(self._number, self._backend.capabilities.output_rate, self._rate)
        self._line.add(self._spoken.begin(0.0 if theirs else deriving.lead_needed(self._delays)))
        return self._spoken

    def _of(self, theirs: int) -> Spoken | None:
        """The reply that the model calls so; one that it did not announce begins here."""
        if self._spoken is not None and self._theirs == theirs:
            return self._spoken if self._spoken.number > self._over else None
        if theirs <= self._theirs:
            return None  # it is over
        self._finish()
        return self._begin(theirs)

    def _finish(self) -> None:
        """What it is saying is complete."""
        spoken, self._spoken = self._spoken, None
        if spoken is not None and spoken.number > self._over:
            self._line.add(spoken.finish())

    def _stopped(self, spoken: Spoken) -> None:
        """It stopped because the user spoke: what was not played of it is not to be."""
        self._spoken = None
        self._line.add([Yielded(spoken.number)])

    def _frame(self, frame: Frame) -> None:
        its = self._backend.capabilities
        seconds = frame.samples.size / its.output_rate
        if frame.heard:
            self._delays.append(max(0.0, (self._to.pushed - frame.heard) / its.input_rate))
        was = self._utterance.open
        level = dbfs(frame.samples)
        self._utterance = deriving.follow(self._utterance, level, frame.text, seconds, over_user=self._over_user)
        if self._utterance.open and not was:
            self._begin(0)
        spoken = self._spoken
        if spoken is None or spoken.number <= self._over:
            if not self._utterance.open:
                self._spoken = None
            return
        told = spoken.say(frame.text)
        self._line.add(told)
        silent = level < deriving.OFF_DBFS and not told
        if silent and self._waits_to_be_played(spoken) > SLACK_SECONDS:
            self._shed += 1
        else:
            text = "".join(one.text for one in told if isinstance(one, Told))
            self._line.add(spoken.sound(frame.samples, text, marks=bool(told)))
        if not self._utterance.open:
            self._finish()

    def _waits_to_be_played(self, spoken: Spoken) -> float:
        """Seconds of its sound that were handed on and not played, beyond what evenness needs."""
        reply, played = self._played
        ahead = spoken.samples / self._rate - (played if reply == spoken.number else 0.0)
        return ahead - deriving.lead_needed(self._delays)

    async def _lags(self, lag: Lag) -> None:
        self._skipped += lag.skipped
        now = asyncio.get_running_loop().time()
        if now - self._lag_told < LAG_TOLD_SECONDS:
            return
        self._lag_told = now
        rate = self._backend.capabilities.input_rate
        missed = lag.skipped / rate
        message = f"omni: {self._backend.info.model} was {lag.behind:.2f} s behind and did not hear {missed:.2f} s"
        hint = "it is slower than speech here: end what else uses this machine, or choose a smaller model"
        await self._told(Failed("omni", "engine-behind", message, hint))

    async def _failed(self, failed: BackendFailed) -> None:
        news = Failed("omni", failed.code, failed.message, failed.hint)
        spoken = self._spoken
        if failed.reply is not None and spoken is not None and failed.reply == self._theirs:
            self._spoken = None
            self._line.add([Failed(news.stage, news.code, news.message, news.hint, reply=spoken.number)])
            return
        await self._told(news)

    async def _again(self, reason: str) -> bool:
        """The model's session has ended by itself: another one begins, which knows nothing of what was said."""
        self._finish()
        self._utterance = deriving.Utterance()
        self._to.pushed, self._theirs = 0, 0
        self._delays.clear()
        model = self._backend.info.model
        now = asyncio.get_running_loop().time()
        often = len(self._restarts) == RESTARTS and now - self._restarts[0] < RESTARTS_SECONDS
        why = {"limit": "lasts no longer", "closed": "was closed by the other side"}.get(reason, "has failed")
        ended, self._session = self._session, ""
        try:
            with contextlib.suppress(Exception):  # it is over already; what it says of that was told
                async with asyncio.timeout(self._deadlines.close):
                    await self._backend.stop_session(ended)
            if not often:
                self._restarts.append(now)
                async with asyncio.timeout(self._deadlines.load):
                    if reason == "failed":
                        await self._backend.load()
                    self._session = await self._backend.start_session(self._settings)
                hint = "it goes on, but has forgotten what was said"
                await self._told(Failed("omni", "session-over", f"omni: the session of {model} {why}", hint))
                return True
            error: Exception | None = None
        except Exception as raised:  # any backend, any fault: it is told
            error = raised
        told = failure(error, "omni") if error is not None else None
        message = f"omni: the session of {model} {why}, and no other could be had"
        message += f": {told.message}" if told is not None else f": {RESTARTS} ended within {RESTARTS_SECONDS:g} s"
        hint = told.hint if told is not None and told.hint else "look at the log of its server or process"
        await self._told(Failed("omni", "engine-failed", message, hint, fatal=True))
        await self._told(Stop("engine-lost"))
        return False

    # --- the user's words ---------------------------------------------------------------------------------------------

    def listen(self, turn: int, at: int, samples: Samples) -> None:
        """A turn of the user began, or goes on. The model hears by ``stream``."""
        self._turn, self._over_user = turn, True
        self._words.listen(turn, at, samples)

    def hear(self, turn: int, at: int, samples: Samples) -> None:
        """The next block of this turn."""
        self._words.hear(turn, at, samples)

    def settle(self, turn: int, revision: int) -> None:
        """Asks for the settled text."""
        if self.words:
            self._words.settle(turn, revision)

    def forget(self, turn: int) -> None:
        """The turn is over."""
        self._over_user = self._over_user and turn != self._turn
        self._words.forget(turn)

    # --- what does not apply, and what the session tells --------------------------------------------------------------

    def prepare(
        self,
        reply: int,
        turn: int,
        history: Sequence[Message],
        text: str,
        *,
        verbatim: bool,
        wish: Wish | None = None,
    ) -> None:
        """Never asked of a model that leads: it speaks when it wants to."""
        raise AssertionError("a model that leads was asked for a reply")

    def commit(self, reply: int) -> None:
        """Nothing to do."""

    def played(self, reply: int, seconds: float) -> None:
        """So much of it was heard."""
        self._played = (reply, seconds)
        spoken = self._spoken
        if self._backend.capabilities.wants_played and spoken is not None and spoken.number == reply:
            self._to.signal(Played(self._theirs, seconds))

    def discard(self, reply: int) -> None:
        """The session has ended it: played out, or cut."""
        self._line.over(reply)
        self._over = max(self._over, reply)
        its = self._backend.capabilities
        spoken = self._spoken
        if spoken is not None and spoken.number == reply and its.cancels:
            self._to.signal(Cancel(self._theirs))
        if its.marks_replies and (its.truncates or its.wants_played) and self._played[0] == reply:
            self._to.signal(Played(self._theirs, self._played[1], ended=True))

    # --- tools --------------------------------------------------------------------------------------------------------

    def _side_effects(self, call: ToolCall) -> bool:
        return next((one.side_effects for one in self._settings.tools if one.name == call.name), True)

    def run_tool(self, reply: int, call: ToolCall) -> None:
        """Runs a tool to its end, even if its reply ends before."""
        self._spawn(self._run_tool(reply, self._theirs, call), f"tool-{call.name}")

    async def _run_tool(self, reply: int, theirs: int, call: ToolCall) -> None:
        tool = next((one for one in self._settings.tools if one.name == call.name), None)
        if tool is None:
            result: Any = {"error": f"there is no tool {call.name}"}
        else:
            result = await tooling.run(tool, call.arguments, self._deadlines.tool)
        await self._told(ToolRan(reply, self._turn, call, result))
        self._to.signal(ToolResult(theirs, call, result if isinstance(result, str) else as_json(result)))
