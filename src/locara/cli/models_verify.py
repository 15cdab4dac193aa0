"""``locara models verify``: every byte on disk is compared with what was published, or with what was found then."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from locara.cli.models_asking import here, row_named, store
from locara.errors import ModelMissing

if TYPE_CHECKING:
    from locara.catalog.row import Row
    from locara.catalog.verifying import Verified
    from locara.cli.models_progress import Bar

_EXAMPLES = """examples:
  locara models verify                 all models on disk
  locara models verify kokoro-82m --json

exit codes: 0 intact, 1 damaged or not here, 2 wrong command line, 130 Ctrl-C
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``locara models verify``."""
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "models", nargs="*", metavar="ID", help="a model's id or alias; all on disk where none is named"
    )
    parser.add_argument(
        "--json", action="store_true", help="a list of objects: id, folder, intact, damages, uncompared"
    )


def run(options: argparse.Namespace) -> int:
    """Compares them; returns the exit code. Raises ``LocaraError``."""
    from locara.cli.models_progress import Bar

    found: list[Verified] = []
    with Bar() as bar:
        for one in _verified(options.models, bar):
            bar.clear()
            found.append(one)
            if not options.json:
                here(False, _lines(one))
    if options.json:
        sys.stdout.write(json.dumps([_told(one) for one in found], ensure_ascii=False) + "\n")
    elif not found:
        here(False, [f"There is no model in {store().home}."])
    return 1 if any(one.damages for one in found) else 0


def _verified(names: list[str], bar: Bar) -> Iterator[Verified]:
    from locara.catalog import verifying

    where = store()
    wanted = [_row_or_id(name) for name in names]
    installed = where.installed()
    for id_, row in wanted or [(one, None) for one in dict.fromkeys(one.id for one in installed)]:
        mine = [one for one in installed if one.id == id_]
        for one in mine:
            yield verifying.verify(one.folder, one.manifest, _progress(id_, bar))
        if mine:
            continue
        cached = where.present(row) if row is not None else None
        if cached is None or row is None:
            raise ModelMissing(
                f"{id_} is not on this machine", stage="models", model=id_, hint=f"locara models pull {id_}"
            )
        yield verifying.verify_cached(cached, row, _progress(id_, bar))


def _row_or_id(name: str) -> tuple[str, Row | None]:
    """A name of the catalog, or the id of what is on disk though no row names it any more."""
    if any(one.id == name for one in store().installed()):
        return name, None
    row = row_named(name)
    return row.id, row


def _progress(id_: str, bar: Bar) -> Callable[[str, int], None]:
    from locara.catalog.pulling import Progress

    def tell(path: str, done: int) -> None:
        bar(Progress(id_, "checking", done, None, path))

    return tell


def _lines(found: Verified) -> list[str]:
    if not found.damages:
        lines = [f"{found.id}: intact, compared with {found.against}"]
    else:
        lines = [f"{found.id}: DAMAGED in {found.folder}"]
        lines += [f"  {one.path}: {one.what}" for one in found.damages]
        lines.append(f"  -> {_mend(found)}")
    return lines + [f"  {one}: nothing is known of it but its size" for one in found.uncompared]


def _mend(found: Verified) -> str:
    from locara.catalog import manifest

    told = manifest.read(found.folder)
    if told is not None and told.source == "imported":
        return f"locara models import {found.id} PATH, from files that are intact"
    return f"locara models pull {found.id} --again"


def _told(found: Verified) -> dict[str, object]:
    return {
        "id": found.id,
        "folder": str(found.folder),
        "intact": not found.damages,
        "damages": [{"path": one.path, "what": one.what} for one in found.damages],
        "uncompared": list(found.uncompared),
        "against": found.against,
        "mend": _mend(found) if found.damages else "",
    }
