"""How fast models ran on this machine: measured by ``locara models probe``, remembered in the cache, used by `fitting`.

What may live here: the file and its reading. It can be deleted at any time; what is wrong in it is passed over.

``speeds.json`` in Locara's cache folder (``LOCARA_CACHE``, else the platform's)::

    {"format": 1, "machines": {FINGERPRINT: {MODEL: {"real_time_factor": 0.2, "first": 0.3, "measured": "2026-11-22"}}}}
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from locara.catalog.fitting import Speed
from locara.catalog.machine import Machine

NAME = "speeds.json"
_FORMAT = 1
_MOST_BYTES = 1 << 20


def cache_folder(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Where Locara keeps what it can make again: ``LOCARA_CACHE``, else the platform's place for that."""
    if own := environment.get("LOCARA_CACHE"):
        return Path(own).expanduser()
    home = Path(environment.get("HOME") or environment.get("USERPROFILE") or Path("~").expanduser())
    if platform == "win32":
        return Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local") / "locara" / "cache"
    if platform == "darwin":
        return home / "Library" / "Caches" / "locara"
    base = environment.get("XDG_CACHE_HOME", "")
    return (Path(base) if base and Path(base).is_absolute() else home / ".cache") / "locara"


def remembered(machine: Machine, folder: Path | None = None) -> dict[str, Speed]:
    """Model -> what was measured on a machine like this one. Empty where nothing was, or the file cannot be read."""
    found = _read((folder or cache_folder()) / NAME).get(machine.fingerprint, {})
    speeds = {}
    for model, told in found.items() if isinstance(found, Mapping) else ():
        if isinstance(told, Mapping):
            speeds[str(model)] = Speed(_number(told.get("real_time_factor")), _number(told.get("tokens_a_second")))
    return speeds


def remember(machine: Machine, measured: Mapping[str, Mapping[str, Any]], folder: Path | None = None) -> Path:
    """Adds what was measured (model -> its figures), in one step. Raises ``OSError``."""
    place = folder or cache_folder()
    place.mkdir(parents=True, exist_ok=True)
    machines = _read(place / NAME)
    mine = machines.get(machine.fingerprint)
    machines[machine.fingerprint] = {**(mine if isinstance(mine, Mapping) else {}), **measured}
    descriptor, part = tempfile.mkstemp(dir=place, prefix=NAME, suffix=".part")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"format": _FORMAT, "machines": machines}, file, indent=1, sort_keys=True)
        Path(part).replace(place / NAME)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(part).unlink()
        raise
    return place / NAME


def _read(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _MOST_BYTES:
            return {}
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(told, dict) or told.get("format") != _FORMAT or not isinstance(told.get("machines"), dict):
        return {}
    return dict(told["machines"])


def _number(value: Any) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    return float(value) if good else None
