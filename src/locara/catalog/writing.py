"""A row as the TOML that `locara.catalog.reading` reads. What may live here: that, and nothing that touches a disk."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from locara.catalog.row import Row


def toml(row: Row) -> str:
    """One ``[[model]]`` table; what has its default value is left out. Reading it gives an equal row."""
    lines = ["[[model]]", *(f"{name} = {_toml(value)}" for name, value in _told(row).items())]
    return "\n".join(lines) + "\n"


def _told(value: Any) -> dict[str, Any]:
    """Field -> value, without those that are as they would be anyway."""
    told = {}
    for field in dataclasses.fields(value):
        one = getattr(value, field.name)
        default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
        if one != default:
            told[field.name] = one
    return told


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # A JSON text is a TOML basic string, but for DEL, which TOML wants escaped too.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_toml(key)} = {_toml(one)}" for key, one in value.items()) + " }"
    if dataclasses.is_dataclass(value):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in _told(value).items()) + " }"
    return "[" + ", ".join(_toml(one) for one in value) + "]"
