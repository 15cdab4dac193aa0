"""Files that only this person may read. What may live here: where they lie, and writing them whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from locara.catalog.locking import Lock
from locara.errors import ConsentError, ModelError

VARIABLE = "LOCARA_CONSENT"
"""The folder of the ledger and the log, over the platform's own."""

LOCK_SECONDS = 10.0
"""A ledger is written in milliseconds; who waits so long waits for a process that hangs."""

_BUSY_SECONDS = 1.0
"""On Windows a file that somebody reads at this moment cannot be replaced, nor one being replaced be read."""


def folder(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """``LOCARA_CONSENT``, else ``locara/consent`` in the platform's folder for data: ``XDG_DATA_HOME`` or
    ``~/.local/share``, ``~/Library/Application Support``, ``%LOCALAPPDATA%``."""
    if named := environment.get(VARIABLE, "").strip():
        return Path(named).expanduser().absolute()
    home = Path(environment.get("HOME") or environment.get("USERPROFILE") or Path("~").expanduser())
    if platform == "darwin":
        return home / "Library" / "Application Support" / "locara" / "consent"
    if platform == "win32":
        return Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local") / "locara" / "consent"
    base = environment.get("XDG_DATA_HOME", "")
    # The XDG base directory specification: a relative path there is invalid and is to be ignored.
    return (Path(base) if base and Path(base).is_absolute() else home / ".local" / "share") / "locara" / "consent"


def made(place: Path) -> None:
    """Makes the folder, for this person only. Raises ``ConsentError``, also where others may write into it: who can put
    a ledger there can grant. (On Windows the folder has the rights of the user's own data folder.)"""
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = place.stat()
        if os.name == "posix":
            if mode.st_uid != os.geteuid():
                raise ConsentError(
                    f"{place} belongs to another user", hint=f"give it back to yourself, or set {VARIABLE}"
                )
            if mode.st_mode & 0o077:
                place.chmod(0o700)
    except OSError as error:
        raise refused(place, error) from error


def refused(path: Path, error: OSError) -> ConsentError:
    """The error for a file of ours that cannot be read or written."""
    return ConsentError(
        f"{path} cannot be used ({error.strerror or error}): nothing is granted",
        hint=f"make it readable and writable for yourself, or set {VARIABLE} to a folder that is",
    )


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """What is done inside is done by one process at a time. Raises ``ConsentError``."""
    lock = Lock(path, limit=LOCK_SECONDS)
    try:
        lock.__enter__()
    except ModelError as error:
        hint = f"wait for it or end it; or set {VARIABLE} to a writable folder on a local disk"
        raise ConsentError(f"{error.message}: nothing is granted", hint=hint) from error
    try:
        yield
    finally:
        lock.give_back()


def replace(path: Path, data: bytes) -> None:
    """Puts ``data`` there, whole or not at all, for this person only. Raises ``OSError``."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        _patiently(lambda: part.replace(path))
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    if os.name == "posix":  # the name, too, is on the disk
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def contents(path: Path, most: int) -> bytes | None:
    """What is in it, at most ``most`` + 1 bytes; None where there is no such file. Raises ``OSError``."""
    found: list[bytes | None] = []

    def take() -> None:
        try:
            with path.open("rb") as stream:
                found.append(stream.read(most + 1))
        except FileNotFoundError:
            found.append(None)

    _patiently(take)
    return found[0]


def _patiently(work: Callable[[], object]) -> None:
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            work()
        except PermissionError:
            if sys.platform != "win32" or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
