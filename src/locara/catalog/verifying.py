"""Whether what lies on disk is still what was put there: every byte is read. What may live here: that comparison."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from locara.catalog.manifest import Manifest
from locara.catalog.row import Row
from locara.catalog.staging import hashed


@dataclass(frozen=True, slots=True)
class Damage:
    """One file that is not as it should be, and what is wrong with it."""

    path: str
    what: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found in ``folder``. ``damages`` empty: intact. ``uncompared``: files that nothing is known of but their
    size. ``against``: what the rest was compared with, for people."""

    id: str
    folder: Path
    damages: tuple[Damage, ...]
    uncompared: tuple[str, ...] = ()
    against: str = ""


def verify(folder: Path, found: Manifest, progress: Callable[[str, int], None] | None = None) -> Verified:
    """Compares a published model with its manifest. ``progress`` gets the file and its bytes so far."""
    damages = tuple(
        Damage(one.path, what)
        for one in found.files
        if (what := _wrong(folder / one.path, one.sha256, one.size, one.path, progress))
    )
    against = (
        "the catalog's hashes" if found.compared else f"what was found when it was {found.source}, {found.when[:10]}"
    )
    return Verified(found.id, folder, damages, (), against)


def verify_cached(folder: Path, row: Row, progress: Callable[[str, int], None] | None = None) -> Verified:
    """The same for a model in the hub's own cache, which has no manifest of ours: the row's hashes, else the names that
    the cache gives its large files, which are their sha256."""
    damages = []
    uncompared = []
    for one in row.files:
        blob = (folder / one.path).resolve().name
        sha256 = one.sha256.lower() or (blob if re.fullmatch(r"[0-9a-f]{64}", blob) else "")
        if not sha256:
            uncompared.append(one.path)
        if what := _wrong(folder / one.path, sha256, one.size, one.path, progress):
            damages.append(Damage(one.path, what))
    return Verified(row.id, folder, tuple(damages), tuple(uncompared), "the hashes of the hub's cache")


def _wrong(path: Path, sha256: str, size: int | None, name: str, progress: Callable[[str, int], None] | None) -> str:
    """What is wrong with the file, or ""."""
    try:
        lying = path.stat().st_size
        if size is not None and lying != size:
            return f"it has {lying} bytes instead of {size}"
        if not sha256:
            return ""
        found, _ = hashed(path, None if progress is None else lambda done: progress(name, done))
    except FileNotFoundError:
        return "it is gone"
    except OSError as error:
        return f"it cannot be read ({error.strerror or error})"
    return "" if found == sha256 else f"its contents have changed (sha256 {found} instead of {sha256})"
