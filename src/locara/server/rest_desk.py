"""What the REST handlers of one server share. What may live here: the object that carries it, and nothing that acts."""

from __future__ import annotations

from dataclasses import dataclass

from locara.server.pool import Pool
from locara.server.rest_jobs import Jobs
from locara.server.rest_models import Models
from locara.server.settings import Settings


@dataclass(frozen=True, slots=True)
class Desk:
    """``jobs``: the line in which all of REST waits. ``models``: names and what they mean here."""

    settings: Settings
    pool: Pool
    models: Models
    jobs: Jobs
