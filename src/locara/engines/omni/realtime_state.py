"""What is known of a conversation with a realtime server, and the one place where it changes. Pure.

What may live here: the frozen `State`, the effects, and `Step`, by which what a server says (`realtime_parse`) and what we
say (`realtime_say`) change it. The rules of `locara.engines.backend` are kept here, once: nothing of a reply after
its end, ``Ended`` exactly once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from locara.audio import Samples, silence
from locara.engines.backend import (
    BackendEvent,
    BackendFailed,
    Ended,
    Frame,
    ReplyAudio,
    ReplyBegan,
    ReplyEnded,
    ReplyText,
    ToolWanted,
    UserText,
)
from locara.engines.omni.realtime_dialects import Dialect

JSON = dict[str, Any]

CANCEL_SECONDS = 5.0
"""After this a response that was cancelled is taken for over, though its server has not said so."""
KEPT_REPLIES = 16
"""Replies that are remembered: what comes late belongs to the last few."""
KEPT_EVENTS = 64
"""Ids of events that are remembered, to know one that comes twice."""
TOLD_BAD = 3
"""So many bad events are told one by one."""
MOST_BAD = 30
"""After so many the server speaks something else."""


@dataclass(frozen=True, slots=True)
class Item:
    """A piece of a reply in the server's conversation, ``samples`` long."""

    id: str
    content_index: int = 0
    samples: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """A tool that a reply waits for."""

    id: str
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply, from the question to what was heard of it. It may take several responses of the server: one more after
    every tool."""

    number: int
    response: str = ""
    """The server's name for what it makes now; empty: not known yet, or it has none."""
    last_response: str = ""
    """The name of what it made last."""
    asked: bool = False
    """A response was asked for, and has not begun."""
    making: bool = False
    """The server makes it, as far as we know."""
    began: bool = False
    """It was told of."""
    over: bool = False
    """Its end was told."""
    revoked: bool = False
    items: tuple[Item, ...] = ()
    texted: bool = False
    """Text of its present response has come piece by piece."""
    calls: tuple[Call, ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    """Of tools that are being called: call id and name."""
    user_item: str = ""
    """The item of the user's turn that it answers."""
    cut: bool = False
    """It was cancelled: the server may have made more of it than came."""
    due: float | None = None
    """When the server must have said something of it, on the clock of the loop."""
    first: float | None = None
    """When its first sound came."""
    plays_until: float | None = None
    """It is made; until then it plays, and its end is not told: the server's voice activity may still interrupt it."""

    @property
    def waiting(self) -> bool:
        """It goes on when its tools have answered."""
        return any(not one.answered for one in self.calls)

    @property
    def samples(self) -> int:
        return sum(one.samples for one in self.items)


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Everything, at one moment."""

    dialect: Dialect
    hello: JSON = field(default_factory=dict)
    """What opens the session."""
    transcription: bool = False
    deadline: float = 20.0
    phase: Literal["opening", "ready", "over"] = "opening"
    replies: tuple[Reply, ...] = ()
    queued: tuple[int, ...] = ()
    """Replies to be asked for as soon as the server has ended the one before."""
    commits: tuple[int, ...] = ()
    """Replies whose turns were committed, and not yet acknowledged."""
    responses_over: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    sequence: int = 0
    """Of the server's events, where it numbers them."""
    session: str = ""
    token: str = ""
    """What resumes the session."""
    user: str = ""
    """What the user has said in this turn, as far as it is known."""
    user_item: str = ""
    rest: Samples = field(default_factory=lambda: silence(0))
    """Sound that does not fill a frame yet."""
    thought: str = ""
    """Text for the next frame."""
    closing: bool = False
    unknown: int = 0
    bad: int = 0
    stray: int = 0
    """Events that belong to nothing that is under way: late, doubled, never asked for."""
    warned: tuple[str, ...] = ()

    def reply(self, number: int) -> Reply | None:
        """The reply with this number, if it is still remembered."""
        return next((one for one in self.replies if one.number == number), None)

    @property
    def made(self) -> Reply | None:
        """The reply that the server makes, or was asked for."""
        return next((one for one in reversed(self.replies) if one.making), None)

    @property
    def due(self) -> float | None:
        """When somebody must look at the clock."""
        times = [time for one in self.replies for time in (one.due, one.plays_until) if time is not None]
        return min(times, default=None)


# --- what is to be done -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """This message, after what was appended before it."""

    message: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ready:
    """Sound may flow."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The session does not begin."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Commit:
    """The turn's sound is complete: what was held is sent, what was sent is kept for a while. ``padding``: samples of
    silence that a turn lacks to be long enough."""

    padding: int = 0


@dataclass(frozen=True, slots=True)
class Revoke:
    """The last turn goes on: its sound comes before what was appended since."""


@dataclass(frozen=True, slots=True)
class Forget:
    """What was appended since the last turn was no turn."""


@dataclass(frozen=True, slots=True)
class Renew:
    """A new connection: the only way to stop this server."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Sound of a reply that must be decoded first (Opus)."""

    reply: int
    data: bytes


Effect = BackendEvent | Send | Ready | Refused | Commit | Revoke | Forget | Renew | Packed


class Step:
    """One change: a `State` that becomes the next, and the effects on the way."""

    def __init__(self, state: State, now: float) -> None:
        self.state = state
        self.now = now
        self.effects: list[Effect] = []

    @property
    def result(self) -> tuple[State, tuple[Effect, ...]]:
        return self.state, tuple(self.effects)

    @property
    def dialect(self) -> Dialect:
        return self.state.dialect

    def set(self, **changes: Any) -> None:
        """Changes the state."""
        self.state = replace(self.state, **changes)

    def do(self, effect: Effect) -> None:
        """An effect that is no event of a reply."""
        if self.state.phase != "over":
            self.effects.append(effect)

    def send(self, type_: str, **fields: Any) -> None:
        """A message."""
        self.do(Send({"type": type_, **fields}))

    # --- replies ------------------------------------------------------------------------------------------------------

    def put(self, reply: Reply) -> Reply:
        """Remembers a reply, in the place of what was known of it."""
        others = tuple(one for one in self.state.replies if one.number != reply.number)
        later = sorted((*others, reply), key=lambda one: one.number)
        kept = [one for one in later[:-KEPT_REPLIES] if one.making] + later[-KEPT_REPLIES:]
        self.set(replies=tuple(kept))
        return reply

    def change(self, number: int, **changes: Any) -> Reply | None:
        """Changes a reply; None where it is not remembered."""
        reply = self.state.reply(number)
        return None if reply is None else self.put(replace(reply, **changes))

    def tell(self, event: ReplyText | ReplyAudio | ToolWanted) -> None:
        """Something of a reply: after its end nothing."""
        reply = self.state.reply(event.reply)
        if reply is None or reply.over or self.state.phase == "over":
            self.set(stray=self.state.stray + 1)
            return
        self._begin(reply)
        self.effects.append(event)

    def _begin(self, reply: Reply) -> None:
        if reply.began:
            return
        self.change(reply.number, began=True)
        if self.dialect.turn_owner != "locara":
            self.user_ended()
            self.do(ReplyBegan(reply.number))

    def end(self, number: int, reason: Literal["finished", "interrupted", "cancelled", "failed"] = "finished") -> None:
        """The end of a reply, told once; of one that was never told of, nothing is told."""
        reply = self.state.reply(number)
        if reply is None or reply.over:
            return
        self.change(number, over=True, plays_until=None, due=reply.due if reply.making else None)
        self.set(queued=tuple(one for one in self.state.queued if one != number))
        if reply.began or self.dialect.turn_owner == "locara":
            self.do(ReplyEnded(number, reason))

    def made(self, number: int) -> None:
        """The server has made all of it. Where the server decides who speaks, and makes sound faster than it is heard, the
        user may interrupt what is made already: so its end is told when it has been heard."""
        reply = self.state.reply(number)
        if reply is None or reply.over:
            return
        until = (reply.first or self.now) + reply.samples / self.dialect.output_rate
        if self.dialect.turn_owner == "engine" and until > self.now:
            self.change(number, plays_until=until)
        else:
            self.end(number)

    # --- the user's words ---------------------------------------------------------------------------------------------

    def user_ended(self) -> None:
        """The model answers: what the user said by then is a turn."""
        if self.state.user and self.dialect.user_text != "none":
            self.do(UserText(self.state.user, final=True))
        self.set(user="", user_item="")

    # --- frames -------------------------------------------------------------------------------------------------------

    def frames(self, samples: Samples, heard: int) -> None:
        """Sound of a model that never stops, cut to frames."""
        import numpy as np

        length = round(self.dialect.frame_seconds * self.dialect.output_rate)
        sound = np.concatenate([self.state.rest, samples]) if self.state.rest.size else samples
        for at in range(0, sound.size - length + 1, length):
            self.do(Frame(sound[at : at + length], self.state.thought, heard))
            self.set(thought="")
        self.set(rest=sound[sound.size - sound.size % length :])

    # --- trouble ------------------------------------------------------------------------------------------------------

    def warn(self, code: str, message: str, hint: str = "", *, reply: int | None = None, once: bool = False) -> None:
        """Something failed, and the session goes on."""
        if once:
            if code in self.state.warned:
                return
            self.set(warned=(*self.state.warned, code))
        self.do(BackendFailed(code, message, hint, reply))

    def fail(self, code: str, message: str, hint: str = "") -> None:
        """The session is lost."""
        if self.state.phase == "opening":
            self.do(Refused(code, message))
            return
        self.do(BackendFailed(code, message, hint, fatal=True))
        self.finish("failed")

    def finish(self, reason: Literal["stopped", "limit", "closed", "failed"]) -> None:
        """The end of the session, once."""
        if self.state.phase == "over":
            return
        for reply in self.state.replies:
            self.end(reply.number, "failed" if reason != "stopped" else "cancelled")
        self.effects.append(Ended(reason))
        self.set(phase="over", queued=(), replies=(), rest=silence(0), thought="", user="")
