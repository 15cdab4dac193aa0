"""The two machines of a conversation as tables, and the frozen state that `turns` moves through them.

What may live here: states, tables, frozen values. The drawing in ``docs/turns.md`` is made from these tables by
``python -m locara.voice.drawing`` and a test holds it true.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from locara.engines.contracts import ToolCall
from locara.voice.attention import FOLLOW_UP_SECONDS, Attention, Idle
from locara.voice.endings import PATIENCE, Patience
from locara.voice.ledger import ClauseSpan
from locara.voice.misheard import Misheard
from locara.voice.moves import Chunk, Failed, Respond, Say, ToolRan


class User(Enum):
    """What the user is doing."""

    QUIET = "quiet"
    """No turn is open."""
    TALKING = "talking"
    """A turn is open and voice is on."""
    PAUSING = "pausing"
    """A turn is open and voice is off; it may go on."""
    YIELDED = "yielded"
    """The turn is decided, the reply is awaited. As long as nothing was heard, speaking on reopens it."""


class Assistant(Enum):
    """What the assistant is doing."""

    IDLE = "idle"
    PREPARING = "preparing"
    """A reply is being made and nothing of it was handed to the output."""
    SPEAKING = "speaking"
    DUCKED = "ducked"
    """Speaking at a lower level: there may be a voice."""
    HELD = "held"
    """Standing still at the exact sample: there is a voice, and it is not yet known what it wants."""


class On(Enum):
    """Why a state is left."""

    VOICE = "voice"
    PRESS = "key pressed"
    SILENCE = "silence"
    DECIDED = "decided"
    TYPED = "typed"
    ANSWERED = "answered"
    NO_WORDS = "no words"
    DISMISSED = "dismissed"
    FAILED = "failed"
    PREPARE = "prepare"
    DISCARD = "discard"
    SOUND = "first sound"
    SUSTAINED = "voice goes on"
    FALSE_ALARM = "false alarm"
    TAKEN = "floor taken"
    ENDED = "ended"


USER: dict[tuple[User, On], User] = {
    (User.QUIET, On.VOICE): User.TALKING,
    (User.QUIET, On.PRESS): User.TALKING,
    (User.QUIET, On.TYPED): User.YIELDED,
    (User.TALKING, On.SILENCE): User.PAUSING,
    (User.TALKING, On.DECIDED): User.YIELDED,
    (User.TALKING, On.DISMISSED): User.QUIET,
    (User.PAUSING, On.VOICE): User.TALKING,
    (User.PAUSING, On.PRESS): User.TALKING,
    (User.PAUSING, On.DECIDED): User.YIELDED,
    (User.PAUSING, On.NO_WORDS): User.QUIET,
    (User.PAUSING, On.DISMISSED): User.QUIET,
    (User.YIELDED, On.VOICE): User.TALKING,
    (User.YIELDED, On.PRESS): User.TALKING,
    (User.YIELDED, On.ANSWERED): User.QUIET,
    (User.YIELDED, On.NO_WORDS): User.QUIET,
    (User.YIELDED, On.FAILED): User.QUIET,
    (User.YIELDED, On.DISMISSED): User.QUIET,
}
"""(state, why) -> state. A move that is not here does not exist."""

ASSISTANT: dict[tuple[Assistant, On], Assistant] = {
    (Assistant.IDLE, On.PREPARE): Assistant.PREPARING,
    (Assistant.PREPARING, On.DISCARD): Assistant.IDLE,
    (Assistant.PREPARING, On.SOUND): Assistant.SPEAKING,
    (Assistant.PREPARING, On.TAKEN): Assistant.IDLE,
    (Assistant.PREPARING, On.ENDED): Assistant.IDLE,
    (Assistant.SPEAKING, On.VOICE): Assistant.DUCKED,
    (Assistant.SPEAKING, On.TAKEN): Assistant.IDLE,
    (Assistant.SPEAKING, On.ENDED): Assistant.IDLE,
    (Assistant.DUCKED, On.SUSTAINED): Assistant.HELD,
    (Assistant.DUCKED, On.FALSE_ALARM): Assistant.SPEAKING,
    (Assistant.DUCKED, On.TAKEN): Assistant.IDLE,
    (Assistant.DUCKED, On.ENDED): Assistant.IDLE,
    (Assistant.HELD, On.FALSE_ALARM): Assistant.SPEAKING,
    (Assistant.HELD, On.TAKEN): Assistant.IDLE,
    (Assistant.HELD, On.ENDED): Assistant.IDLE,
}

SOUNDING = frozenset({Assistant.SPEAKING, Assistant.DUCKED, Assistant.HELD})
"""The states in which a reply has reached the output."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings of one session's turn-taking. What `Ruled` names may change while it runs, for what comes next."""

    patience: Patience = PATIENCE["normal"]
    open_mic: bool = True
    """Voice opens a turn. False: only the push-to-talk key does."""
    answers: bool = True
    """A decided turn is answered. False: it ends, and the app asks for a reply when it wants one (`Respond`)."""
    interruptible: bool = True
    """A voice may stop a reply. False: its turn is answered after the reply."""
    wake_word: str | None = None
    """The phrase after which voice opens a turn. None: it always does."""
    follow_up: float = FOLLOW_UP_SECONDS
    """Seconds after an exchange in which no wake word is needed."""
    idle: float | None = None
    """Seconds without a sound of either side after which the app is told."""
    idle_prompt: str = ""
    """What is said then, once."""
    not_understood: str = ""
    """What is said to somebody who surely spoke to us and of whom no word was found. Empty: nothing."""
    reply_seconds: float = 30.0
    """A decided turn without a first sound for this long has failed."""
    stall_seconds: float = 15.0
    """A reply that neither grows nor plays for this long has failed."""
    tool_seconds: float = 90.0
    """The same while it waits for a tool: a person may have to answer there. Tools have a shorter deadline of their own."""
    tail_seconds: float = 0.3
    """Push to talk: still heard after the key is up, for people let go early."""
    words: bool = True
    """The brain gives the user's words. False: an end-to-end model that only speaks; a turn without words is a turn."""
    speculates: bool = True
    """A reply is prepared while it is not decided yet that the user has finished. False: what the model was once asked
    cannot be taken back."""
    led_by_model: bool = False
    """The model decides by itself when it speaks and when it stops, see `model_led`."""
    output_rate: int = 24_000
    """Hertz of chunks and of the count of played samples."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A user's turn that is open. Positions in samples of the session's clock."""

    id: int
    began: int
    speech_end: int
    revision: int = 0
    text: str = ""
    confidence: float | None = None
    asked: bool = False
    """The settled text of this revision has been asked for."""
    settled: bool = False
    """``text`` covers everything said."""
    finished: float | None = None
    """How likely the user has finished, as the end-of-turn model heard it in this pause."""
    understood_at: int | None = None
    decided_at: int | None = None
    reason: str = "complete"
    over: bool = False
    """It began while the assistant was speaking, and the floor is not decided."""
    held: bool = False
    """The push-to-talk key is down."""
    released_at: int | None = None
    typed: bool = False
    wanted: bool = False
    """``Rules.answers`` is False, and the app has asked for the reply to it."""
    told_end: bool = False
    """``speech-end`` was told and no ``speech-start`` since."""
    voiced: int = 0
    """Samples of voice in it."""
    clear: int = 0
    """Those of them that are surely a voice, see `evidence.is_clear`."""
    breaks: int = 0
    """Pauses in it that were hardly one, see `dictating.BREAK_SECONDS`."""
    called: bool = False
    """All that was understood of it is the wake word."""
    guess: str = ""
    """The last words that the recogniser guessed at, also if it took them back."""
    over_reply: int = -1
    """The reply that sounded when it began, or had just ended; -1 if none."""
    over_at: int = 0
    """How far that reply was then, in samples played; beyond its end if it had ended."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The one reply there is. ``owes``: the turn whose ``turn-end`` waits for the first audible sample."""

    id: int
    turn: int
    answers: str
    committed: bool = False
    pending: tuple[str | ToolCall | ToolRan, ...] = ()
    """Text and tool events that no one was told of, because it is not committed."""
    chunks: tuple[Chunk, ...] = ()
    """Sound that was not handed to the output, because it is not committed."""
    text: str = ""
    script: tuple[ClauseSpan, ...] = ()
    handed: int = 0
    played: int = 0
    moved_at: int = 0
    """When it last grew or played."""
    wants: ToolCall | None = None
    """A tool with side effects that waits for the commit."""
    done: bool = False
    failure: Failed | None = None
    first_token: int | None = None
    first_clause: int | None = None
    first_sound: int | None = None
    handed_at: int | None = None
    owes: Turn | None = None
    asks_about: int | None = None
    """The turn that it asks back about, of which no word was found."""
    spoken_to: bool = False
    """It answers what was said aloud: not typed, not asked for by the app."""
    tools: int = 0
    """Tools that run for it."""
    silent: bool = False
    """It was to be text only."""
    record: bool = True
    """It goes into the history."""


