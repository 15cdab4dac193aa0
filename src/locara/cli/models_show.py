"""``locara models show ID``: everything about one model. What may live here: its arguments and its text."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from locara.errors import ModelError

if TYPE_CHECKING:
    from locara.catalog.row import ModelFile, Row

_EXAMPLES = """examples:
  locara models show kokoro-82m
  locara models show whisper-large-v3-turbo --json

exit codes: 0 done, 1 there is no such model or the catalog cannot be read, 2 wrong command line
"""

_STATUS = {
    "works": "works: it ran here with its real weights",
    "experimental": "experimental: real code, which has not run with its real weights or on its hardware",
    "listed": "listed: no engine of Locara runs it",
}
_COLUMN = 12
_WIDTH = 100


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``locara models show``."""
    parser.epilog = _EXAMPLES
    parser.add_argument("name", metavar="ID", help="the model's id or one of its other names")
    parser.add_argument("--json", action="store_true", help="one object, with all that is known")


def run(options: argparse.Namespace) -> int:
    """Shows it; returns the exit code. Raises ``ModelError`` for an unknown name."""
    from locara.cli import models_words as words
    from locara.cli.lines import plain

    row = found(options.name)
    folder = words.folders([row]).get(row.id)
    place = words.where(row, folder, words.engines(row.kind))
    if options.json:
        more = {"size": words.size_of(row), "pinned": row.pinned, "on_disk": place, "folder": folder and str(folder)}
        told = {**dataclasses.asdict(row), **more, "fits": fits(row)}
        sys.stdout.write(json.dumps(told, ensure_ascii=False, indent=1) + "\n")
        return 0
    for name, text in _parts(row, place, folder):
        lines = textwrap.wrap(plain(text), _WIDTH - _COLUMN, break_on_hyphens=False, break_long_words=False)
        for number, line in enumerate(lines):
            sys.stdout.write(f"{name if number == 0 else '':{_COLUMN}}{line}\n")
    return 0


def found(name: str) -> Row:
    """The row of a name. Raises ``ModelError`` with what comes nearest."""
    from locara.catalog import index

    row = index.find(name)
    if row is None:
        near = index.near(name)
        guess = f"did you mean {' or '.join(near)}? " if near else ""
        raise ModelError(f"there is no model {name!r} in the catalog", hint=f"{guess}All: locara models list")
    return row


def _parts(row: Row, place: str, folder: Path | None) -> Iterator[tuple[str, str]]:
    """(label, text); each text may be broken into lines."""
    from locara.cli import models_words as words

    yield "model", f"{row.id}: {row.title}"
    if row.aliases:
        yield "also", ", ".join(row.aliases)
    yield "kind", row.kind + (", streams" if row.streaming else "")
    yield "status", _STATUS[row.status]
    yield (
        "licence",
        words.licence(row) if row.licence != words.UNCHECKED else "not looked up: read it before you use it",
    )
    yield "languages", words.languages(row, most=200)
    yield "parameters", words.count(row.params)
    if not row.bundled:
        for label, size in (("size", words.size_of(row)), ("memory", row.memory)):
            yield label, words.amount(size) if size is not None else "not known"
    if needs := _needs(row):
        yield "needs", needs
    if (verdict := fits(row)) is not None:
        yield "here", verdict
    yield "engine", _engine(row)
    yield "on disk", str(folder) if folder is not None else {"not here": "no"}.get(place, place)
    if row.note:
        yield "note", row.note
    yield from _files(row)
    for number, text in enumerate(text for text in words.call(row) if text):
        yield ("use" if number == 0 else ""), text


def _needs(row: Row) -> str:
    needs = row.needs
    system = " or ".join(needs.os) + (f" {needs.os_version} or newer" if needs.os_version else "")
    return ", ".join(part for part in (system, " or ".join(needs.accelerator)) if part)


def _engine(row: Row) -> str:
    from locara.cli import models_words as words

    if not row.engine:
        return "none"
    told = f" ({words.told(row.options)})" if row.options else ""
    if row.engine in words.engines(row.kind):
        return row.engine + told + (f'; brought by pip install "locara[{row.extra}]"' if row.extra else "")
    more = f': pip install "locara[{row.extra}]"' if row.extra else ""
    return f"{row.engine}{told}, not installed{more}"


def _files(row: Row) -> Iterator[tuple[str, str]]:
    if row.hub:
        yield "repository", f"{row.hub} at {row.revision or 'whatever is newest: no revision is known'}"
    for number, file in enumerate(row.files):
        yield ("files" if number == 0 else ""), _file(file)
    if row.files:
        pinned = sum(file.pinned for file in row.files)
        if pinned == len(row.files):
            yield "", "Every file has a hash, which is compared while it is downloaded."
        else:
            yield "", f"{len(row.files) - pinned} of {len(row.files)} files have no published hash: a pull asks first."
        if row.status != "listed":
            yield "get it", f"locara models pull {row.id}"
    elif not row.bundled and row.engine:
        yield "get it", f"download it yourself, then: locara models import {row.id} FOLDER"


def _file(file: ModelFile) -> str:
    from locara.cli import models_words as words

    unpacked = f", unpacked from {file.unpack}" if file.unpack else ""
    size = words.amount(file.size) if file.size is not None else "size not known"
    hash_ = f"sha256 {file.sha256[:16]}.." if file.pinned else "no hash"
    return f"{file.path} ({size}, {hash_}{unpacked})" + (f" from {file.url}" if file.url else "")


def fits(row: Row) -> str | None:
    """Whether it fits this machine, in words; None where this installation cannot say."""
    from locara.cli import models_words as words

    fitting, machine = words.optional("locara.catalog.fitting"), words.optional("locara.catalog.machine")
    if fitting is None or machine is None:
        return None
    here = machine.this_machine()
    why = fitting.why_not_here(row, here) or fitting.why_too_large(row, here)
    return f"does not fit this machine: {why}" if why else "fits this machine"
