"""Bringing the stages of a session up and down: all at once, each with a deadline, none left behind."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol

from locara.engines.contracts import Engine
from locara.engines.lane import real_work
from locara.errors import EngineTimeout, LocaraError, StageError
from locara.voice.brain import Brain, Opens

_log = logging.getLogger("locara")


class Closable(Protocol):
    """Anything that is closed at the end."""

    async def close(self) -> None: ...


async def load_all(stages: Mapping[str, Engine], deadline: float) -> None:
    """Loads every stage, side by side. The first failure cancels the rest and is raised as ``StageError``."""
    tasks = [
        asyncio.create_task(_load(stage, engine, deadline), name=f"load-{stage}") for stage, engine in stages.items()
    ]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _load(stage: str, engine: Engine, deadline: float) -> None:
    await _ready(stage, engine.info.model, engine.load, deadline, "could not be loaded")


async def _ready(stage: str, model: str, begin: Callable[[], Awaitable[None]], deadline: float, failed: str) -> None:
    try:
        async with asyncio.timeout(deadline):
            await begin()
    except LocaraError:
        raise
    except TimeoutError:
        raise EngineTimeout(
            f"{stage}: {model} was not ready within {deadline:g} s",
            stage=stage,
            model=model,
            hint="choose a smaller model, or look whether its files or its server can be reached",
        ) from None
    except Exception as error:
        raise StageError(
            f"{stage}: {model} {failed}: {type(error).__name__}: {error}",
            stage=stage,
            model=model,
            hint=f"choose another with {stage}=..., or look at the engine's own documentation",
        ) from error


async def open_brain(brain: Brain, deadline: float) -> None:
    """Awaits the beginning of a brain that has one (`Opens`). Raises ``StageError``, and ``ConfigError`` as it came."""
    if isinstance(brain, Opens):
        stage, engine = next(iter(brain.engines.items()))
        await _ready(stage, engine.info.model, brain.open, deadline, "could not begin a conversation")


async def close_all(things: Iterable[Closable], deadline: float) -> None:
    """Closes each, in order. What fails to close is logged and does not keep the others open."""
    for thing in things:
        try:
            with real_work():  # a process takes real time to end, also on a virtual clock
                async with asyncio.timeout(deadline):
                    await thing.close()
        except Exception as error:
            _log.warning("closing %s failed: %s: %s", type(thing).__name__, type(error).__name__, error)


def plan_of(stages: Mapping[str, Engine], why: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Stage -> engine, model, device, licence, where it runs and why it was chosen."""
    plan: dict[str, dict[str, str]] = {}
    for stage, engine in stages.items():
        facts = dataclasses.asdict(engine.info)
        plan[stage] = {name: str(facts[name]) for name in ("engine", "model", "device", "licence", "where", "note")}
        plan[stage]["why"] = engine.info.why or why.get(stage, "")
    return plan
