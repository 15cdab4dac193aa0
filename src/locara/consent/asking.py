"""The question to a person. What may live here: the question as a value, and asking it at a terminal.

Anything else that can ask (a web page) is a function of the same shape, given as ``ask``. No answer is no.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TextIO

from locara.consent.rules import By

ASK_SECONDS = 300.0
"""Nobody who wants to answer needs longer; a program that nobody watches must not wait forever."""

_LOOK_SECONDS = 0.25
"""A Ctrl-C that comes in the instant before ``select`` is only a note that Python takes, and does not end the waiting: it is
looked at this often."""

MEANING = {
    "device.microphone": "listen to your microphone",
    "device.speaker": "speak through your speaker",
    "device.speaker.select": "list your speakers and choose another than the default",
}


@dataclass(frozen=True, slots=True)
class Question:
    """Who wants what. ``why``: the app's own reason, or what it follows from. ``update``: a new version added it."""

    app: str
    name: str
    version: str
    capability: str
    why: str = ""
    update: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """``deny``: said so, and not asked again. ``dismissed``: no answer; denied, and asked again by the next process."""

    word: Literal["once", "always", "deny", "dismissed"]
    by: By = "terminal"


Ask = Callable[[Question], Answer]

_WORDS: dict[str, Literal["once", "always", "deny"]] = {
    "o": "once", "once": "once", "a": "always", "always": "always", "d": "deny", "deny": "deny", "n": "deny", "no": "deny",
}  # fmt: skip


def text_of(question: Question) -> str:
    """The question as a person reads it. What an app says of itself is shown without control characters and cut, so that
    it cannot repaint the question."""
    name, why = _shown(question.name, 60), _shown(question.why, 200)
    head = f"{name} ({_shown(question.app, 100)})" if name else _shown(question.app, 100)
    version = f" {_shown(question.version, 30)}" if question.version else ""
    lines = [
        f"{head}{version} wants to {MEANING.get(question.capability, question.capability)} ({question.capability})."
    ]
    if question.update:
        lines.append("  An update of it asks for this: it was not in what you allowed before.")
    if why:
        lines.append(f"  Why: {why}")
    return "\n".join(lines) + "\n  [o]nce, [a]lways, [d]eny? Enter is no: "


def understood(line: str) -> Literal["once", "always", "deny", "dismissed"]:
    """What a typed line means. Anything but a clear word is no answer."""
    return _WORDS.get(line.strip().lower(), "dismissed")


def at_terminal(
    question: Question, *, typed: TextIO | None = None, shown: TextIO | None = None, seconds: float = ASK_SECONDS
) -> Answer:
    """Asks on the terminal. Enter, Ctrl-C, the end of input and ``seconds`` without an answer are no answer."""
    typed, shown = typed or sys.stdin, shown or sys.stderr
    try:
        with _interruptible():  # before the question can be read: who is quick may answer it with Ctrl-C at once
            shown.write(text_of(question))
            shown.flush()
            line = _line(typed, seconds)
    except KeyboardInterrupt:
        line = ""
    word = understood(line)
    if not line.endswith("\n"):
        shown.write("\n")
    if word == "dismissed":
        shown.write("  No.\n")
    shown.flush()
    return Answer(word)


def whoever_is_there() -> Ask | None:
    """`at_terminal` where a person sits at one: they can type, and see the question. Else None."""
    try:
        return at_terminal if sys.stdin.isatty() and sys.stderr.isatty() else None
    except (AttributeError, ValueError):  # closed, or none: a program without a console
        return None


def _line(typed: TextIO, seconds: float) -> str:
    try:
        file = typed.fileno()
    except (OSError, ValueError, AttributeError):
        return typed.readline()  # text in memory
    if os.name == "posix" and not _typed(file, seconds):
        return ""
    return typed.readline()


def _typed(file: int, seconds: float) -> bool:
    """A line can be read, before ``seconds`` have passed."""
    deadline = time.monotonic() + seconds
    while True:
        left = deadline - time.monotonic()
        if select.select([file], [], [], min(max(left, 0.0), _LOOK_SECONDS))[0]:
            return True
        if left <= 0:
            return False


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C ends the question, also where asyncio has put a handler of its own, which would only take a note of it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: Any = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


def _shown(text: str, most: int) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)[:most].strip()
