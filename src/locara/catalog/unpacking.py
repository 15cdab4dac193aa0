"""Taking an archive apart safely: nothing lands outside its folder, nothing grows without bound.

What may live here: reading tar and zip, entry by entry. The standard library's own extraction is not used: it writes
links, devices and modes, and its filters differ between the versions of Python that Locara runs on. Refused are
absolute names, ``..``, links, devices, sparse and encrypted entries, names that two systems would see differently, and
archives that unpack to more than `Limits` says. Sources: CWE-22 and CWE-409; "A better zip bomb" (D. Fifield, 2019).
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from locara.catalog import file_names, pickled
from locara.catalog.file_names import Taken
from locara.catalog.manifest import Lying
from locara.errors import ModelError

Kind = Literal["tar", "tar.gz", "tar.bz2", "zip"]

_BLOCK = 256 * 1024
_HEADERS = 1024 * 1024
"""Bytes of tar headers between two entries. A long name takes 1.5 kB; the library reads a whole header into memory."""


class BadArchive(ModelError):
    """The archive itself cannot be used: trying again with the same one is of no use."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``files``: entries in the archive, folders too. ``total``: bytes unpacked. ``ratio``: bytes unpacked for each byte of
    the archive, beyond the first ``slack`` (an empty text file compresses a thousandfold, and is no attack)."""

    files: int = 20_000
    total: int = 64 * 1000**3
    ratio: int = 60
    slack: int = 32 * 1000**2

    def most(self, archive: int) -> int:
        """Bytes that an archive of ``archive`` bytes may unpack to."""
        return min(self.total, self.slack + self.ratio * archive)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """``files`` as written. ``left_out``: pickles, which are never written; the rest of the archive is still good."""

    files: tuple[Lying, ...]
    left_out: tuple[str, ...] = ()


def unpack(
    archive: Path,
    kind: Kind,
    folder: Path,
    *,
    strip: int = 0,
    taken: Taken | None = None,
    limits: Limits | None = None,
    progress: Callable[[int], None] | None = None,
) -> Unpacked:
    """Writes the files of ``archive`` under ``folder``, which must exist, without the first ``strip`` parts of their
    names. ``taken``: names that are given away already. ``progress`` gets the bytes written so far, and may raise.
    Raises ``BadArchive`` that names the archive, the entry and the reason; what was written until then stays, for the
    caller to throw away. Raises ``OSError`` for a full disk."""
    laying = _Laying(archive, folder, strip, taken or Taken(), limits or Limits(), progress)
    entries = _zip if kind == "zip" else _tar
    with _readable(archive):
        entries(archive, kind, laying)
    if not laying.files:
        raise BadArchive(
            f"{archive.name} holds no file that can be used" + (f" below {strip} leading folders" if strip else ""),
            hint="report this as a mistake in the catalog's row, with the model's name",
        )
    return Unpacked(tuple(laying.files), tuple(laying.left_out))


class _Laying:
    """Writes entries, one after another, and counts."""

    def __init__(
        self,
        archive: Path,
        folder: Path,
        strip: int,
        taken: Taken,
        limits: Limits,
        progress: Callable[[int], None] | None,
    ) -> None:
        self.files: list[Lying] = []
        self.left_out: list[str] = []
        self.most = limits.most(archive.stat().st_size)
        self._archive = archive.name
        self._folder = folder
        self._strip = strip
        self._taken = taken
        self._limits = limits
        self._progress = progress
        self._entries = 0
        self._bytes = 0

    def entry(self, name: str, size: int, *, folder: bool, source: Callable[[], IO[bytes] | None]) -> None:
        """Writes the next one. ``size`` is what the archive says; what comes is counted all the same."""
        self._entries += 1
        if self._entries > self._limits.files:
            raise self.refused(name, f"it is the {self._limits.files + 1}th entry: too many")
        try:
            path = file_names.relative(name, strip=self._strip)
        except ValueError as reason:
            raise self.refused(name, str(reason)) from None
        if folder:
            if path is not None and (problem := self._taken.folder(path)):
                raise self.refused(name, problem)
            return
        if size < 0 or self._bytes + size > self.most:
            raise self.refused(name, f"with it the archive unpacks to more than {self.most} bytes")
        opened = source()
        if path is None or pickled.named(name) or opened is None:
            for block in self._blocks(name, opened):  # read, so that a stream of tar stands at the next entry
                del block
            if path is not None:
                self.left_out.append(name)
            return
        if problem := self._taken.take(path):
            raise self.refused(name, problem)
        self._write(name, self._folder / path, str(path), opened)

    def refused(self, name: str, reason: str) -> BadArchive:
        """The error for one entry."""
        return BadArchive(
            f"{self._archive} is not unpacked: its entry {name[:200]!r}: {reason}",
            hint="the archive is not safe to use; report it to whoever publishes it",
        )

    def _write(self, name: str, target: Path, relative: str, source: IO[bytes]) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        hasher = hashlib.sha256()
        size = 0
        head = b""
        with target.open("xb") as out:
            for block in self._blocks(name, source):
                if size == 0:
                    head = block[: pickled.HEAD_BYTES]
                hasher.update(block)
                out.write(block)
                size += len(block)
        if pickled.begins(head) or (head.startswith(b"PK") and pickled.held_by(target)):
            target.unlink()
            self.left_out.append(name)
            return
        self.files.append(Lying(relative, hasher.hexdigest(), size))

    def _blocks(self, name: str, source: IO[bytes] | None) -> Iterator[bytes]:
        while source is not None and (block := source.read(_BLOCK)):
            self._bytes += len(block)
            if self._bytes > self.most:
                raise self.refused(name, f"with it the archive unpacks to more than {self.most} bytes")
            if self._progress is not None:
                self._progress(self._bytes)
            yield block


class _Metered:
    """A stream that gives no more than it is allowed to: tar's library would read a header of any length at once."""

    def __init__(self, source: IO[bytes], laying: _Laying) -> None:
        self._source = source
        self._laying = laying
        self._left = _HEADERS
        self.current = "(a header)"

    def allow(self, size: int) -> None:
        """The data of one entry, its padding, and the headers of the next."""
        self._left = size + _HEADERS

    def read(self, size: int) -> bytes:
        """As a file does."""
        block = self._source.read(size)
        self._left -= len(block)
        if self._left < 0:
            raise self._laying.refused(self.current, "it or the header after it is longer than it says")
        return block


