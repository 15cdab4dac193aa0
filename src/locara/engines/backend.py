"""What an end-to-end speech model must offer, wherever it runs: `VoiceBackend`. Full duplex, half duplex and remote alike.

What may live here: the protocol, and the frozen values it exchanges. How such a model becomes a conversation (whose turn it
is, what was heard, what the app is told) is `locara.voice.omni` and `locara.voice.duplex`, once for all of them.

Sessions are many: a backend is one loaded model, or one server; each conversation is a session of it with a name. All
samples are float32 mono, shape ``(n,)``, in [-1, 1]. The rules of `locara.engines.contracts` hold, and these:

* ``start_session`` returns only when sound may flow: weights loaded, graphs captured, a role prompt read. What can be
  wrong with the settings is said there.
* Between ``start_session`` and ``stop_session`` every event comes by ``event_stream``, in order; it is taken once. It ends
  after `Ended`, which comes exactly once, whoever ends the session.
* A reply has a number. Where ``turn_owner`` is ``"locara"`` it is the one of `TurnEnd`; else the backend counts from 1 on.
  After `ReplyEnded` nothing more of that reply comes; after `Cancel` it comes soon.
* Nothing waits for whoever is slow: a consumer that lags loses the session (`Ended`), not the machine's memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from locara.audio import Samples
from locara.engines.contracts import Engine, Message, Tool, ToolCall

TurnOwner = Literal["locara", "model", "engine"]


@dataclass(frozen=True, slots=True)
class BackendCapabilities:
    """What a backend can do. Certain once it is loaded; before that, as far as it is known. ``duplex``, ``turn_owner`` and
    ``memory`` never change: a session is built by them before anything is loaded."""

    duplex: Literal["full", "half"]
    """Full: it hears while it speaks, and answers when it wants to. Half: it answers when it is asked."""
    turn_owner: TurnOwner
    """Who decides that the user has finished: our turn machine (`TurnEnd`), the network itself, or the voice activity of a
    server."""
    input_rate: int
    """Hertz of ``push_audio``."""
    output_rate: int
    """Hertz of `ReplyAudio` and `Frame`."""
    frame_seconds: float = 0.0
    """What it computes at once (Moshi: 0.08); 0: any length. It cuts what it is given by itself."""
    clocked: bool = False
    """It must be given sound without gaps, silence too, at the pace of the clock; else half of it starves."""
    marks_replies: bool = True
    """`ReplyBegan` and `ReplyEnded` come from it. False: it gives `Frame` by `Frame`, silence too, and where a reply begins
    and ends is derived from them."""
    user_text: Literal["none", "partial", "final"] = "none"
    """Whether it writes down what the user says."""
    memory: Literal["backend", "locara"] = "backend"
    """Who keeps the conversation. ``"locara"``: every `TurnEnd` brings all of it, cut to what was heard. ``"backend"``: it
    does, and is told by `Played` with ``ended`` how much of a reply was heard."""
    cancels: bool = False
    """A reply that is being made can be stopped (`Cancel`)."""
    truncates: bool = False
    """It forgets what was not heard of a reply that was cut."""
    wants_played: bool = False
    """It is to be told `Played` while a reply plays."""
    takes_text: bool = False
    """`UserTyped` is answered."""
    tools: bool = False
    instructions: Literal["none", "start", "any"] = "none"
    """Whether it can be told what it is: not at all, when the session starts, or at any time."""
    voices: tuple[str, ...] = ()
    """Names for ``BackendSettings.voice``; empty: it has one."""
    max_session_seconds: float | None = None
    """It ends a session by itself then."""
    max_sessions: int | None = 1
    """At once; None: as many as there is memory for."""
    resumes: bool = False
    """A session whose connection was lost goes on where it was."""


@dataclass(frozen=True, slots=True)
class BackendSettings:
    """How one session is to be. Empty: the model's own way. Raises nothing by itself: ``start_session`` refuses what it
    cannot do."""

    instructions: str = ""
    voice: str = ""
    tools: tuple[Tool, ...] = ()


# --- what a session is told -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """The user has finished: what was pushed since the last turn is answered by reply ``reply``. ``messages``: the whole
    conversation, this turn as its last message, the user's turns as sound; given where ``memory`` is ``"locara"``."""

    reply: int
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop making reply ``reply``. ``revoke``: nothing of it was heard, and the user only goes on: what was pushed, or
    typed, before it belongs to the turn that goes on. That holds after its `ReplyEnded`, too."""

    reply: int
    revoke: bool = False


@dataclass(frozen=True, slots=True)
class Played:
    """So many ``seconds`` of reply ``reply`` were heard. ``ended``: and no more will be; told once of each reply that
    counted, when it is over, and before the `Cancel` of one that is still being made."""

    reply: int
    seconds: float
    ended: bool = False


@dataclass(frozen=True, slots=True)
class UserTyped:
    """The user wrote this instead of saying it. Where ``turn_owner`` is ``"locara"``, a `TurnEnd` follows."""

    text: str


@dataclass(frozen=True, slots=True)
class Disregard:
    """What was pushed since the last turn was no turn (noise, an echo): it is not answered."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool gave: ``content`` as text, JSON where it is no text by itself."""

    reply: int
    call: ToolCall
    content: str


