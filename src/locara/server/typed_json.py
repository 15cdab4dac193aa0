"""JSON and frozen dataclasses: the one taken strictly for the other, and the JSON Schema of the same types.

What may live here: reading values by type hints, writing them, and their schema. Pure. It knows no message of any protocol.

A type may be ``bool``, ``int``, ``float``, ``str``, ``Literal`` of strings or numbers, ``tuple[T, ...]``, a dataclass,
``Mapping[str, Any]`` (free JSON), ``Any`` (the same), and unions of these. A field's metadata, made by `field`, narrows it.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import math
import re
import types
import typing
from collections.abc import Collection, Mapping
from typing import Any, Literal, TypeVar, cast

from locara.errors import MessageError

T = TypeVar("T")

DEPTH = 16
"""Levels of free JSON. A tool's parameters have five."""
VALUES = 10_000
"""Values in one free JSON value: what is walked through while nobody else is served (2 ms)."""
TEXT = 100_000
"""Characters of a text that has no limit of its own: a long system prompt has ten thousand."""
LARGEST = 2**53
"""Integers beyond it are not the same number in JavaScript."""
ITEMS = 256
"""Items of a list that has no limit of its own."""

_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", dict: "an object"}


def field(
    about: str,
    *,
    default: Any = dataclasses.MISSING,
    least: float | None = None,
    most: float | None = None,
    pattern: str = "",
) -> Any:
    """A dataclass's field. ``least`` and ``most``: of a number, or how many characters or items. ``about``: for the docs."""
    narrowed = {"about": about, "least": least, "most": most, "pattern": pattern}
    return dataclasses.field(default=default, metadata=narrowed)


def parsed(text: str) -> Any:
    """The value of a JSON text. Raises ``MessageError``, and nothing else."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except MessageError:
        raise
    except RecursionError:
        raise MessageError("the message is nested too deeply", hint=f"at most {DEPTH} levels") from None
    except ValueError as error:  # also an integer of more digits than Python converts
        where = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise MessageError(f"the message is not JSON{where}", hint="send one JSON object in one text frame") from None


def _no_constant(name: str) -> Any:
    raise MessageError(f"{name} is no JSON", hint="numbers are finite")


def written(value: Any) -> str:
    """The JSON text of a value, in ASCII, so that nothing that a client once sent can break a frame."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False, default=_plain)


def _plain(value: Any) -> Any:
    """What is no JSON by itself: a tool's result, a metric of numpy's."""
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return as_json(value)
    return str(value)


def as_json(value: Any) -> dict[str, Any]:
    """A dataclass as JSON values. Fields that are None and may be left out are left out."""
    out: dict[str, Any] = {}
    for one in dataclasses.fields(value):
        held = getattr(value, one.name)
        if held is None and one.default is None:
            continue
        out[one.name] = as_json(held) if dataclasses.is_dataclass(held) and not isinstance(held, type) else held
    return out


def read(kind: type[T], value: Any, where: str) -> T:
    """``value`` as a ``kind``, a dataclass. ``where``: how the errors call it. Raises ``MessageError``."""
    if not isinstance(value, dict):
        raise MessageError(f"{where} is {_said(value)}, not an object", hint=_example(kind))
    known = _fields(cast(Any, kind))
    for name in value:
        if name not in known:
            raise MessageError(f"{where} has no {_quoted(name)}", hint=_meant(name, known))
    found: dict[str, Any] = {}
    for name, (one, hint) in known.items():
        if name in value:
            found[name] = _value(hint, value[name], f"{where}.{name}", one.metadata)
        elif one.default is dataclasses.MISSING:
            raise MessageError(f"{where} has no {name!r}", hint=_example(kind))
    return kind(**found)


@functools.cache
def _fields(kind: type) -> dict[str, tuple[dataclasses.Field[Any], Any]]:
    hints = typing.get_type_hints(kind)
    return {one.name: (one, hints[one.name]) for one in dataclasses.fields(kind) if one.init}


def _value(hint: Any, value: Any, where: str, narrow: Mapping[str, Any]) -> Any:
    choices = _choices(hint)
    for choice in choices:
        if _is(choice, value):
            return _narrowed(_taken(choice, value, where), where, narrow)
    words = [_word(choice) for choice in choices if choice is not type(None)]
    raise MessageError(f"{where} is {_said(value)}, not {' or '.join(words)}", hint=_near(choices, value))


