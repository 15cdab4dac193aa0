"""The options that a person gives to an engine, checked: a wrong name or value is told at once, with what is right.

What may live here: checks of single values. Each raises ``ConfigError`` that names the engine, the option and what it may
be; where files are missing it is ``ModelMissing``, which says how they are had.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from locara.errors import ConfigError, ModelMissing

_ALWAYS = ("engine", "path")
"""Options that every engine is given by whoever looks its model up in the catalog; systems' engines have no files."""


def known(engine: str, options: Mapping[str, Any], names: Collection[str]) -> None:
    """Raises for the first option that is not one of ``names``."""
    for name in options:
        if name not in names and name not in _ALWAYS:
            near = difflib.get_close_matches(str(name), list(names), n=1)
            meant = f"did you mean {near[0]!r}? " if near else ""
            raise ConfigError(f"{engine} has no option {name!r}", hint=f"{meant}It knows {', '.join(names)}")


def number(
    engine: str, options: Mapping[str, Any], name: str, default: float, low: float, high: float, unit: str = ""
) -> float:
    """A number from ``low`` to ``high``."""
    value = options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ConfigError(
            f"{engine}: {name} is {value!r}",
            hint=f"it must be a number from {low:g} to {high:g}{' ' if unit else ''}{unit}",
        )
    return float(value)


def whole(engine: str, options: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``."""
    value = options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(f"{engine}: {name} is {value!r}", hint=f"it must be a whole number from {low} to {high}")
    return value


def flag(engine: str, options: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    """True or false."""
    value = options.get(name, default)
    if not isinstance(value, bool):
        raise ConfigError(f"{engine}: {name} is {value!r}", hint="it must be true or false")
    return value


def text(engine: str, options: Mapping[str, Any], name: str, default: str = "") -> str:
    """Any text."""
    value = options.get(name, default)
    if not isinstance(value, str):
        raise ConfigError(f"{engine}: {name} is {value!r}", hint="it must be text")
    return value


def one_of(engine: str, options: Mapping[str, Any], name: str, default: str, choices: Collection[str]) -> str:
    """One of a few words."""
    value = options.get(name, default)
    if value not in choices:
        near = difflib.get_close_matches(str(value), list(choices), n=1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"{engine}: {name} is {value!r}", hint=f"{meant}It can be {', '.join(choices)}")
    return str(value)


def language(engine: str, options: Mapping[str, Any], name: str, default: str) -> str:
    """A language's code, for example ``en-US``."""
    value = options.get(name, default)
    if value == default or (isinstance(value, str) and re.fullmatch(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*", value)):
        return str(value).replace("_", "-")
    raise ConfigError(f"{engine}: {name} is {value!r}", hint="it must be a language's code, for example en-US or de-DE")


def path(engine: str, options: Mapping[str, Any]) -> Path | None:
    """The option ``path``: a file or a folder, None where it is not given."""
    value = options.get("path")
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise ConfigError(f"{engine}: path is {value!r}", hint="it must name a file or a folder")
    return Path(value).expanduser()


def folder(stage: str, model: str, path: Path | None) -> Path:
    """The folder of ``model``, as the option ``path`` gave it. Raises ``ModelMissing`` where there is none."""
    if path is None or not path.is_dir():
        where = "where the files lie is not known" if path is None else f"there is no folder {path}"
        hint = f"locara models pull {model}, or correct path=..."
        raise ModelMissing(f"{stage}: {model}: {where}", stage=stage, model=model, hint=hint)
    return path
