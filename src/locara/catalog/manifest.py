"""What lies in a published model's folder, as found when it was put there: the small file beside the weights.

What may live here: these values, their JSON, and whether they are what a row asks for. The file is written last, into a
folder that is then renamed into its place: where it lies, everything it names lay too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from locara.catalog.row import ModelFile, Row

NAME = "locara-model.json"
LAYOUT = 1
"""Rises when what older versions of Locara read here would mislead them."""

_LONGEST = 8 * 1024 * 1024
"""Bytes. An archive of 20,000 files has a manifest of about 3 MB; what is longer was not written by us."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """One file of the row, as it came. ``path``, ``unpack`` and ``strip`` as in the row; ``sha256`` and ``size`` (bytes)
    as found; ``url`` without its query."""

    path: str
    sha256: str
    size: int
    url: str = ""
    unpack: str = ""
    strip: int = 0


@dataclass(frozen=True, slots=True)
class Lying:
    """One file in the folder: ``path`` relative, POSIX; ``size`` in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """``revision``: of the hub's repository, as the hub said it, else as the row did. ``compared``: whether every file
    had a hash to be compared with; else what was found is all there is to compare with later. ``when``: UTC, ISO 8601."""

    id: str
    kind: str
    engine: str
    licence: str
    source: Literal["pulled", "imported"]
    when: str
    fetched: tuple[Fetched, ...]
    files: tuple[Lying, ...]
    hub: str = ""
    revision: str = ""
    compared: bool = False
    left_out: tuple[str, ...] = ()
    layout: int = LAYOUT

    def json(self) -> str:
        """The file's text."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"


def read(folder: Path) -> Manifest | None:
    """The manifest in ``folder``; None where there is none that this version understands."""
    try:
        path = folder / NAME
        if path.stat().st_size > _LONGEST:
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict) or found.get("layout") != LAYOUT:
            return None
        return _manifest(found)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def answers(manifest: Manifest, row: Row) -> bool:
    """Whether what lies there is what ``row`` asks for now. A hash decides; without one the size and the revision do.
    Models that were imported count by what they are, not by where they came from."""
    if manifest.id != row.id:
        return False
    found = {one.path: one for one in manifest.fetched}
    return {one.path for one in row.files} == set(found) and all(
        _is(found[one.path], one, manifest, row) for one in row.files
    )


def whole(manifest: Manifest, folder: Path) -> bool:
    """Whether every file is there with its size. Cheap: nothing is read."""
    try:
        return all((folder / one.path).stat().st_size == one.size for one in manifest.files)
    except OSError:
        return False


def _is(found: Fetched, wanted: ModelFile, manifest: Manifest, row: Row) -> bool:
    if (found.unpack, found.strip) != (wanted.unpack, wanted.strip):
        return False
    if wanted.sha256:
        return found.sha256 == wanted.sha256.lower()
    if wanted.size is not None and found.size != wanted.size:
        return False
    return not (row.revision and manifest.revision) or row.revision == manifest.revision


def _manifest(found: Mapping[str, Any]) -> Manifest:
    return Manifest(
        id=str(found["id"]),
        kind=str(found["kind"]),
        engine=str(found["engine"]),
        licence=str(found["licence"]),
        when=str(found["when"]),
        hub=str(found["hub"]),
        revision=str(found["revision"]),
        source="imported" if found["source"] == "imported" else "pulled",
        fetched=tuple(
            Fetched(
                path=str(one["path"]),
                sha256=str(one["sha256"]),
                size=int(one["size"]),
                url=str(one["url"]),
                unpack=str(one["unpack"]),
                strip=int(one["strip"]),
            )
            for one in found["fetched"]
        ),
        files=tuple(
            Lying(path=str(one["path"]), sha256=str(one["sha256"]), size=int(one["size"])) for one in found["files"]
        ),
        compared=bool(found["compared"]),
        left_out=tuple(str(one) for one in found["left_out"]),
    )
