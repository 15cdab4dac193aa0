"""One process at a time at one model: a lock that the system itself takes back when its holder dies.

What may live here: `Lock`. The file stays when the lock is given back (taking it away would let two in at once); what
is locked is the open file, so kill -9 and a crash free it, and no age or process id has to be guessed about.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from locara.errors import ModelError

POLL_SECONDS = 0.2
WAIT_SECONDS = 6 * 3600.0
"""The other one may be fetching tens of gigabytes over a slow line; past this something is wrong."""

_WINDOWS_BYTE = 1 << 30
"""On Windows a byte far behind the text is locked, because a locked byte cannot be read by others there."""


class Lock:
    """``with Lock(path):`` around what only one process may do. Waits while another holds it; ``waiting`` is told who
    that is, once. Raises ``ModelError`` where it cannot be had before ``limit`` seconds, or locks do not work there."""

    def __init__(
        self,
        path: Path,
        *,
        waiting: Callable[[str], None] | None = None,
        stop: threading.Event | None = None,
        limit: float = WAIT_SECONDS,
    ) -> None:
        self._path = path
        self._waiting = waiting
        self._stop = stop
        self._limit = limit
        self._file: int | None = None

    def __enter__(self) -> Lock:
        deadline = time.monotonic() + self._limit
        told = False
        while not self.take():
            if not told and self._waiting is not None:
                self._waiting(self.holder())
            told = True
            if self._stop is not None and self._stop.wait(POLL_SECONDS):
                raise ModelError("stopped while waiting for another process", hint="run the command again")
            if time.monotonic() >= deadline:
                raise ModelError(
                    f"{self.holder() or 'another process'} holds {self._path} for longer than {self._limit:.0f} s",
                    hint="wait for it or end it, then run the command again",
                )
            if self._stop is None:
                time.sleep(POLL_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()

    def take(self) -> bool:
        """Takes it if nobody has it. Raises ``ModelError`` where the file cannot be made or locked at all."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        except OSError as error:
            raise ModelError(
                f"{self._path} cannot be written ({error.strerror or error})",
                hint="make the folder writable, or set LOCARA_MODELS to one that is",
            ) from error
        try:
            if _locked(file) and self._is_still(file):
                os.ftruncate(file, 0)
                os.write(file, f"process {os.getpid()}\n".encode())
                self._file = file
                return True
        except OSError as error:
            os.close(file)
            raise ModelError(
                f"{self._path} cannot be locked ({error.strerror or error}): this file system may have no locks",
                hint="set LOCARA_MODELS to a folder on a local disk",
            ) from error
        os.close(file)
        return False

    def give_back(self, *, remove: bool = False) -> None:
        """Gives it back. ``remove``: takes the file away too, which is safe only while it is held."""
        if self._file is None:
            return
        if remove:
            with contextlib.suppress(OSError):  # Windows keeps an open file; it goes the next time
                self._path.unlink()
        file, self._file = self._file, None
        os.close(file)

    def holder(self) -> str:
        """Who wrote it last, or ""."""
        try:
            return self._path.read_text(encoding="utf-8").strip()[:80]
        except (OSError, UnicodeDecodeError):
            return ""

    def _is_still(self, file: int) -> bool:
        """Whether the file that was locked is the one that lies there: it may have been taken away meanwhile."""
        try:
            return os.path.samestat(os.fstat(file), self._path.stat())
        except OSError:
            return False


def _locked(file: int) -> bool:
    """Locks it without waiting; False where another has it. Other failures raise ``OSError``."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(file, _WINDOWS_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(file, 0, os.SEEK_SET)
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
