"""The prompt is read into the language model while the user still speaks, so that the reply only waits for the last words.

What may live here: when to read and what (pure, at the top), and the one request that is under way. What an engine makes
of it is its own business (`locara.engines.contracts.ReadsAhead`). A reply never waits for it, and it cannot fail a turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from locara.engines.contracts import LanguageModel, Message, ReadsAhead, Tool
from locara.voice.evidence import words_of

NEW_WORDS = 8
"""Stable words of the user that are worth one more request. A request costs the model the closing marks of the prompt, 5 to
7 tokens, and reads about 4 tokens for 3 words: below this it costs more than it brings. It is also the debounce: people
speak 2 to 3 words a second."""

QUICK_SECONDS = 0.03
"""A model whose last request took less reads the words as fast as they matter: then only the history is read ahead."""

TRIES = 3
"""An engine that has not read so often in a row is not asked again in this session."""

PLACEHOLDER = "…"
"""Stands for words that are not known yet: many chat templates refuse a conversation that does not end with the user."""


def stable_words(before: str, now: str) -> str:
    """The beginning of ``now`` that the partial transcript before it had too: recognisers change their latest words."""
    kept: list[str] = []
    for one, other in zip(before.split(), now.split(), strict=False):
        if words_of(one) != words_of(other):
            break
        kept.append(other)
    return " ".join(kept)


def worth_reading(read: str, words: str) -> bool:
    """Whether ``words`` are worth a request, after ``read`` was read. Words that were taken back are not new."""
    return len(words.split()) - len(stable_words(read, words).split()) >= NEW_WORDS


class ReadingAhead:
    """At most one request at a time; of what is wanted meanwhile, only the newest is read.

    ``history``: what was said so far, asked for at each turn. ``deadline``: seconds after which a request is given up.
    """

    def __init__(
        self,
        llm: LanguageModel,
        tools: Sequence[Tool],
        system: str,
        history: Callable[[], Sequence[Message]],
        *,
        deadline: float,
    ) -> None:
        self._llm = llm if isinstance(llm, ReadsAhead) else None
        self._tools = tools
        self._system = system
        self._history = history
        self._deadline = deadline
        self._known: tuple[Message, ...] = ()
        self._read = ""
        """Of the user's words after ``_known``, those that were asked for."""
        self._partial = ""
        self._wanted: str | None = None
        self._failures = 0
        self._took = 0.0
        self._task: asyncio.Task[None] | None = None
        self.requests = 0
        """Requests that an engine took, those that were stopped too."""
        self.seconds = 0.0
        """How long the model read while nobody waited for it."""

    def begins(self) -> None:
        """A turn begins, or the session: what is known of the prompt is read, if it has changed."""
        self._partial = ""
        if self._before() != self._known or not self._read:
            self._want("")

    def heard(self, text: str) -> None:
        """A partial transcript of the open turn."""
        words, self._partial = stable_words(self._partial, text), text
        if self._took >= QUICK_SECONDS and worth_reading(self._read, words):
            self._want(words)

    def asked(self, text: str) -> None:
        """The reply is asked for now, so it reads the prompt itself: whatever is under way is stopped."""
        self.stop()
        self._known, self._read = self._before(), text or PLACEHOLDER

    def stop(self) -> None:
        """Stops what is under way."""
        self._wanted = None
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """Stops, and waits for it."""
        self.stop()
        if self._task is not None:
            await asyncio.wait([self._task])

    def _before(self) -> tuple[Message, ...]:
        system = (Message("system", self._system),) if self._system else ()
        return (*system, *self._history())

    def _want(self, words: str) -> None:
        if self._llm is None or self._failures >= TRIES:
            return
        self._wanted = words
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(self._llm), name="read-ahead")

    async def _run(self, llm: ReadsAhead) -> None:
        while (words := self._wanted) is not None:
            self._wanted = None
            self._known, self._read = self._before(), words or PLACEHOLDER
            loop = asyncio.get_running_loop()
            began = loop.time()
            done = False
            try:
                async with asyncio.timeout(self._deadline):
                    done = await llm.read((*self._known, Message("user", self._read)), self._tools)
            except asyncio.CancelledError:
                done = True
                raise
            except Exception:  # whatever it is, the reply itself will meet it, and say so
                done = False
            finally:
                self._took = loop.time() - began
                self.requests += done
                self.seconds += self._took * done
            self._failures = 0 if done else self._failures + 1
