"""``locara.toml`` to `Manifest`: finding the file, its bytes, its TOML. What may live here: the way to a document.

What the document has to say is checked in `document`. The reading is strict, because a key that is silently ignored is a
permission that was never asked for or a hash that is never compared.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tomllib
from pathlib import Path

from locara.errors import ManifestError
from locara.manifest import document, positions
from locara.manifest.table import Where
from locara.manifest.values import Manifest

NAME = "locara.toml"
MAX_BYTES = 256_000
"""Of the file. One with 256 models, each with a hash, has 40 kB."""
MAX_LINE = 4_000
"""Characters. The longest line that can be right is a list of model names."""
_MAX_UP = 64
"""Folders above the program in which a manifest is looked for."""

_AT = re.compile(r"\(at line (\d+), column (\d+)\)|\(at end of document\)")


def read(path: str | os.PathLike[str]) -> Manifest:
    """The manifest in a file, or the ``locara.toml`` in a folder. Raises ``ManifestError``, and nothing else."""
    where = Path(path)
    try:
        if where.is_dir():
            where = where / NAME
        data = _bytes(where)
        manifest = _parsed(data, str(where))
        _stays_inside(manifest, where)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        hint = "name the folder of the app, or its locara.toml" if isinstance(error, FileNotFoundError) else ""
        raise ManifestError(f"it cannot be read: {reason}", path=str(where), hint=hint) from error
    return manifest


def parse(text: str, path: str = "") -> Manifest:
    """The manifest in ``text``; ``path`` is only for messages. Raises ``ManifestError``, and nothing else."""
    return _parsed(text.encode("utf-8", "surrogatepass"), path)


def find(start: Path) -> Path | None:
    """The nearest ``locara.toml`` in ``start`` or above it; None where there is none.

    The search ends at a repository's root, before the home folder (a manifest there would speak for every program below
    it), and before a folder in which anyone may write, such as ``/tmp``. ``start`` itself is always looked at.
    """
    try:
        folder, home = start.resolve(), Path.home().resolve()
    except (OSError, RuntimeError, ValueError):  # no home, a loop of links, a NUL
        return None
    for number, here in enumerate((folder, *folder.parents)[:_MAX_UP]):
        if number and (here == home or _open_to_all(here)):
            return None
        candidate = here / NAME
        if _is_file(candidate):
            return candidate
        if _exists(here / ".git"):
            return None
    return None


def _open_to_all(folder: Path) -> bool:
    """Only where the mode says so: Windows has no such bit."""
    try:
        return os.name == "posix" and bool(folder.stat().st_mode & stat.S_IWOTH)
    except OSError:
        return True


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that may not be looked into
        return False


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _bytes(path: Path) -> bytes:
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise ManifestError("it is no file", path=str(path), hint="name the folder of the app, or its locara.toml")
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _parsed(data: bytes, path: str) -> Manifest:
    if len(data) > MAX_BYTES:
        raise ManifestError(f"it has more than {MAX_BYTES:,} bytes", path=path, hint="a manifest is a page")
    text = _decoded(data, path)
    found = positions.scan(text)
    if found.trouble is not None:
        line, column = found.trouble.place
        raise ManifestError(found.trouble.what, path=path, line=line, column=column, hint=found.trouble.hint)
    try:
        loaded = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(error, text, path) from error
    except (RecursionError, ValueError, OverflowError) as error:  # tomllib lets a few of int() and datetime through
        raise ManifestError(f"it is not TOML: {error}", path=path, hint="see docs/manifest.md") from error
    return document.understood(loaded, Where(path, found), hashlib.sha256(data).hexdigest())


def _decoded(data: bytes, path: str) -> str:
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")  # some editors of Windows begin a file so
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        line, column = positions.place_of(before, len(before))
        raise ManifestError(
            f"it is not UTF-8: {error.reason}", path=path, line=line, column=column, hint="save it as UTF-8"
        ) from error
    for number, one in enumerate(text.split("\n"), 1):
        if len(one) > MAX_LINE:
            raise ManifestError(
                f"a line has more than {MAX_LINE:,} characters", path=path, line=number, column=1, hint="break it"
            )
    return text


def _not_toml(error: tomllib.TOMLDecodeError, text: str, path: str) -> ManifestError:
    said = str(error)
    found = _AT.search(said)
    what = _AT.sub("", said).strip()
    known = found is not None and found[1] is not None  # else: at the end of the document
    place = (int(found[1]), int(found[2])) if found and known else positions.place_of(text, len(text.rstrip()))
    # It quotes what it found, which may be anything.
    what = what.encode("ascii", "backslashreplace").decode()
    return ManifestError(
        f"it is not TOML: {what[:1].lower()}{what[1:]}",
        path=path,
        line=place[0],
        column=place[1],
        hint="texts stand in quotes, names with dots too",
    )


def _stays_inside(manifest: Manifest, path: Path) -> None:
    """A link may lead elsewhere though the name does not. Raises ``ManifestError``."""
    folder = path.parent.resolve()
    for name in (manifest.entry, *(one.file for one in manifest.models)):
        if name and not (folder / name).resolve().is_relative_to(folder):
            raise ManifestError(
                f"{name!r} is a link that leads out of the manifest's folder",
                path=str(path),
                hint="put the file itself there",
            )
