"""Which tokens a model of several streams reads in a step, and which of what it made are one frame: the delays between its
streams, for a conversation of any length.

What may live here: these delay lines; integers in, integers out. Source: section 3.4.4 of the Moshi paper
(https://arxiv.org/abs/2410.00037), and ``LMGen`` of the package moshi, whose tokens come out of it one for one.

The package moshi_mlx keeps every token of a conversation in one array of a fixed length and stops where it ends. What is
still needed of the past is only as long as the longest delay: here it is kept in a ring for each stream.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence


class DelayedTokens:
    """One conversation's streams: a text, ``made`` streams that the model makes itself, and those that it hears.

    ``delays``: of each audio stream, in frames; first those that it makes. ``padding``: the audio token before the
    beginning; ``start``: the text token there.

    In step ``n`` the model reads what it made in step ``n - 1``, and of each stream that it hears the frame ``delay`` steps
    before. The first frame heard is never read: the beginning stands in its place, as in the package moshi. (moshi_mlx
    keeps that frame and reads all the others one frame later, which costs 80 ms of every answer.)
    """

    def __init__(self, delays: Sequence[int], made: int, *, padding: int, start: int) -> None:
        self._delays = tuple(delays[:made])
        self._padding = padding
        self._text = start
        self._step = 0
        self._last = [padding] * made
        # A ring as long as the delay: what is put in comes out that many steps later.
        self._heard = [deque([padding] * delay, maxlen=delay + 1) for delay in delays[made:]]
        self._longest = max(delays, default=0)
        self._thought = deque([start] * self._longest)
        self._waiting = [deque([padding] * (self._longest - delay)) for delay in self._delays]

    @property
    def fresh(self) -> bool:
        """Whether no step was made yet."""
        return self._step == 0

    def resume(self, step: int, text: int, made: Sequence[int], heard: Sequence[int]) -> None:
        """Goes on after ``step`` steps that were made elsewhere: ``text`` and ``made`` came of the last one; ``heard``: for
        each stream, what the next step reads if the stream has a delay. Delays of one frame at most."""
        if self._longest > 1:
            raise ValueError(f"a delay of {self._longest} frames cannot be taken up in the middle")
        self._step, self._text, self._last = step, text, list(made)
        self._thought = deque([text] * self._longest)
        for ring, token in zip(self._heard, heard, strict=True):
            for place in range(len(ring)):
                ring[place] = token
        for waiting, token in zip(self._waiting, made, strict=True):
            for place in range(len(waiting)):
                waiting[place] = token

    def read(self, heard: Sequence[int]) -> tuple[int, list[int]]:
        """What the model reads in this step, given what was heard in it: its text token, and one for each audio stream."""
        if self._step == 0:
            return self._text, [self._padding] * (len(self._delays) + len(self._heard))
        before = self._step - 1
        own = [
            token if before >= delay else self._padding for token, delay in zip(self._last, self._delays, strict=True)
        ]
        theirs = []
        for ring, token in zip(self._heard, heard, strict=True):
            ring.append(token)
            theirs.append(ring.popleft())
        return self._text, own + theirs

    def made(self, text: int, audio: Sequence[int]) -> tuple[int, list[int]] | None:
        """Takes what the model made in this step. Returns the newest frame that is whole: its text token and its codes;
        None before there is one."""
        self._thought.append(text)
        self._text = text
        self._last = list(audio)
        frame = []
        for ring, token in zip(self._waiting, audio, strict=True):
            ring.append(token)
            frame.append(ring.popleft())
        self._step += 1
        thought = self._thought.popleft()
        return (thought, frame) if self._step > self._longest else None
