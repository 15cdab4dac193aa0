"""The ``locara`` command. One file a subcommand; each is imported only when it is asked for.

Exit codes: 0 done; 1 it failed, and one sentence said why; 2 the command line is wrong; 130 stopped by Ctrl-C; 143
stopped by SIGTERM.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from locara.errors import LocaraError

COMMANDS = {
    "talk": "talk with your computer: with a microphone, or with a recording",
    "serve": "a server on this machine: web page, Realtime and REST protocols, Locara's own",
    "transcribe": "speech to text: files, a pipe, or the microphone while you speak",
    "say": "text to speech, to a speaker or to a file",
    "devices": "the microphones and speakers of this machine",
    "doctor": "check everything that a first conversation needs, with fixes",
    "mute": "silence every session of this user at once, in every program",
    "unmute": "take that back",
    "grants": "who may use the microphone and the speaker, and changing that",
    "audit": "what used the microphone and the speaker, when, with which models",
    "models": "which models there are, and which are on this machine",
    "check": "an app's source against its manifest; nothing of it is run",
    "manifest": "what a locara.toml asks for, and what one may say",
}
"""Subcommand -> what it does. Its file is ``locara.cli.<name>``, with ``arguments(parser)`` and ``run(options)``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    parser = _parser(arguments)
    options = parser.parse_args(arguments)
    try:
        code: int = importlib.import_module(f"locara.cli.{options.command}").run(options)
    except LocaraError as error:
        print(f"locara {options.command}: {error.explain()}", file=sys.stderr)
        if options.verbose:
            raise
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; say nothing more, and let the interpreter's own flush at exit succeed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="locara",
        description="The voice that runs on your own machine: every model local.",
        epilog="example: locara talk",
    )
    parser.add_argument("--version", action="version", version=f"locara {_version()}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        sub = commands.add_parser(name, help=text, formatter_class=argparse.RawDescriptionHelpFormatter)
        sub.add_argument("--verbose", action="store_true", help="show the traceback of an error")
        if name in arguments:  # only the one that is asked for pays its import
            importlib.import_module(f"locara.cli.{name}").arguments(sub)
    return parser


def _version() -> str:
    from locara import __version__

    return __version__
