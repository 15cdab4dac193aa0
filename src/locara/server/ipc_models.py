"""`models.list`: the catalog for a client. What may live here: rows of the catalog to what a client is told of them."""

from __future__ import annotations

from typing import Any

from locara.catalog import extras, fitting, index
from locara.catalog.machine import this_machine
from locara.catalog.row import Row
from locara.catalog.store import default_store
from locara.voice.naming import installed_engines


def models(task: str | None = None) -> tuple[dict[str, Any], ...]:
    """Every model of the catalog, or of one task: ``{id, task, status, installed, why}``; ``why`` says what is missing of
    one that is not installed. Looks at the disk: not for the event loop. Raises ``ConfigError``."""
    engines = {kind: installed_engines(kind) for kind in index.KINDS}
    store, machine, here = default_store(), this_machine(), extras.installed()
    out = []
    for row in index.rows():
        if task in (None, row.kind):
            why = _missing(row, engines[row.kind], here) or fitting.why_not_here(row, machine)
            if not why and not row.bundled and store.present(row) is None:
                why = f"it is not on this machine: locara models pull {row.id}"
            told = {"id": row.id, "task": row.kind, "status": row.status, "installed": not why}
            out.append({**told, "why": why} if why else told)
    return tuple(out)


def _missing(row: Row, engines: frozenset[str], here: Any) -> str:
    if row.status == "listed":
        return "no engine of Locara runs it"
    if row.engine not in engines:
        return "its engine is not installed"
    return extras.command(row.extra) if row.extra and row.extra not in here else ""
