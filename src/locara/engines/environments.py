"""Where the Python of an isolated engine is: one whose packages must not mix with an app's own.

What may live here: looking for it, and the words for whoever has not made it yet. Nothing is installed from here.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from locara.errors import ConfigError, EngineMissing


def folder(name: str, environment: Mapping[str, str], platform: str, home: Path) -> Path:
    """Where the environment ``name`` is looked for: ``LOCARA_ENVIRONMENTS/name``, else in the platform's data folder."""
    if own := environment.get("LOCARA_ENVIRONMENTS"):
        return Path(own) / name
    if platform == "win32":
        data = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local") / "locara"
    elif platform == "darwin":
        data = home / "Library" / "Application Support" / "locara"
    else:
        # A relative path in this variable is to be ignored, says the XDG specification.
        given = Path(environment.get("XDG_DATA_HOME") or ".")
        data = (given if given.is_absolute() else home / ".local" / "share") / "locara"
    return data / "environments" / name


def python(name: str, module: str, package: str, *, stage: str, model: str, given: object = None) -> str:
    """The interpreter that has ``module``: ``given`` (the option ``python``), the one in the folder of ``name``, or this
    one. Raises ``EngineMissing`` with the two commands that make one, ``ConfigError`` where ``given`` is none."""
    if given is not None:
        if not (isinstance(given, str | os.PathLike) and Path(given).is_file()):
            raise ConfigError(f"{stage}: python={str(given)!r} is no Python interpreter", hint="give its full path")
        return os.fspath(given)
    home = folder(name, os.environ, sys.platform, Path.home())
    own = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if own.is_file():
        return str(own)
    if importlib.util.find_spec(module) is not None:
        return sys.executable
    raise EngineMissing(
        f"{stage}: {model} runs in a Python environment of its own, which is not there ({home})",
        stage=stage,
        model=model,
        hint=f'{Path(sys.executable).name} -m venv "{home}" && "{own}" -m pip install {package}',
    )
