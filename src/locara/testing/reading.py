"""A scripted model that has to read its prompt: what it has read before, it need not read again.

What may live here: this one model. It stands for a local server with a prefix cache and one slot, and says exactly what
reading ahead can hide.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Literal, cast

from locara.engines.contracts import Message, Tool, ToolCall
from locara.testing.scripted import ScriptedModel


class ReadingModel(ScriptedModel):
    """Reads ``words_per_second`` words of a prompt before its first token, but for the beginning that the prompt before
    it had too. One prompt at a time; what was read until it was stopped stays read.

    ``reads_ahead``: False refuses, as an engine does that cannot.
    """

    def __init__(
        self,
        replies: Sequence[str | Sequence[str | ToolCall]] | Callable[[Sequence[Message]], str] = ("I see.",),
        *,
        words_per_second: float = 100.0,
        reads_ahead: bool = True,
        first_token: float = 0.05,
        tokens_per_second: float = 20.0,
    ) -> None:
        super().__init__(replies, first_token=first_token, tokens_per_second=tokens_per_second)
        self.log: list[tuple[Literal["read", "reply"], float, float, tuple[Message, ...]]] = []
        """What was asked: its kind, when its reading began and ended on the loop's clock, and the prompt."""
        self._seconds_a_word = 1.0 / words_per_second
        self._reads_ahead = reads_ahead
        self._cache: list[str] = []
        self._slot = asyncio.Lock()

    async def read(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> bool:
        """See `locara.engines.contracts.ReadsAhead`."""
        if self._reads_ahead:
            await self._take_in("read", messages)
        return self._reads_ahead

    async def reply(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> AsyncIterator[str | ToolCall]:
        """The next reply of the script, once the prompt is read."""
        await self._take_in("reply", messages)
        async with aclosing(cast(Any, super().reply(messages, tools))) as pieces:
            async for piece in pieces:
                yield piece

    async def _take_in(self, kind: Literal["read", "reply"], messages: Sequence[Message]) -> None:
        async with self._slot:
            words = [word for one in messages for word in (one.role, *one.content.split())]
            same = 0
            while same < min(len(words), len(self._cache)) and words[same] == self._cache[same]:
                same += 1
            began = asyncio.get_running_loop().time()
            try:
                await asyncio.sleep((len(words) - same) * self._seconds_a_word)
            finally:
                ended = asyncio.get_running_loop().time()
                self._cache = words[: same + round((ended - began) / self._seconds_a_word)]
                self.log.append((kind, began, ended, tuple(messages)))
