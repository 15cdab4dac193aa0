"""``locara devices``: the microphones and speakers that ``--input`` and ``--output`` can name."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from locara.devices.contracts import DeviceInfo

_EXAMPLES = """examples:
  locara devices
  locara devices --json
  locara devices --watch            a line for each that is plugged in, taken away or made the default, until Ctrl-C

exit codes: 0 done, 1 there is no sound system, 2 wrong command line, 130 Ctrl-C
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``locara devices``."""
    parser.epilog = _EXAMPLES
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--json", action="store_true", help="a list of objects: name, kind, is_default, backend")
    either.add_argument("--watch", action="store_true", help="list them, then tell every change until Ctrl-C")


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
    if options.watch:
        asyncio.run(_watch(found))
    return 0


async def _watch(before: list[DeviceInfo]) -> None:
    """A line for each change, until cancelled."""
    from locara.cli.lines import plain
    from locara.devices import watch

    sys.stdout.flush()
    async for after in watch.answers():
        news = watch.difference(before, after)
        told = [(one, "was plugged in") for one in news.added] + [(one, "is gone") for one in news.removed]
        told += [(one, "is the default now") for one in news.default]
        for device, what in told:
            sys.stdout.write(f"{device.kind:6} {plain(device.name)} {what}\n")
        sys.stdout.flush()
        before = after
