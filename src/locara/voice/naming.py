"""A model's name -> an engine: the catalog's row, its folder on disk, the engine that runs it and what that is told.

What may live here: this way, and what is said when it leads nowhere: an unknown name, another kind of model, an engine or
an extra that is not installed, files that are not on disk, a machine that is too small. Nothing is downloaded here. A name
that the catalog does not have goes to the engines as it is: plugins, addresses of servers.
"""

from __future__ import annotations

import difflib
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path, PureWindowsPath
from typing import Any

from locara.catalog import extras, fitting, index
from locara.catalog.machine import Machine, this_machine
from locara.catalog.row import Row
from locara.engines import registry
from locara.engines.contracts import Engine, Kind
from locara.errors import ConfigError, EngineMissing, ModelMissing

ANYWAY = "anyway"
"""``{"model": ..., "anyway": True}``: this model, although it does not fit."""

_STAGES: dict[str, str] = {
    "stt": "a speech-to-text model",
    "llm": "a language model",
    "tts": "a text-to-speech model",
    "omni": "an end-to-end speech model",
    "vad": "a voice-activity model",
    "turn": "an end-of-turn model",
    "wake": "a wake word",
}


def named(kind: Kind, model: str, options: Mapping[str, Any]) -> Engine:
    """The engine for ``model``, with ``options`` of the app before those of the catalog. Not loaded.

    Raises ``ConfigError`` (a model of another kind, one that does not fit, options that mean nothing), ``EngineMissing``
    (no such name, an extra that is not installed, no engine for it) and ``ModelMissing`` (its files are not here).
    """
    own = {name: value for name, value in options.items() if name != ANYWAY}
    if kind == "omni" and _is_folder(model):
        return _from_folder(Path(model).expanduser(), own)
    row = index.find(model) if model else None
    if row is None:
        return _unlisted(kind, model, own)
    if row.kind != kind:
        raise ConfigError(
            f"{row.id} is {_STAGES[row.kind]}, not {_STAGES[kind]}",
            hint=f"use it as {row.kind}={row.id!r}, or see locara models list --kind {kind}",
        )
    if "path" not in own and "url" not in own:
        _demand_runnable(row, own)
    if row.bundled:
        return _bundled(row, model, own)
    given: dict[str, Any] = {"engine": row.engine, **row.options}
    name = str(given.pop("model", row.id))
    if "path" not in own and row.files:
        given["path"] = _folder(row)
    if not options.get(ANYWAY) and "url" not in own:
        _demand_room(row, this_machine())
    return registry.create(kind, name, {**given, **own})


def _is_folder(model: str) -> bool:
    """Whether a model is named by its place. A name of the catalog never has a separator before its last part."""
    looks = model.startswith(("/", "./", "../", "~", ".\\")) or bool(PureWindowsPath(model).drive)
    return looks or (bool(model) and not index.find(model) and Path(model).is_dir())


def _from_folder(folder: Path, own: Mapping[str, Any]) -> Engine:
    from locara.engines.omni import folders

    if not folder.is_dir():
        raise ModelMissing(
            f"omni: there is no folder {folder}", stage="omni", model=str(folder), hint="give the folder of the model"
        )
    mac = sys.platform == "darwin" and platform.machine() == "arm64"
    engine = own.get("engine") or folders.engine_for(folder, mac=mac)
    return registry.create("omni", folder.name, {**own, "engine": engine, "path": str(folder)})


def installed_engines(kind: str) -> frozenset[str]:
    """The names of the installed engines of a kind; none is imported."""
    return frozenset(point.name for point in entry_points(group=f"locara.{kind}"))


def _unlisted(kind: Kind, model: str, own: Mapping[str, Any]) -> Engine:
    try:
        return registry.create(kind, model, own)
    except EngineMissing as error:
        if error.__cause__ is not None or "engine" in own:
            raise  # a plugin that cannot be imported, or an engine that is not there: that is the news
        known = difflib.get_close_matches(model, registry.models(kind), n=1)
        near = known or list(index.near(model, kind))
        if not near:
            raise
        raise EngineMissing(
            f"{error.message}, and the catalog has no such name",
            stage=kind,
            model=model,
            hint=f"did you mean {' or '.join(repr(one) for one in near)}? All: locara models list --kind {kind}"
            + ("" if registry.installed(kind) else f"; or {error.hint}"),
        ) from None


