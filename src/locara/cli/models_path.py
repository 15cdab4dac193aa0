"""``locara models path``: where a model lies, or where all of them do."""

from __future__ import annotations

import argparse
import json
import sys

from locara.cli.models_asking import row_named, store
from locara.errors import ModelMissing

_EXAMPLES = """examples:
  locara models path                   the folder of all models
  locara models path kokoro-82m        the folder of one; exit 1 where it is not on this machine

exit codes: 0 done, 1 it is not here, 2 wrong command line
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``locara models path``."""
    parser.epilog = _EXAMPLES
    parser.add_argument("model", nargs="?", metavar="ID", help="a model's id or alias")
    parser.add_argument("--json", action="store_true", help="an object: id, folder")


def run(options: argparse.Namespace) -> int:
    """Prints it; returns the exit code. Raises ``ModelMissing`` where the model is not here."""
    where = store()
    id_, folder = None, where.home
    if options.model:
        row = row_named(options.model)
        present = where.present(row)
        if present is None:
            hint = f"{row.id} comes with a package" if row.bundled else f"locara models pull {row.id}"
            raise ModelMissing(f"{row.id} is not on this machine", stage="models", model=row.id, hint=hint)
        id_, folder = row.id, present
    if options.json:
        sys.stdout.write(json.dumps({"id": id_, "folder": str(folder)}, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(f"{folder}\n")
    return 0
