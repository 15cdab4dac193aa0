"""What the built-in responder keeps between turns: running timers and what it was asked to remember.

What may live here: bounded state behind a lock, and its values. The clock is the event loop's and comes in from outside;
tools may run on any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from locara.engines.responder_speech import length_of, sentence, turned
from locara.engines.responder_words import words

MOST_TIMERS = 20
MOST_SECONDS = 24 * 3600
MOST_FACTS = 100
MOST_FACT_CHARACTERS = 300
_MOST_NAME_CHARACTERS = 100
_BEING = frozenset({"is", "are", "was", "were", "am", "has", "have"})


@dataclass(frozen=True, slots=True)
class Ringing:
    """A timer: its length and what is left of it, in seconds, and its name ('' without one; a reminder's begins with
    ``to``)."""

    id: int
    seconds: float
    left: float
    name: str = ""

    def called(self, article: str) -> str:
        """How to speak of it: ``a five minute timer``, ``the pasta timer``, ``a reminder to call mum``."""
        if self.name.startswith("to "):
            return f"{article} reminder {turned(self.name)}"
        label = self.name or length_of(self.seconds)
        if article == "a" and label.startswith(("a", "e", "i", "o", "u")) and not label.startswith("one"):
            article = "an"
        return f"{article} {label} timer"

    @property
    def ring(self) -> str:
        """The sentence that says that it is done."""
        if self.name.startswith("to "):
            return sentence(f"Reminder: {turned(self.name.removeprefix('to '))}")
        return sentence(f"{self.called('your')} is done")


class Keeping:
    """Timers and facts of one session. ``clock`` gives seconds; ``changed`` is called after timers have changed."""

    def __init__(self, clock: Callable[[], float], changed: Callable[[], object]) -> None:
        self._clock = clock
        self._changed = changed
        self._lock = threading.Lock()
        self._due: dict[int, tuple[float, Ringing]] = {}
        self._facts: list[str] = []
        self._next_id = 1

    @property
    def facts(self) -> tuple[str, ...]:
        """What was remembered, oldest first."""
        with self._lock:
            return tuple(self._facts)

    def timers(self) -> tuple[Ringing, ...]:
        """The running timers, the next to ring first."""
        now = self._clock()
        with self._lock:
            ordered = sorted(self._due.values(), key=lambda pair: (pair[0], pair[1].id))
        return tuple(Ringing(one.id, one.seconds, max(0.0, due - now), one.name) for due, one in ordered)

    def take_due(self) -> Ringing | None:
        """The first timer whose time has come, or None; it is then gone."""
        now = self._clock()
        with self._lock:
            ripe = min(((due, one.id) for due, one in self._due.values() if due <= now), default=None)
            return self._due.pop(ripe[1])[1] if ripe else None

    def next_due(self) -> float | None:
        """When the next timer rings, on the clock; None without one."""
        with self._lock:
            return min((due for due, _ in self._due.values()), default=None)

    # --- what the tools do: never raises for bad arguments, a model may have made them up ---------------------------

    def set_timer(self, seconds: float, name: str = "") -> dict[str, Any]:
        """Starts a timer of ``seconds`` (1 to 86400) now."""
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 1 <= seconds <= MOST_SECONDS:
            return _refused("a timer runs for one second at least and 24 hours at most")
        name = str(name)[:_MOST_NAME_CHARACTERS]
        now = self._clock()
        with self._lock:
            if len(self._due) >= MOST_TIMERS:
                return _refused(f"there are {MOST_TIMERS} timers already; cancel one first")
            timer = Ringing(self._next_id, float(seconds), float(seconds), name)
            self._next_id += 1
            self._due[timer.id] = (now + seconds, timer)
        self._changed()
        return {"ok": True, "id": timer.id, "seconds": seconds, "name": name}

    def cancel_timer(self, ids: Sequence[int]) -> dict[str, Any]:
        """Stops the timers with these ids; unknown ones are skipped."""
        if isinstance(ids, str) or not isinstance(ids, Sequence):
            return _refused("which timer to cancel was not said")
        with self._lock:
            gone = [self._due.pop(one)[1] for one in ids if isinstance(one, int) and one in self._due]
        self._changed()
        return {"ok": True, "cancelled": [{"id": one.id, "seconds": one.seconds, "name": one.name} for one in gone]}

    def remember(self, text: str) -> dict[str, Any]:
        """Keeps ``text`` until the session ends. What was known of the same subject is replaced."""
        text = " ".join(str(text).split())
        if not text:
            return _refused("there was nothing to remember")
        if len(text) > MOST_FACT_CHARACTERS:
            return _refused("that is too long for me to remember")
        subject = _subject(text)
        with self._lock:
            kept = [fact for fact in self._facts if fact != text and not (subject and _subject(fact) == subject)]
            if len(kept) >= MOST_FACTS:
                return _refused(f"I already remember {MOST_FACTS} things, and that is all I can")
            self._facts = [*kept, text]
        return {"ok": True, "text": text}


def _refused(why: str) -> dict[str, Any]:
    return {"ok": False, "error": why}


def _subject(fact: str) -> tuple[str, ...]:
    """What a fact is about: the words before its first ``is``; nothing where there is none, or where it could be
    anything ("he is")."""
    said = words(fact)
    verb = next((at for at, word in enumerate(said) if word in _BEING), 0)
    return said[:verb] if verb > 1 else ()
