"""``locara unmute``: takes back ``locara mute``."""

from __future__ import annotations

import argparse

_EXAMPLES = """examples:
  locara unmute
  locara unmute --json

exit codes: 0 done, 1 it could not be, 2 wrong command line
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``locara unmute``."""
    parser.epilog = _EXAMPLES
    parser.add_argument("--json", action="store_true", help="one object: muted, since, switch")


def run(options: argparse.Namespace) -> int:
    """Unmutes; returns the exit code. Raises ``DeviceError``."""
    from locara.cli.mute import told
    from locara.gate.switch import default_switch

    default_switch().unmute()
    told(as_json=options.json)
    return 0
