"""What a session takes where nothing is named: the best of what is on this machine, or what is recommended for it.

What may live here: gathering the facts for `locara.catalog.proposing`, and making stages of its proposal. Nothing is
downloaded, and nothing is looked at that would make a session start later: where no model was ever pulled, the embedded
set is taken without reading the machine.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from locara.catalog import extras, index, speeds
from locara.catalog.fitting import Facts, Reach, Server
from locara.catalog.machine import Machine, this_machine
from locara.catalog.proposing import STAGES, Proposal, propose
from locara.catalog.row import Row, RowKind
from locara.errors import ConfigError
from locara.voice import naming

LANGUAGE = "en"
"""Of a person who has not said otherwise."""


BY_HAND = {"pocket-tts": "pocket_tts", "f5-tts": "f5_tts", "xtts": "TTS", "kyutai": "moshi"}
"""Engines of ours without an extra -> the package they need: it brings torch, and whoever wants that installs it."""

PROGRAMS = {"piper": "piper", "espeak-ng-program": "espeak-ng"}
"""Engines that start a program of that name."""


def facts(
    rows: Sequence[Row],
    *,
    language: str = LANGUAGE,
    reach: Reach = "download",
    servers: tuple[Server, ...] = (),
    machine: Machine | None = None,
) -> Facts:
    """What is known of this machine now: memory, disk, engines, extras, models on disk, speeds measured before."""
    from locara.catalog.store import default_store

    store = default_store()
    here = machine or this_machine(store.home)
    absent = {name for name, module in BY_HAND.items() if importlib.util.find_spec(module) is None}
    absent |= {name for name, program in PROGRAMS.items() if shutil.which(program) is None}
    engines: dict[str, frozenset[str]] = {kind: naming.installed_engines(kind) - absent for kind in STAGES}
    if reach == "install":  # an engine of an extra that is not installed has no entry point of its own to look for
        engines = {kind: names | {row.engine for row in rows if row.extra} for kind, names in engines.items()}
    return Facts(
        machine=here,
        language=language,
        on_disk=on_disk(rows),
        extras=extras.installed(),
        engines=engines,
        servers=servers,
        speeds=speeds.remembered(here),
        reach=reach,
    )


def on_disk(rows: Sequence[Row]) -> frozenset[str]:
    """The ids of those whose files are all here."""
    from locara.catalog.store import default_store

    store = default_store()
    return frozenset(row.id for row in rows if row.files and not row.bundled and store.present(row) is not None)


def unnamed(
    stages: Mapping[str, Any], *, language: str | None = None, recommended: bool = False
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """(stage -> options to take it by, stage -> why), for those of ``stages`` that name no model and for which there is
    something better than what is embedded. ``recommended``: what fits best, on disk or not.

    Raises ``ModelMissing`` for what is recommended and not here, naming all of it with one command; ``ConfigError`` where
    nothing knows the language that was asked for.
    """
    open_ones = tuple(kind for kind in STAGES if kind in stages and _is_open(stages[kind]))
    if not open_ones:
        return {}, {}
    if not recommended and language is None and _nothing_here():
        return {}, {}
    rows = index.rows()
    if not recommended and language is None and not on_disk(rows):
        return {}, {}
    proposal = propose(
        rows, facts(rows, language=language or LANGUAGE, reach="download" if recommended else "ready"), open_ones
    )
    _demand_language(proposal, language)
    by_id = {row.id: row for row in rows}
    absent = tuple(by_id[one.model] for one in proposal.choices if one.source == "download")
    if absent:
        raise naming.missing(absent)
    taken: dict[str, dict[str, Any]] = {}
    why: dict[str, str] = {}
    for choice in proposal.choices:
        if choice.source == "on disk":
            given = dict(stages[choice.stage] or {})
            taken[choice.stage] = _as_stage(choice.stage, choice.model, given)
            why[choice.stage] = choice.why
    return taken, why


def _nothing_here() -> bool:
    """Whether no model can be on disk, seen without reading the catalog: that takes 0.1 s."""
    from locara.catalog import hub
    from locara.catalog.store import default_store

    return not default_store().home.is_dir() and not hub.cache(os.environ).is_dir()


def _is_open(stage: Any) -> bool:
    """Whether a stage leaves the choice to us. Options that only one engine knows name that engine's stage."""
    return stage is None or (isinstance(stage, Mapping) and set(stage) <= {"system", "history"})


def _as_stage(stage: RowKind, model: str, given: dict[str, Any]) -> dict[str, Any]:
    if stage != "llm":
        return {**given, "model": model}
    # A server that runs is looked for when the session starts: it needs no memory of ours, and its user has chosen it.
    return {**given, "model": "auto", "otherwise": naming.named("llm", model, {})}


def _demand_language(proposal: Proposal, language: str | None) -> None:
    if language is not None and proposal.notes:
        wrong = [note for note in proposal.notes if "nothing that knows" in note]
        if wrong:
            raise ConfigError(
                f"{wrong[0]}",
                hint=f"locara models recommend --language {language} says what to pull, if there is anything",
            )
