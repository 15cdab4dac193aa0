"""Evidence in, verdict out: is the turn over, does the user want the floor? Pure, and every number has its reason.

Simple on purpose where stronger evidence will join: each function takes all that is known and returns a verdict, so
that a semantic model, prosody or an echo canceller's view become arguments here and change nothing elsewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

# --- is it voice? -----------------------------------------------------------------------------------------------------

VOICE_ON = 0.5
"""Silero's own threshold: best F1 on hand-labelled speech within 0.01."""

VOICE_OFF = 0.35
"""Once on, voice stays on down to here: without it, soft word endings flicker."""

ECHO_ON = 0.5
"""Evidence of our own echo from which a sound opens no turn: the echo explains it as well as a voice would."""

ECHO_OFF = 0.7
"""Once on, voice stays on up to here: a syllable that falls under the echo for a moment is not the end of a word."""

ONSET_SECONDS = 0.06
"""Voice this long opens a turn: two of Silero's 32 ms windows, which no click or tap in our recordings reaches."""

ECHO_ONSET_SECONDS = 0.12
"""The same where an echo of ours is heard, too: what a canceller leaves over is seldom longer. Ducking waits for nothing."""

PREROLL_SECONDS = 0.3
"""Sound from before the onset that the recogniser gets too: voice activity is 55 to 105 ms late, plosives start softly."""

PAUSE_SECONDS = 0.04
"""Unvoiced this long is a pause: more than one of Silero's windows, so one that dips inside a word is none."""

HANGOVER_SECONDS = 0.25
"""Voice activity may end at most this much later than the sound it followed (Silero: 117 ms median, 273 ms p95)."""

TOLD_SECONDS = 0.1
"""Unvoiced this long is told as ``speech-end``: a shorter gap prepares a reply, but need not flicker in anyone's view."""


def is_voice(probability: float, echo: float, *, already: bool) -> bool:
    """Whether a block counts as the user's voice. ``probability``: of speech. ``echo``: how surely it is only our own.
    ``already``: the block before it did."""
    if already:
        return probability >= VOICE_OFF and echo <= ECHO_OFF
    return probability >= VOICE_ON and echo <= ECHO_ON


def onset_seconds(echo: float) -> float:
    """How long a voice must be on to open a turn. ``echo``: 0 where there can be none."""
    return ECHO_ONSET_SECONDS if echo > 0.0 else ONSET_SECONDS


# --- is the turn over? ------------------------------------------------------------------------------------------------

HINT_SECONDS = 0.08
"""Silence after which the words are settled and a reply is prepared, unheard. As early as a pause can be seen: with
Silero, which lets go 65 to 120 ms late, that is after about 0.15 s, longer than the closure of a plosive."""

DISTURBED_SECONDS = 0.35
"""Voice this long after a pause means the turn goes on, and what was prepared is dropped; less may be a breath."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Silence, in seconds since the last sample of speech, after which a turn is over."""

    finished: float
    """The words make a finished clause."""
    unsure: float
    """They may or may not."""
    hanging: float
    """They plainly want more ("and", "the", "my name is")."""
    last: float
    """Whatever they are, or if they are not known yet."""


PATIENCE = {
    "quick": Patience(finished=0.35, unsure=0.5, hanging=1.0, last=1.6),
    "normal": Patience(finished=0.45, unsure=0.7, hanging=1.5, last=2.5),
    "patient": Patience(finished=0.8, unsure=1.3, hanging=2.5, last=4.0),
}
"""One setting a person understands. Most pauses inside a turn last less than 0.7 s (median of eot-bench 0.5 s)."""

WORDLESS_SECONDS = 0.5
"""A turn in which no words were found ends after this much silence: the word may only just have begun."""

MAX_TURN_SECONDS = 120.0
"""No turn goes on for ever: a television is not a speaker."""


class Clause(Enum):
    """How a text ends."""

    FINISHED = "finished"
    UNSURE = "unsure"
    HANGING = "hanging"


