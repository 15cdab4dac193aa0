"""The folder of models on this machine: where each lies, which are whole, how much they take, and taking them away.

What may live here: `Store`, and where its folder is. Nothing here opens a connection. The layout, told in docs/store.md::

    CACHEDIR.TAG                 what this folder is; backup programs leave it out
    <id>/<key>/...               a model's files, and locara-model.json, the manifest
    .parts/<id>/<key>/...        what is being fetched
    .locks/<id>.lock             one process at a time at one model

``key`` stands for what the row asks for (revision, files, hashes): another revision lies beside the old one until
``locara models prune``, and a session that has the old one open is not disturbed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from locara.catalog import file_names, hub, manifest, space
from locara.catalog.manifest import Manifest
from locara.catalog.row import Row
from locara.errors import ModelError

VARIABLE = "LOCARA_MODELS"
PARTS = ".parts"
LOCKS = ".locks"
TAG = "CACHEDIR.TAG"

_TAG_TEXT = """Signature: 8a477f597d28d172789f06886806bc55
# The models of Locara: locara models list --installed
# They can be fetched again. About this file see https://bford.info/cachedir/
"""


def default_folder(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """``LOCARA_MODELS``, else ``locara/models`` in the platform's folder for data: ``XDG_DATA_HOME`` or ``~/.local/share``,
    ``~/Library/Application Support``, ``%LOCALAPPDATA%``."""
    if named := environment.get(VARIABLE, "").strip():
        return Path(named).expanduser().absolute()
    home = Path(environment.get("HOME") or environment.get("USERPROFILE") or Path("~").expanduser())
    if platform == "darwin":
        return home / "Library" / "Application Support" / "locara" / "models"
    if platform == "win32":
        return Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local") / "locara" / "models"
    base = environment.get("XDG_DATA_HOME", "")
    # The XDG base directory specification: a relative path there is invalid and is to be ignored.
    return (Path(base) if base and Path(base).is_absolute() else home / ".local" / "share") / "locara" / "models"


def default_store(environment: Mapping[str, str] = os.environ) -> Store:
    """The store of this machine and person. Makes no folder: that happens when a model is first put there."""
    return Store(default_folder(environment), environment=environment)


@dataclass(frozen=True, slots=True)
class Installed:
    """A model on disk. ``disk`` in bytes, all files of its folder. ``last_read``: seconds since the epoch, as far as the
    file system notes when files are read (many note it once a day, some never); at least when it was put there."""

    id: str
    folder: Path
    manifest: Manifest
    disk: int
    last_read: float


class Store:
    """Models in ``home``. ``environment``: where the hub's own cache is looked for. ``free``: a folder -> bytes that may
    still be written there."""

    def __init__(
        self,
        home: Path | str,
        *,
        environment: Mapping[str, str] = os.environ,
        free: Callable[[Path], int] = space.free,
    ) -> None:
        self.home = Path(home)
        self.environment = environment
        self.free = free

    def folder(self, row: Row) -> Path:
        """Where ``row``'s files lie, or will lie once they are pulled. Raises ``ModelError`` for an impossible id."""
        return self.present(row) or self.place(row)

    def place(self, row: Row) -> Path:
        """Where a pull of ``row`` puts it, whatever is there now."""
        return self.home / file_names.model_id(row.id) / key(row)

    def present(self, row: Row) -> Path | None:
        """The folder with all files of ``row``, or None. Cheap and without network: manifests and sizes are read, the
        files are not (``locara models verify`` does that). Also found in the hub's own cache, at the row's revision."""
        if not row.files:
            return None
        place = self.place(row)
        folders = sorted(self.folders(row.id), key=lambda one: one != place)  # what was meant for this row, first
        for folder in folders:
            found = manifest.read(folder)
            if found is not None and manifest.answers(found, row) and manifest.whole(found, folder):
                return folder
        return hub.cached(row, self.environment)

    def installed(self) -> tuple[Installed, ...]:
        """Every published model, also those that no row names any more, by id."""
        found = []
        for id_ in self.ids():
            for folder in self.folders(id_):
                if (one := manifest.read(folder)) is not None:
                    found.append(Installed(id_, folder, one, size(folder), _last_read(folder, one)))
        return tuple(found)

    def parts(self, row: Row) -> Path:
        """The folder of what is being fetched for ``row``."""
        return self.home / PARTS / file_names.model_id(row.id) / key(row)

    def lock(self, id_: str) -> Path:
        """The lock file of the model."""
        return self.home / LOCKS / f"{file_names.model_id(id_)}.lock"

    def prepare(self) -> None:
        """Makes the folder. Raises ``ModelError`` where it cannot be made or written."""
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            tag = self.home / TAG
            if not tag.exists():
                tag.write_text(_TAG_TEXT, encoding="utf-8")
        except OSError as error:
            raise self.unwritable(error) from error

    def unwritable(self, error: OSError) -> ModelError:
        """The error for a folder that takes no files."""
        return ModelError(
            f"the folder of models {self.home} cannot be written ({error.strerror or error})",
            hint=f"make it writable, or set {VARIABLE} to a folder that is",
        )

    def publish(self, tree: Path, row: Row) -> Path:
        """Moves a finished folder to its place, in one step. What lay there before (a damaged copy) goes. Raises
        ``OSError``."""
        place = self.place(row)
        place.parent.mkdir(parents=True, exist_ok=True)
        old = self.home / PARTS / row.id / f"{place.name}.old"
        if place.exists():
            discard(old)
            old.parent.mkdir(parents=True, exist_ok=True)
            place.rename(old)
        tree.rename(place)
        _settle(place.parent)
        discard(old)
        return place

    def remove(self, folder: Path) -> int:
        """Deletes one published model and returns the bytes it took. Raises ``ModelError`` for a folder that is not one
        of this store's: outside it, reached through a link, or without a manifest."""
        where = self.mine(folder)
        if not (where / manifest.NAME).is_file():
            raise ModelError(f"{where} holds no model that Locara put there", hint="look at it and delete it yourself")
        freed = size(where)
        # The manifest goes first: a folder that is half gone must not look whole.
        try:
            (where / manifest.NAME).unlink()
            shutil.rmtree(where)
            with contextlib.suppress(OSError):  # another revision is still there
                where.parent.rmdir()
        except OSError as error:
            raise ModelError(
                f"{error.filename or where} cannot be deleted ({error.strerror or error})",
                hint="close what uses the model, look at the folder's permissions, then run the command again",
            ) from error
        return freed

    def mine(self, folder: Path) -> Path:
        """``folder`` as a path that is truly ``<home>/<id>/<key>``, with no link on the way. Raises ``ModelError``."""
        home = self.home.resolve()
        where = folder.resolve()
        if where.parent.parent != home or where != home / folder.parent.name / folder.name:
            raise ModelError(f"{folder} is not a model's folder in {self.home}", hint="nothing was deleted")
        file_names.model_id(where.parent.name)
        return where

    def ids(self) -> tuple[str, ...]:
        """The models of which something is published."""
        return tuple(sorted(self._names(self.home)))

    def folders(self, id_: str) -> Iterator[Path]:
        """The folders of one model, one for each revision, whole or not."""
        place = self.home / file_names.model_id(id_)
        for name in sorted(self._names(place)):
            yield place / name

    def _names(self, place: Path) -> list[str]:
        try:
            with os.scandir(place) as found:
                return [one.name for one in found if _can_hold(one)]
        except OSError:
            return []


