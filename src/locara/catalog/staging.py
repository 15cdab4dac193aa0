"""A model on its way: its parts, the folder that is built of them, and the step that publishes it.

What may live here: `Stage`, the folder ``.parts/<id>/<key>`` and what lies in it::

    000-model.onnx.part          a file being fetched, or whole; its number is the one in the row
    000-model.onnx.part.json     what it is a part of, and its hash once it is whole
    tree/                        the folder as it will be published; begun anew each time
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from locara.catalog import file_names, manifest, pickled, unpacking
from locara.catalog.connecting import bare
from locara.catalog.file_names import Taken
from locara.catalog.manifest import Fetched, Lying, Manifest
from locara.catalog.parts import Part, Wanted, note_of, read_note, write_note
from locara.catalog.row import Row
from locara.catalog.store import Store, discard
from locara.errors import ModelError


class Stage:
    """The parts of ``row`` in ``store``. For whoever holds the model's lock. ``beside``: a folder of its own, which leaves
    the parts of an unfinished pull alone."""

    def __init__(self, store: Store, row: Row, *, beside: str = "") -> None:
        self._store = store
        self._row = row
        self._folder = store.parts(row).with_name(store.parts(row).name + beside)
        self._tree = self._folder / "tree"
        self._files: list[Lying] = []
        self._left_out: list[str] = []

    def open(self) -> None:
        """Makes the folder, and takes back what a process that died while publishing had laid out already."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for number, file in enumerate(self._row.files):
            laid = self._tree / file.path
            if not file.unpack and laid.is_file() and not self.part(number).exists():
                laid.rename(self.part(number))
        discard(self._tree)

    def part(self, number: int) -> Path:
        """Where the row's file ``number`` (from 0) is fetched to. Its name is short: Windows bears 260 characters."""
        name = re.sub(r"[^A-Za-z0-9._-]", "_", PurePosixPath(self._row.files[number].path).name)[-60:]
        return self._folder / f"{number:03}-{name}.part"

    def size(self, number: int) -> int:
        """Bytes of it that are here."""
        try:
            return self.part(number).stat().st_size
        except OSError:
            return 0

    def revision(self, number: int) -> str:
        """The hub's revision that the part is of, as the hub said it."""
        return read_note(self.part(number)).revision

    def note_whole(self, number: int, wanted: Wanted) -> None:
        """Notes that the part, taken from elsewhere, is the whole file."""
        part = self.part(number)
        url = bare(wanted.origin or wanted.url)
        sha256 = wanted.sha256.lower()
        note = Part(url=url, wanted=wanted.sha256, total=part.stat().st_size, sha256=sha256)
        write_note(part, note)

    def drop(self, number: int) -> None:
        """Deletes a part."""
        for one in (self.part(number), note_of(self.part(number))):
            one.unlink(missing_ok=True)

    def close(self) -> None:
        """Deletes all of it, for who can begin anew without a network."""
        discard(self._folder)

    def lay(self, notes: Sequence[Part], progress: Callable[[int], None] | None) -> None:
        """Builds the folder: archives are unpacked, files moved. Raises ``ModelError`` for an archive that cannot be used,
        which is then deleted: going on from it would fail again."""
        self._tree.mkdir(parents=True)
        try:
            self._unpack(progress)
        except BaseException:
            discard(self._tree)  # half of an archive only takes room
            raise
        for number, file in enumerate(self._row.files):
            if not file.unpack:
                target = self._tree / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                self.part(number).rename(target)
                self._files.append(Lying(file.path, notes[number].sha256, notes[number].total or 0))

    def _unpack(self, progress: Callable[[int], None] | None) -> None:
        taken = Taken()
        taken.take(PurePosixPath(manifest.NAME))
        for file in self._row.files:
            if not file.unpack and (reason := taken.take(PurePosixPath(file.path))):
                raise ModelError(f"{self._row.id}: {file.path}: {reason}", hint="correct the catalog's row")
        for number, file in enumerate(self._row.files):
            if not file.unpack:
                continue
            # Under the archive's own name: errors name it.
            try:
                found = unpacking.unpack(
                    self.part(number), file.unpack, self._tree, strip=file.strip, taken=taken, progress=progress
                )
            except unpacking.BadArchive:
                self.drop(number)
                raise
            self._files += found.files
            self._left_out += found.left_out

    def publish(self, notes: Sequence[Part], revision: str, source: Literal["pulled", "imported"] = "pulled") -> Path:
        """Writes the manifest and moves the folder to its place. Raises ``OSError``."""
        return self._put(self._manifest(notes, revision, source))

    def carry(self, found: Manifest, take: Callable[[Lying, Path], None]) -> Path:
        """Publishes a folder that another machine published: ``take`` brings each of its files to a place in this one's.
        Raises ``ModelError`` for a manifest that names impossible files."""
        self._tree.mkdir(parents=True)
        taken = Taken()
        taken.take(PurePosixPath(manifest.NAME))
        for one in found.files:
            try:
                path = file_names.relative(one.path)
            except ValueError as reason:
                raise ModelError(f"{one.path!r} in {manifest.NAME}: {reason}", hint="nothing was imported") from None
            if path is None or pickled.named(one.path) or (problem := taken.take(path)):
                why = problem if path is not None and not pickled.named(one.path) else "it may not be kept"
                raise ModelError(f"{one.path!r} in {manifest.NAME}: {why}", hint="nothing was imported")
            target = self._tree / path
            target.parent.mkdir(parents=True, exist_ok=True)
            take(one, target)
        self._files = list(found.files)
        return self._put(dataclasses.replace(found, source="imported", when=_now()))

    def _manifest(self, notes: Sequence[Part], revision: str, source: Literal["pulled", "imported"]) -> Manifest:
        row = self._row
        return Manifest(
            id=row.id,
            kind=row.kind,
            engine=row.engine,
            licence=row.licence,
            source=source,
            when=_now(),
            fetched=tuple(
                Fetched(one.path, note.sha256, note.total or 0, note.url, one.unpack, one.strip)
                for one, note in zip(row.files, notes, strict=True)
            ),
            files=tuple(self._files),
            hub=row.hub,
            revision=revision,
            compared=all(one.sha256 for one in row.files),
            left_out=tuple(self._left_out),
        )

    def _put(self, found: Manifest) -> Path:
        (self._tree / manifest.NAME).write_text(found.json(), encoding="utf-8")
        for one in (*(item.path for item in self._files), manifest.NAME):
            _settle(self._tree / one)
        place = self._store.publish(self._tree, self._row)
        discard(self._folder)
        return place


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def hashed(path: Path, progress: Callable[[int], None] | None = None) -> tuple[str, int]:
    """sha256 and bytes of the file at ``path``. ``progress`` gets the bytes so far, and may raise. Raises ``OSError``."""
    hasher = hashlib.sha256()
    size = 0
    with path.open("rb") as opened:
        while block := opened.read(1024 * 1024):
            hasher.update(block)
            size += len(block)
            if progress is not None:
                progress(size)
    return hasher.hexdigest(), size


def _settle(path: Path) -> None:
    """Asks the disk to really have it: a rename may reach the disk before the data do."""
    try:
        # Windows settles only what may be written; elsewhere a file that is linked from others' folders may be read-only.
        opened = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
