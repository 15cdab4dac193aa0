"""The user's words beside a model that hears by itself: from a recogniser of our own, or as the model wrote them down.

What may live here: which of the two it is, and how its text becomes news of the turn that is open. Used by the brains of
models that lead and of those that are asked.
"""

from __future__ import annotations

import asyncio

from locara.audio import Samples
from locara.engines.contracts import Recogniser
from locara.voice.brain import Deadlines, Post
from locara.voice.moves import Understood
from locara.voice.recognising import Recognising
from locara.voice.whole_text import whole

SETTLE_SECONDS = 1.5
"""What a model that leads writes down of the user counts as settled so long after it was asked for."""


class Overheard:
    """``side``: the recogniser, None: only the model itself writes down what it hears (``wrote``). ``wait``: seconds that
    it has for that after it was asked to settle; 0: what it wrote by then counts, and what comes later replaces it."""

    def __init__(
        self, side: Recogniser | None, post: Post, deadlines: Deadlines, *, wait: float = SETTLE_SECONDS
    ) -> None:
        self._side = side
        self._post = post
        self._deadlines = deadlines
        self._wait = wait
        self._turn: int | None = None
        self._revision = 0
        self._asked = False
        """The text of this revision was to be settled."""
        self._text = ""
        self._recognising: dict[int, Recognising] = {}
        self._settling: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def listen(self, turn: int, at: int, samples: Samples) -> None:
        """A turn of the user began, or goes on; ``samples`` (16 kHz) lie at ``at`` on the session's clock."""
        if self._turn != turn:
            self._turn, self._revision, self._asked, self._text = turn, 0, False, ""
        elif self._asked:  # the user goes on after a pause
            self._revision, self._asked = self._revision + 1, False
        if self._side is not None and turn not in self._recognising:
            recognising = self._recognising[turn] = Recognising(turn, self._side, self._post, self._deadlines)
            self._keep(recognising.task)
        self.hear(turn, at, samples)

    def hear(self, turn: int, at: int, samples: Samples) -> None:
        """The next block of this turn."""
        if turn in self._recognising:
            self._recognising[turn].push(at, samples)

    def settle(self, turn: int, revision: int) -> None:
        """Asks for the settled text of everything said so far."""
        if turn == self._turn:
            self._revision, self._asked = revision, True
        if turn in self._recognising:
            self._recognising[turn].settle(revision)
        elif self._wait > 0.0:
            self._later(turn, revision)
        else:
            self._settle(turn, revision)

    async def wrote(self, text: str, *, final: bool) -> None:
        """What the model wrote down of the user: all of this turn so far. A recogniser of our own counts more."""
        if self._side is not None or self._turn is None:
            return
        self._text = text = whole(text)
        if final and self._settling is not None:
            self._settling.cancel()
        settled = final or (self._asked and self._wait <= 0.0)
        await self._post(Understood(self._turn, self._revision, text, settled=settled))

    def forget(self, turn: int) -> None:
        """The turn is over."""
        recognising = self._recognising.pop(turn, None)
        if recognising is not None:
            recognising.finish()
        if turn == self._turn:
            self._turn = None
            if self._settling is not None:
                self._settling.cancel()

    async def close(self) -> None:
        """Ends every task."""
        if self._settling is not None:
            self._settling.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self._deadlines.close)
        self._recognising.clear()

    def _later(self, turn: int, revision: int) -> None:
        if self._settling is not None:
            self._settling.cancel()
        self._settling = asyncio.get_running_loop().call_later(self._wait, self._settle, turn, revision)

    def _settle(self, turn: int, revision: int) -> None:
        if turn == self._turn and revision == self._revision:
            self._keep(asyncio.create_task(self._settled(turn, revision), name=f"settle-{turn}"))

    async def _settled(self, turn: int, revision: int) -> None:
        await self._post(Understood(turn, revision, self._text, settled=True))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
