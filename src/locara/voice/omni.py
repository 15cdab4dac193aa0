"""One model that hears and speaks, behind the same `Brain` seam: turns, barge-in and history stay ours (half duplex).

What may live here: `HalfDuplexBrain`: which move of the turn machine is which signal of a `VoiceBackend`, and which of its
events is which news. The way to the backend is `backend_session`, one reply is `backend_reply`. A model that leads its own
turns (full duplex) is another brain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from locara.audio import Samples
from locara.engines.backend import (
    BackendEvent,
    BackendFailed,
    BackendSettings,
    Cancel,
    Disregard,
    Ended,
    Lag,
    Played,
    ReplyAudio,
    ReplyEnded,
    ReplyText,
    Signal,
    ToolWanted,
    TurnEnd,
    UserText,
    UserTyped,
    VoiceBackend,
)
from locara.engines.contracts import Engine, Message, Recogniser, Sound, ToolCall
from locara.errors import EngineFailed, StageError
from locara.voice.backend_reply import BackendReply
from locara.voice.backend_session import BackendSession
from locara.voice.backend_tools import BackendTools
from locara.voice.brain import Deadlines, Exactness, Post, failure
from locara.voice.kept_sound import KeptSound
from locara.voice.moves import Failed, Happened, Stop, Understood, Wish
from locara.voice.recognising import Recognising
from locara.voice.streams import Fresh
from locara.voice.whole_text import whole

MOST_REFUSED = 3
"""Turns in a row in which no session could be begun after one that was lost: then the model is gone, and not only away."""


@dataclass(slots=True)
class _Turn:
    """The open turn. ``text``: what the backend understood of it; ``settled``: the turn machine has asked for that."""

    number: int
    revision: int = 0
    settled: bool = False
    text: str = ""


class HalfDuplexBrain:
    """A `VoiceBackend` that answers when it is asked. ``side``: a recogniser that hears the same, so that the user's words
    are known; without it they are known as far as the backend tells them."""

    lead: Literal["session"] = "session"

    def __init__(
        self,
        backend: VoiceBackend,
        side: Recogniser | None = None,
        *,
        settings: BackendSettings | None = None,
        deadlines: Deadlines | None = None,
    ) -> None:
        self._backend = backend
        self._side = side
        self._settings = settings or BackendSettings()
        self._deadlines = deadlines or Deadlines()
        self._session = BackendSession(backend, self._settings, self._deadlines)
        self._tools = BackendTools(self._settings.tools, self._session.signal, self._deadlines.tool)
        self._kept = KeptSound()
        self._fresh = Fresh()
        self._turn: _Turn | None = None
        self._replies: dict[int, BackendReply] = {}
        self._typed: set[int] = set()
        """Turns of which the backend was told the text."""
        self._recognising: dict[int, Recognising] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._troubled = -1
        """The last turn in which sound did not reach the backend."""
        self._skipped = 0.0
        self._post: Post | None = None
        self._rate = 24_000

    # --- what it is ---------------------------------------------------------------------------------------------------

    @property
    def words(self) -> bool:
        """Only a recogniser gives them for certain, and before the reply."""
        return self._side is not None

    @property
    def speculates(self) -> bool:
        """A reply that cannot be stopped is asked for only when it is wanted."""
        return self._backend.capabilities.cancels

    @property
    def engines(self) -> dict[str, Engine]:
        """Stage -> engine."""
        beside: dict[str, Engine] = {} if self._side is None else {"stt": self._side}
        return {"omni": self._backend, **beside}

    @property
    def capabilities(self) -> dict[str, Exactness]:
        """The user's words are exact from a recogniser; from the backend they may come late, and then are missing. Where
        in the text a barge-in came is estimated."""
        partial: Exactness = "absent"
        final: Exactness = "absent"
        if self._side is not None:
            partial, final = "exact" if self._side.info.streaming else "absent", "exact"
        elif (told := self._backend.capabilities.user_text) != "none":
            partial, final = "estimated" if told == "partial" else "absent", "estimated"
        return {
            "partial-transcript": partial,
            "final-transcript": final,
            "llm-token": "exact",
            "audio-chunk": "exact",
            "turn-end": "exact",
            "barge-in": "estimated",
            "error": "exact",
        }

    @property
    def counts(self) -> Mapping[str, float]:
        """``omni_skipped_seconds``: sound that the backend was too slow to hear."""
        return {"omni_skipped_seconds": self._skipped}

    # --- beginning and ending -----------------------------------------------------------------------------------------

    async def open(self) -> None:
        """See `locara.voice.brain.Opens`."""
        await self._session.open()

    def start(self, post: Post, output_rate: int, history: Callable[[], Sequence[Message]]) -> None:
        """Begins to hear what the backend tells."""
        self._post = post
        self._rate = output_rate
        self._session.begin(self._told, self._not_taken)

    async def close(self) -> None:
        """Ends the conversation and every task."""
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self._deadlines.close)
        self._recognising.clear()
        self._replies.clear()
        await self._session.close()

    def _keep(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    # --- hearing ------------------------------------------------------------------------------------------------------

    def listen(self, turn: int, at: int, samples: Samples) -> None:
        """The beginning of a turn, or its continuation."""
        assert self._post is not None
        if self._kept.begin(turn):
            self._turn = _Turn(turn)
            self._session.new_turn()
            if self._side is not None:
                self._recognising[turn] = Recognising(turn, self._side, self._post, self._deadlines)
                self._keep(self._recognising[turn].task)
        elif self._turn is not None and self._turn.settled:  # the user goes on after a pause
            self._turn.revision, self._turn.settled = self._turn.revision + 1, False
        self.hear(turn, at, samples)

    def hear(self, turn: int, at: int, samples: Samples) -> None:
        """The next samples of the turn; none is given twice."""
        self._kept.hear(turn, at, samples)
        if turn in self._recognising:
            self._recognising[turn].push(at, samples)
        self._session.push(self._fresh.of(at, samples))

    def settle(self, turn: int, revision: int) -> None:
        """With a recogniser beside it, its words are waited for. Else there is nothing to wait for: what the backend
        understood by now is what is known."""
        if turn in self._recognising:
            self._recognising[turn].settle(revision)
        elif self._turn is not None and self._turn.number == turn:
            self._turn.revision, self._turn.settled = revision, True
            self._soon(Understood(turn, revision, self._turn.text, settled=True))

    def forget(self, turn: int) -> None:
        """The turn is over; unless a reply answers it, the backend is told that it was none."""
        given = self._kept.is_open(turn) or turn in self._typed
        asked = [made for made in self._replies.values() if made.turn == turn]
        self._kept.end(turn, answered=bool(asked))
        self._turn = None if self._turn is not None and self._turn.number == turn else self._turn
        recognising = self._recognising.pop(turn, None)
        if recognising is not None:
            recognising.finish()
        self._typed.discard(turn)
        if given and all(made.failed for made in asked):  # nothing is lost by it where the backend did take the turn
            self._session.signal(Disregard())
            self._fresh = Fresh()  # it was forgotten: the next turn's beginning may lie in it

    def sound_of(self, turn: int) -> Sound | None:
        """See `locara.voice.brain.KeepsSound`."""
        return self._kept.of(turn)

    # --- answering ----------------------------------------------------------------------------------------------------

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
        """Asks for the answer to what was heard, or typed. ``wish``: only its messages; a session that runs one model has
        neither a system's text nor tools to be wished for."""
        can = self._backend.capabilities
        made = self._replies[reply] = BackendReply(reply, turn, can.output_rate, self._rate)
        sound = self._kept.ask(turn)
        if verbatim:
            self._fails(made, "cannot say a given text", "use a pipeline with a tts=... to have texts said")
            return
        if text and sound is None:
            if not can.takes_text:
                self._fails(made, "takes no typed text", "speak to it, or use a pipeline")
                return
            if turn not in self._typed:
                self._typed.add(turn)
                self._session.new_turn()
                self._session.signal(UserTyped(text))
        messages: tuple[Message, ...] = ()
        if can.memory == "locara":
            asked = () if wish is not None else (_asked(text, sound),)
            before = history if wish is None or wish.messages is None else wish.messages
            messages = (*before, *asked)
        made.asked = True
        self._session.signal(TurnEnd(reply, messages))
        made.watch = self._keep(asyncio.create_task(self._watch(made), name=f"reply-{reply}"))

    def commit(self, reply: int) -> None:
        """It counts now: when it ends, the backend is told how much of it was heard."""
        if reply in self._replies:
            self._replies[reply].committed = True
        self._kept.trim()

    def played(self, reply: int, seconds: float) -> None:
        """The backend makes its sound at its own pace; some want to know how far it was heard."""
        if reply in self._replies:
            self._replies[reply].played = seconds
            if self._backend.capabilities.wants_played:
                self._session.signal(Played(reply, seconds))

    def discard(self, reply: int) -> None:
        """The reply is over, or was prepared for nothing: then what was heard belongs to the turn that goes on."""
        made = self._replies.pop(reply, None)
        if made is None or not made.asked:
            return
        complete = made.complete
        made.over()
        if not made.committed:
            self._session.signal(Cancel(reply, revoke=True))
            return
        self._session.signal(Played(reply, made.played, ended=True))
        if not complete:
            self._session.signal(Cancel(reply))

    async def _watch(self, made: BackendReply) -> None:
        await made.stalled(self._deadlines.first_sound, self._deadlines.sound)
        made.over(failed=True)
        self._session.signal(Cancel(made.number))
        await self._news(failure(TimeoutError(), "omni", reply=made.number))

    def _fails(self, made: BackendReply, what: str, hint: str) -> None:
        made.over(failed=True)
        model = self._backend.info.model
        error = EngineFailed(f"omni: {model} {what}", stage="omni", model=model, hint=hint)
        self._soon(failure(error, "omni", reply=made.number))

    def run_tool(self, reply: int, call: ToolCall) -> None:
        """Runs a tool to its end, even if its reply ends before."""
        turn = self._replies[reply].turn if reply in self._replies else 0
        running = self._tools.run(reply, turn, call, self._news, lambda: self._replies.get(reply))
        self._keep(asyncio.create_task(running, name=f"tool-{call.name}"))

    # --- what the backend tells ---------------------------------------------------------------------------------------

    async def _told(self, event: BackendEvent) -> None:
        match event:
            case ReplyText() | ReplyAudio() | ReplyEnded() | ToolWanted():
                made = self._replies.get(event.reply)
                if made is not None and not made.complete:  # else it is over, and nothing of it counts
                    made.moved.set()
                    await self._grew(made, event)
            case UserText(text=text):
                await self._understood(whole(text))
            case BackendFailed():
                await self._failed(event)
            case Lag(skipped=skipped):
                await self._lagged(skipped / self._backend.capabilities.input_rate)
            case Ended(reason=reason):
                await self._lost(reason)

    async def _grew(self, made: BackendReply, event: ReplyText | ReplyAudio | ReplyEnded | ToolWanted) -> None:
        match event:
            case ReplyText(text=text):
                await self._all(made.text(text))
            case ReplyAudio(samples=samples):
                await self._all(made.sound(samples))
            case ToolWanted(call=call):
                wanted = self._tools.wanted(made, call)
                if isinstance(wanted, Failed):
                    made.over(failed=True)
                    self._session.signal(Cancel(made.number))
                if wanted is not None:
                    await self._news(wanted)
            case ReplyEnded(reason="finished"):
                made.over()
                await self._all(made.end())
            case ReplyEnded(reason=reason):
                made.over(failed=True)
                error = EngineFailed(
                    f"omni: {self._backend.info.model} ended its reply before the end: {reason}",
                    stage="omni",
                    hint="ask again; if it goes on, see what the model's engine or server says",
                )
                await self._news(failure(error, "omni", reply=made.number))

    async def _understood(self, text: str) -> None:
        if self._turn is not None and self._side is None:
            self._turn.text = text
            await self._news(Understood(self._turn.number, self._turn.revision, text, settled=self._turn.settled))

    async def _failed(self, event: BackendFailed) -> None:
        reply = event.reply
        if reply is None and event.fatal:
            open_replies = [one for one in self._replies.values() if not one.complete]
            reply = open_replies[-1].number if open_replies else None
        if reply is not None:
            made = self._replies.get(reply)
            if made is None or made.complete:
                return
            made.over(failed=True)
        message = event.message if event.message.startswith("omni") else f"omni: {event.message}"
        await self._news(Failed("omni", event.code, message, event.hint, reply))

    async def _lagged(self, skipped: float) -> None:
        first, self._skipped = self._skipped == 0.0, self._skipped + skipped
        if first and skipped:
            model = self._backend.info.model
            error = EngineFailed(
                f"omni: {model} is slower than speech on this machine: it did not hear {skipped:.1f} s",
                stage="omni",
                model=model,
                hint="choose a smaller model",
            )
            await self._news(failure(error, "omni"))

    async def _lost(self, reason: str) -> None:
        """The backend's session is over and nobody asked for it. What is open fails; the next turn begins another."""
        told = reason == "failed"
        for made in [one for one in self._replies.values() if not one.complete]:
            made.over(failed=True)
            told = True
            await self._news(failure(self._gone(reason), "omni", reply=made.number))
        if not told:
            await self._news(failure(self._gone(reason), "omni"))
        if self._turn is not None:
            self._session.push(self._kept.so_far(self._turn.number))  # who is speaking now is heard by the next session

    def _gone(self, reason: str) -> StageError:
        model = self._backend.info.model
        how = {"limit": "reached its longest", "closed": "was closed by the other side"}.get(reason, "failed")
        kept = self._backend.capabilities.memory == "locara"
        left = "it knows the conversation" if kept else "it does not know what was said before"
        return EngineFailed(
            f"omni: the conversation with {model} {how}; the next turn begins another, and {left}",
            stage="omni",
            model=model,
            hint="nothing needs to be done; if it happens again and again, look at the model's process or server",
        )

    async def _not_taken(self, error: BaseException, signal: Signal | None) -> None:
        """Sound or a signal did not reach the backend."""
        if self._session.refused >= MOST_REFUSED:
            told = failure(error, "omni")
            await self._news(Failed(told.stage, told.code, told.message, told.hint, fatal=True))
            await self._news(Stop("engine-lost"))
            return
        if isinstance(signal, TurnEnd):
            made = self._replies.get(signal.reply)
            if made is not None and not made.complete:
                made.over(failed=True)
                await self._news(failure(error, "omni", reply=made.number))
            return
        turn = -1 if self._turn is None else self._turn.number
        if signal is None and turn == self._troubled:
            return  # told once a turn
        self._troubled = turn if signal is None else self._troubled
        await self._news(failure(error, "omni"))

    # --- telling the session ------------------------------------------------------------------------------------------

    async def _news(self, news: Happened) -> None:
        assert self._post is not None
        await self._post(news)

    async def _all(self, news: Iterable[Happened]) -> None:
        for one in news:
            await self._news(one)

    def _soon(self, news: Happened) -> None:
        self._keep(asyncio.create_task(self._news(news), name="omni-news"))


def _asked(text: str, sound: Sound | None) -> Message:
    """What was said as sound; what was typed as text."""
    return Message("user", text) if sound is None else Message("user", "", sounds=(sound,))
