"""Taking a model from files that are here: for machines without a network, and for models that no row names.

What may live here: which file is which, the copy with its comparison, and the row that is written for a model of one's
own. Publishing is the business of `staging`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from locara.catalog import index, manifest, pickled, places, reading, space, writing
from locara.catalog.locking import Lock
from locara.catalog.manifest import Lying, Manifest
from locara.catalog.parts import Part
from locara.catalog.pulling import Progress, refuse_name
from locara.catalog.row import ModelFile, Row, RowKind
from locara.catalog.staging import Stage, hashed
from locara.catalog.store import Store
from locara.errors import ConfigError, ModelError, PullStopped

WRITTEN = "# Written by: locara models import --as. Taken away by: locara models rm\n"
"""The first line of a row file that is ours to delete."""

_BLOCK = 1024 * 1024

_Tell = Callable[[str, int, int, str], None]
"""Stage, number of the file, bytes, note."""


@dataclass(frozen=True, slots=True)
class Own:
    """A model of one's own that was imported. ``left_out``: pickles among its files."""

    row: Row
    folder: Path
    left_out: tuple[str, ...]


def import_files(
    row: Row,
    paths: Sequence[Path],
    store: Store,
    *,
    link: bool = False,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
) -> Path:
    """The folder with the files of ``row``, taken from ``paths``: files, or a folder that holds them. Each is compared with
    the row's size and hash, where it has them; else what is found is noted. The folder of a model that Locara published on
    another machine is taken as it is, its files compared with its manifest. ``link``: hard links instead of copies,
    where the disk allows. Raises ``ModelError`` that names the file and what is wrong with it."""
    if row.bundled or not row.files:
        raise ModelError(
            f"{row.id}: " + ("it comes with a package" if row.bundled else "the catalog does not know its files"),
            hint="nothing needs to be imported" if row.bundled else "import it under a name of its own: --as NAME",
        )
    for file in row.files:
        refuse_name(row, file)
    if len(paths) == 1 and paths[0].is_dir() and (found := manifest.read(paths[0])) and manifest.answers(found, row):
        return _carry(row, paths[0], found, store, link=link, progress=progress, stop=stop)
    return _import(row, matched(row, paths), store, link=link, progress=progress, stop=stop)


def import_as(
    name: str,
    paths: Sequence[Path],
    store: Store,
    *,
    kind: RowKind,
    engine: str,
    licence: str = "unknown",
    options: Mapping[str, Any] | None = None,
    languages: Sequence[str] = (),
    link: bool = False,
    environment: Mapping[str, str] = os.environ,
    progress: Callable[[Progress], None] | None = None,
) -> Own:
    """Imports files under a name that no row has, and writes the row among the person's own. Raises ``ModelError`` and, for
    what cannot be a row, ``ConfigError``."""
    if (other := index.find(name, environment)) is not None:
        raise ModelError(
            f"the name {name!r} is taken by {other.id} of the catalog",
            hint=f"choose another, or: locara models import {other.id} PATH",
        )
    target = row_file(name, environment)
    if target.exists():
        raise ModelError(f"{target} is there already", hint="choose another name, or delete that file")
    sources, left_out = _own_files(paths)
    if not sources:
        raise ModelError(f"no file to import in {', '.join(map(str, paths))}", hint="name files, or a folder of files")
    files = []
    for relative, path in sources.items():
        try:
            sha256, size = hashed(path)
        except OSError as error:
            raise _unreadable(path, error) from error
        files.append(ModelFile(relative, sha256=sha256, size=size))
    row = Row(
        id=name,
        kind=kind,
        title=name,
        licence=licence,
        status="experimental",
        engine=engine,
        files=tuple(files),
        options=dict(options or {}),
        languages=tuple(languages),
        disk=sum(one.size or 0 for one in files),
    )
    text = WRITTEN + "\n" + writing.toml(row)
    reading.read(text, f"the row of {name}")  # what cannot be read back is not written
    for file in row.files:
        refuse_name(row, file)
    folder = _import(row, tuple(sources.values()), store, link=link, progress=progress, stop=None)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(target.name + ".new")
        beside.write_text(text, encoding="utf-8")
        beside.replace(target)
    except OSError as error:
        store.remove(folder)
        raise ModelError(
            f"the row of {name} cannot be written to {target} ({error.strerror or error})",
            hint=f"make the folder writable, or set {places.VARIABLE} to one that is",
        ) from error
    return Own(row, folder, left_out)


