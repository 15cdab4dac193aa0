"""The published schema of `/ipc`, and the tables of its page, made from the types.

    python -m locara.server.ipc_schema src/locara/server/ipc.schema.json docs/ipc.md

What may live here: `ipc_wire` and `locara.voice.events` as JSON Schema (2020-12) and as Markdown. A test holds both files
true.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import typing
from pathlib import Path
from typing import Any

from locara.server import ipc_wire as wire
from locara.server.typed_json import schema, schema_of
from locara.voice import events

_BEGIN, _END = "<!-- from the types -->", "<!-- end -->"


def document() -> dict[str, Any]:
    """The schema of every text frame of both directions."""
    requests = {name: _request(name, params) for name, (params, _) in wire.METHODS.items()}
    results = {name: schema(result, closed=False) for name, (_, result) in wire.METHODS.items()}
    pushes = {name: _one(name, schema(kind, closed=False)) for name, kind in wire.PUSHES.items()}
    pushes["playback"] = _object({"playback": {"const": "flush"}, "at": {"type": "integer", "minimum": 0}}, "playback")
    pushes["event"] = _object(
        {"event": {"anyOf": _refs("event", _kinds())}, "seq": {"type": "integer"}}, "event", "seq"
    )
    failure = _object(
        {"id": {"anyOf": [{"type": "integer"}, {"type": "null"}]}, "error": schema(wire.Failure, closed=False)}, "error"
    )
    answer = _object({"id": {"type": "integer"}, "result": {"type": "object"}}, "id", "result")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Locara IPC, protocol {wire.PROTOCOL}",
        "description": "Text frames of the WebSocket /ipc. `client`: from the client; `server`: to it. See docs/ipc.md.",
        "$defs": {
            "client": {"anyOf": _refs("request", requests)},
            "server": {"anyOf": [answer, failure, *_refs("push", pushes)]},
            "request": requests,
            "result": results,
            "push": pushes,
            "event": {kind: _event(one) for kind, one in _kinds().items()},
        },
        "anyOf": [{"$ref": "#/$defs/client"}, {"$ref": "#/$defs/server"}],
    }


def _kinds() -> dict[str, type[events.Event]]:
    return {one.type: one for one in events.ALL}


def _refs(group: str, names: Any) -> list[dict[str, str]]:
    return [{"$ref": f"#/$defs/{group}/{name}"} for name in names]


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _one(name: str, inner: dict[str, Any]) -> dict[str, Any]:
    return _object({name: inner}, name)


def _request(name: str, params: type) -> dict[str, Any]:
    inner = schema(params)
    needed = ["method", "params"] if "required" in inner else ["method"]
    whole = _object({"id": {"type": "integer", "minimum": 0}, "method": {"const": name}, "params": inner}, *needed)
    return {**whole, "additionalProperties": False, "description": _first(params)}


def _event(kind: type[events.Event]) -> dict[str, Any]:
    """As `to_json` writes it: every field, but ``dropped`` only where it is not zero."""
    hints = typing.get_type_hints(kind)
    properties: dict[str, Any] = {"type": {"const": kind.type}}
    for one in dataclasses.fields(kind):
        if one.name == "samples":  # base64 of 16-bit PCM, or only how many there are
            properties[one.name] = {"anyOf": [{"type": "string"}, {"type": "integer"}]}
        else:
            properties[one.name] = _unbounded(schema_of(hints[one.name], {}))
    return {**_object(properties, *(name for name in properties if name != "dropped")), "description": _first(kind)}


def _unbounded(told: Any) -> Any:
    """What the server sends has no limits that a client must check."""
    if isinstance(told, dict):
        limits = ("maxLength", "maxItems", "additionalProperties") if told.get("type") != "object" else ("maxItems",)
        return {name: _unbounded(one) for name, one in told.items() if name not in limits}
    return [_unbounded(one) for one in told] if isinstance(told, list) else told


def tables() -> str:
    """The methods, their parameters and results, and the pushes, as Markdown."""
    lines: list[str] = []
    for name, (params, result) in wire.METHODS.items():
        lines += [f"### {name}", "", _first(params), ""]
        lines += [*_fields("parameter", params), *_fields("result", result)]
    for name, kind in wire.PUSHES.items():
        lines += [f"### push: {name}", "", _first(kind), "", *_fields("member", kind)]
    return "\n".join(lines).strip() + "\n"


def _fields(title: str, kind: type) -> list[str]:
    told = schema(kind)
    if not told["properties"]:
        return []
    rows = [f"| {title} | type | meaning |", "|---|---|---|"]
    for name, one in told["properties"].items():
        mark = "" if name in told.get("required", ()) else ", may be left out"
        rows.append(f"| `{name}` | {_type(one)}{mark} | {one.get('description', '').replace('|', '&#124;')} |")
    return [*rows, ""]


def _type(one: dict[str, Any]) -> str:
    if "anyOf" in one:
        kinds = [_type(inner) for inner in one["anyOf"] if inner.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in one:
        return ", ".join(f"`{word}`" for word in one["enum"])
    if "properties" in one:
        return "{" + ", ".join(one["properties"]) + "}"
    if one.get("type") == "array":
        return f"list of {_type(one['items'])}"
    return str(one.get("type", "JSON"))


def _first(kind: type) -> str:
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split()).replace("``", "`")


def page(text: str) -> str:
    """The page with its tables made anew."""
    pattern = f"{re.escape(_BEGIN)}.*?{re.escape(_END)}"
    return re.sub(pattern, lambda _: f"{_BEGIN}\n\n{tables()}\n{_END}", text, flags=re.DOTALL)


def text() -> str:
    """The schema's file."""
    return json.dumps(document(), indent=1) + "\n"


def main(arguments: list[str]) -> int:
    """Writes both files."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m locara.server.ipc_schema SCHEMA.json PAGE.md\n")
        return 2
    Path(arguments[0]).write_text(text(), encoding="utf-8")
    told = Path(arguments[1])
    told.write_text(page(told.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
