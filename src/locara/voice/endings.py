"""Is the turn over? Words and the end-of-turn model's view in, seconds of silence to wait out. Pure, and every number
has its reason.

One rule. Words and sound give the odds that the user has finished. Pauses inside a turn get rarer the longer they last, so
waiting on pays as long as the user is still likely enough to go on in the next moment; it stops to pay after
``Patience.even * odds ** -THINNING`` seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from locara.voice import dictating
from locara.voice.evidence import words_of


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds of silence since the last sample of speech after which a turn is over."""

    even: float
    """When it is as likely that the user has finished as that the user goes on."""
    least: float
    """Never sooner, however sure: the closure of a plosive or a breath between two words may be as long."""
    last: float
    """Never later, whatever was said, or if it is not known yet."""


PATIENCE = {
    "quick": Patience(even=0.35, least=0.15, last=1.6),
    "normal": Patience(even=0.48, least=0.2, last=2.5),
    "patient": Patience(even=1.35, least=0.45, last=4.0),
}
"""One setting a person understands."""

THINNING = 0.55
"""Of real people's pauses longer than 0.2 s, 56 % outlast 0.3 s, 22 % 0.6 s, 10 % 1 s, 5 % 1.6 s (LiveKit's eot-bench): the
number that end in a given moment falls with time to the power of -2.35. That gives 1 / 2.35 = 0.43 for odds that are right;
0.55 is better in cross-validation, because the odds of words and sound together are a little too cautious."""

BEFORE = 0.57
"""Ends for each pause of 0.2 s or more, before anything is known of it: 400 to 705 in eot-bench (real people talking to
assistants)."""

PREPARE_SECONDS = 1.0
"""A reply is prepared when the turn may be over in so much more silence. Sooner would throw more of them away; later, a
usual model's first sound would come after the decision."""

SURE = 0.97
"""No end-of-turn model is believed more than this that the user has finished: they are wrong more often than they say."""

DOUBTFUL = 0.15
"""Nor less than this. A question whose melody rises, a voice unlike those it learnt from: what it takes for a pause may be
an end. It costs 0.02 of cut-offs at 300 ms (0.21 to 0.23, cross-validated) and spares such speakers seconds."""


class Clause(Enum):
    """How a text ends."""

    WHOLE = "whole"
    """A question or an answer that needs nothing more."""
    FINISHED = "finished"
    UNSURE = "unsure"
    HANGING = "hanging"
    COUNTING = "counting"


WORDS_SAY = {
    Clause.WHOLE: 6.0,
    Clause.FINISHED: 2.0,
    Clause.UNSURE: 0.8,
    Clause.HANGING: 0.15,
    Clause.COUNTING: 0.1,
}
"""How many times likelier such words are at the end of a turn than at a pause inside one. Recognisers mishear, so these are
much closer to 1 than for a text that is right."""

TRUSTED = 0.5
"""Confidence (0 to 1) of the recogniser from which a clause that hangs says that much. Below, in proportion less: it hangs
by its last word alone, and "espresso" that became "you're as" hangs, but nobody said that. Whether a clause is finished is
seen by its length and its beginning, and survives a misheard word."""

_HANGING = frozenset(
    """a an the and or but nor so because if when while although that which who whose whom than as of to in on at for
    from with without about into onto over under between through during by is are was were am be been being has have had
    do does did can could will would shall should may might must my your his her its our their this these those some any
    every each very really quite just like um uh er hmm well what's it's i'm there's let's not also maybe plus
    times minus divided point""".split()
)
_ASKING = frozenset("what who where when why how which whose is are was were do does did".split())
_OPENERS = _ASKING | frozenset("can could will would".split())
_STRANDED = frozenset("to in on at for from with about of like by".split())
"""A question may end on one of these ("where are you from"), or go on."""
_WHOLE = frozenset(
    tuple(one.split())
    for one in (
        "yes", "no", "stop", "help", "hello", "hi", "thanks", "thank you", "okay", "goodbye", "bye", "never mind",
        "go on", "say that again", "good morning", "wait", "quiet", "sure", "of course",
    )
)  # fmt: skip


def ending(text: str) -> Clause:
    """Whether ``text`` ends where a speaker would stop. Recognisers give no punctuation, so mostly the last word tells."""
    stripped = text.rstrip()
    words = words_of(text)
    dictated = dictating.digits_at_the_end(words)
    if stripped.endswith((",", ";", ":", "-", "…", "...")):
        return Clause.HANGING
    if not words or dictated >= dictating.COUNTED:
        return Clause.COUNTING if dictating.COUNTED <= dictated < dictating.WHOLE_NUMBER else Clause.UNSURE
    return _ending_of(words, stripped)


def _ending_of(words: tuple[str, ...], stripped: str) -> Clause:
    if words[-1] in _HANGING and not (stripped.endswith(("?", "!")) or len(words) == 1):
        asked = words[0] in _OPENERS and len(words) >= 4 and words[-1] in _STRANDED
        return Clause.UNSURE if asked else Clause.HANGING
    if stripped.endswith("?") or words in _WHOLE or (len(words) >= 4 and words[0] in _ASKING):
        return Clause.WHOLE
    if stripped.endswith((".", "!")) or (len(words) >= 3 and words[0] in _OPENERS):
        return Clause.FINISHED
    return Clause.FINISHED if len(words) >= 5 else Clause.UNSURE


def silence_needed(
    text: str | None,
    patience: Patience,
    finished: float | None = None,
    *,
    voiced: float = 0.0,
    confidence: float | None = None,
    breaks: int = 0,
) -> float:
    """Seconds of silence after which the turn is over.

    ``text``: the settled words, or None as long as they are not settled. ``finished``: how likely the user has finished
    by the end-of-turn model, or None without one. ``voiced``: seconds of voice that the words come from. ``confidence``:
    the recogniser's, 0 to 1, or None. ``breaks``: pauses of the turn of less than `dictating.BREAK_SECONDS`.
    """
    if text is None:
        return patience.last
    clause = ending(text)
    trust = min(1.0, confidence / TRUSTED) if confidence is not None and clause is Clause.HANGING else 1.0
    odds = BEFORE * WORDS_SAY[clause] ** trust
    if finished is not None:
        believed = min(SURE, max(DOUBTFUL, finished))
        odds *= believed / (1.0 - believed)
    whole = dictating.said(text, voiced) >= dictating.WHOLE_NUMBER
    if words_of(text) not in _WHOLE and (whole or clause is not Clause.COUNTING):
        misheard = dictating.misheard(text, voiced, confidence, breaks)
        odds = _mixed(misheard, BEFORE * WORDS_SAY[Clause.UNSURE if whole else Clause.COUNTING], odds)
    return float(min(patience.last, max(patience.least, patience.even * odds**-THINNING)))


def _mixed(chance: float, odds: float, otherwise: float) -> float:
    """The odds of what has ``odds`` with a chance of ``chance`` and else ``otherwise``."""
    true = chance * odds / (1.0 + odds) + (1.0 - chance) * otherwise / (1.0 + otherwise)
    return true / (1.0 - true)
