"""What ``locara models`` says of a model before it does something, and the one yes or no.

What may live here: finding a row by what was typed, its line with size, licence and flags, and the question.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from locara.cli.lines import plain
from locara.errors import ModelError

if TYPE_CHECKING:
    from locara.catalog.row import Row
    from locara.catalog.store import Store

_FLAGS: Mapping[str, str] = {
    "non-commercial": "NOT for commercial use",
    "gpl": "GPL: whoever passes it on passes on its terms",
    "gated": "gated: its publisher wants the terms accepted and a token (HF_TOKEN)",
    "framework-bound": "may be used with its own framework only",
    "use-restricted": "the licence forbids some uses: read it",
    "non-compete": "may not be used to build something that competes with its publisher",
}

_LANGUAGES = 8


def row_named(name: str) -> Row:
    """The row with this id or alias. Raises ``ModelError`` with what may have been meant."""
    from locara.cli.models_show import found

    return found(name)


def described(row: Row) -> list[str]:
    """Lines that a person should read before the model is fetched: size, licence, flags, languages, whether unpinned."""
    from locara.catalog import space
    from locara.cli import models_words as words

    known = words.size_of(row)
    size = "size unknown" if known is None else space.words(known)
    unread = row.licence == words.UNCHECKED
    licence = "nobody has looked it up: read it before you use it" if unread else row.licence.removeprefix(words.OWN)
    lines = [f"{row.id}: {plain(row.title)} ({row.kind}, {size})", f"  licence    {plain(licence)}"]
    lines += [f"             {_FLAGS[flag]}" for flag in row.flags]
    if row.languages:
        lines.append(f"  languages  {words.languages(row, _LANGUAGES)}")
    if row.files and not row.pinned:
        lines.append("  unpinned   the catalog has no hash for it: what comes cannot be compared with what was meant;")
        lines.append("             what is found is noted, and locara models verify compares with that")
    return lines


def agreed(question: str, *, yes: bool, what: str, as_json: bool = False) -> bool:
    """Whether the person says yes, asked once; ``yes``: they have said so already. ``as_json``: standard output is a
    script's, so it is asked where `here` writes. Raises ``ModelError`` where nobody can be asked."""
    if yes:
        return True
    out = sys.stderr if as_json else sys.stdout
    if not (sys.stdin.isatty() and out.isatty()):
        raise ModelError(f"{what} needs a yes, and nobody can be asked here", hint="add --yes if you agree")
    out.write(f"{question} [y/N] ")
    out.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def here(options_json: bool, lines: Iterable[str]) -> None:
    """Writes lines for people: to standard output, or to standard error where that is for a script's JSON."""
    out = sys.stderr if options_json else sys.stdout
    out.write("".join(f"{line}\n" for line in lines))
    out.flush()


def store() -> Store:
    """The store of this person."""
    from locara.catalog.store import default_store

    return default_store(os.environ)
