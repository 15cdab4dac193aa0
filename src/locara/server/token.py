"""The server's token: where it comes from, and the private file in which this user's other programs find it.

What may live here: making it, and that file. Who has the token may talk, listen and ask for anything the server does, so it
stands in no address, no argument and no log; every start makes another one.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import sys
from collections.abc import Iterator, MutableMapping
from pathlib import Path

from locara.errors import ConfigError

VARIABLE = "LOCARA_TOKEN"
"""A token of one's own, for programs that are set up once."""

FOLDER_VARIABLE = "LOCARA_RUNTIME"
"""The folder of the file, over the platform's own."""

LEAST_CHARACTERS = 16
"""Of a token of one's own: below that somebody can guess it (OpenClaw, CVE-2026-25253, began so)."""

MOST_CHARACTERS = 256

_CHARACTERS = re.compile(r"[A-Za-z0-9_-]+")


def chosen(environment: MutableMapping[str, str] | None = None) -> str:
    """``LOCARA_TOKEN``, which is then taken out of the environment so that no program started from here gets it; else 256
    new random bits. Raises ``ConfigError`` for one that cannot be a token or can be guessed."""
    environment = os.environ if environment is None else environment
    given = environment.pop(VARIABLE, "").strip()
    if not given:
        return secrets.token_urlsafe(32)
    if not _CHARACTERS.fullmatch(given):
        hint = 'use letters, digits, _ and -: python -c "import secrets; print(secrets.token_urlsafe())"'
        raise ConfigError(f"{VARIABLE} has characters that a token cannot have", hint=hint)
    if not LEAST_CHARACTERS <= len(given) <= MOST_CHARACTERS:
        hint = f"leave {VARIABLE} out, or take {LEAST_CHARACTERS} to {MOST_CHARACTERS} characters"
        raise ConfigError(f"{VARIABLE} has {len(given)} characters: it could be guessed, or is no token", hint=hint)
    return given


def folder(environment: MutableMapping[str, str] | None = None, platform: str = sys.platform) -> Path:
    """``LOCARA_RUNTIME``, else a folder ``locara`` in the user's folder for what runs: ``XDG_RUNTIME_DIR`` or
    ``~/.local/state``, ``~/Library/Application Support``, ``%LOCALAPPDATA%``."""
    environment = os.environ if environment is None else environment
    if named := environment.get(FOLDER_VARIABLE, "").strip():
        return Path(named).expanduser().absolute()
    home = Path(environment.get("HOME") or environment.get("USERPROFILE") or Path("~").expanduser())
    if platform == "darwin":
        return home / "Library" / "Application Support" / "locara" / "run"
    if platform == "win32":
        return Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local") / "locara" / "run"
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    if runtime and Path(runtime).is_absolute() and Path(runtime).is_dir():
        return Path(runtime) / "locara"
    state = environment.get("XDG_STATE_HOME", "")
    return (Path(state) if state and Path(state).is_absolute() else home / ".local" / "state") / "locara" / "run"


def file(port: int, place: Path | None = None) -> Path:
    """Where the token of the server at ``port`` is."""
    return (place or folder()) / f"serve-{port}.token"


def read(port: int, place: Path | None = None) -> str | None:
    """The token of this user's server at ``port``; None where there is no such file, or one that is not a token."""
    try:
        text = file(port, place).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return text if _CHARACTERS.fullmatch(text) and len(text) <= MOST_CHARACTERS else None


@contextlib.contextmanager
def published(token: str, port: int, place: Path | None = None) -> Iterator[Path]:
    """The file exists inside. Mode 0600 in a folder of mode 0700 (on Windows the rights of the user's own data folder).
    Raises ``ConfigError`` where it cannot be written for this user alone."""
    path = file(port, place)
    try:
        _make_folder(path.parent)
        _write(path, token)
    except OSError as error:
        hint = f"set {FOLDER_VARIABLE} to a folder of your own"
        raise ConfigError(f"{path} cannot be written ({error.strerror or error})", hint=hint) from error
    try:
        yield path
    finally:
        # Another server may have begun at this port since: its token is not ours to remove.
        if read(port, path.parent) == token:
            with contextlib.suppress(OSError):
                path.unlink()


def _make_folder(place: Path) -> None:
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name == "posix":
        found = place.lstat()
        if found.st_uid != os.geteuid():
            hint = f"set {FOLDER_VARIABLE} to a folder of your own"
            raise ConfigError(f"{place} belongs to another user", hint=hint)
        if found.st_mode & 0o077:
            place.chmod(0o700)


def _write(path: Path, token: str) -> None:
    """Whole or not at all, and never through a link that somebody else laid there."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
    try:
        with os.fdopen(os.open(part, flags, 0o600), "w", encoding="ascii") as out:
            out.write(token + "\n")
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
