"""The switch for all sessions of this user: `locara mute` silences every one of them, in every process, within a block.

What may live here: the switch and where it lies. What muted means for a block is done in `ear` and `mouth`.

It is a file: there, everything is muted; gone, nothing is. That needs no server and no process that must be alive when
somebody panics, and one look at it is a ``stat``: some microseconds, from any thread. It lies in the folder for state and
not in ``XDG_RUNTIME_DIR``: a service, a cron job or ``su`` has none, and would go on speaking beside a switch that it
does not see.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from locara.errors import DeviceError

VARIABLE = "LOCARA_SWITCH"
"""The environment variable that names another file, as tests do."""

_NAME = "muted"
_MOST_BYTES = 4096  # what is read of the file, whoever wrote it


@dataclass(frozen=True, slots=True)
class Muting:
    """Who muted, as far as it is known: seconds since 1970 and a process, else 0."""

    since: float = 0.0
    process: int = 0


class Switch:
    """Sound is allowed, or muted for everyone who looks at the same ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._looked_at = os.fspath(path)

    @property
    def muted(self) -> bool:
        """One look. A switch that cannot be looked at (a folder that may not be entered, a broken disk) is muted: whoever
        pressed it must be able to rely on it."""
        try:
            os.stat(self._looked_at)  # noqa: PTH116  a Path would cost as much as the look
        except FileNotFoundError:
            return False
        except (OSError, ValueError):
            return True
        return True

    def mute(self) -> None:
        """From now on nothing is heard and nothing sounds. May be said twice. Raises ``DeviceError``."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise self._failed(error.strerror or str(error)) from error
        try:
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return
        except OSError as error:
            raise self._failed(error.strerror or str(error)) from error
        try:
            with contextlib.suppress(OSError):  # on a full disk too: that the file is there is what counts
                os.write(file, json.dumps({"since": time.time(), "process": os.getpid()}).encode())
        finally:
            os.close(file)

    def unmute(self) -> None:
        """Sound is allowed again, by this switch. May be said twice. Raises ``DeviceError``."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise self._failed(error.strerror or str(error)) from error

    def told(self) -> Muting:
        """Since when, as far as the file says so."""
        try:
            with self.path.open("rb") as file:
                said = json.loads(file.read(_MOST_BYTES))
            return Muting(float(said["since"]), int(said["process"]))
        except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return Muting()

    def _failed(self, why: str) -> DeviceError:
        return DeviceError(
            f"the switch {self.path} cannot be turned ({why})",
            hint=f"make its folder writable for you, or name another file in {VARIABLE}; until then end the program itself",
        )


def place(environment: Mapping[str, str], platform: str, home: Path) -> Path:
    """Where the switch of this user lies: ``LOCARA_SWITCH``, else in the platform's folder for state. ``platform`` is
    ``sys.platform``."""
    if own := environment.get(VARIABLE):
        return Path(own)
    if platform == "win32":
        folder = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local") / "locara"
    elif platform == "darwin":
        folder = home / "Library" / "Application Support" / "locara"
    else:
        # A relative path in this variable is to be ignored, says the XDG specification.
        given = Path(environment.get("XDG_STATE_HOME") or ".")
        folder = (given if given.is_absolute() else home / ".local" / "state") / "locara"
    return folder / "switch" / _NAME


def default_switch() -> Switch:
    """The switch of this user."""
    return Switch(place(os.environ, sys.platform, Path.home()))