Signal = TurnEnd | Cancel | Played | UserTyped | Disregard | ToolResult


# --- what it tells ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReplyBegan:
    """It begins to answer, of itself. Only where it marks replies and ``turn_owner`` is not ``"locara"``."""

    reply: int


@dataclass(frozen=True, slots=True)
class ReplyText:
    """The next piece of a reply's text."""

    reply: int
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class ReplyAudio:
    """The next samples of a reply, at ``output_rate``."""

    reply: int
    samples: Samples


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """Nothing more of this reply comes. ``interrupted``: the model, or the server, stopped it because the user spoke: what
    is not played of it is not to be played."""

    reply: int
    reason: Literal["finished", "interrupted", "cancelled", "failed"] = "finished"


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame of a model that speaks and is silent in one stream. ``samples``: ``(frame_seconds * output_rate,)``.
    ``text``: the piece of text that the model thought in it, which may come before its sound; empty: none. ``heard``: how
    far the model had come in the sound of this session when it made it, in samples at ``input_rate``; what it skipped to
    get there (`Lag`) counts."""

    samples: Samples
    text: str = ""
    heard: int = 0


@dataclass(frozen=True, slots=True)
class UserVoice:
    """The model, or the server, hears the user's voice begin or end."""

    on: bool


@dataclass(frozen=True, slots=True)
class UserText:
    """What it understood of the user. ``text``: all of this turn so far. ``final``: it will not change."""

    text: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class ToolWanted:
    """The reply waits for the result of a tool."""

    reply: int
    call: ToolCall


@dataclass(frozen=True, slots=True)
class Lag:
    """It is slower than the clock: ``skipped`` samples (at ``input_rate``) were not heard by the model, so that it stays
    at the present. ``behind``: seconds that it was late."""

    behind: float
    skipped: int


@dataclass(frozen=True, slots=True)
class BackendFailed:
    """Something failed. ``reply``: only that reply; None: the session. ``fatal``: `Ended` follows."""

    code: str
    message: str
    hint: str = ""
    reply: int | None = None
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over: ``"stopped"``, ``"limit"`` (it lasts no longer), ``"closed"`` (the other side closed it),
    ``"failed"`` (a fatal `BackendFailed` came before)."""

    reason: Literal["stopped", "limit", "closed", "failed"]


BackendEvent = (
    ReplyBegan | ReplyText | ReplyAudio | ReplyEnded | Frame | UserVoice | UserText | ToolWanted | Lag | BackendFailed
    | Ended
)  # fmt: skip


@runtime_checkable
class VoiceBackend(Engine, Protocol):
    """A model that hears and speaks. Loaded once, then asked for sessions."""

    @property
    def capabilities(self) -> BackendCapabilities:
        """What it can do."""
        ...

    async def start_session(self, settings: BackendSettings) -> str:
        """Begins a conversation; returns its name. Raises ``StageError`` (``EngineBusy`` where no more fit), and
        ``ConfigError`` for settings it cannot keep. Cancelling it leaves no session behind."""
        ...

    async def push_audio(self, session: str, samples: Samples) -> None:
        """The next samples of the user at ``input_rate``, any length, none twice. Does not wait for the model: what it
        cannot take in time is skipped and told by `Lag`. Raises ``StageError`` where there is no such session; after the
        session's `Ended` it does nothing."""
        ...

    async def signal(self, session: str, signal: Signal) -> bool:
        """Tells it something; in order with what was pushed. False: it does not apply to this backend, or to nothing that
        is under way. Does not wait for the model."""
        ...

    def event_stream(self, session: str) -> AsyncIterator[BackendEvent]:
        """Everything that comes of the session, from its start on. May be asked for once."""
        ...

    async def stop_session(self, session: str) -> None:
        """Ends it: `Ended` comes, and its place is free. May be called twice."""
        ...