_HANGING = frozenset(
    """a an the and or but nor so because if when while although that which who whose whom than as of to in on at for
    from with without about into onto over under between through during by is are was were am be been being has have had
    do does did can could will would shall should may might must my your his her its our their this these those some any
    every each very really quite just like um uh er hmm well what's it's i'm there's let's not also maybe plus
    times minus divided point""".split()
)
_OPENERS = frozenset("what who where when why how which whose is are was were do does did can could will would".split())
_STRANDED = frozenset("to in on at for from with about of like by".split())
"""A question may end on one of these ("where are you from"), or go on."""
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text in lower case, without punctuation."""
    return tuple(_WORD.findall(text.lower().replace("’", "'")))


def same_words(one: str, other: str) -> bool:
    """Equal after normalisation: what one can answer, answers the other."""
    return words_of(one) == words_of(other)


def ending(text: str) -> Clause:
    """Whether ``text`` ends where a speaker would stop. Recognisers give no punctuation, so mostly the last word tells."""
    stripped = text.rstrip()
    if stripped.endswith((",", ";", ":", "-", "…", "...")):
        return Clause.HANGING
    words = words_of(text)
    if not words:
        return Clause.UNSURE
    if words[-1] in _HANGING and not (stripped.endswith(("?", "!")) or len(words) == 1):
        asked = words[0] in _OPENERS and len(words) >= 4 and words[-1] in _STRANDED
        return Clause.UNSURE if asked else Clause.HANGING
    if stripped.endswith((".", "!", "?")) or words in _WHOLE or (len(words) >= 3 and words[0] in _OPENERS):
        return Clause.FINISHED
    return Clause.FINISHED if len(words) >= 5 else Clause.UNSURE


_WHOLE = frozenset(
    tuple(one.split())
    for one in (
        "yes", "no", "stop", "help", "hello", "hi", "thanks", "thank you", "okay", "goodbye", "bye", "never mind",
        "go on", "say that again", "good morning", "wait", "quiet", "sure", "of course",
    )
)  # fmt: skip


def silence_needed(text: str | None, patience: Patience) -> float:
    """Seconds of silence after which the turn is over. ``text`` is None as long as the words are not settled."""
    if text is None:
        return patience.last
    return {
        Clause.FINISHED: patience.finished,
        Clause.UNSURE: patience.unsure,
        Clause.HANGING: patience.hanging,
    }[ending(text)]


# --- does the user want the floor? ------------------------------------------------------------------------------------

BLIP_SECONDS = 0.1
"""A ducked reply comes back this long after a sound that never became voice."""

HOLD_SECONDS = 0.25
"""Voice this long stops the lowered reply where it stands: whoever still talks probably means it."""

TAKE_SECONDS = 0.9
"""Voice this long takes the floor even before words are known; backchannels in real meetings last 0.2 to 0.85 s."""

WORDS_SECONDS = 0.6
"""After the voice ended, words are awaited this long; then it was a noise."""

ALL_SAID_SECONDS = 0.25
"""Silence after which words that are settled are all there is: a shorter gap may be inside what is being said."""

HELD_SECONDS = 4.0
"""Held longer than this, the reply goes on or ends: the last deadline."""

_BACKCHANNELS = frozenset(
    """mm mhm mm-hm hm hmm uh um huh uh-huh yeah yep yes yup right okay ok sure oh ah aha i see nice cool great wow good
    really true exactly""".split()
)
_COMMANDS = frozenset("stop wait no hold pause quiet enough cancel shut hey listen sorry actually but".split())


class Floor(Enum):
    """Who has the floor when both make a sound."""

    TAKEN = "taken"
    KEPT = "kept"
    OPEN = "open"


def floor(*, voiced: float, silence: float, text: str, settled: bool) -> Floor:
    """Whether the user takes the floor from the speaking assistant.

    ``voiced``: seconds of voice so far. ``silence``: seconds since it ended, 0 while it lasts. ``text``: its words so far.
    """
    words = words_of(text)
    if any(word in _COMMANDS for word in words):
        return Floor.TAKEN
    telling = [word for word in words if word not in _BACKCHANNELS]
    if len(telling) >= 2 or (telling and settled):
        return Floor.TAKEN
    if voiced >= TAKE_SECONDS:
        return Floor.TAKEN
    if (settled and silence >= ALL_SAID_SECONDS) or silence >= WORDS_SECONDS:
        return Floor.KEPT
    return Floor.OPEN


def only_backchannel(text: str) -> bool:
    """True for "mm-hm" and its kind: the listener listens."""
    words = words_of(text)
    return bool(words) and all(word in _BACKCHANNELS for word in words)
