"""No system at all: it knows what is said and does at once what the engines' times allow. Its figures are the harness's.

python benchmarks/peers/run_null.py SPEECH
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from script import arguments, report, show
from stage import Buffer, Said, Speaker, Stage, spoken


class Null:
    """Answers at the very moment, stops at the very frame, and remembers what was played."""

    def __init__(self, seed: int) -> None:
        self.stage = Stage(seed)
        self._buffer = Buffer()
        self.speaker = Speaker(self.stage.clock, self._buffer.pull)
        self._told: list[tuple[str, str]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.stage.mic.on_say.append(self._heard)

    def history(self) -> list[tuple[str, str]]:
        """What was said and played."""
        return self._told

    def _heard(self, said: Said) -> None:
        if said.line.words:
            task = asyncio.create_task(self._answer(said))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, said: Said) -> None:
        while self.stage.mic.now < said.start:
            await asyncio.sleep(0.002)
        if self._buffer.filled and self._told:
            role, text = self._told[-1]
            kept = len(text.split()) - round(self._buffer.filled / 0.2)
            self._told[-1] = (role, " ".join(text.split()[:kept]))
        self._buffer.clear()
        self._told.append(("user", " ".join(said.line.words)))
        reply = self.stage.reply
        await self.stage.clock.until(said.end + reply.parts)
        self._told.append(("assistant", reply.text))
        self._buffer.write(spoken(reply.text))


async def start(seed: int) -> tuple[Null, Callable[[], Awaitable[Any]]]:
    """A session."""
    system = Null(seed)

    async def listen() -> None:
        async for _ in system.stage.mic.frames():
            pass

    task = asyncio.create_task(listen())
    system.speaker.start()

    async def end() -> None:
        system.stage.mic.closed = True
        await task
        system.speaker.stop()

    return system, end


if __name__ == "__main__":
    given = arguments("The harness's own error.", ("ideal",))
    show(asyncio.run(report(given, "harness", {}, start)))
