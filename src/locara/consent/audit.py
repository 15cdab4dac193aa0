"""The log of what used the microphone and the speaker. What may live here: writing lines, reading them, rotating the file.

A line says which app, which process, which device, which models, when. It never holds sound or text. The log is for the
person at this machine; it keeps no program from anything, and one that cannot be written never stops a conversation: that
is said once, on standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

from locara.catalog.locking import Lock
from locara.consent import files
from locara.errors import ConsentError, ModelError

FILE = "audit.jsonl"
MOST_BYTES = 1_000_000
"""Of one file: some 4,000 sessions."""
OLD_FILES = 4
"""Files that are kept beside the newest, ``audit.1.jsonl`` the youngest."""

_TEXTS = ("session", "name", "version", "device", "capability", "reason")
_LINE = 8_192  # bytes: a line is written at once, and longer ones might not be
_LOOK_SECONDS = 0.3

What = Literal[
    "allowed", "denied", "revoked", "session-started", "session-ended", "models",
    "microphone-opened", "microphone-closed", "speaker-opened", "speaker-closed",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. ``at``: seconds since the epoch. ``session``: the same for all lines of one session or saying.
    ``models``: stage -> facts."""

    at: float
    what: What
    app: str
    pid: int
    session: str = ""
    name: str = ""
    version: str = ""
    device: str = ""
    capability: str = ""
    reason: str = ""
    models: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


class Audit:
    """The log in ``folder``. ``complain``: is given a sentence, once, when it cannot be written."""

    def __init__(
        self, folder: Path, *, now: Callable[[], float] = time.time, complain: Callable[[str], None] | None = None
    ) -> None:
        self.folder = folder
        self.path = folder / FILE
        self._now = now
        self._complain = complain if complain is not None else _on_stderr
        self._complained = False

    def note(self, what: What, app: str, **facts: Any) -> None:
        """Adds a line with the fields of `Entry`. Never raises and never waits for another process."""
        told = {"at": round(self._now(), 3), "what": what, "app": app, "pid": os.getpid()}
        told |= {name: value for name, value in facts.items() if value}
        line = json.dumps(told, ensure_ascii=True, separators=(",", ":")).encode()
        if len(line) > _LINE:
            line = json.dumps({**told, "models": {}}, ensure_ascii=True, separators=(",", ":")).encode()
        try:
            files.made(self.folder)
            self._rotate()
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
            file = os.open(self.path, flags, 0o600)
            try:
                os.write(file, line[:_LINE] + b"\n")
            finally:
                os.close(file)
        except (OSError, ConsentError, ModelError) as error:
            if not self._complained:
                self._complained = True
                cause = error.strerror or str(error) if isinstance(error, OSError) else str(error)
                self._complain(
                    f"locara: the log of what uses microphone and speaker cannot be written: {self.path}: {cause}. "
                    "The conversation goes on without it."
                )

    def _rotate(self) -> None:
        if not self.path.exists() or self.path.stat().st_size < MOST_BYTES:
            return
        lock = Lock(self.folder / "audit.lock")
        if not lock.take():
            return  # another process does it
        try:
            if self.path.stat().st_size < MOST_BYTES:
                return
            for number in range(OLD_FILES, 0, -1):
                younger = self._old(number - 1)
                if younger.exists():
                    younger.replace(self._old(number))
        finally:
            lock.give_back()

    def _old(self, number: int) -> Path:
        return self.path if number == 0 else self.folder / f"audit.{number}.jsonl"

    def entries(self) -> Iterator[Entry]:
        """All lines that can be read, oldest first; what is no line of ours is left out. Raises ``ConsentError``."""
        for number in range(OLD_FILES, -1, -1):
            try:
                data = files.contents(self._old(number), 2 * MOST_BYTES)
            except OSError as error:
                raise files.refused(self._old(number), error) from error
            yield from read(data or b"")

    def follow(self) -> Iterator[Entry]:
        """Lines as they are written, from now on, until nobody asks any more."""
        at, inode = self._end()
        while True:
            time.sleep(_LOOK_SECONDS)
            size, now = self._end()
            if now != inode or size < at:  # rotated, or begun anew
                older = self._old(1)
                if inode and older.exists() and older.stat().st_ino == inode:
                    yield from read(_from(older, at))
                at, inode = 0, now
            if size > at:
                data = _from(self.path, at)
                whole = data.rfind(b"\n") + 1
                at += whole
                yield from read(data[:whole])

    def _end(self) -> tuple[int, int]:
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return 0, 0
        return stat.st_size, stat.st_ino


def default_audit(environment: Mapping[str, str] = os.environ) -> Audit:
    """The log of this person."""
    return Audit(files.folder(environment))


def read(data: bytes) -> Iterator[Entry]:
    """The lines in ``data``. One that is damaged does not hide the others."""
    for line in data.split(b"\n"):
        try:
            one = json.loads(line)
            texts = {name: str(one.get(name, "")) for name in _TEXTS}
            models = {
                stage: {str(k): str(v) for k, v in facts.items()} for stage, facts in one.get("models", {}).items()
            }
            entry = Entry(
                float(one["at"]), cast(What, one["what"]), str(one["app"]), int(one["pid"]), models=models, **texts
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
        if entry.what in get_args(What):
            yield entry


def _from(path: Path, at: int) -> bytes:
    with path.open("rb") as file:
        file.seek(at)
        return file.read(2 * MOST_BYTES)


def _on_stderr(text: str) -> None:
    try:
        sys.stderr.write(text + "\n")
    except (OSError, ValueError, AttributeError):  # nobody reads it
        return
