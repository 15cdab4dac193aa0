"""What lies in the folder of models and serves nobody: found, and taken away.

What may live here: those two. A model that was imported is never among it, as it may not be had again; nor is anything
that another process is at.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from locara.catalog import manifest
from locara.catalog.locking import Lock
from locara.catalog.row import Row
from locara.catalog.store import LOCKS, PARTS, Store, discard, size
from locara.errors import ModelError


@dataclass(frozen=True, slots=True)
class Leftover:
    """One thing that can go. ``why`` for people; ``size`` in bytes; ``model`` whose lock guards it."""

    path: Path
    why: str
    size: int
    model: str


def leftovers(store: Store, find: Callable[[str], Row | None]) -> tuple[Leftover, ...]:
    """What can go. ``find``: id -> the catalog's row."""
    return tuple(
        one
        for one in (*_models(store, find), *_parts(store), *_locks(store))
        if _free(store, one.model) and not one.path.is_symlink()
    )


def prune(store: Store, leftover: Leftover) -> int:
    """Takes it away, under the model's lock; returns the bytes. Raises ``ModelError`` where another process is at it."""
    lock = Lock(store.lock(leftover.model))
    if not lock.take():
        raise ModelError(
            f"another process ({lock.holder()}) is at {leftover.model}", hint="run the command again later"
        )
    alone = leftover.path == store.lock(leftover.model)
    try:
        if alone:
            return leftover.size
        if leftover.path.parent.parent == store.home / PARTS or not (leftover.path / manifest.NAME).is_file():
            _inside(store, leftover.path)
            discard(leftover.path)
            with contextlib.suppress(OSError):  # something else is still there
                leftover.path.parent.rmdir()
            return leftover.size
        return store.remove(leftover.path)
    finally:
        lock.give_back(remove=True)


def _models(store: Store, find: Callable[[str], Row | None]) -> Iterator[Leftover]:
    for id_ in store.ids():
        row = find(id_)
        here = store.present(row) if row is not None else None
        for folder in store.folders(id_):
            found = manifest.read(folder)
            if found is None:
                yield Leftover(folder, "a folder without a manifest: nothing uses it", size(folder), id_)
            elif found.source == "imported" or folder == here:
                continue
            elif row is None:
                yield Leftover(folder, "no row of the catalog names it", size(folder), id_)
            elif here is not None and here.is_relative_to(store.home):
                yield Leftover(folder, "another revision of it is here and is used", size(folder), id_)


def _parts(store: Store) -> Iterator[Leftover]:
    with contextlib.suppress(OSError):
        for model in sorted((store.home / PARTS).iterdir()):
            for one in sorted(model.iterdir()):
                yield Leftover(one, "part of an unfinished pull", size(one), model.name)


def _locks(store: Store) -> Iterator[Leftover]:
    with contextlib.suppress(OSError):
        for one in sorted((store.home / LOCKS).glob("*.lock")):
            yield Leftover(one, "a lock that nobody holds", one.stat().st_size, one.stem)


def _free(store: Store, model: str) -> bool:
    """Whether no other process is at it."""
    try:
        lock = Lock(store.lock(model))
        if not (store.home / LOCKS / f"{model}.lock").exists():
            return True
        if not lock.take():
            return False
    except ModelError:
        return False
    lock.give_back()
    return True


def _inside(store: Store, path: Path) -> None:
    if not path.resolve().is_relative_to(store.home.resolve()) or path.resolve() == store.home.resolve():
        raise ModelError(f"{path} is not in {store.home}", hint="nothing was deleted")