def key(row: Row) -> str:
    """Twelve hexadecimal digits for what the row asks for. Sizes are left out: learning one changes no file. Of a file
    with a hash, the hash says all; its address does not count."""
    wanted = [
        (one.path, one.sha256.lower() or [one.url, row.hub, row.revision], one.unpack, one.strip) for one in row.files
    ]
    return hashlib.sha256(json.dumps(sorted(wanted, key=lambda one: one[0])).encode()).hexdigest()[:12]


def size(folder: Path) -> int:
    """Bytes of all files in ``folder``."""
    return sum(one.lstat().st_size for one in folder.rglob("*") if one.is_file() and not one.is_symlink())


def discard(folder: Path) -> None:
    """Deletes what was never published. What cannot be deleted now, prune finds later."""
    shutil.rmtree(folder, ignore_errors=True)


def _can_hold(entry: os.DirEntry[str]) -> bool:
    try:
        file_names.model_id(entry.name)
        return entry.is_dir(follow_symlinks=False)
    except (ModelError, OSError):
        return False


def _last_read(folder: Path, found: Manifest) -> float:
    times = [(folder / manifest.NAME).stat().st_mtime]
    for one in found.files:
        with contextlib.suppress(OSError):
            times.append((folder / one.path).stat().st_atime)
    return max(times)


def _settle(folder: Path) -> None:
    """Asks the disk to keep the folder's entries, where a folder can be asked (not on Windows)."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
