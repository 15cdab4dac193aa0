"""Other engines for a conversation that runs: loaded beside the old ones, taken over between turns, the old ones closed.

What may live here: the order of these steps, and what becomes of them when one fails or the session stops. The moment of
the change is the loop's (`Loop.between`): nobody speaks, nothing is awaited, so every reply has one configuration.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from locara.engines.contracts import Engine, Kind
from locara.errors import ConfigError, EngineTimeout, SessionError
from locara.voice import events as tell
from locara.voice import loading
from locara.voice.brain import Exchanges, acting
from locara.voice.loop import Loop, Parts

PATIENCE_SECONDS = 300.0
"""How long new engines wait for a moment between turns. A turn and its reply end within three minutes; whoever talks on
without any gap for longer keeps the old ones."""


class Changing:
    """The changes of one session, one after another. ``plan``: the session's plan as it is when asked."""

    def __init__(self, loop: Loop, parts: Parts, plan: Callable[[], dict[str, dict[str, str]]]) -> None:
        self._loop = loop
        self._parts = parts
        self._plan = plan
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self.retired: list[Engine] = []
        """Engines that were taken over from and are not closed yet."""

    async def change(self, wanted: Mapping[Kind, Any]) -> None:
        """Changes the stages in ``wanted``; returns when the new ones have taken over and the old ones are closed.

        Raises ``ConfigError`` or ``StageError`` when a new one cannot be made or loaded, ``EngineTimeout`` when there was no
        moment between turns, ``SessionError`` when the session ended first. The old ones then go on.
        """
        task = asyncio.create_task(self._change(wanted), name="locara-change")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait([task])
            raise
        if task.cancelled():
            raise _ended()
        task.result()

    async def close(self) -> None:
        """Gives up what is under way, and waits for it: what was loaded for nothing is closed."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=2 * self._parts.deadlines.close)

    async def _change(self, wanted: Mapping[Kind, Any]) -> None:
        async with self._lock:
            why: dict[str, str] = {}
            new = self._made(wanted, why)
            took_over = False
            try:
                await loading.load_all(new, self._parts.deadlines.load)
                old, left = await self._between_turns(new, why, _system(wanted.get("llm")))
                took_over = True
            finally:
                if not took_over:
                    await loading.close_all(new.values(), self._parts.deadlines.close)
            self.retired += old
            if left:  # what the old ones were still asked is cancelled, and ends before they do
                await asyncio.wait(left, timeout=self._parts.deadlines.close)
            await loading.close_all(old, self._parts.deadlines.close)
            self.retired = [one for one in self.retired if one not in old]

    def _made(self, wanted: Mapping[Kind, Any], why: dict[str, str]) -> dict[str, Engine]:
        """The new engines, not loaded. Raises ``ConfigError`` for what can be known to be wrong before anything is done."""
        if self._loop.ended.is_set():
            raise _ended()
        if not isinstance(acting(self._parts.brain), Exchanges):
            raise ConfigError(
                "this session runs one model for everything: it has no stages to change", hint="start a new session"
            )
        llm = wanted.get("llm")
        if isinstance(llm, Mapping) and {"history", "audio_input"} & llm.keys():
            raise ConfigError(
                'llm={"history": ..., "audio_input": ...} hold for a whole session', hint="start a new session for that"
            )
        now = self._parts.brain.engines
        if not wanted:
            raise ConfigError("nothing to change", hint="name at least one of stt=, llm= and tts=")
        return {kind: self._parts.make(kind, stage, why) for kind, stage in wanted.items() if stage is not now[kind]}

    async def _between_turns(
        self, new: Mapping[str, Engine], why: Mapping[str, str], system: str | None
    ) -> tuple[list[Engine], tuple[asyncio.Task[Any], ...]]:
        """Waits for the moment, and takes over in it: (the old engines, the tasks that still end with them)."""
        done: asyncio.Future[tuple[list[Engine], tuple[asyncio.Task[Any], ...]]]
        done = asyncio.get_running_loop().create_future()

        def take_over() -> None:
            if not done.done():
                now = self._parts.brain.engines
                old = list(self._parts.own({stage: now[stage] for stage in new}).values())
                self._parts.why.update(why)
                left = self._loop.exchange(new, system)
                done.set_result((old, left))
                self._loop.emit(tell.PlanChanged(t=self._loop.now, stages=tuple(new), plan=self._plan()))

        self._loop.between = take_over
        ended = asyncio.create_task(self._loop.ended.wait(), name="locara-change-end")
        try:
            waiting: set[asyncio.Future[Any]] = {done, ended}
            await asyncio.wait(waiting, timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._loop.between = None
            ended.cancel()
        if done.done():
            return done.result()
        if self._loop.ended.is_set():
            raise _ended()
        raise EngineTimeout(
            f"{', '.join(new)}: there was no moment between turns for {PATIENCE_SECONDS:g} s",
            stage=next(iter(new)),
            model=next(iter(new.values())).info.model,
            hint="try again when both sides are silent, or interrupt() first",
        )


def _system(llm: Any) -> str | None:
    return str(llm["system"]) if isinstance(llm, Mapping) and "system" in llm else None


def _ended() -> SessionError:
    return SessionError("the session ended before the change", hint="start a new one with these models")
