"""One table of a ``locara.toml``: its keys, its values, and where in the file they stand. What may live here: checks that
every table needs; what a table may say is said in `document` and `declared`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from locara.errors import ManifestError
from locara.manifest import names
from locara.manifest.positions import Path, Positions, dotted

_HOMES: Mapping[str, str] = {
    **dict.fromkeys(("id", "name", "version", "entry"), "[app]"),
    **dict.fromkeys(("schema", "offline"), "the top of the file, above the first table"),
    "use": "[modalities]",
    "variant": "[modality.voice-to-voice]",
}
"""Key -> where it belongs, for those that are easily written elsewhere."""


@dataclass(frozen=True, slots=True)
class Where:
    """The file, and where in it things stand."""

    path: str
    positions: Positions

    def wrong(self, at: Path, what: str, hint: str = "", *, key: bool = False) -> ManifestError:
        """The error for the value at ``at``, or for its key."""
        place = (0, 0)
        for length in range(len(at), 0, -1):
            tables = (self.positions.keys, self.positions.values)
            found = [one[at[:length]] for one in (tables if key else tables[::-1]) if at[:length] in one]
            if found:
                place = found[0]
                break
        return ManifestError(what, path=self.path, line=place[0], column=place[1], hint=hint)


def table_at(document: Mapping[str, Any], at: Path, where: Where, known: Iterable[str] | None) -> Mapping[str, Any]:
    """The table under the last part of ``at``, empty where there is none. ``known``: the keys it may have."""
    table = document.get(cast(str, at[-1]), {})
    if not isinstance(table, dict):
        raise where.wrong(at, f"{dotted(at)} is {told(table)}, not a table", f"write [{dotted(at)}] above its keys")
    if known is not None:
        known_keys(table, at, known, where)
    return table


def known_keys(table: Mapping[str, Any], at: Path, known: Iterable[str], where: Where) -> None:
    """Raises ``ManifestError`` for a key that is none of them."""
    keys = tuple(known)
    for name in table:
        if name in keys:
            continue
        near = difflib.get_close_matches(name, keys, n=1)
        if near:
            hint = f"did you mean {near[0]!r}? "
        elif name in _HOMES:
            hint = f"{name} belongs to {_HOMES[name]}. "
        else:
            hint = ""
        inside = f"[{dotted(at)}]" if at else "a manifest"
        raise where.wrong(
            (*at, name), f"{inside} has no key {names.shown(name)}", f"{hint}Known: {', '.join(keys)}", key=True
        )


def text_at(table: Mapping[str, Any], at: Path, where: Where, check: Callable[[str], names.Wrong] | None) -> str:
    """The text under the last part of ``at``."""
    value = table[cast(str, at[-1])]
    if not isinstance(value, str):
        raise where.wrong(at, f"{at[-1]} is {told(value)}, not a text", f'write {at[-1]} = "..."')
    if check is not None and (wrong := check(value)):
        raise where.wrong(at, f"{at[-1]}: {wrong[0]}", wrong[1])
    return value


def flag(table: Mapping[str, Any], at: Path, where: Where) -> bool:
    """Whether it is true; false where it is left out."""
    value = table.get(cast(str, at[-1]), False)
    if not isinstance(value, bool):
        raise where.wrong(at, f"{at[-1]} is {told(value)}, neither true nor false", f"write {at[-1]} = true")
    return value


def one_of(value: object, known: Iterable[str], at: Path, where: Where, what: str, *, key: bool = False) -> str:
    """``value``, if it is one of them."""
    options = tuple(known)
    if isinstance(value, str) and value in options:
        return value
    near = difflib.get_close_matches(value, options, n=1) if isinstance(value, str) else ()
    guess = f"did you mean {near[0]!r}? " if near else ""
    raise where.wrong(at, f"there is no {what} {told(value)}", f"{guess}There are: {', '.join(options)}", key=key)


def told(value: object) -> str:
    """A value in a message."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    return names.shown(value) if isinstance(value, str) else str(value)[:80]
