"""An engine from the pool for one job. What may live here: when an engine counts as broken afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from locara.engines.contracts import Engine, Kind
from locara.errors import LocaraError, StageError
from locara.server.pool import Pool
from locara.server.rest_errors import Refused


@asynccontextmanager
async def lent(pool: Pool, kind: Kind, stage: Any) -> AsyncIterator[Engine]:
    """A loaded engine. A recording that is none, or a client that has gone, is not the engine's fault: it stays warm.
    Raises what loading raises."""
    loan = await pool.take(kind, stage)
    try:
        yield loan.engine
    except BaseException as error:
        await pool.give_back(loan, broken=_its_fault(error))
        raise
    await pool.give_back(loan)


def _its_fault(error: BaseException) -> bool:
    if isinstance(error, LocaraError):
        return isinstance(error, StageError)
    return isinstance(error, Exception) and not isinstance(error, Refused | ConnectionError)
