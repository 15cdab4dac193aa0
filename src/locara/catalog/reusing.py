"""Files that are on this machine already, under another revision or in the hub's cache: taken over instead of fetched.

What may live here: where such a file may lie, and taking it. Only a file with a hash is ever taken over.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from locara.catalog import hub, manifest
from locara.catalog.row import ModelFile, Row
from locara.catalog.staging import hashed
from locara.catalog.store import Store


def candidates(row: Row, file: ModelFile, store: Store, environment: Mapping[str, str]) -> Iterator[Path]:
    """Files that should be ``file``, by what is written about them."""
    home = store.home / row.id
    with contextlib.suppress(OSError):
        for folder in sorted(home.iterdir()):
            found = manifest.read(folder)
            for one in found.files if found is not None else ():
                if one.sha256 == file.sha256.lower() and not file.unpack:
                    yield folder / one.path
    if row.hub and row.revision and not file.url:
        place = hub.snapshot(row, environment) / file.path
        if place.is_file() and hub.fits(place, file):
            yield place.resolve()


def take(source: Path, part: Path, file: ModelFile) -> bool:
    """Puts ``source`` at ``part`` if it has the hash of ``file``: linked where it is on the same disk, else copied."""
    try:
        if hashed(source)[0] != file.sha256.lower():
            return False
        try:
            os.link(source, part)
        except OSError:  # another disk, or a file system without links
            shutil.copyfile(source, part)
    except OSError:
        part.unlink(missing_ok=True)
        return False
    return True
