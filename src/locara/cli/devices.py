"""``locara devices``: the microphones and speakers that ``--input`` and ``--output`` can name."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

_EXAMPLES = """examples:
  locara devices
  locara devices --json

exit codes: 0 done, 1 there is no sound system, 2 wrong command line
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``locara devices``."""
    parser.epilog = _EXAMPLES
    parser.add_argument("--json", action="store_true", help="a list of objects: name, kind, is_default, backend")


def run(options: argparse.Namespace) -> int:
    """Lists them; returns the exit code. Raises ``DeviceError`` where there is no sound system."""
    from locara.cli.lines import plain
    from locara.devices import listing

    found = sorted(listing.list_devices(), key=lambda device: (device.kind, not device.is_default, device.name))
    if options.json:
        sys.stdout.write(json.dumps([dataclasses.asdict(device) for device in found], ensure_ascii=False) + "\n")
        return 0
    for device in found:
        mark = "*" if device.is_default else " "
        sys.stdout.write(f"{device.kind:6} {mark} {plain(device.name)}  ({device.backend})\n")
    sys.stdout.write("* is the default\n" if found else "The sound system lists no microphone and no speaker.\n")
    return 0
