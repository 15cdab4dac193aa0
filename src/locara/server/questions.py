"""Consent that is asked over a connection: the page shows the question, and a person answers it there.

What may live here: which connection is asked, and waiting for its answer. What an answer means is the ledger's.

Only a connection that `attends` is ever asked or may answer; `ipc` lets none attend but the page's own. No answer is no, but
it is not remembered: a page that is loaded anew asks again.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from dataclasses import dataclass
from typing import Literal, Protocol

from locara.consent.asking import ASK_SECONDS, Answer, Question
from locara.errors import CapabilityDenied, MessageError

MOST_OPEN = 3
"""Questions at once. Each holds a thread of the pool that tools and file accesses use too, which has five at least; and
nobody reads a fourth."""

Word = Literal["once", "always", "deny"]


class Attending(Protocol):
    """A connection whose person can be asked."""

    def show(self, number: str, question: Question) -> None:
        """Asks."""
        ...

    def withdraw(self, number: str) -> None:
        """The question needs no answer any more."""
        ...


@dataclass(frozen=True, slots=True)
class _Open:
    question: Question
    by: Attending
    answered: Future[Word]


class Questions:
    """All open questions of one server. Its methods are called on the event loop; what `asking` returns, in a thread."""

    def __init__(self, seconds: float = ASK_SECONDS) -> None:
        self._seconds = seconds
        self._attending: list[Attending] = []
        self._open: dict[str, _Open] = {}

    @property
    def open(self) -> int:
        """Questions that wait for an answer."""
        return len(self._open)

    def attends(self, connection: Attending) -> None:
        """From now on its person can be asked. Whoever came last is asked first."""
        if connection not in self._attending:
            self._attending.append(connection)

    def leaves(self, connection: Attending) -> None:
        """It is gone, or may not answer any more: what it was asked is withdrawn."""
        if connection in self._attending:
            self._attending.remove(connection)
        for number, one in list(self._open.items()):
            if one.by is connection:
                self._close(number, _denied(one.question, "the page on which it was asked was closed"))

    def answer(self, connection: Attending, number: str, word: Word) -> None:
        """Raises ``MessageError`` for a question that was not put to this connection, or is not open any more."""
        found = self._open.get(number)
        if found is None or found.by is not connection:
            raise MessageError(
                "there is no such question here", hint="it was answered, withdrawn, or put to another connection"
            )
        del self._open[number]
        if not found.answered.done():
            found.answered.set_result(word)

    def asking(self, first: Attending | None) -> Asking:
        """A way to ask for one session. ``first``: the connection that is asked if it attends; else the newest that does."""
        return Asking(self, first, asyncio.get_running_loop(), self._seconds)

    # --- for Asking ---------------------------------------------------------------------------------------------------

    def put(self, number: str, question: Question, first: Attending | None, answered: Future[Word]) -> None:
        """Shows it to somebody, or fails ``answered`` at once."""
        if not self._attending:
            answered.set_exception(_denied(question, "no page is open on which it could be asked"))
        elif len(self._open) >= MOST_OPEN:
            answered.set_exception(_denied(question, f"{MOST_OPEN} other questions wait for an answer"))
        else:
            by = first if first is not None and first in self._attending else self._attending[-1]
            self._open[number] = _Open(question, by, answered)
            by.show(number, question)

    def give_up(self, number: str) -> None:
        """Nobody waits for its answer any more."""
        found = self._open.get(number)
        if found is not None:
            self._close(number, _denied(found.question, "nobody answered"))

    def _close(self, number: str, error: CapabilityDenied) -> None:
        found = self._open.pop(number)
        if not found.answered.done():
            found.answered.set_exception(error)
        found.by.withdraw(number)


class Asking:
    """What `locara.consent.access.Access` is given as ``ask``: called in a thread, it waits for the person's answer. Raises
    ``CapabilityDenied`` where there is none."""

    def __init__(
        self, questions: Questions, first: Attending | None, loop: asyncio.AbstractEventLoop, seconds: float
    ) -> None:
        self._questions = questions
        self._first = first
        self._loop = loop
        self._seconds = seconds
        self._numbers: list[str] = []
        self._waiting: list[Future[Word]] = []
        self._over = False

    def __call__(self, question: Question) -> Answer:
        """Blocks until it is answered, withdrawn, or ``seconds`` are over."""
        number, answered = "q" + secrets.token_hex(6), Future[Word]()
        self._numbers.append(number)
        self._waiting.append(answered)
        self._on_loop(lambda: self._put(number, question, answered))
        try:
            return Answer(answered.result(self._seconds), by="page")
        except NoAnswer:
            self._on_loop(lambda: self._questions.give_up(number))
            raise _denied(question, f"nobody answered within {self._seconds:g} s") from None

    def _put(self, number: str, question: Question, answered: Future[Word]) -> None:
        if self._over:
            answered.set_exception(_denied(question, "the connection that wanted it is closed"))
        else:
            self._questions.put(number, question, self._first, answered)

    def _on_loop(self, call: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop is closed: the server is gone, and nobody can be asked
            for one in self._waiting:
                one.cancel()

    def close(self) -> None:
        """Whoever wanted to know is gone. On the event loop; may be called twice."""
        self._over = True
        for number in self._numbers:
            self._questions.give_up(number)


def _denied(question: Question, why: str) -> CapabilityDenied:
    called = f"{question.name} ({question.app})" if question.name else question.app
    return CapabilityDenied(
        f"{called} may not use {question.capability}: {why}",
        hint=f"locara grants allow {question.app} {question.capability}",
    )
