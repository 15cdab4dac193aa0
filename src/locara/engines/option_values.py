"""Options as people write them, to values that an engine can use, or an error that says what would be right.

What may live here: plain functions from a mapping of options to one value.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from locara.errors import ConfigError

_ALWAYS = ("engine", "path")
"""Options that every engine is given by whoever looks its model up in the catalog; systems' engines have no files."""


def check_names(engine: str, options: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raises ``ConfigError`` for an option that is not known."""
    for name in options:
        if name not in known and name not in _ALWAYS:
            near = difflib.get_close_matches(name, known, n=1)
            raise ConfigError(
                f"{engine} has no option {name!r}",
                hint=(f"did you mean {near[0]!r}? " if near else "") + f"it knows {', '.join(known)}",
            )


def number(engine: str, options: Mapping[str, Any], name: str, default: float, low: float, high: float) -> float:
    """An option that is a number from ``low`` to ``high``. Raises ``ConfigError``."""
    value = options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ConfigError(f"{engine}: {name} is {value!r}", hint=f"it must be a number from {low:g} to {high:g}")
    return float(value)


def yes_or_no(engine: str, options: Mapping[str, Any], name: str) -> bool:
    """An option that is true or false, by default false. Raises ``ConfigError``."""
    value = options.get(name, False)
    if not isinstance(value, bool):
        raise ConfigError(f"{engine}: {name} is {value!r}", hint="it must be true or false")
    return value


def language(engine: str, options: Mapping[str, Any], name: str, default: str) -> str:
    """An option that is a language's code, for example ``en-US``. Raises ``ConfigError``."""
    value = options.get(name, default)
    if value == default or (isinstance(value, str) and re.fullmatch(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*", value)):
        return str(value).replace("_", "-")
    raise ConfigError(f"{engine}: {name} is {value!r}", hint="it must be a language's code, for example en-US or de-DE")