@dataclass(frozen=True, slots=True)
class State:
    """All of a conversation's present. The past is in the history, the sound in the gate."""

    rules: Rules = field(default_factory=Rules)
    now: int = 0
    """Samples heard: the clock."""
    user: User = User.QUIET
    assistant: Assistant = Assistant.IDLE
    turn: Turn | None = None
    reply: Reply | None = None
    voice: bool = False
    run: int = 0
    """Samples since ``voice`` last changed."""
    clear: int = 0
    """Samples of the voice that is on now, or may be about to begin, that are surely one."""
    probability: float = 0.0
    last_turn: int = -1
    last_reply: int = -1
    overlap_at: int = 0
    """When the reply was lowered."""
    held_at: int | None = None
    """When it was made to stand still."""
    last_said: Reply | None = None
    """The reply that ended last: its echo may still come."""
    last_ended: int = 0
    """When it did."""
    sayings: tuple[Say | Respond, ...] = ()
    """What the app wants said when the floor is free."""
    ended: bool = False
    muted: bool = False
    """The microphone is muted."""
    attention: Attention = field(default_factory=Attention)
    idle: Idle = field(default_factory=Idle)
    misheard: Misheard = field(default_factory=Misheard)


def at_rest(state: State) -> bool:
    """Nobody speaks, nothing is awaited."""
    waits = bool(state.sayings) or state.misheard.due is not None
    return state.user is User.QUIET and state.assistant is Assistant.IDLE and not waits
