"""Engines that stay loaded between jobs and are lent to one at a time: a stand-in until `pool` does it for all doors."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from locara.engines.contracts import Engine, Kind
from locara.server.rest_errors import busy
from locara.voice import choosing
from locara.voice.brain import Deadlines
from locara.voice.building import _engine
from locara.voice.loading import close_all, load_all

MOST = 6
"""Engines kept at once, of all kinds."""


@dataclass(slots=True)
class _Kept:
    key: str
    engine: Engine
    lent: bool
    given: bool


class Lending:
    """``async with lending.lend("stt", stage) as engine``."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: list[_Kept] = []  # least recently used first

    @asynccontextmanager
    async def lend(self, kind: Kind, stage: Any) -> AsyncIterator[Engine]:
        """A loaded engine. Raises what naming and loading raise, and ``Refused`` where all are lent."""
        given = hasattr(stage, "load")
        key = f"{kind} {id(stage) if given else json.dumps(stage, sort_keys=True, default=repr)}"
        one = next((kept for kept in self._kept if kept.key == key and not kept.lent), None)
        if one is None:
            one = await self._new(kind, stage, key, given)
        one.lent = True
        self._kept.remove(one)
        self._kept.append(one)
        try:
            yield one.engine
        finally:
            one.lent = False

    async def _new(self, kind: Kind, stage: Any, key: str, given: bool) -> _Kept:
        if len(self._kept) >= self._most:
            idle = next((kept for kept in self._kept if not kept.lent), None)
            if idle is None:
                raise busy("all engines are in use; try again in 2 s", 2.0)
            self._kept.remove(idle)
            await self._close([idle])
        if stage is None and kind in ("stt", "tts"):
            stage = choosing.unnamed({kind: None})[0].get(kind)
        engine = _engine(kind, stage, {})
        one = _Kept(key, engine, True, given)
        self._kept.append(one)
        try:
            await load_all({kind: engine}, Deadlines().load)
        except BaseException:
            self._kept.remove(one)
            await self._close([one])
            raise
        return one

    async def close(self) -> None:
        """Ends all engines that are its own."""
        kept, self._kept = self._kept, []
        await self._close(kept)

    async def _close(self, kept: list[_Kept]) -> None:
        await close_all([one.engine for one in kept if not one.given], Deadlines().close)
