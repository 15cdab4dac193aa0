"""Evidence in, verdict out: is it voice, does the user want the floor? Pure, and every number has its reason.

Each function takes all that is known and returns a verdict. Whether the turn is over is in `endings`.
"""

from __future__ import annotations

import re
from enum import Enum

# --- is it voice? -----------------------------------------------------------------------------------------------------

VOICE_ON = 0.5
"""Silero's own threshold: best F1 on hand-labelled speech within 0.01."""

VOICE_OFF = 0.35
"""Once on, voice stays on down to here: without it, soft word endings flicker."""

ONSET_SECONDS = 0.06
"""Voice this long opens a turn: two of Silero's 32 ms windows, which no click or tap in our recordings reaches."""

PREROLL_SECONDS = 0.3
"""Sound from before the onset that the recogniser gets too: voice activity is 55 to 105 ms late, plosives start softly."""

PAUSE_SECONDS = 0.04
"""Unvoiced this long is a pause: more than one of Silero's windows, so one that dips inside a word is none."""

HANGOVER_SECONDS = 0.25
"""Voice activity may end at most this much later than the sound it followed (Silero: 117 ms median, 273 ms p95)."""

TOLD_SECONDS = 0.1
"""Unvoiced this long is told as ``speech-end``: a shorter gap prepares a reply, but need not flicker in anyone's view."""

# --- pauses and turns -------------------------------------------------------------------------------------------------

HINT_SECONDS = 0.08
"""Silence after which the words are settled and a reply is prepared, unheard. As early as a pause can be seen: with
Silero, which lets go 65 to 120 ms late, that is after about 0.15 s, longer than the closure of a plosive."""

DISTURBED_SECONDS = 0.35
"""Voice this long after a pause means the turn goes on, and what was prepared is dropped; less may be a breath."""

WORDLESS_SECONDS = 0.5
"""A turn in which no words were found ends after this much silence: the word may only just have begun."""

MAX_TURN_SECONDS = 120.0
"""No turn goes on for ever: a television is not a speaker."""

# --- words ------------------------------------------------------------------------------------------------------------

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text in lower case, without punctuation."""
    return tuple(_WORD.findall(text.lower().replace("’", "'")))


def same_words(one: str, other: str) -> bool:
    """Equal after normalisation: what one can answer, answers the other."""
    return words_of(one) == words_of(other)


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
