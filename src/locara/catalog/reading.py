"""Catalog files (TOML) to rows. What may live here: reading, and saying exactly what is wrong with a file.

A file holds ``[[model]]`` tables whose keys are the fields of `Row`; ``kind`` may stand once at its top. The reading is
strict, because a key that is silently ignored is a hash that is never compared. ``schema.json`` beside this file says the
same for editors and for other programs; a test keeps the two together.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Literal

from locara.catalog.row import Row
from locara.errors import ConfigError

ID = re.compile(r"[a-z0-9][a-z0-9._-]*")
"""A canonical name: lower case, so that it can be a folder's name on every file system."""
ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*")
"""What else a model may be called, as its publishers and other programs write it."""
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
"""BCP 47, the part of it that names languages, scripts and regions."""
SHA256 = re.compile(r"[0-9a-f]{64}")
URL = re.compile(r"https://\S+|http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?/\S*")
"""Plain http only on this machine: nothing that is downloaded may be changed on its way."""
HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that Windows keeps for itself: a folder cannot have them."""

PATTERNS: Mapping[str, re.Pattern[str]] = {
    "id": ID,
    "aliases": ALIAS,
    "languages": LANGUAGE,
    "sha256": SHA256,
    "url": URL,
    "hub": HUB,
}
"""Key -> what each text under it has to look like, unless it is empty."""


def read(text: str, source: str, *, ours: bool = False) -> tuple[Row, ...]:
    """The rows of one catalog file. ``source`` is its name, for the errors; ``ours``: it came with Locara, so it may call
    a row bundled. Raises ``ConfigError`` that names the file, the row and the key."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"catalog: {source} is not TOML: {error}", hint="mend the line it names") from error
    tables = document.pop("model", [])
    kind = document.pop("kind", None)
    if document:
        raise _unknown(source, next(iter(document)), ("kind", "model"))
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError(
            f"catalog: {source}: 'model' is not a list of tables", hint="write [[model]] above each model"
        )
    rows = []
    for number, table in enumerate(tables, 1):
        where = f"{source}: {_called(table, number)}"
        row = _value(Row, {"kind": kind, **table} if kind is not None else table, where, "")
        _check(row, where, ours=ours)
        rows.append(row)
    return tuple(rows)


def _called(table: Mapping[str, Any], number: int) -> str:
    name = table.get("id")
    return f"model {name!r}" if isinstance(name, str) else f"model number {number}"