def _bundled(row: Row, model: str, own: Mapping[str, Any]) -> Engine:
    """What comes with a package: the engine knows it by one of its names, and takes nothing but the app's options."""
    names = registry.models(row.kind)
    called = next((one for one in (model, row.id, *row.aliases) if one in names), None)
    if called is not None:
        return registry.create(row.kind, called, own)
    given: dict[str, Any] = {"engine": row.engine, **row.options}
    called = str(given.pop("model", row.id))  # a server's row names a model of that server,
    if called == "auto":
        called = str(given.pop("url", row.id))  # or leaves it to the server: then its address is all there is
    return registry.create(row.kind, called, {**given, **own})


def _demand_runnable(row: Row, own: Mapping[str, Any]) -> None:
    """Raises where no engine here can run it, whatever is on disk."""
    if row.status == "listed":
        raise EngineMissing(
            f"{row.kind}: {row.id} is only listed: no engine of Locara runs it",
            stage=row.kind,
            model=row.id,
            hint=f"{row.note} Others: locara models list --kind {row.kind}".strip(),
        )
    if why := fitting.why_not_here(row, this_machine()):
        raise EngineMissing(
            f"{row.kind}: {row.id} {why}",
            stage=row.kind,
            model=row.id,
            hint=f"locara models recommend says what runs here; all: locara models list --kind {row.kind}",
        )
    engine = str(own.get("engine", row.engine))
    if engine != row.engine:
        return  # the registry says whether there is one
    if row.extra and row.extra not in extras.installed():
        raise EngineMissing(
            f"{row.kind}: {row.id} needs the engine {row.engine}, which is not installed",
            stage=row.kind,
            model=row.id,
            hint=extras.command(row.extra),
        )


def _folder(row: Row) -> str:
    """Where its files are. Raises ``ModelMissing``."""
    from locara.catalog.store import default_store

    found = default_store().present(row)
    if found is None:
        raise missing((row,))
    return str(found)


def missing(rows: tuple[Row, ...]) -> ModelMissing:
    """The error for models that are not on this machine: what they are, how large, under which licence, and the command."""
    told = []
    for row in rows:
        size = fitting.size_of(row)
        flags = f", {', '.join(row.flags)}" if row.flags else ""
        told.append(f"{row.id} ({fitting.words(size)}, {row.licence}{flags})")
    are = "are" if len(rows) > 1 else "is"
    return ModelMissing(
        f"{', '.join(row.kind for row in rows)}: {' and '.join(told)} {are} not on this machine",
        stage=rows[0].kind,
        model=rows[0].id,
        hint=f"locara models pull {' '.join(row.id for row in rows)}",
    )


def _demand_room(row: Row, machine: Machine) -> None:
    """Raises ``ConfigError`` for a model that would make this machine swap. An estimate refuses only what is larger than
    the whole memory."""
    need, guessed = fitting.memory_of(row)
    there = machine.memory_total if guessed else machine.memory_free
    if fitting.on_card(row, machine):
        why = fitting.why_too_large(row, machine)
    elif need is None or there is None or need <= there:
        why = ""
    else:
        about = "about " if guessed else ""
        why = f"needs {about}{fitting.words(need)} of memory, {fitting.words(there)} {'in all' if guessed else 'free'}"
    if not why:
        return
    smaller = _smaller(row, machine)
    instead = f"take {smaller} instead, " if smaller else ""
    raise ConfigError(
        f"{row.kind}: {row.id} does not fit this machine: it {why}",
        hint=f'{instead}close other programs, or say {{"model": {row.id!r}, "anyway": True}}',
    )


def _smaller(row: Row, machine: Machine) -> str:
    """The best of its kind that fits, in one of its languages."""
    from locara.catalog.proposing import propose

    language = row.languages[0] if row.languages else "en"
    choice = propose(index.rows(), fitting.Facts(machine, language=language, reach="install"), (row.kind,)).of(row.kind)
    return choice.model if choice is not None else ""
