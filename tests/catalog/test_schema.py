"""The published schema and the dataclasses say the same."""

from __future__ import annotations

import dataclasses
import json
import typing
from importlib import resources
from typing import Any

import pytest

from locara.catalog import reading
from locara.catalog.row import ModelFile, Needs, Row

SCHEMA: dict[str, Any] = json.loads((resources.files("locara.catalog") / "schema.json").read_text(encoding="utf-8"))
SHAPES = {"model": Row, "file": ModelFile, "needs": Needs}


@pytest.mark.parametrize("name", SHAPES)
def test_the_schema_has_the_fields_of_the_dataclass_and_their_types(name: str) -> None:
    shape, stated = SHAPES[name], SCHEMA["$defs"][name]
    hints = typing.get_type_hints(shape)
    assert list(stated["properties"]) == [field.name for field in dataclasses.fields(shape)]
    assert stated["additionalProperties"] is False
    needed = {
        field.name
        for field in dataclasses.fields(shape)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    assert set(stated.get("required", ())) == needed - {"kind"}  # that may stand at the top of the file
    for field, told in stated["properties"].items():
        assert told["description"].endswith(".")
        assert _same(hints[field], told, field), field


def _same(hint: Any, told: dict[str, Any], field: str) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return bool(SHAPES[told["$ref"].rpartition("/")[2]] is hint)
    if origin is typing.Literal:
        return bool(told["enum"] == list(arguments))
    if origin is tuple:
        return bool(told["type"] == "array" and _same(arguments[0], told["items"], field))
    if hint is str:
        pattern = reading.PATTERNS.get(field)
        return bool(told["type"] == "string" and (pattern is None or pattern.pattern in told["pattern"]))
    if type(None) in arguments:
        return _same(arguments[0], told, field)
    return bool(told["type"] == {int: "integer", bool: "boolean"}.get(hint, "object"))


def test_the_kinds_at_the_top_are_those_of_a_model() -> None:
    assert SCHEMA["properties"]["kind"]["enum"] == SCHEMA["$defs"]["model"]["properties"]["kind"]["enum"]
