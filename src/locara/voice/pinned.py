"""A model against the hash that the app's manifest states for it. What may live here: that comparison, before loading.

A model in the store was hashed while it was fetched, and what was found is noted beside it; that note is what is compared
(``locara models verify`` reads the files again). A file of the app's own, or one in the hub's cache, is read.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from locara.catalog import index
from locara.catalog import manifest as published
from locara.catalog.row import Row
from locara.catalog.store import default_store
from locara.errors import ModelHashMismatch
from locara.manifest.values import DeclaredModel

_PIECE = 4 * 1024 * 1024  # bytes read at once


def demand(model: DeclaredModel, app_folder: Path) -> Path | None:
    """The app's own file of ``model``, None for one of the catalog. What is not on this machine is not compared: loading
    it says so. Raises ``ModelHashMismatch``."""
    if model.file:
        path = app_folder / model.file
        if path.is_file():
            _compare(model, {_sha256(path)}, path)
        return path
    row = index.find(model.name)
    if model.sha256 and row is not None and (folder := default_store().present(row)) is not None:
        _compare(model, _found(row, folder), folder)
    return None


def _found(row: Row, folder: Path) -> set[str]:
    noted = published.read(folder)
    if noted is not None:
        return {one.sha256 for one in noted.fetched} | {one.sha256 for one in noted.files}
    return {_sha256(folder / one.path) for one in row.files}


def _compare(model: DeclaredModel, found: set[str], where: Path) -> None:
    if model.sha256.lower() not in found:
        raise ModelHashMismatch(
            f"{model.name}: the manifest wants sha256 {model.sha256}, and what lies in {where} has "
            + ", ".join(sorted(found)[:3]),
            hint=f"fetch it again: locara models pull {model.name} --again; or correct sha256 in the manifest",
        )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