def row_file(name: str, environment: Mapping[str, str]) -> Path:
    """Where the row of a model of one's own is written. Raises ``ConfigError`` where rows come from a single file."""
    named = environment.get(places.VARIABLE, "")
    folder = Path(named).expanduser() if named else places.user_folder(environment)
    if named and (folder.is_file() or folder.suffix.lower() == ".toml"):
        raise ConfigError(
            f"{places.VARIABLE} names the file {folder}, to which no row is added",
            hint=f"set {places.VARIABLE} to a folder, or unset it",
        )
    return folder / f"{name}.toml"


def forget(name: str, environment: Mapping[str, str]) -> bool:
    """Deletes the row that `import_as` wrote; False where there is none of its making."""
    with contextlib.suppress(OSError, UnicodeDecodeError, ConfigError):
        path = row_file(name, environment)
        if path.read_text(encoding="utf-8").startswith(WRITTEN):
            path.unlink()
            return True
    return False


def matched(row: Row, paths: Sequence[Path]) -> tuple[Path, ...]:
    """For each file of ``row``, the one among ``paths`` that is meant: by its path in a folder, by its name, or, when
    there is one of each, by that. Raises ``ModelError`` that names what is missing."""
    for one in paths:
        if not one.exists():
            raise ModelError(f"there is nothing at {one}", hint="name a file or a folder that exists")
    if len(row.files) == 1 and len(paths) == 1 and paths[0].is_file():
        return (paths[0],)
    found = [_one(file, paths) for file in row.files]
    if missing := [file.path for file, path in zip(row.files, found, strict=True) if path is None]:
        raise ModelError(
            f"{row.id} also needs {', '.join(missing[:8])}{' and more' if len(missing) > 8 else ''}, which "
            f"{'is' if len(missing) == 1 else 'are'} not in {', '.join(map(str, paths))}",
            hint=f"locara models show {row.id} lists its files and where they come from",
        )
    return tuple(path for path in found if path is not None)


def _one(file: ModelFile, paths: Sequence[Path]) -> Path | None:
    names = {Path(file.path).name, file.url.partition("?")[0].rpartition("/")[2]} - {""}
    places_ = [one / file.path for one in paths if one.is_dir()]
    places_ += [one / name for one in paths if one.is_dir() for name in sorted(names)]
    places_ += [one for one in paths if one.is_file() and one.name in names]
    return next((one for one in places_ if one.is_file()), None)


def _own_files(paths: Sequence[Path]) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Path in the model's folder -> file, and the pickles that are left out. Hidden files are not the model's."""
    found: dict[str, Path] = {}
    for one in paths:
        if not one.exists():
            raise ModelError(f"there is nothing at {one}", hint="name a file or a folder that exists")
        inside = sorted(item for item in one.rglob("*") if item.is_file()) if one.is_dir() else [one]
        for item in inside:
            relative = item.relative_to(one) if one.is_dir() else Path(item.name)
            if any(part.startswith(".") for part in relative.parts) or relative.name == "locara-model.json":
                continue
            if found.setdefault(relative.as_posix(), item) != item:
                raise ModelError(f"{relative} is among the files twice", hint="name one folder that holds all files")
    try:
        pickles = tuple(name for name, path in found.items() if pickled.named(name) or pickled.held_by(path))
    except OSError as error:
        raise _unreadable(Path(error.filename or "?"), error) from error
    return {name: path for name, path in found.items() if name not in pickles}, pickles


def _import(
    row: Row,
    sources: Sequence[Path],
    store: Store,
    *,
    link: bool,
    progress: Callable[[Progress], None] | None,
    stop: threading.Event | None,
) -> Path:
    tell = _teller(row, _total(sources), progress, stop)
    with _staged(row, store, 0 if link else _total(sources), tell) as stage:
        notes = []
        before = 0
        for number, source in enumerate(sources):
            notes.append(_taken(row, number, source, stage, link, functools.partial(_checked, tell, number, before)))
            before += notes[-1].total or 0
        stage.lay(notes, lambda done: tell("unpacking", 0, done, ""))
        return stage.publish(notes, row.revision if row.pinned else "", "imported")


def _carry(
    row: Row,
    folder: Path,
    found: Manifest,
    store: Store,
    *,
    link: bool,
    progress: Callable[[Progress], None] | None,
    stop: threading.Event | None,
) -> Path:
    """Takes over a folder that was published on another machine."""
    total = sum(one.size for one in found.files)
    tell = _teller(row, total, progress, stop)
    done = 0

    def take(one: Lying, target: Path) -> None:
        nonlocal done
        sha256, size = _copied(folder / one.path, target, link, functools.partial(_checked, tell, 0, done))
        done += size
        if sha256 != one.sha256 or size != one.size:
            raise ModelError(
                f"{folder / one.path} has changed since it was {found.source}: sha256 {sha256} instead of {one.sha256}",
                hint="nothing was imported; carry the folder again",
            )
        if pickled.held_by(target):
            raise ModelError(f"{folder / one.path} is a pickle, so it is not kept", hint="nothing was imported")

    with _staged(row, store, 0 if link else total, tell) as stage:
        return stage.carry(found, take)


@contextlib.contextmanager
def _staged(row: Row, store: Store, needed: int, tell: _Tell) -> Iterator[Stage]:
    """A stage of its own, under the model's lock; gone afterwards. Raises ``ModelError`` for a disk without room."""
    store.prepare()
    with Lock(store.lock(row.id), waiting=lambda who: tell("waiting", 0, 0, f"waiting for another process ({who})")):
        space.demand(row.id, needed, store.free(store.home), store.home)
        stage = Stage(store, row, beside=".import")
        try:
            stage.close()  # what an import that was killed has left
            stage.open()
            yield stage
        except OSError as error:
            full = error.errno in space.FULL
            raise (space.full(row.id, store.home, error) if full else store.unwritable(error)) from error
        finally:
            stage.close()


