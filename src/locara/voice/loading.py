"""Bringing the stages of a session up and down: all at once, each with a deadline, none left behind."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Iterable, Mapping
from typing import Protocol

from locara.engines.contracts import Engine
from locara.engines.lane import real_work
from locara.errors import EngineTimeout, LocaraError, StageError

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
    model = engine.info.model
    try:
        async with asyncio.timeout(deadline):
            await engine.load()
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
            f"{stage}: {model} could not be loaded: {type(error).__name__}: {error}",
            stage=stage,
            model=model,
            hint=f"choose another with {stage}=..., or look at the engine's own documentation",
        ) from error


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