def _tar(archive: Path, kind: Kind, laying: _Laying) -> None:
    with _decompressed(archive, kind) as source:
        metered = _Metered(source, laying)
        with tarfile.open(fileobj=metered, mode="r|", errorlevel=1) as opened:  # type: ignore[call-overload]
            # Not a plain loop: the library keeps every member it has seen.
            while (member := opened.next()) is not None:
                opened.members.clear()
                if not (member.isreg() or member.isdir()) or member.issparse():
                    raise laying.refused(member.name, _sort(member))
                if member.isreg() and member.size > laying.most:
                    raise laying.refused(member.name, f"it says that it has {member.size} bytes")
                metered.current = member.name
                metered.allow(member.size if member.isreg() else 0)

                def data(member: tarfile.TarInfo = member) -> IO[bytes] | None:
                    found: IO[bytes] | None = opened.extractfile(member)
                    return found

                laying.entry(member.name, member.size, folder=member.isdir(), source=data)


def _zip(archive: Path, kind: Kind, laying: _Laying) -> None:
    del kind
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            mode = member.external_attr >> 16
            if mode and stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
                raise laying.refused(member.filename, "it is a link or a device")
            if member.flag_bits & 0x1:
                raise laying.refused(member.filename, "it is encrypted")

            def data(member: zipfile.ZipInfo = member) -> IO[bytes]:
                return opened.open(member)

            # orig_filename is what the archive says; filename was made pleasant already (NUL cut, slashes turned).
            laying.entry(member.orig_filename, member.file_size, folder=member.is_dir(), source=data)


@contextmanager
def _decompressed(archive: Path, kind: Kind) -> Iterator[IO[bytes]]:
    if kind == "tar.gz":
        with gzip.open(archive) as zipped:
            yield zipped  # type: ignore[misc]
    elif kind == "tar.bz2":
        with bz2.open(archive) as packed:
            yield packed
    else:
        with archive.open("rb") as plain:
            yield plain


@contextmanager
def _readable(archive: Path) -> Iterator[None]:
    """The libraries' many errors for a damaged archive, as one of ours."""
    broken = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile)
    try:
        yield
    except (*broken, NotImplementedError, RuntimeError, ValueError, OverflowError, IndexError) as error:
        raise _damaged(archive, error) from error
    except OSError as error:
        if error.errno is not None:  # the disk's, not the decompressor's
            raise
        raise _damaged(archive, error) from error


def _damaged(archive: Path, error: Exception) -> BadArchive:
    return BadArchive(
        f"{archive.name} cannot be unpacked: it is damaged or not the archive it should be ({error})",
        hint="fetch it again; if it stays so, report it to whoever publishes it",
    )


def _sort(member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        return f"it is a link (to {member.linkname[:100]!r})"
    if member.issparse():
        return "it is a sparse file"
    return "it is not a file and not a folder"