def _teller(row: Row, total: int, progress: Callable[[Progress], None] | None, stop: threading.Event | None) -> _Tell:
    def tell(stage: str, number: int, done: int, note: str) -> None:
        if stop is not None and stop.is_set():
            raise PullStopped(f"{row.id}: stopped; nothing was imported", hint="run the same command again")
        if progress is not None:
            file = row.files[number].path
            progress(Progress(row.id, stage, done, total, file, number + 1, len(row.files), note))

    return tell


def _total(sources: Sequence[Path]) -> int:
    try:
        return sum(one.stat().st_size for one in sources)
    except OSError as error:
        raise _unreadable(Path(error.filename or "?"), error) from error


def _checked(tell: _Tell, number: int, before: int, done: int) -> None:
    tell("checking", number, before + done, "")


def _taken(row: Row, number: int, source: Path, stage: Stage, link: bool, progress: Callable[[int], None]) -> Part:
    """Copies or links one file into its part, and compares it."""
    file = row.files[number]
    part = stage.part(number)
    sha256, size = _copied(source, part, link, progress)
    problem = ""
    if file.size is not None and size != file.size:
        problem = f"it has {size} bytes, the catalog says {file.size}"
    elif file.sha256 and sha256 != file.sha256.lower():
        problem = f"its sha256 is {sha256}, the catalog says {file.sha256.lower()}"
    elif not file.unpack and pickled.held_by(part):
        problem = "it is a pickle: loading it would run whatever program it holds"
    if problem:
        raise ModelError(
            f"{source} is not {file.path} of {row.id}: {problem}",
            hint="nothing was imported; fetch the file again, or import it under a name of its own: --as NAME",
        )
    return Part(sha256=sha256, total=size)


def _copied(source: Path, target: Path, link: bool, progress: Callable[[int], None]) -> tuple[str, int]:
    """Copies or links ``source``; its sha256 and bytes as they came."""
    try:
        real = source.resolve(strict=True)
        opened = real.open("rb")
    except OSError as error:
        raise _unreadable(source, error) from error
    with opened:
        linked = link and _linked(real, target)
        hasher = hashlib.sha256()
        size = 0
        with contextlib.nullcontext() if linked else target.open("xb") as out:
            while block := opened.read(_BLOCK):
                hasher.update(block)
                size += len(block)
                if out is not None:
                    out.write(block)
                progress(size)
    return hasher.hexdigest(), size


def _linked(source: Path, part: Path) -> bool:
    try:
        os.link(source, part)
    except OSError:  # another disk, or a file system without links
        return False
    return True


def _unreadable(path: Path, error: OSError) -> ModelError:
    return ModelError(f"{path} cannot be read ({error.strerror or error})", hint="look at its permissions")
