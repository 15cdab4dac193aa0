"""What can happen to a conversation, and what can be done about it: the words the turn machine speaks.

What may live here: frozen values, nothing that acts. ``Happened`` goes in, ``Effect`` comes out; see `turns`.
Positions are samples at ``RATE`` on the session's clock, except where a name says *played* or *chunk*: those count
samples at the output's rate, from the first sample of the reply.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from locara.audio import Samples
from locara.engines.contracts import Message, Tool, ToolCall
from locara.voice.events import Event

if TYPE_CHECKING:  # both import this file
    from locara.voice.endings import Patience
    from locara.voice.ledger import ClauseSpan


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """A piece of a reply's sound.

    ``start:end`` are the characters of the reply that the whole clause says; ``words`` are (sample in the clause, end of
    the word in the reply) for each word that begins in this clause, as far as the voice told. ``shares`` and ``expected``
    come with the chunk that opens a clause: where its words probably lie (see `pacing`), and its probable length in
    samples.
    """

    samples: Samples
    start: int = 0
    end: int = 0
    words: tuple[tuple[int, int], ...] = ()
    opens: bool = False
    closes: bool = False
    text: str = ""
    shares: tuple[tuple[float, int], ...] = ()
    expected: int = 0


@dataclass(frozen=True, slots=True)
class Wish:
    """How a reply is to be made, where it differs from the session's way. None: it does not. ``messages`` instead of the
    conversation so far; ``speaks`` False: as text only; ``record`` False: it is not remembered."""

    system: str | None = None
    tools: tuple[Tool, ...] | None = None
    speaks: bool | None = None
    messages: tuple[Message, ...] | None = None
    record: bool = True


# --- what can happen --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Heard:
    """A block of ``n`` samples was heard. This is the clock. ``probability``: of speech. ``loud_until``: where the last
    sound above the room's floor ended. ``echo``: how surely it is only our own voice come back, 0 to 1. ``pitch``: how
    periodic it is, 0 to 1, told only where there may be a voice or an echo. ``over_floor``: dB of its loudest moment above
    the room's floor."""

    n: int
    probability: float
    loud_until: int = 0
    echo: float = 0.0
    pitch: float = 0.0
    over_floor: float = 0.0


@dataclass(frozen=True, slots=True)
class Understood:
    """The recogniser's text for a turn. ``settled``: it covers everything said so far and will not change by itself."""

    turn: int
    revision: int
    text: str
    settled: bool
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """What the end-of-turn model heard in this revision's pause: ``finished``, how likely the user is, 0 to 1."""

    turn: int
    revision: int
    finished: float


@dataclass(frozen=True, slots=True)
class Told:
    """A piece of the reply's text."""

    reply: int
    text: str


@dataclass(frozen=True, slots=True)
class ClauseReady:
    """A clause of the reply is complete and on its way to the voice."""

    reply: int


@dataclass(frozen=True, slots=True)
class Sounded:
    """A piece of the reply's sound is ready."""

    reply: int
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class Wanted:
    """The reply needs a tool before it can go on."""

    reply: int
    call: ToolCall
    side_effects: bool


@dataclass(frozen=True, slots=True)
class ToolRan:
    """A tool has given its result."""

    reply: int
    turn: int
    call: ToolCall
    result: Any


@dataclass(frozen=True, slots=True)
class Finished:
    """The reply is complete: no more text, no more sound. ``silent``: it was to be text only."""

    reply: int
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """A stage failed. It concerns a reply, a turn, or (both None) the session. ``fatal``: the session cannot go on."""

    stage: str
    code: str
    message: str
    hint: str = ""
    reply: int | None = None
    turn: int | None = None
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class Played:
    """``played`` samples of the reply have left the output. ``audible_at``: when, on the session's clock, the first one
    that can be heard did."""

    reply: int
    played: int
    audible_at: int | None = None


@dataclass(frozen=True, slots=True)
class Began:
    """A model that leads has begun to speak: ``reply`` is the number the brain gives it, higher than any before."""

    reply: int


@dataclass(frozen=True, slots=True)
class Yielded:
    """A model that leads has stopped, because the user spoke: what is left of ``reply`` is not played."""

    reply: int


@dataclass(frozen=True, slots=True)
class Led:
    """Another brain has taken over, in the middle of it: whether its model leads, and whether it gives the user's words."""

    by_model: bool
    words: bool


@dataclass(frozen=True, slots=True)
class Typed:
    """The user wrote instead of speaking."""

    text: str


@dataclass(frozen=True, slots=True)
class Say:
    """The app (or a timer) wants something said as soon as the floor is free. ``number``: by which whoever asked knows it
    again; 0 if nobody waits for it."""

    text: str
    number: int = 0


@dataclass(frozen=True, slots=True)
class Respond:
    """The app wants a reply to the conversation as it is. ``number``: as of `Say`."""

    wish: Wish = Wish()
    number: int = 0


