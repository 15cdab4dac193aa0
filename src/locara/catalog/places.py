"""Where a person's own catalog rows lie. What may live here: paths, read from the environment."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "LOCARA_CATALOG"
"""A TOML file with rows, or a folder of such files. Read instead of the folder below."""


def user_folder(environment: Mapping[str, str], platform: str = sys.platform) -> Path:
    """The folder whose ``*.toml`` are read beside Locara's own rows: ``$XDG_CONFIG_HOME/locara/models``, on macOS
    ``~/Library/Application Support/locara/catalog``, on Windows ``%APPDATA%\\locara\\catalog``."""
    home = Path(environment.get("HOME") or environment.get("USERPROFILE") or Path("~").expanduser())
    if platform == "darwin":
        return home / "Library" / "Application Support" / "locara" / "catalog"
    if platform == "win32":
        return Path(environment.get("APPDATA") or home / "AppData" / "Roaming") / "locara" / "catalog"
    configured = environment.get("XDG_CONFIG_HOME", "")
    # The XDG base directory specification: a relative path there is invalid and is to be ignored.
    base = Path(configured) if configured and Path(configured).is_absolute() else home / ".config"
    return base / "locara" / "models"


def user_files(environment: Mapping[str, str], platform: str = sys.platform) -> tuple[Path, ...]:
    """The files with a person's own rows, in the order of their names. What ``LOCARA_CATALOG`` names is returned even when
    it is not there: whoever set it wants to hear that."""
    named = environment.get(VARIABLE, "")
    place = Path(named).expanduser() if named else user_folder(environment, platform)
    if place.is_dir():
        return tuple(sorted(place.glob("*.toml")))
    return (place,) if named else ()
