"""``[models]``: the models an app may load, and what the catalog says of them. What may live here: this table, and the one
place that says which declared name a name in a call stands for, so that the static check and the run time agree.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast, get_args
from urllib.parse import urlsplit

from locara.catalog import index
from locara.catalog.row import Row
from locara.errors import ConfigError
from locara.manifest import names
from locara.manifest.positions import Path
from locara.manifest.table import Where, known_keys, one_of, text_at
from locara.manifest.values import DeclaredModel, Manifest, Task

MAX_MODELS = 256
"""More than the catalog has that runs anywhere."""
TASKS: tuple[Task, ...] = get_args(Task)
KEYS = ("task", "sha256", "file", "engine")

WORDS: Mapping[str, tuple[Task, ...]] = {
    "auto": ("llm",),
    "native": ("stt", "llm", "tts", "vad"),
    "silence": ("turn",),
}
"""Names that are no model: a running server or the built-in responder, what the operating system brings, none at all."""

SERVER = "openai-compatible"
"""The engine that an address stands for."""


def models_of(table: Mapping[str, Any], where: Where) -> tuple[DeclaredModel, ...]:
    """The declared models, in the order of the file. Raises ``ManifestError``."""
    if len(table) > MAX_MODELS:
        at: Path = ("models", list(table)[MAX_MODELS])
        raise where.wrong(at, f"there are more than {MAX_MODELS} models", "declare those that are used", key=True)
    return tuple(_model(name, table, where) for name in table)


def _model(name: str, table: Mapping[str, Any], where: Where) -> DeclaredModel:
    at: Path = ("models", name)
    fields = table[name]
    if not isinstance(fields, dict):
        raise where.wrong(
            at, f"{names.shown(name)} stands for a value, not for a table", f'write "{name}" = {{}}', key=True
        )
    _unquoted(name, fields, where)
    if wrong := names.model(name):
        row = row_of(name) if name.isascii() else None
        hint = f"its id in the catalog is {row.id!r}" if row else wrong[1]
        raise where.wrong(at, wrong[0], hint, key=True)
    if name in WORDS:
        raise where.wrong(at, f"{name!r} is a word for the resolver, no model", "leave it out", key=True)
    known_keys(fields, at, KEYS, where)
    checks = {"sha256": names.sha256, "file": names.inside, "engine": names.model}
    said = {key: text_at(fields, (*at, key), where, check) for key, check in checks.items() if key in fields}
    if "task" in fields:
        one_of(fields["task"], TASKS, (*at, "task"), where, "task")
    row = row_of(name)
    if row is None:
        return _own(name, fields, said, where)
    if row.id != name:
        raise where.wrong(at, f"{name!r} is another name of {row.id!r}", f'write "{row.id}"', key=True)
    for key in ("file", "engine"):
        if key in said:
            raise where.wrong((*at, key), f"the catalog knows {name!r} and its {key}", "leave it out", key=True)
    if fields.get("task", row.kind) != row.kind:
        raise where.wrong((*at, "task"), f"{name} is of the kind {row.kind} in the catalog", "leave task out")
    return DeclaredModel(name, row.kind, said.get("sha256", ""))


def _unquoted(name: str, fields: Mapping[str, Any], where: Where) -> None:
    """``whisper-base.en = {}`` without quotes is a table in a table: say so, instead of "no key 'en'"."""
    longer, inner = name, fields
    while len(inner) == 1 and isinstance(next(iter(inner.values())), dict):
        longer, inner = f"{longer}.{next(iter(inner))}", next(iter(inner.values()))
    if longer != name:
        raise where.wrong(
            ("models", name), "a name with a dot in it needs quotes", f'write "{longer}" in quotes', key=True
        )


def _own(name: str, fields: Mapping[str, Any], said: Mapping[str, str], where: Where) -> DeclaredModel:
    """A model that the catalog does not know."""
    at: Path = ("models", name)
    if ("file" in said) == ("engine" in said):
        near = _near(name)
        guess = f"did you mean {' or '.join(near)}? " if near else ""
        raise where.wrong(
            at,
            f"there is no model {name!r} in the catalog",
            f"{guess}For one of your own add task, and file with sha256, or the engine that runs it",
            key=True,
        )
    if "task" not in fields:
        raise where.wrong(at, f"{name!r} has no task", f"add task = one of {', '.join(TASKS)}", key=True)
    if "file" in said and "sha256" not in said:
        raise where.wrong(at, f"{name!r} has a file and no hash", "add sha256: sha256sum FILE", key=True)
    task = cast(Task, fields["task"])
    return DeclaredModel(name, task, said.get("sha256", ""), said.get("file", ""), said.get("engine", ""))


def default_model(task: Task, name: str, at: Path, models: tuple[DeclaredModel, ...], where: Where) -> str:
    """A default of ``[modality.*]``, which has to be declared too."""
    if task in WORDS.get(name, ()):
        return name
    for model in models:
        if model.name == name:
            if model.task != task:
                raise where.wrong(at, f"{name} is of the kind {model.task}, not {task}", "name another")
            return name
    row = row_of(name)
    known = f'add "{row.id}" = {{}} under [models]' if row else "declare it under [models]"
    raise where.wrong(at, f"{names.shown(name)} is not declared", known)


def row_of(name: str) -> Row | None:
    """What the catalog says of a name; nothing where the catalog itself cannot be read: a manifest is then read without."""
    try:
        return index.find(name)
    except ConfigError:
        return next((row for row in index.ours() if name in (row.id, *row.aliases)), None)


def _near(name: str) -> tuple[str, ...]:
    try:
        return index.near(name)
    except ConfigError:
        return ()


# --- a name in a call ---------------------------------------------------------------------------------------------------


def is_address(name: str) -> bool:
    """Whether a language model is named by the address of its server."""
    return name.lower().startswith(("http://", "https://"))


def leaves_machine(address: str) -> bool:
    """Whether an address is not one of this machine. What cannot be read as an address counts as one that leaves."""
    try:
        host = (urlsplit(address).hostname or "").rstrip(".").lower()
    except ValueError:
        return True
    return not (host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None)


def declared(manifest: Manifest, task: Task, name: str) -> DeclaredModel | None:
    """The declared model that ``name`` in a call stands for: its id or any alias of the catalog, a wake word in any
    spelling, and for an address any declared model server. Of another task: given all the same. None: not declared."""
    if task == "llm" and is_address(name):
        return next((one for one in manifest.models if _is_server(one)), None)
    wanted = canonical(task, name)
    return next((one for one in manifest.models if one.name == wanted), None)


def canonical(task: Task, name: str) -> str:
    """The id that a manifest would declare it by."""
    spelled = name.strip()
    if task == "wake":
        spelled = re.sub(r"[\s_]+", "-", spelled.lower())
    row = row_of(spelled)
    return row.id if row is not None else spelled


def _is_server(model: DeclaredModel) -> bool:
    row = row_of(model.name)
    return model.task == "llm" and SERVER in (model.engine, row.engine if row is not None else "")
