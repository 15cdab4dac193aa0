"""``locara models prune``: what lies in the folder of models and serves nobody, shown, and deleted after a yes."""

from __future__ import annotations

import argparse
import json
import sys

from locara.cli.models_asking import agreed, here, store

_EXAMPLES = """examples:
  locara models prune
  locara models prune --dry-run --json

Parts of unfinished pulls, older revisions beside a newer one, models that no row of the catalog names, and locks of
processes that are gone. Models that you imported stay: locara models rm deletes them.

exit codes: 0 done, also when there was nothing; 1 you said no, or it failed; 2 wrong command line
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``locara models prune``."""
    parser.epilog = _EXAMPLES
    parser.add_argument("--yes", action="store_true", help="delete without being asked")
    parser.add_argument("--dry-run", action="store_true", help="only show what would be deleted")
    parser.add_argument("--json", action="store_true", help="an object: found (path, why, size), deleted, freed")


def run(options: argparse.Namespace) -> int:
    """Shows, asks, deletes; returns the exit code. Raises ``LocaraError``."""
    from locara.catalog import index, pruning, space

    where = store()
    found = pruning.leftovers(where, index.find)
    total = sum(one.size for one in found)
    shown = [one for one in found if not one.path.name.endswith(".lock")]
    here(options.json, [f"{space.words(one.size):>10}  {one.path}  {one.why}" for one in shown])
    deleted = False
    if not found:
        here(options.json, [f"Nothing to delete in {where.home}."])
    elif not options.dry_run:
        question = f"Delete {len(shown)} ({space.words(total)})?" if shown else ""
        if shown and not agreed(question, yes=options.yes, what="pruning", as_json=options.json):
            here(options.json, ["Nothing was deleted."])
            return 1
        freed = sum(pruning.prune(where, one) for one in sorted(found, key=lambda one: one.path.name.endswith(".lock")))
        here(options.json, [f"{space.words(freed)} freed."])
        deleted = True
    if options.json:
        told = [{"path": str(one.path), "why": one.why, "size": one.size} for one in found]
        freed = total if deleted else 0
        sys.stdout.write(json.dumps({"found": told, "deleted": deleted, "freed": freed}, ensure_ascii=False) + "\n")
    return 0
