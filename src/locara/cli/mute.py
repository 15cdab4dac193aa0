"""``locara mute``: silences every session of this user at once, in every program."""

from __future__ import annotations

import argparse
import datetime
import json
import sys

_EXAMPLES = """examples:
  locara mute                 nothing is heard and nothing sounds, until `locara unmute`
  locara mute --status        only says how it stands
  locara mute --json

Files are not concerned: `locara say --output FILE.wav` goes on working.

exit codes: 0 done, 1 it could not be, 2 wrong command line
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``locara mute``."""
    parser.epilog = _EXAMPLES
    parser.add_argument("--status", action="store_true", help="change nothing")
    parser.add_argument("--json", action="store_true", help="one object: muted, since, switch")


def run(options: argparse.Namespace) -> int:
    """Mutes; returns the exit code. Raises ``DeviceError``."""
    from locara.gate.switch import default_switch

    switch = default_switch()
    if not options.status:
        switch.mute()
    told(as_json=options.json)
    return 0


def told(*, as_json: bool) -> None:
    """Says how the switch stands."""
    from locara.gate.switch import default_switch

    switch = default_switch()
    muted, since = switch.muted, switch.told().since
    when = ""
    if muted and since > 0.0:
        try:
            when = datetime.datetime.fromtimestamp(since).astimezone().isoformat(timespec="seconds")
        except (OverflowError, OSError, ValueError):
            when = ""
    if as_json:
        sys.stdout.write(json.dumps({"muted": muted, "since": when or None, "switch": str(switch.path)}) + "\n")
    elif muted:
        sys.stdout.write(
            f"Muted{' since ' + when if when else ''}: no session of yours hears or plays anything. locara unmute\n"
        )
    else:
        sys.stdout.write("Not muted.\n")
