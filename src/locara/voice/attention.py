"""Attention as values: who is listened to, since when, until when, and for how long it has been quiet. Pure.

What may live here: the numbers, the frozen state, and the wake word as text. The decisions are in `attending`.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Literal

Mode = Literal["open", "push-to-talk", "wake-word"]
MODES: tuple[Mode, ...] = ("open", "push-to-talk", "wake-word")
"""``open``: voice opens a turn. ``push-to-talk``: only the key does. ``wake-word``: voice does, after the word."""

FOLLOW_UP_SECONDS = 8.0
"""Seconds after an exchange in which the user is listened to without the wake word: time to think of the next question,
and little of what is said in the room afterwards, to somebody else."""

SAME_BREATH_SECONDS = 0.35
"""Voice that is still on this long after the end of the wake word is speech in the same breath: voice activity lets go of
the word itself up to 273 ms late (p95, Silero), and where the word ended is known to 0.1 s."""

_ALIKE = 0.75
"""Share of equal letters from which a misheard phrase is taken for the wake word ("hey travis"), where the wake-word
engine has heard it in this very turn."""

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")


@dataclass(frozen=True, slots=True)
class Attention:
    """Wake-word mode: is anybody listened to? Positions in samples of the session's clock."""

    attentive: bool = False
    told: bool = False
    """The app knows that the session waits for the word."""
    until: int = 0
    """Attentive until here, unless something is going on."""
    heard_from: int = 0
    """Nothing before this sample is for a recogniser: it was said while nobody listened, or is the wake word itself."""
    turn: int = -1
    """The turn in which, or just before which, the wake word was heard."""


@dataclass(frozen=True, slots=True)
class Idle:
    """How long it has been quiet. Positions in samples of the session's clock."""

    since: int = 0
    """Where the last sound of either side ended."""
    counted: int = 0
    """Where the last ``user-idle`` was told, or the silence began."""
    count: int = 0
    """How often it was told since the user last spoke."""
    prompt: int = -1
    """The reply that says the prompt."""


def without_wake_word(text: str, phrase: str, *, misheard: bool) -> str:
    """``text`` without the wake word at its beginning, or without the end of it ("jarvis, what ..." of "hey jarvis").

    ``misheard``: whether something that only resembles the whole phrase is taken off too. The rest keeps its spelling.
    """
    wanted = [word.casefold() for word in _WORD.findall(phrase)]
    found = list(_WORD.finditer(text))
    for first in range(len(wanted)):
        tail = wanted[first:]
        if [word.group().casefold() for word in found[: len(tail)]] == tail:
            return _after(text, found[len(tail) - 1].end())
    if not misheard or not wanted or not found:
        return text
    heard = [word.group().casefold() for word in found]
    lengths = range(max(1, len(wanted) - 1), min(len(found), len(wanted) + 1) + 1)  # a word more or less: "jar vis"
    best, n = max(((_likeness("".join(heard[:n]), "".join(wanted)), n) for n in lengths), default=(0.0, 0))
    return _after(text, found[n - 1].end()) if best >= _ALIKE else text


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()


def _after(text: str, at: int) -> str:
    return text[at:].lstrip(" \t\n,.;:!?…-–—")
