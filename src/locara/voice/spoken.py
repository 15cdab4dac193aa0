"""One reply of a model that hears and speaks, on its way into the session: its text, its sound, its end.

What may live here: from what such a model gives to news for the turn machine; for one that leads, the rule that one reply
follows another.
"""

from __future__ import annotations

import asyncio
from collections import deque

from locara.audio import Resampler, Samples, clean, samples_in, silence
from locara.voice.brain import Post
from locara.voice.moves import Began, Chunk, ClauseReady, Failed, Finished, Happened, Sounded, Told, Wanted, Yielded
from locara.voice.whole_text import WholeText

News = Began | Told | ClauseReady | Sounded | Wanted | Finished | Failed | Yielded

WAITING = 6_000
"""Pieces of news that may wait for the reply before to end: two minutes of a server that sends 20 ms at a time."""


class Spoken:
    """What was given of reply ``number`` so far. ``rate_in``: of the model, ``rate_out``: of the output, in hertz."""

    def __init__(self, number: int, rate_in: int, rate_out: int) -> None:
        self.number = number
        self.samples = 0
        """Samples at ``rate_out`` so far."""
        self._rate = rate_out
        self._resampler = Resampler(rate_in, rate_out)
        self._text = 0
        self._whole = WholeText()
        self._opens = True

    def begin(self, lead: float = 0.0) -> list[News]:
        """The first news of it. ``lead``: seconds of silence before its sound."""
        news: list[News] = [Began(self.number)]
        if lead > 0.0:
            news += self._sounded(silence(samples_in(lead, self._rate)), "", ())
        return news

    def say(self, text: str) -> list[News]:
        """The next piece of its text."""
        text = self._whole.push(text)
        text = text if self._text else text.lstrip()
        self._text += len(text)
        return [Told(self.number, text)] if text else []

    def sound(self, samples: Samples, text: str = "", *, marks: bool = False) -> list[News]:
        """The next samples. ``marks``: what was said so far ends in a word that begins with them; ``text`` is that."""
        word = ((self.samples, self._text),) if marks else ()
        return self._sounded(self._resampler.push(clean(samples)[0]), text, word)

    def finish(self) -> list[News]:
        """It is complete: what the change of rates still holds, and that there is no more."""
        torn = self._whole.flush()
        last: list[News] = [Told(self.number, torn)] if torn else []
        self._text += len(torn)
        tail = silence(0) if self._opens else self._resampler.push(silence(0), last=True)
        end = Chunk(tail, 0, self._text, (), self._opens, closes=True)
        return [*last, Sounded(self.number, end), Finished(self.number)]

    def _sounded(self, samples: Samples, text: str, words: tuple[tuple[int, int], ...]) -> list[News]:
        opens: list[News] = [ClauseReady(self.number)] if self._opens else []
        chunk = Chunk(samples, 0, self._text, words, self._opens, closes=False, text=text)
        self._opens = False
        self.samples += int(samples.size)
        return [*opens, Sounded(self.number, chunk)]


class InTurn:
    """The news of replies, in order: the next one begins when the session has ended the one before."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._line: deque[News] = deque()
        self._wake = asyncio.Event()
        self._live: int | None = None
        self._over = 0
        self.dropped = 0
        """Pieces of news for which there was no room."""

    def add(self, news: list[News]) -> None:
        """What happens next. Does not wait."""
        for one in news:
            if len(self._line) >= WAITING:
                self.dropped += 1
            elif _reply_of(one) > self._over:
                self._line.append(one)
        self._wake.set()

    def over(self, reply: int) -> None:
        """The session has ended this reply: nothing more of it, or of one before, is told."""
        self._over = max(self._over, reply)
        if self._live is not None and self._live <= reply:
            self._live = None
        self._line = deque(one for one in self._line if _reply_of(one) > self._over)
        self._wake.set()

    async def run(self) -> None:
        """Tells it, one after the other, for as long as the session lasts."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._line and (self._live is None or _reply_of(self._line[0]) == self._live):
                one = self._line.popleft()
                self._live = _reply_of(one)
                await self._post(one)


def _reply_of(news: Happened) -> int:
    number = getattr(news, "reply", None)
    return -1 if number is None else int(number)
