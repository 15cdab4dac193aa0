"""Loaded engines, kept warm and lent: to many sessions at once, or to one after another, as each engine allows.

What may live here: which loaded copy goes to whom, and what becomes of it afterwards. What an engine allows is in its
``EngineInfo.sharing``; whatever keeps something of its session is never lent twice.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from locara.engines.contracts import Engine, Forgets, Kind, Mends
from locara.errors import SessionError
from locara.voice import choosing
from locara.voice.brain import Deadlines, usual_deadlines
from locara.voice.building import engine_for
from locara.voice.loading import close_all, load_all

_log = logging.getLogger("locara.server")

SPARE = 2
"""Copies of an engine that wait loaded, unused: the next two sessions start without loading."""

IDLE = 8
"""Unused copies of all engines together: a client that asks for one voice after another would fill the memory with them.
The one that was unused for longest goes."""


@dataclass(eq=False, slots=True)
class Loan:
    """One engine, lent under a name of its kind."""

    kind: Kind
    name: str
    engine: Engine


@dataclass(eq=False, slots=True)
class _Shelf:
    """All copies of one engine."""

    idle: list[Engine] = field(default_factory=list)
    shared: Engine | None = None
    loading: asyncio.Lock = field(default_factory=asyncio.Lock)
    wanted: int = 0
    """So many wait for a copy, or have one."""


class Pool:
    """``deadlines.load``: seconds an engine may take to load."""

    def __init__(self, deadlines: Deadlines | None = None, *, spare: int = SPARE) -> None:
        self._given = deadlines
        self._deadlines = deadlines or Deadlines()
        self._spare = spare
        self._shelves: dict[tuple[Kind, str], _Shelf] = {}
        self._out: set[Loan] = set()
        self._unused: list[Loan] = []  # idle copies, as they came back
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def loaded(self) -> dict[str, int]:
        """Kind and name -> copies that are loaded, lent ones included."""
        counts: dict[str, int] = {}
        for (kind, name), shelf in self._shelves.items():
            n = len(shelf.idle) + (shelf.shared is not None)
            counts[f"{kind}:{name}"] = n
        for loan in self._out:
            shelf = self._shelves[(loan.kind, loan.name)]
            if loan.engine is not shelf.shared:
                counts[f"{loan.kind}:{loan.name}"] += 1
        return counts

    async def take(self, kind: Kind, stage: Any) -> Loan:
        """A loaded engine for ``stage``, named as in `voice.session` (JSON only), to be given back. Raises what loading it
        raises: ``ConfigError``, ``EngineMissing``, ``ModelMissing``, ``StageError``."""
        if self._closed:
            raise SessionError("the server is stopping", hint="connect again when it has started")
        name = named(stage)
        shelf = self._shelves.setdefault((kind, name), _Shelf())
        shelf.wanted += 1
        try:
            async with shelf.loading:  # who comes second finds what the first has loaded
                engine = shelf.shared or (shelf.idle.pop() if shelf.idle else None)
                if engine is None:
                    engine = await self._load(kind, stage)
                    if engine.info.sharing == "shared":
                        shelf.shared = engine
        except BaseException:
            shelf.wanted -= 1
            self._forget(kind, name)
            raise
        loan = Loan(kind, name, engine)
        self._out.add(loan)
        return loan

    async def give_back(self, loan: Loan, *, broken: bool = False) -> None:
        """The session is over. ``broken``: the engine failed in it, so nobody gets it again. May be called twice."""
        await self.give_all_back([loan], {loan.kind} if broken else ())

    async def give_all_back(self, loans: Iterable[Loan], broken: Collection[str] = ()) -> None:
        """The same for all that a session had; ``broken``: the kinds that failed in it. All of them are back at once; then
        it is waited until those that nobody gets again are closed, which they are even if whoever waits is cancelled."""
        await self._close([engine for loan in list(loans) for engine in self._returned(loan, loan.kind in broken)])

    def _returned(self, loan: Loan, broken: bool) -> list[Engine]:
        """Puts it back; returns what is to be closed."""
        if loan not in self._out:
            return []
        self._out.discard(loan)
        shelf = self._shelves[(loan.kind, loan.name)]
        shelf.wanted -= 1
        over: list[Engine] = []
        if loan.engine is shelf.shared and not self._closed and (not broken or _is_mended(loan.engine)):
            pass
        elif self._to_keep(loan.engine, shelf) and not broken and _has_forgotten(loan.engine):
            shelf.idle.append(loan.engine)
            over = self._too_many(loan)
        else:
            if loan.engine is shelf.shared:
                shelf.shared = None  # whoever has it still keeps it to the end
            if not any(other.engine is loan.engine for other in self._out):
                over = [loan.engine]
        self._forget(loan.kind, loan.name)
        return over

    def _too_many(self, back: Loan) -> list[Engine]:
        idle = {id(one): one for shelf in self._shelves.values() for one in shelf.idle}
        self._unused = [one for one in self._unused if id(one.engine) in idle and one.engine is not back.engine]
        self._unused.append(back)
        if len(self._unused) <= IDLE:
            return []
        oldest = self._unused.pop(0)
        self._shelves[(oldest.kind, oldest.name)].idle.remove(oldest.engine)
        self._forget(oldest.kind, oldest.name)
        return [oldest.engine]

    def _forget(self, kind: Kind, name: str) -> None:
        """A name that nobody has, wants or left something under: a client can think of any number of names."""
        shelf = self._shelves.get((kind, name))
        if shelf is not None and not shelf.wanted and not shelf.idle and shelf.shared is None:
            del self._shelves[(kind, name)]

    async def _close(self, engines: list[Engine]) -> None:
        if engines:
            task = asyncio.create_task(close_all(engines, self._deadlines.close), name="locara-pool-close")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            await asyncio.shield(task)

    def _to_keep(self, engine: Engine, shelf: _Shelf) -> bool:
        return engine.info.sharing == "in-turn" and not self._closed and len(shelf.idle) < self._spare

    @asynccontextmanager
    async def lend(self, kind: Kind, stage: Any) -> AsyncIterator[Engine]:
        """A loaded engine for the length of a ``with``; an exception in it counts as the engine's fault."""
        loan = await self.take(kind, stage)
        try:
            yield loan.engine
        except BaseException as error:
            await self.give_back(loan, broken=isinstance(error, Exception))
            raise
        await self.give_back(loan)

    def lent(self, engine: Engine) -> int:
        """How many have it now."""
        return sum(loan.engine is engine for loan in self._out)

    async def warm(self, stages: Mapping[Kind, Any]) -> dict[Kind, Engine]:
        """Loads one copy of each, side by side, so that the first session starts at once. Returns what was loaded."""
        loans = await asyncio.gather(
            *(self.take(kind, stage) for kind, stage in stages.items()), return_exceptions=True
        )
        await self.give_all_back(loan for loan in loans if isinstance(loan, Loan))
        for problem in loans:
            if isinstance(problem, BaseException):
                raise problem
        return {loan.kind: loan.engine for loan in loans if isinstance(loan, Loan)}

    async def close(self) -> None:
        """Closes everything that is not lent, and what is lent when it comes back."""
        self._closed = True
        engines: list[Engine] = []
        for shelf in self._shelves.values():
            engines += shelf.idle
            shelf.idle = []
            if shelf.shared is not None and not any(loan.engine is shelf.shared for loan in self._out):
                engines.append(shelf.shared)
                shelf.shared = None
        await self._close(engines)
        if self._closing:  # each with its own deadline
            await asyncio.wait(self._closing)

    async def _load(self, kind: Kind, stage: Any) -> Engine:
        chosen: dict[str, Any] = {}
        if kind in ("stt", "llm", "tts"):
            chosen, _ = await asyncio.to_thread(choosing.unnamed, {kind: stage})
        engine = engine_for(kind, chosen.get(kind, stage))
        try:
            await load_all({kind: engine}, (self._given or usual_deadlines(omni=kind == "omni")).load)
        except BaseException:
            await self._close([engine])
            raise
        return engine


def _has_forgotten(engine: Engine) -> bool:
    """Whether nothing of its session is left in it."""
    try:
        if isinstance(engine, Forgets):
            engine.forget_session()
    except Exception as error:  # whatever a plugin does: then nobody gets it again
        _log.warning("%s could not forget its session: %s", engine.info.engine, type(error).__name__)
        return False
    return True


def _is_mended(engine: Engine) -> bool:
    """Whether what failed in one session does not concern the next."""
    return isinstance(engine, Mends) and engine.mended()


def named(stage: Any) -> str:
    """The name under which copies of an engine are kept: what it was asked for by."""
    return json.dumps(stage, sort_keys=True, default=repr)
