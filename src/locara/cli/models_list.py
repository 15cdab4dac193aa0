"""``locara models list``: what can be named. What may live here: its arguments, its filters, and its table."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from locara.catalog.row import Row, RowKind, Status

_EXAMPLES = """examples:
  locara models list --kind stt --language de
  locara models list --status works
  locara models list --installed
  locara models list --free --kind tts --json

status: works: it ran here with its real weights; experimental: there is an engine for it, which ran with made-up weights;
listed: no engine yet, locara models show ID says what would run it.
exit codes: 0 done, 1 the catalog cannot be read, 2 wrong command line
"""

_HEAD = ("id", "kind", "size", "memory", "licence", "languages", "status", "on disk")
_CUT = {5: 8, 4: 10}
"""What is cut first where the terminal is narrow, and how many columns it keeps: languages, licence. An id never is: it is
what people type."""
_DROPPED = (3, 5, 4, 1, 2, 6)
"""Which are left out, first to last, where even that does not fit."""
_GAP = 2


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``locara models list``."""
    parser.epilog = _EXAMPLES
    add = parser.add_argument
    add("--kind", choices=get_args(RowKind), action="append", help="only this kind; may be given more than once")
    add("--status", choices=get_args(Status), action="append", help="only this status; may be given more than once")
    add("--language", metavar="CODE", help="only those that say they know this language: de, pt-BR")
    add("--installed", action="store_true", help="only what is on this machine, or comes with a package that is")
    add("--licence", "--license", metavar="TEXT", help="only licences with this text: MIT, apache")
    add("--free", action="store_true", help="leave out non-commercial licences, and those that nobody has looked up")
    add("--json", action="store_true", help="a list of objects, with all that is known of each")


def run(options: argparse.Namespace) -> int:
    """Lists them; returns the exit code. Raises ``ConfigError`` for a catalog file that cannot be read."""
    from locara.catalog import index
    from locara.cli import models_words as words

    everything = index.rows()
    kinds = {kind: words.engines(kind) for kind in get_args(RowKind)}
    chosen = [row for row in everything if _wanted(row, options)]
    folders = words.folders(chosen)
    places = {row.id: words.where(row, folders.get(row.id), kinds[row.kind]) for row in chosen}
    if options.installed:
        chosen = [row for row in chosen if places[row.id] != "not here"]
    if options.json:
        told = [_object(row, places[row.id], folders.get(row.id)) for row in chosen]
        sys.stdout.write(json.dumps(told, ensure_ascii=False, indent=1) + "\n")
        return 0
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in table([cells(row, places[row.id]) for row in chosen], width):
        sys.stdout.write(line + "\n")
    sys.stdout.write(_sum(chosen, len(everything)))
    return 0


def _wanted(row: Row, options: argparse.Namespace) -> bool:
    from locara.cli import models_words as words

    return (
        (not options.kind or row.kind in options.kind)
        and (not options.status or row.status in options.status)
        and (not options.language or words.speaks(row, options.language))
        and (not options.licence or options.licence.lower() in row.licence.lower())
        and (not options.free or words.free(row))
    )


def cells(row: Row, place: str) -> tuple[str, ...]:
    """A row of the table, in the order of `_HEAD`."""
    from locara.cli import models_words as words
    from locara.cli.lines import plain

    size = "" if row.bundled else words.amount(words.size_of(row))
    memory = "" if row.bundled else words.amount(row.memory)
    on_disk = {"not here": "no", "here": "yes"}.get(place, place)
    licence = plain(words.licence(row))
    return (row.id, row.kind, size, memory, licence, words.languages(row), row.status, on_disk)


def table(rows: Sequence[tuple[str, ...]], width: int | None) -> list[str]:
    """The lines of the table. ``width``: of the terminal in columns; None: as wide as it comes."""
    whole = [_HEAD, *rows]
    widths = [max(len(row[at]) for row in whole) for at in range(len(_HEAD))]
    shown = list(range(len(_HEAD)))
    if width is not None:
        for at, least in _CUT.items():
            over = _total(widths, shown) - width
            widths[at] = min(widths[at], max(least, widths[at] - max(0, over)))
        for at in _DROPPED:
            if _total(widths, shown) > width:
                shown.remove(at)
    return ["  ".join(_fit(row[at], widths[at], at) for at in shown).rstrip() for row in whole]


def _total(widths: Sequence[int], shown: Sequence[int]) -> int:
    return sum(widths[at] for at in shown) + _GAP * (len(shown) - 1)


def _fit(text: str, width: int, at: int) -> str:
    if len(text) > width:
        text = text[: max(0, width - 2)] + ".."
    return text.rjust(width) if at in (2, 3) else text.ljust(width)


def _sum(chosen: Sequence[Row], total: int) -> str:
    if not chosen:
        return f"None of the {total} models fits these filters: leave one out.\n"
    by = Counter(row.status for row in chosen)
    parts = ", ".join(f"{by[status]} {status}" for status in get_args(Status) if by[status])
    return f"{len(chosen)} of {total} models: {parts}. All about one: locara models show ID\n"


def _object(row: Row, place: str, folder: Path | None) -> dict[str, object]:
    from locara.cli import models_words as words

    known = dataclasses.asdict(row)
    return {**known, "size": words.size_of(row), "pinned": row.pinned, "on_disk": place, "folder": _text(folder)}


def _text(folder: Path | None) -> str | None:
    return None if folder is None else str(folder)