def _choices(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _is(choice: Any, value: Any) -> bool:
    """Whether ``value`` has this type, as far as that can be seen without looking inside."""
    if choice is Any:
        return True
    if choice is type(None):
        return value is None
    if typing.get_origin(choice) is Literal:
        return any(type(value) is type(one) and value == one for one in typing.get_args(choice))
    if choice is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if choice in (bool, int, str):
        return type(value) is choice
    return isinstance(value, list if typing.get_origin(choice) is tuple else dict)


def _taken(choice: Any, value: Any, where: str) -> Any:
    if choice is float:
        if abs(value) > LARGEST or not math.isfinite(value):
            raise MessageError(f"{where} is too large a number", hint=f"at most {LARGEST}")
        return float(value)
    if choice is int and abs(value) > LARGEST:
        raise MessageError(f"{where} is too large a number", hint=f"at most {LARGEST}")
    if typing.get_origin(choice) is tuple:
        inner = typing.get_args(choice)[0]
        if len(value) > ITEMS:
            raise MessageError(f"{where} has {len(value)} items", hint=f"at most {ITEMS}")
        return tuple(_value(inner, one, f"{where}[{at}]", {}) for at, one in enumerate(value))
    if dataclasses.is_dataclass(choice) and isinstance(choice, type):
        return read(choice, value, where)
    if isinstance(value, str):
        _sound_text(value, where)
    elif isinstance(value, dict | list):
        _walk(value, where)
    return value


def _sound_text(value: str, where: str) -> None:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise MessageError(f"{where} has half a surrogate pair in it", hint="send whole characters") from None


def _walk(value: Any, where: str) -> None:
    """Free JSON: not deeper and not more than the limits, and only numbers and texts that every reader takes."""
    left = VALUES
    waiting: list[tuple[Any, int]] = [(value, 1)]
    while waiting:
        one, depth = waiting.pop()
        left -= 1
        if depth > DEPTH or left < 0:
            raise MessageError(
                f"{where} is too large: more than {DEPTH} levels or {VALUES} values", hint="send less at once"
            )
        if isinstance(one, dict):
            for name, inner in one.items():
                _sound_text(name, where)
                waiting.append((inner, depth + 1))
        elif isinstance(one, list):
            waiting.extend((inner, depth + 1) for inner in one[: VALUES + 1])
        elif isinstance(one, str):
            _sound_text(one, where)
        elif isinstance(one, int | float) and (abs(one) > LARGEST or not math.isfinite(one)):
            raise MessageError(f"{where} has too large a number in it", hint=f"at most {LARGEST}")


def _narrowed(value: Any, where: str, narrow: Mapping[str, Any]) -> Any:
    least, most = narrow.get("least"), narrow.get("most")
    if isinstance(value, str) and most is None:
        most = TEXT
    size: float
    if isinstance(value, str | tuple):
        size, unit = len(value), "characters" if isinstance(value, str) else "items"
    elif isinstance(value, int | float) and not isinstance(value, bool):
        size, unit = value, ""
    else:
        return value
    if (least is not None and size < least) or (most is not None and size > most):
        raise MessageError(
            f"{where} has {size:g} {unit}" if unit else f"{where} is {size:g}",
            hint=f"{_bounds(least, most)} {unit}".strip(),
        )
    pattern = narrow.get("pattern")
    if pattern and isinstance(value, str) and re.fullmatch(pattern, value) is None:
        raise MessageError(f"{where} is {_said(value)}", hint=f"it must match {pattern}")
    return value


def _bounds(least: float | None, most: float | None) -> str:
    if least is None or most is None:
        return f"at most {most:g}" if least is None else f"at least {least:g}"
    return f"{least:g} to {most:g}"


def _said(value: Any) -> str:
    """What came instead, without repeating a long or a private text."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return _quoted(value) if len(value) <= 24 else f"a text of {len(value)} characters"
    return "a list" if isinstance(value, list) else "an object"


def _quoted(text: str) -> str:
    return ascii(text) if len(text) <= 40 else ascii(text[:37]) + "..."


def _word(choice: Any) -> str:
    if typing.get_origin(choice) is Literal:
        return " or ".join(json.dumps(one) for one in typing.get_args(choice))
    if typing.get_origin(choice) is tuple:
        return "a list"
    return _NAMES.get(choice, "an object")


def _near(choices: tuple[Any, ...], value: Any) -> str:
    words = [str(one) for choice in choices if typing.get_origin(choice) is Literal for one in typing.get_args(choice)]
    return _meant(value, words) if words and isinstance(value, str) else "see docs/ipc.md"


def _meant(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name[:64], list(known), n=1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return f"{guess}It knows {', '.join(known) or 'nothing'}"


def _example(kind: Any) -> str:
    needed = [name for name, (one, _) in _fields(kind).items() if one.default is dataclasses.MISSING]
    return f"it needs {', '.join(needed)}" if needed else "an object, which may be empty"


# --- the schema of the same types -------------------------------------------------------------------------------------


def schema(kind: type) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a dataclass."""
    properties: dict[str, Any] = {}
    required: list[str] = []
    for name, (one, hint) in _fields(kind).items():
        properties[name] = _schema_of(hint, one.metadata)
        if one.metadata.get("about"):
            properties[name]["description"] = one.metadata["about"]
        if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING:
            required.append(name)
    out: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        out["required"] = required
    return out


def _schema_of(hint: Any, narrow: Mapping[str, Any]) -> dict[str, Any]:  # noqa: PLR0911  one for each kind of type
    choices = _choices(hint)
    if len(choices) > 1:
        return {"anyOf": [_schema_of(one, narrow) for one in choices]}
    choice = choices[0]
    least, most = narrow.get("least"), narrow.get("most")
    if choice is Any:
        return {}
    if choice is type(None):
        return {"type": "null"}
    if typing.get_origin(choice) is Literal:
        return {"enum": list(typing.get_args(choice))}
    if choice is str:
        bounds = {"minLength": least, "maxLength": TEXT if most is None else most, "pattern": _whole(narrow)}
        return {"type": "string", **_present(bounds)}
    if choice in (int, float):
        bounds = {"minimum": least, "maximum": most}
        return {"type": "integer" if choice is int else "number", **_present(bounds)}
    if choice is bool:
        return {"type": "boolean"}
    if typing.get_origin(choice) is tuple:
        bounds = {"minItems": least, "maxItems": ITEMS if most is None else most}
        return {"type": "array", "items": _schema_of(typing.get_args(choice)[0], {}), **_present(bounds)}
    if dataclasses.is_dataclass(choice) and isinstance(choice, type):
        return schema(choice)
    arguments = typing.get_args(choice)
    values = arguments[1] if len(arguments) == 2 else Any  # Mapping[str, X], dict[str, X]
    return {"type": "object"} if values is Any else {"type": "object", "additionalProperties": _schema_of(values, {})}


def _whole(narrow: Mapping[str, Any]) -> str | None:
    return f"^(?:{narrow['pattern']})$" if narrow.get("pattern") else None


def _present(bounds: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in bounds.items() if one is not None}
