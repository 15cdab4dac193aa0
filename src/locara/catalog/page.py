"""The table of models in the documentation, made from the data: ``python -m locara.catalog.page docs/models.md [--check]``.

What may live here: rows as Markdown, and putting them between the two marks of a page.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

from locara.catalog import index
from locara.catalog.row import Row, RowKind, Status

BEGIN = "<!-- begin: made by python -m locara.catalog.page docs/models.md -->"
END = "<!-- end -->"

TITLES: dict[RowKind, str] = {
    "stt": "Speech to text",
    "llm": "Language models",
    "tts": "Text to speech",
    "omni": "Models that hear and speak",
    "vad": "Voice activity",
    "turn": "End of turn",
    "wake": "Wake words",
}

_MOST_LANGUAGES = 6


def tables(rows: Iterable[Row]) -> str:
    """A table for each kind, with Locara's own rows, and how many there are of each status."""
    everything = tuple(rows)
    by = Counter(row.status for row in everything)
    pinned = sum(bool(row.files) and all(file.pinned for file in row.files) for row in everything)
    counts = ", ".join(f"{by[status]} `{status}`" for status in get_args(Status))
    parts = [f"{len(everything)} models: {counts}. {pinned} have a published hash for every file."]
    for kind in index.KINDS:
        parts += ["", f"### {TITLES[kind]}", "", *_table([row for row in everything if row.kind == kind])]
    return "\n".join(parts) + "\n"


def _table(rows: Iterable[Row]) -> list[str]:
    head = ["| model | licence | languages | size | status | engine |", "|---|---|---|---|---|---|"]
    return head + ["| " + " | ".join(_cells(row)) + " |" for row in rows]


def _cells(row: Row) -> tuple[str, ...]:
    licence = row.licence.removeprefix("LicenseRef-") + "".join(f", **{flag}**" for flag in row.flags)
    more = len(row.languages) - _MOST_LANGUAGES
    languages = " ".join(row.languages[:_MOST_LANGUAGES]) + (f" +{more}" if more > 0 else "")
    return (
        f"`{row.id}`",
        licence,
        {"mul": "many"}.get(languages, languages),
        "with a package" if row.bundled else _size(row),
        row.status,
        row.engine + (f" (`{row.extra}`)" if row.extra else ""),
    )


def _size(row: Row) -> str:
    sizes = [file.size for file in row.files]
    size = row.disk or (sum(one or 0 for one in sizes) if sizes and None not in sizes else None)
    if size is None:
        return ""
    return f"{size / 1e9:.1f} GB" if size >= 999_500_000 else f"{size / 1e6:.0f} MB"


def filled(page: str, made: str) -> str:
    """``page`` with ``made`` between its marks. Raises ``ValueError`` where it does not have them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no marks: {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{made}\n{END}{after}"


def main(arguments: Sequence[str]) -> int:
    """Writes the page, or says with ``--check`` whether it is as it should be (exit code 0 or 1)."""
    names = [one for one in arguments if one != "--check"]
    if len(names) != 1:
        sys.stderr.write("usage: python -m locara.catalog.page PAGE.md [--check]\n")
        return 2
    path = Path(names[0])
    old = path.read_text(encoding="utf-8")
    try:
        new = filled(old, tables(index.ours()))
    except ValueError as error:
        sys.stderr.write(f"{path}: {error}\n")
        return 1
    if "--check" in arguments:
        if new != old:
            sys.stderr.write(f"{path} is not what the data say: python -m locara.catalog.page {path}\n")
        return int(new != old)
    path.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