@dataclass(frozen=True, slots=True)
class Ruled:
    """Other rules from now on; None: as before. The names are those of `Rules`. ``wish``: how replies are made then."""

    patience: Patience | None = None
    open_mic: bool | None = None
    answers: bool | None = None
    interruptible: bool | None = None
    tail_seconds: float | None = None
    wish: Wish | None = None


@dataclass(frozen=True, slots=True)
class Disregard:
    """What was said since the last turn is no turn."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """The app stops the assistant."""


@dataclass(frozen=True, slots=True)
class Muted:
    """The microphone was muted: what was being said ends here."""


@dataclass(frozen=True, slots=True)
class Unmuted:
    """The microphone hears again."""


@dataclass(frozen=True, slots=True)
class Woken:
    """The wake word was heard. ``ended``: the sample at which it ended, as far as the engine can tell."""

    word: str
    ended: int
    probability: float = 1.0


@dataclass(frozen=True, slots=True)
class Pressed:
    """Push to talk: the key is down."""


@dataclass(frozen=True, slots=True)
class Released:
    """Push to talk: the key is up."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The session ends. ``reason`` goes into ``session-end``."""

    reason: str = "stopped"


Happened = (
    Heard | Understood | Judged | Told | ClauseReady | Sounded | Wanted | ToolRan | Finished | Failed | Played | Began
    | Yielded | Led | Typed | Say | Respond | Ruled | Disregard | Interrupt | Muted | Unmuted | Woken | Pressed | Released
    | Stop
)  # fmt: skip


# --- what can be done -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Listen:
    """Recognise this turn, from sample ``start`` on (what was already given is not given twice)."""

    turn: int
    start: int


@dataclass(frozen=True, slots=True)
class Feed:
    """Give the newest block to this turn's recognition."""

    turn: int


@dataclass(frozen=True, slots=True)
class Stream:
    """A model that leads gets the newest block, of ``n`` samples; ``heard`` False: as silence, for nobody speaks to it."""

    n: int
    heard: bool


@dataclass(frozen=True, slots=True)
class PassOn:
    """A model that leads gets what the user typed."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class Settle:
    """Ask for the settled text of everything said so far."""

    turn: int
    revision: int


@dataclass(frozen=True, slots=True)
class Judge:
    """Ask the end-of-turn model about this pause. ``start``: where the turn began."""

    turn: int
    revision: int
    start: int


@dataclass(frozen=True, slots=True)
class Forget:
    """Nothing more is wanted of this turn's recognition."""

    turn: int


@dataclass(frozen=True, slots=True)
class Prepare:
    """Make a reply to ``text``; nothing of it is heard and no tool with side effects runs before ``Commit``.
    ``verbatim``: ``text`` itself is what to say, and ``saying`` is the number it was asked with. ``wish``: the app asked for
    it, and there is no turn of the user that it answers."""

    reply: int
    turn: int
    text: str
    verbatim: bool = False
    saying: int = 0
    wish: Wish | None = None


@dataclass(frozen=True, slots=True)
class Adjust:
    """Replies are made this way from now on."""

    wish: Wish


@dataclass(frozen=True, slots=True)
class Discard:
    """Stop making this reply. ``wasted``: it had been prepared for nothing."""

    reply: int
    wasted: bool = False


@dataclass(frozen=True, slots=True)
class Commit:
    """This reply counts now: the turn it answers is decided."""

    reply: int


@dataclass(frozen=True, slots=True)
class RunTool:
    """Run this tool for this reply."""

    reply: int
    call: ToolCall


@dataclass(frozen=True, slots=True)
class Play:
    """Hand this piece to the output."""

    reply: int
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class Duck:
    """Lower the output: somebody may be speaking."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Stand still at the exact sample."""


@dataclass(frozen=True, slots=True)
class GoOn:
    """Full level again, from the exact sample."""


@dataclass(frozen=True, slots=True)
class Hush:
    """Fade out now and throw away what was not played of this reply."""

    reply: int


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell the app."""

    event: Event


@dataclass(frozen=True, slots=True)
class Remember:
    """Into the history: what the user said, or what of the reply was heard. ``cut``: the reply was interrupted there.
    ``script``: where in its sound the words of the ``whole`` reply lie, should a client tell later that less was heard.
    ``not_understood``: the user spoke, and no word was found."""

    turn: int
    role: str
    text: str
    cut: bool = False
    unheard: str = ""
    whole: str = ""
    script: tuple[ClauseSpan, ...] = ()
    not_understood: bool = False


@dataclass(frozen=True, slots=True)
class RememberTool:
    """Into the history: a tool was called, and this came of it."""

    turn: int
    call: ToolCall
    result: Any


@dataclass(frozen=True, slots=True)
class End:
    """The conversation is over."""

    reason: str


Effect = (
    Listen | Feed | Stream | PassOn | Settle | Judge | Forget | Prepare | Adjust | Discard | Commit | RunTool | Play | Duck
    | Hold | GoOn | Hush | Emit | Remember | RememberTool | End
)  # fmt: skip
