"""Facts about everything but sound: machine, engines, extras, models, disk, servers, measured speeds.

What may live here: reading them, without a change to anything. What they mean says `judging`.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from locara.cli.checks import judging
from locara.cli.checks.verdict import Verdict
from locara.cli.threads import in_thread as daemon

KINDS = ("vad", "turn", "stt", "llm", "tts", "omni", "wake")


def machine() -> list[Verdict]:
    """This machine."""
    from locara.catalog.machine import this_machine
    from locara.catalog.store import default_store
    from locara.cli.models_recommend import machine_line

    here = this_machine(default_store().home)
    return [judging.machine(here, machine_line(here))]


def engines() -> list[Verdict]:
    """Those that can be imported, and the extras."""
    from importlib.metadata import entry_points

    from locara.catalog import extras, index
    from locara.catalog.proposing import propose
    from locara.engines import registry
    from locara.voice import choosing

    log = logging.getLogger("locara")
    before, log.disabled = log.disabled, True  # the verdict says it; a warning beside it would say it twice
    try:
        installed: dict[str, Any] = {kind: sorted(registry.installed(kind)) for kind in KINDS}  # type: ignore[arg-type]
    finally:
        log.disabled = before
    named = {kind: {point.name: point for point in entry_points(group=f"locara.{kind}")} for kind in KINDS}
    broken = {name: _why(point) for kind in KINDS for name, point in named[kind].items() if name not in installed[kind]}
    rows = index.rows()
    useful = [one.extra for one in propose(rows, choosing.facts(rows, reach="install")).choices if one.extra]
    engine_extras = {row.extra for row in rows if row.extra}
    have = sorted(engine_extras & extras.installed())
    return [judging.engines(installed, broken), judging.extras(have, useful)]


def models() -> list[Verdict]:
    """What is in the store, and where that is."""
    from locara.catalog import manifest
    from locara.catalog.machine import disk_free
    from locara.catalog.store import default_store

    store = default_store()
    found = store.installed()
    damaged = sorted({one.id for one in found if not manifest.whole(one.manifest, one.folder)})
    whole = sorted({one.id for one in found} - set(damaged))
    folder = str(store.home)
    return [
        judging.models(whole, damaged, sum(one.disk for one in found), folder),
        judging.disk(disk_free(store.home), _writable(store.home), folder),
    ]


def offline() -> list[Verdict]:
    """What ``locara talk --offline`` would promise on this system."""
    from locara.offline import possible, promised

    made = promised()
    return [judging.offline(made or possible(), made is not None)]


async def server() -> list[Verdict]:
    """A model server on this machine."""
    from locara.engines import local_servers

    found = await local_servers.find()
    return [judging.server("", "", ()) if found is None else judging.server(found.name, found.url, found.models)]


def latency() -> list[Verdict]:
    """What a reply would take, by what was measured before."""
    from locara.catalog import index, speeds
    from locara.catalog.machine import this_machine
    from locara.catalog.proposing import propose
    from locara.voice import choosing

    rows = index.rows()
    here = this_machine()
    proposal = propose(rows, choosing.facts(rows, reach="ready", machine=here))
    chosen: dict[str, str] = {one.stage: one.model for one in proposal.choices}
    return [judging.latency(chosen, speeds.remembered(here), _firsts(here.fingerprint))]


def _firsts(fingerprint: str) -> dict[str, float]:
    from locara.catalog import speeds

    try:
        told = json.loads((speeds.cache_folder() / speeds.NAME).read_text(encoding="utf-8"))
        mine = told["machines"][fingerprint]
        return {name: float(one["first"]) for name, one in mine.items() if isinstance(one.get("first"), int | float)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _why(point: Any) -> str:
    try:
        point.load()
    except Exception as error:  # whatever a plugin does while it is imported
        return f"{type(error).__name__}: {error}"
    return ""


def _writable(folder: Path) -> bool:
    """Whether it can be written, or made."""
    for place in (folder, *folder.parents):
        if place.exists():
            return place.is_dir() and os.access(place, os.W_OK | os.X_OK)
    return False


async def in_thread(work: Any) -> list[Verdict]:
    """The verdicts of a check that blocks."""
    return list(await daemon(work, "locara-check"))
