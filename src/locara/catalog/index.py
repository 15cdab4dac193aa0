"""Finding a model by its name. What may live here: the rows that came with Locara and a person's own, in one table.

The files are parsed when the first name is looked up, not when this is imported, and again only when one has changed.
"""

from __future__ import annotations

import difflib
import functools
import os
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path

from locara.catalog import places
from locara.catalog.reading import names, read
from locara.catalog.row import Row, RowKind
from locara.errors import ConfigError

KINDS: tuple[RowKind, ...] = ("stt", "llm", "tts", "omni", "vad", "turn", "wake")
"""In the order in which people ask for them; each has a file in ``models/``."""

_MOST = 1_000_000
"""Bytes of one catalog file. Locara's own largest is a tenth of that: more is the wrong file."""


def rows(environment: Mapping[str, str] = os.environ) -> tuple[Row, ...]:
    """Every row: Locara's own by kind, then a person's own. Raises ``ConfigError`` for a file that cannot be read and for
    a name that two models would have."""
    return _tables(environment)[0]


def find(name: str, environment: Mapping[str, str] = os.environ) -> Row | None:
    """The row with this id or alias, in any case; None when there is none. Raises as `rows` does."""
    return _tables(environment)[1].get(name.strip().lower())


def near(name: str, kind: RowKind | None = None, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The ids of at most three models whose names come nearest, nearest first: for "did you mean". Raises as `rows`."""
    table = _tables(environment)[1]
    wanted = name.strip().lower()
    known = [text for text, row in table.items() if kind in (None, row.kind)]
    close = difflib.get_close_matches(wanted, known, n=12, cutoff=0.6)
    # What was typed may be the beginning or the middle of a long name: kokoro, large-v3-turbo.
    inside = sorted((text for text in known if len(wanted) > 2 and wanted in text), key=len)
    ids = dict.fromkeys(table[text].id for text in [*inside[:2], *close, *inside])
    return tuple(ids)[:3]


def _tables(environment: Mapping[str, str]) -> tuple[tuple[Row, ...], Mapping[str, Row]]:
    return _combined(tuple(_stamp(path) for path in places.user_files(environment)))


def _stamp(path: Path) -> tuple[Path, int, int]:
    """The file and what changes when it is written again. Raises ``ConfigError``."""
    try:
        stat = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    return path, stat.st_mtime_ns, stat.st_size


@functools.lru_cache(maxsize=4)
def _combined(stamps: tuple[tuple[Path, int, int], ...]) -> tuple[tuple[Row, ...], Mapping[str, Row]]:
    """All rows, and name -> row."""
    table: dict[str, Row] = {}
    origin: dict[str, str] = {}
    _enter(ours(), "Locara's own catalog", table, origin)
    for path, _, size in stamps:
        _enter(_theirs(path, size), str(path), table, origin)
    return tuple({id(row): row for row in table.values()}.values()), table


def _enter(new: Iterable[Row], source: str, table: dict[str, Row], origin: dict[str, str]) -> None:
    """Adds them. A name may have one meaning only: nothing is shadowed silently."""
    for row in new:
        for name in names(row):
            if (other := table.get(name.lower())) is not None and other is not row:
                raise ConfigError(
                    f"catalog: {source}: the name {name!r} of model {row.id!r} is taken by model {other.id!r} of "
                    f"{origin[name.lower()]}",
                    hint="give it another id or alias",
                )
            table[name.lower()] = row
            origin[name.lower()] = source


@functools.cache
def ours() -> tuple[Row, ...]:
    """The rows that came with Locara, by kind."""
    folder = resources.files("locara.catalog") / "models"
    return tuple(
        row
        for kind in KINDS
        for row in read((folder / f"{kind}.toml").read_text(encoding="utf-8"), f"models/{kind}.toml", ours=True)
    )


def _theirs(path: Path, size: int) -> tuple[Row, ...]:
    if size > _MOST:
        raise ConfigError(f"catalog: {path} has {size} bytes; a catalog file has at most {_MOST}", hint="name another")
    try:
        return read(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ConfigError:
    return ConfigError(
        f"catalog: {path} cannot be read: {error}",
        hint=f"it must be a TOML file in UTF-8, or a folder of such files; see {places.VARIABLE} in docs/models.md",
    )
