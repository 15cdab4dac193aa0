"""``locara models``: the catalog and what is on disk. What may live here: the table of subcommands and the way to them.

Each subcommand is a file ``locara.cli.models_<name>`` with ``arguments(parser)`` and ``run(options) -> int``; only the one
that is asked for is imported.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from typing import Any

SUBCOMMANDS = {
    "list": "the models that can be named, with size, licence and whether they are here",
    "show": "everything about one model",
    "recommend": "the models that fit this machine best, and why",
    "probe": "measure how fast the models that are here run on this machine",
    "pull": "download models",
    "import": "take a model from files that are here already",
    "verify": "compare the files on disk with what was published",
    "rm": "delete a model from disk",
    "prune": "delete what no model needs any more: parts, old revisions, leftovers",
    "path": "the folder of a model on disk",
}
"""Subcommand -> what it does."""

_EXAMPLES = """examples:
  locara models list --kind stt --language de
  locara models show kokoro-82m
  locara models pull kokoro-82m

exit codes: 0 done, 1 it failed and one sentence said why, 2 wrong command line, 130 Ctrl-C
"""


class _Lazy(argparse.ArgumentParser):
    """The parser of one subcommand: it learns its arguments when it is first asked to parse, so that the seven others
    cost nothing."""

    subcommand = ""

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As argparse does, with the subcommand's own arguments."""
        if self.subcommand:
            name, self.subcommand = self.subcommand, ""
            _module(name).arguments(self)
        return super().parse_known_args(args, namespace)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``locara models``."""
    parser.epilog = _EXAMPLES
    commands = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND", required=True, parser_class=_Lazy)
    for name, text in SUBCOMMANDS.items():
        sub = commands.add_parser(
            name, help=text, description=text, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        sub.subcommand = name
        # Also behind the subcommand; without a default here, or it would undo the one before it.
        sub.add_argument("--verbose", action="store_true", default=argparse.SUPPRESS, help="show an error's traceback")


def run(options: argparse.Namespace) -> int:
    """Runs the subcommand; returns its exit code. Raises ``LocaraError``."""
    code: int = _module(options.subcommand).run(options)
    return code


def _module(name: str) -> Any:
    return importlib.import_module(f"locara.cli.models_{name}")
