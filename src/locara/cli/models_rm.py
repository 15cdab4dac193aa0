"""``locara models rm``: a model is deleted from disk, all its revisions and parts."""

from __future__ import annotations

import argparse
import os

from locara.cli.models_asking import here, row_named, store
from locara.errors import ModelError

_EXAMPLES = """examples:
  locara models rm kokoro-82m

What lies in the hub's own cache is left alone: other programs use it (hf cache rm).

exit codes: 0 deleted, 1 it failed and one sentence said why, 2 wrong command line
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``locara models rm``."""
    parser.epilog = _EXAMPLES
    parser.add_argument("models", nargs="+", metavar="ID", help="a model's id or alias")


def run(options: argparse.Namespace) -> int:
    """Deletes them; returns the exit code. Raises ``ModelError``; then those named before it are gone already."""
    for name in options.models:
        _remove(name)
    return 0


def _remove(name: str) -> None:
    from locara.catalog import importing, space
    from locara.catalog.locking import Lock
    from locara.catalog.store import PARTS, discard, size

    where = store()
    id_ = name if name in where.ids() else row_named(name).id
    lock = Lock(where.lock(id_))
    if where.home.is_dir() and not lock.take():
        raise ModelError(f"another process ({lock.holder()}) is at {id_}", hint="wait for it or end it, then try again")
    try:
        parts = where.home / PARTS / id_
        freed = size(parts) if parts.is_dir() and not parts.is_symlink() else 0
        folders = list(where.folders(id_))
        if not folders and not freed:
            raise _nothing(id_)
        for folder in folders:
            freed += where.remove(folder)
        if parts.is_dir() and not parts.is_symlink():
            discard(parts)
    finally:
        lock.give_back(remove=True)
    row_gone = importing.forget(id_, os.environ)
    here(False, [f"{id_}: deleted, {space.words(freed)} freed" + (", and its row" if row_gone else "")])


def _nothing(id_: str) -> ModelError:
    from locara.catalog import index

    where = store()
    row = index.find(id_)
    cached = where.present(row) if row is not None else None
    if cached is not None:
        return ModelError(
            f"{id_} lies in the hub's own cache, which other programs use: {cached}",
            hint="hf cache rm deletes it there",
        )
    return ModelError(f"{id_} is not in {where.home}", hint="locara models list --installed shows what is")