def _unknown(where: str, key: str, known: typing.Iterable[str]) -> ConfigError:
    names = list(known)
    near = difflib.get_close_matches(key, names, n=1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return ConfigError(f"catalog: {where}: no key is called {key!r}", hint=f"{guess}Known: {', '.join(names)}")


@functools.cache
def _fields(shape: type) -> Mapping[str, tuple[Any, bool]]:
    """Field -> its type and whether it must be there. Sizes are never written as None: what is not known is left out."""
    hints = typing.get_type_hints(shape)
    required = {
        one.name
        for one in dataclasses.fields(shape)
        if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
    }
    return {one.name: (hints[one.name], one.name in required) for one in dataclasses.fields(shape)}


def _value(shape: Any, value: Any, where: str, key: str) -> Any:
    """``value`` as ``shape``, one of the types that the fields of `Row` have. Raises ``ConfigError``."""
    if dataclasses.is_dataclass(shape):
        return _table(typing.cast(type, shape), value, where, key)
    origin, arguments = typing.get_origin(shape), typing.get_args(shape)
    if origin is types.UnionType:  # int | None: a file writes a number or nothing
        return _value(arguments[0], value, where, key)
    if origin is Literal:
        return _one_of(value, arguments, where, key)
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong(where, key, "a list", value)
        return tuple(_value(arguments[0], one, where, key) for one in value)
    return _plain(shape, value, where, key)


def _plain(shape: Any, value: Any, where: str, key: str) -> Any:
    wanted, fits = {
        int: ("a whole number that is not negative", type(value) is int and value >= 0),
        bool: ("true or false", isinstance(value, bool)),
        str: ("a text", isinstance(value, str)),
    }.get(shape, ("a table", isinstance(value, dict)))  # a table: the options, whatever the engine understands
    if not fits:
        raise _wrong(where, key, wanted, value)
    return _formed(value, where, key) if isinstance(value, str) else value


def _table(shape: type, value: Any, where: str, key: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong(where, key, "a table", value)
    fields = _fields(shape)
    for name in value:
        if name not in fields:
            raise _unknown(f"{where}: {key}" if key else where, name, fields)
    for name, (_, required) in fields.items():
        if required and name not in value:
            raise ConfigError(f"catalog: {where}: {key or 'the model'} has no {name!r}", hint=f"add {name} = ...")
    return shape(**{name: _value(fields[name][0], one, where, name) for name, one in value.items()})


def _one_of(value: Any, known: tuple[Any, ...], where: str, key: str) -> Any:
    if value not in known:
        near = difflib.get_close_matches(str(value), known, n=1)
        guess = f"did you mean {near[0]!r}? " if near else ""
        names = ", ".join(repr(one) for one in known)
        raise ConfigError(f"catalog: {where}: {key} is {value!r}", hint=f"{guess}It can be {names}")
    return value


def _formed(value: str, where: str, key: str) -> str:
    pattern = PATTERNS.get(key)
    if value and pattern is not None and not pattern.fullmatch(value):
        raise ConfigError(
            f"catalog: {where}: {key} {value!r} is not well formed", hint=f"it must match {pattern.pattern}"
        )
    return value


def _wrong(where: str, key: str, wanted: str, value: Any) -> ConfigError:
    return ConfigError(f"catalog: {where}: {key} must be {wanted}, not {value!r}", hint="see docs/models.md")


def _check(row: Row, where: str, *, ours: bool) -> None:
    """What one field alone cannot say. Raises ``ConfigError``."""
    if wrong := next(_contradictions(row, ours), None):
        raise ConfigError(f"catalog: {where}: {wrong[0]}", hint=wrong[1])


def _contradictions(row: Row, ours: bool) -> typing.Iterator[tuple[str, str]]:
    """What is wrong, and what to do."""
    for field in ("id", "title", "licence"):
        if not getattr(row, field).strip():
            yield f"{field} is empty", f"give it a {field}"
    if RESERVED.fullmatch(row.id):
        yield f"the id {row.id!r} cannot be a folder's name on Windows", "take another id"
    if row.status == "listed" and not row.note:
        yield "a listed model has no note", "say in note what would run it"
    if row.status != "listed" and not row.engine:
        yield "it has no engine", "name the engine that runs it, or set status = 'listed'"
    if row.bundled and not ours:
        yield "only Locara's own rows can be bundled", "leave bundled out"
    if row.bundled and (row.files or row.hub):
        yield "a bundled model has nothing to download", "leave files and hub out"
    yield from _files(row)


def _files(row: Row) -> typing.Iterator[tuple[str, str]]:
    """The same for its files."""
    seen: set[str] = set()
    for file in row.files:
        parts = PurePosixPath(file.path).parts
        bad = [part for part in parts if part in ("..", "/") or set(part) & set(":\\") or RESERVED.fullmatch(part)]
        if not parts or bad:
            yield f"the file's path {file.path!r} does not stay in the model's folder", "a relative path with / in it"
        if file.path.lower() in seen:
            yield f"two files lie at {file.path!r}", "give each a path of its own"
        seen.add(file.path.lower())
        if not file.url and not row.hub and not file.sha256:  # by its hash alone: what a person imported
            yield f"the file {file.path!r} comes from nowhere", "add url, or the row's hub"
        if file.strip and not file.unpack:
            yield f"strip at {file.path!r} without unpack", "strip drops leading folders of an archive"


def names(row: Row) -> tuple[str, ...]:
    """The id and the aliases."""
    return (row.id, *row.aliases)
