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
    every = _permitted(found)
    found = _shown(found, every=every)
    if options.json:
        sys.stdout.write(json.dumps([dataclasses.asdict(device) for device in found], ensure_ascii=False) + "\n")
        return 0
    for device in found:
        mark = "*" if device.is_default else " "
        sys.stdout.write(f"{device.kind:6} {mark} {plain(device.name)}  ({device.backend})\n")
    sys.stdout.write("* is the default\n" if found else "The sound system lists no microphone and no speaker.\n")
    if options.watch:
        asyncio.run(_watch(found, every=every))
    return 0


def _permitted(found: list[DeviceInfo]) -> bool:
    """Whether outputs that are not the default may be listed: that needs ``device.speaker.select``, here too."""
    from locara.cli import consenting

    others = [one for one in found if one.kind == "output" and not one.is_default]
    error = consenting.refused("device.speaker.select") if others else None
    if error is not None:
        sys.stderr.write(f"Only the default speaker is listed: {error.explain()}\n")
    return error is None


def _shown(found: list[DeviceInfo], *, every: bool) -> list[DeviceInfo]:
    return [one for one in found if every or one.kind == "input" or one.is_default]


async def _watch(before: list[DeviceInfo], *, every: bool) -> None:
    """A line for each change, until cancelled."""
    from locara.cli.lines import plain
    from locara.devices import watch

    sys.stdout.flush()
    async for answered in watch.answers():
        after = _shown(answered, every=every)
        news = watch.difference(before, after)
        told = [(one, "was plugged in") for one in news.added] + [(one, "is gone") for one in news.removed]
        told += [(one, "is the default now") for one in news.default]
        for device, what in told:
            sys.stdout.write(f"{device.kind:6} {plain(device.name)} {what}\n")
        sys.stdout.flush()
        before = after
