"""Which files of a folder are the app's source. What may live here: walking the folder, within limits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from locara.errors import ConfigError
from locara.manifest.reading import NAME

MAX_FILES = 5_000
"""Source files of one app. All are kept while they are checked, because constants come from other files."""
MAX_ENTRIES = 200_000
"""Files and folders that are looked at."""
MAX_BYTES = 2_000_000
"""Of one file: more was not written by hand."""
MAX_TOTAL = 60_000_000
"""Bytes of all files."""

PYTHON = frozenset({".py", ".pyw"})
JAVASCRIPT = frozenset({".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx"})
SKIPPED = frozenset({"node_modules", "__pycache__", "site-packages", "__pypackages__", "bower_components"})
"""Folders of others' code, beside hidden ones and virtual environments (they have a ``pyvenv.cfg``)."""


@dataclass(slots=True)
class Tree:
    """Path relative to the folder, with ``/`` -> bytes. ``refused``: files that were not read, and why. ``others``: folders
    below with a manifest of their own, which are other apps."""

    python: dict[str, bytes] = field(default_factory=dict)
    javascript: dict[str, bytes] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


def sources(folder: Path) -> Tree:
    """The source below a folder, in the order of names. Links are not followed. Raises ``ConfigError`` past a limit."""
    tree = Tree()
    total = 0
    for path in _files(folder, tree):
        suffix = path.suffix.lower()
        if suffix not in PYTHON and suffix not in JAVASCRIPT:
            continue
        name = path.relative_to(folder).as_posix()
        data = _read(path, name, tree)
        if data is None:
            continue
        (tree.python if suffix in PYTHON else tree.javascript)[name] = data
        total += len(data)
        if total > MAX_TOTAL or len(tree.python) + len(tree.javascript) > MAX_FILES:
            raise _too_large(folder, f"more than {MAX_FILES:,} source files, or {MAX_TOTAL:,} bytes of them")
    return tree


def _read(path: Path, name: str, tree: Tree) -> bytes | None:
    try:
        if not path.is_file():  # a pipe would be waited for
            return None
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        tree.refused[name] = f"it cannot be read: {error.strerror or error}"
        return None
    if len(data) > MAX_BYTES:
        tree.refused[name] = f"it has more than {MAX_BYTES:,} bytes"
        return None
    return data


def _files(folder: Path, tree: Tree) -> Iterator[Path]:
    seen = 0

    def failed(error: OSError) -> None:
        name = Path(error.filename).relative_to(folder).as_posix() if error.filename else "."
        tree.refused[name] = f"it cannot be read: {error.strerror or error}"

    for here, folders, files in os.walk(folder, onerror=failed):
        seen += len(folders) + len(files)
        if seen > MAX_ENTRIES:
            raise _too_large(folder, f"more than {MAX_ENTRIES:,} files and folders")
        where = Path(here)
        if where != folder and NAME in files:
            tree.others.append(where.relative_to(folder).as_posix())
            folders.clear()
            continue
        folders[:] = sorted(one for one in folders if not _is_skipped(where / one))
        yield from (where / one for one in sorted(files))


def _is_skipped(folder: Path) -> bool:
    return folder.name.startswith(".") or folder.name in SKIPPED or (folder / "pyvenv.cfg").exists()


def _too_large(folder: Path, what: str) -> ConfigError:
    return ConfigError(f"{folder} has {what}", hint="name the folder of one app")
