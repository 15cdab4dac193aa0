"""``locara audit``: what used the microphone and the speaker, when, for which app, with which models."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from locara.consent.audit import Entry
    from locara.consent.usage import Use

_EXAMPLES = """examples:
  locara audit
  locara audit --since 7d --app com.example.talk
  locara audit --since 2026-11-01 --json
  locara audit --follow                     every line as it is written, until Ctrl-C

The log holds no sound and no text. It is kept in a few files of a megabyte; the oldest is dropped.
exit codes: 0 done, 1 the log cannot be read, 2 wrong command line, 130 Ctrl-C
"""
_UNITS = {"m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_STAGES = ("stt", "llm", "tts", "omni")
_CUT = 60  # columns for models


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``locara audit``."""
    parser.epilog = _EXAMPLES
    parser.add_argument("--app", metavar="ID", help="only this app")
    parser.add_argument("--since", metavar="WHEN", type=since, help="30m, 12h, 7d, 2w, or a day: 2026-11-01")
    parser.add_argument("--follow", action="store_true", help="every line as it is written, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="a list of objects; with --follow one a line")


def run(options: argparse.Namespace) -> int:
    """Tells it; returns the exit code. Raises ``ConsentError``."""
    from locara.consent.audit import default_audit
    from locara.consent.usage import uses

    log = default_audit()
    if options.follow:
        for entry in log.follow():
            if options.app in (None, entry.app):
                sys.stdout.write(_line(entry, as_json=options.json))
                sys.stdout.flush()
        return 0
    found = [
        one
        for one in uses(log.entries(), _alive)
        if options.app in (None, one.app) and (one.end is None or one.end >= (options.since or 0.0))
    ]
    if options.json:
        sys.stdout.write(json.dumps([dataclasses.asdict(one) for one in found], ensure_ascii=False) + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in table(found)) or f"Nothing is noted ({log.path}).\n")
    return 0


def since(text: str) -> float:
    """Seconds since the epoch. Raises ``argparse.ArgumentTypeError``."""
    if found := re.fullmatch(r"(\d{1,6})([mhdw])", text):
        return time.time() - float(found[1]) * _UNITS[found[2]]
    for shape in ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"):
        try:
            return time.mktime(time.strptime(text, shape))
        except (ValueError, OverflowError):
            continue
    raise argparse.ArgumentTypeError(f"{text!r} is no time: 30m, 12h, 7d, 2w, or a day such as 2026-11-01")


def table(found: list[Use]) -> list[str]:
    """A line for each use, under a head."""
    from locara.cli.lines import plain

    rows = [("from", "for", "what", "app", "models")]
    for one in found:
        what = f"{one.what} refused" if one.ended == "refused" else one.what
        if one.device and one.device != "default":
            what += f" ({one.device})"
        stages = one.models or {}
        models = ", ".join(
            facts.get("model", "") for stage, facts in stages.items() if stage in ("stt", "llm", "tts", "omni")
        )
        rows.append((_time(one.start), _span(one), what, f"{one.app}", models[:_CUT]))
    rows = [tuple(plain(cell) for cell in row) for row in rows]  # type: ignore[misc]
    widths = [max(len(row[at]) for row in rows) for at in range(4)]
    told = ["  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4])) for row in rows]
    return [line.rstrip() for line in told] if found else []


def _span(one: Use) -> str:
    if one.ended == "refused":
        return "-"
    if one.ended == "open":
        return "still open"
    if one.end is None:
        return "not closed"
    seconds = max(0.0, one.end - one.start)
    told = f"{seconds:.0f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{told}, revoked" if one.ended == "revoked" else told


def _time(at: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
    except (ValueError, OverflowError, OSError):
        return "?"


def _line(entry: Entry, *, as_json: bool) -> str:
    from locara.cli.lines import plain

    told = {name: value for name, value in dataclasses.asdict(entry).items() if value not in ("", {})}
    if as_json:
        return json.dumps(told, ensure_ascii=False) + "\n"
    facts = " ".join(one for one in (entry.capability, entry.device, entry.reason) if one)
    models = ", ".join(f"{stage} {facts_.get('model', '')}" for stage, facts_ in entry.models.items())
    return (
        plain(f"{_time(entry.at)}  {entry.what:<18} {entry.app} (process {entry.pid})  {facts}{models}").rstrip() + "\n"
    )


def _alive(pid: int) -> bool:
    """Whether a process of this number is there; on Windows nobody is asked, and it counts as gone."""
    if os.name != "posix" or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True
