"""What the REST handlers of one server share. What may live here: the object that carries it, and nothing that acts."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from locara.engines.contracts import Engine, Kind
from locara.server.rest_jobs import Jobs
from locara.server.rest_models import Models
from locara.server.settings import Settings


class Lender(Protocol):
    """Where loaded engines come from, each lent to one at a time."""

    def lend(self, kind: Kind, stage: Any) -> AbstractAsyncContextManager[Engine]: ...


@dataclass(frozen=True, slots=True)
class Desk:
    """``jobs``: the line in which all of REST waits. ``models``: names and what they mean here."""

    settings: Settings
    lender: Lender
    models: Models
    jobs: Jobs
