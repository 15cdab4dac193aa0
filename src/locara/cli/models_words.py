"""A model's facts as people read them: sizes, licences, languages, where it is. What may live here: pure functions on rows,
and the questions that ``list`` and ``show`` both put to the machine (what is on disk, which engines are installed)."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal

from locara.catalog.row import Row

UNCHECKED = "LicenseRef-unchecked"
"""The licence of a row whose licence nobody has looked up."""
OWN = "LicenseRef-"
"""How SPDX marks a licence that is not in its list; people need not read it."""

Where = Literal["here", "with a package", "in part", "not here"]

_SYSTEMS = {"darwin": "macos", "win32": "windows"}


def amount(size: int | None) -> str:
    """Bytes in decimal units, as download pages give them: ``75 MB``, ``1.6 GB``; a dash where it is not known."""
    if size is None:
        return "-"
    if size >= 999_500_000:
        return f"{size / 1e9:.1f} GB"
    if size >= 999_500:
        return f"{size / 1e6:.0f} MB"
    return f"{size / 1e3:.0f} kB" if size >= 1000 else f"{size} B"


def count(number: int | None) -> str:
    """Parameters: ``82M``, ``7.7B``; a dash where it is not known."""
    if number is None:
        return "-"
    return f"{number / 1e9:.3g}B" if number >= 1_000_000_000 else f"{number / 1e6:.3g}M"


def size_of(row: Row) -> int | None:
    """Bytes on disk: as the row says, else what its files have together (an archive: before it is unpacked)."""
    if row.disk is not None:
        return row.disk
    sizes = [file.size for file in row.files]
    return sum(size for size in sizes if size is not None) if sizes and None not in sizes else None


def licence(row: Row) -> str:
    """The licence, and what it forbids."""
    name = row.licence.removeprefix(OWN)
    return f"{name} ({', '.join(row.flags)})" if row.flags else name


def free(row: Row) -> bool:
    """Whether a product may be built with it as far as is known: its licence was looked up, and does not forbid it."""
    return row.licence != UNCHECKED and not {"non-commercial", "framework-bound"} & set(row.flags)


def languages(row: Row, most: int = 4) -> str:
    """The first languages and how many more; ``many`` where the row says so; a dash where they are not known."""
    if row.languages == ("mul",):
        return "many"
    more = len(row.languages) - most
    return " ".join(row.languages[:most]) + (f" +{more}" if more > 0 else "") or "-"


def speaks(row: Row, language: str) -> bool:
    """Whether a row says that it knows ``language`` (BCP 47; a region is not compared). Voice activity has none."""
    wanted = language.lower().split("-")[0]
    known = {one.lower().split("-")[0] for one in row.languages}
    return row.kind == "vad" or wanted in known or "mul" in known


def where(row: Row, present: Path | None, engines: Iterable[str]) -> Where:
    """Where its weights are. ``present``: its folder in the store; ``engines``: the installed engines of its kind."""
    if present is not None:
        return "here"
    if not row.bundled:
        return "not here"
    system = _SYSTEMS.get(sys.platform, "linux")
    fits = not row.needs.os or system in row.needs.os
    return "with a package" if fits and row.engine in engines else "not here"


def folders(rows: Iterable[Row]) -> dict[str, Path | None]:
    """Id -> its folder in the store; empty where this installation has no store."""
    store = optional("locara.catalog.store")
    if store is None:
        return {}
    kept = store.default_store()
    return {row.id: kept.present(row) for row in rows if row.files or row.hub}


def engines(kind: str) -> frozenset[str]:
    """The names of the installed engines of a kind. None is imported."""
    return frozenset(point.name for point in entry_points(group=f"locara.{kind}"))


def optional(module: str) -> Any:
    """The module, or None where this installation does not have it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        return None


def call(row: Row) -> tuple[str, str]:
    """(the command, the Python) that use it; empty where there is no engine for it."""
    if row.status == "listed":
        return "", ""
    if row.kind == "wake":
        word = row.id.replace("-", " ")
        return "", f'voice.session(attention={{"mode": "wake-word", "word": {json.dumps(word)}}})'
    setting = {"turn": "turn_detection"}.get(row.kind, row.kind)
    command = f"locara talk --{row.kind} {row.id}" if row.kind in ("stt", "llm", "tts") else ""
    return command, f"voice.session({setting}={json.dumps(row.id)})"


def told(value: Mapping[str, Any]) -> str:
    """An engine's options on one line."""
    return ", ".join(f"{name} = {json.dumps(one, ensure_ascii=False)}" for name, one in value.items())
