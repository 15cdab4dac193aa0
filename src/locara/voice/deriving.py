"""Where a model that speaks and is silent in one stream begins to say something, and where it has said it. Pure.

What may live here: from frames to utterances, and how much slack their playing needs. Such a model (Moshi) gives a frame of
sound every 80 ms, silence too, and no mark of any turn; what is said here is therefore *estimated*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

ON_DBFS = -45.0
"""A frame above this opens an utterance, dB relative to full scale: codecs of this kind are silent at -60 and below, and
the softest beginning of a word is above -40."""

OFF_DBFS = -50.0
"""A frame below this is silent: lower than what opens one, so that soft endings do not flicker."""

QUIET_SECONDS = 0.5
"""So long without sound and without text, and the utterance is over: pauses within a sentence are seldom longer than
0.4 s."""

YIELDED_SECONDS = 0.24
"""The same while the user speaks: whoever falls silent then has probably given way, and an app wants to know it soon."""

LEAD_SECONDS = 0.02
"""Silence before an utterance, so that a frame that comes a little later finds the one before it still playing."""

MOST_LEAD_SECONDS = 0.3
"""Of a model whose frames come still less evenly the sound has gaps, rather than that every answer is later than this."""

_USUAL = 0.95
"""The share of frames that come in time."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """What is known of the stream so far. Seconds."""

    goes_on: bool = False
    quiet: float = 0.0
    """Since the last frame with sound or text."""


def follow(now: Utterance, level: float, text: str, seconds: float, *, over_user: bool = False) -> Utterance:
    """After one more frame of ``seconds``, ``level`` dB relative to full scale, in which ``text`` was thought.
    ``over_user``: the user speaks, too."""
    if bool(text.strip()) or level >= (OFF_DBFS if now.goes_on else ON_DBFS):
        return Utterance(goes_on=True)
    if not now.goes_on:
        return now
    quiet = now.quiet + seconds
    enough = YIELDED_SECONDS if over_user else QUIET_SECONDS
    return Utterance() if quiet >= enough - 1e-9 else replace(now, quiet=quiet)


def lead_needed(delays: Sequence[float]) -> float:
    """Seconds of silence to put before an utterance. ``delays``: how long after what it heard each of the latest frames
    came; only their unevenness matters."""
    if not delays:
        return LEAD_SECONDS
    ordered = sorted(delays)
    late = ordered[min(len(ordered) - 1, int(_USUAL * len(ordered)))] - ordered[0]
    return min(MOST_LEAD_SECONDS, LEAD_SECONDS + late)
