"""``locara models pull``: what it is, one question, then the download with its bar."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from locara.cli.models_asking import agreed, described, here, row_named, store
from locara.errors import LocaraError

if TYPE_CHECKING:
    from locara.catalog.row import Row

_EXAMPLES = """examples:
  locara models pull kokoro-82m
  locara models pull kokoro-82m moonshine-tiny --yes

A model that is here already costs no network. What Ctrl-C or a lost connection leaves is gone on from.
HF_TOKEN, HF_HOME, HF_ENDPOINT, HF_HUB_OFFLINE, HTTPS_PROXY and LOCARA_MODELS are honoured: see docs/store.md.

exit codes: 0 all are here, 1 one is not, 2 wrong command line, 130 Ctrl-C
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``locara models pull``."""
    parser.epilog = _EXAMPLES
    parser.add_argument("models", nargs="+", metavar="ID", help="a model's id or alias")
    parser.add_argument(
        "--yes", action="store_true", help="agree to size, licence and missing hashes without being asked"
    )
    parser.add_argument("--offline", action="store_true", help="open no connection: fail where one is needed")
    parser.add_argument(
        "--again", action="store_true", help="fetch anew what is damaged, also when it seems to be here"
    )
    parser.add_argument("--json", action="store_true", help="a list of objects: id, folder, error, hint")


def run(options: argparse.Namespace) -> int:
    """Pulls them, one after another; returns the exit code. Raises ``LocaraError`` before anything is fetched."""
    rows = list(dict.fromkeys(row_named(name).id for name in options.models))
    wanted = [row_named(one) for one in rows]
    results: list[dict[str, Any]] = []
    missing = [row for row in wanted if options.again or not _is_here(row, results, options.json)]
    if missing and not options.offline and not _offline():
        for row in missing:
            here(options.json, described(row))
        question = f"Fetch {'it' if len(missing) == 1 else f'these {len(missing)}'}?"
        what = f"pulling {', '.join(row.id for row in missing)}"
        if not agreed(question, yes=options.yes, what=what, as_json=options.json):
            here(options.json, ["Nothing was fetched."])
            return 1
    for row in missing:
        results.append(_pulled(row, options))
    if options.json:
        sys.stdout.write(json.dumps(results, ensure_ascii=False) + "\n")
    return 1 if any(one["error"] for one in results) else 0


def _is_here(row: Row, results: list[dict[str, Any]], as_json: bool) -> bool:
    folder = store().present(row)
    if row.bundled:
        here(as_json, [f"{row.id} comes with a package: there is nothing to fetch"])
        results.append({"id": row.id, "folder": None, "error": "", "hint": ""})
        return True
    if folder is None:
        return False
    here(as_json, [f"{row.id} is here: {folder}"])
    results.append({"id": row.id, "folder": str(folder), "error": "", "hint": ""})
    return True


def _offline() -> str:
    from locara.catalog import hub

    return hub.offline(os.environ)


def _pulled(row: Row, options: argparse.Namespace) -> dict[str, Any]:
    """What came of it. One model that fails does not keep the next from being fetched."""
    from locara.catalog.pulling import pull
    from locara.cli.models_progress import Bar

    try:
        with Bar() as bar:
            folder = pull(row, store(), agreed=True, progress=bar, offline=options.offline, again=options.again)
    except LocaraError as error:
        sys.stderr.write(f"locara models: {error.explain()}\n")
        return {"id": row.id, "folder": None, "error": error.message, "hint": error.hint}
    except KeyboardInterrupt:
        sys.stderr.write(f"\nStopped. What was fetched is kept: locara models pull {row.id} goes on from there.\n")
        raise
    here(options.json, [f"{row.id} is here now: {folder}"])
    return {"id": row.id, "folder": str(folder), "error": "", "hint": ""}
