"""``locara check``: an app's source against its manifest. What may live here: its arguments and its forms of output."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from typing import TYPE_CHECKING

from locara.errors import ConfigError

if TYPE_CHECKING:
    from locara.check import Report

_EXAMPLES = """examples:
  locara check                         the app in this folder
  locara check examples/app --json
  locara check . --sarif > locara.sarif

Nothing of the app is run. What cannot be read from the source (a model's name from a setting) is a warning, and the run
time checks it. The codes: docs/manifest.md.

exit codes: 0 clean, 1 errors (with --strict also warnings), 2 it cannot be checked
"""
_CANNOT = 2


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``locara check``."""
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "folder", nargs="?", default=".", metavar="DIR", help="with the app's locara.toml (default: here)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="an object: findings, files, calls")
    form.add_argument("--sarif", action="store_true", help="SARIF 2.1.0, for editors and code hosts")
    parser.add_argument("--strict", action="store_true", help="warnings count as errors for the exit code")


def run(options: argparse.Namespace) -> int:
    """Checks, prints, and returns the exit code."""
    from locara.check import check

    try:
        report = check(options.folder)
    except ConfigError as error:
        if options.verbose:
            raise
        print(f"locara check: {error.explain()}", file=sys.stderr)
        return _CANNOT
    if options.sarif:
        from locara import __version__
        from locara.check.sarif import sarif

        sys.stdout.write(json.dumps(sarif(report, __version__), indent=1) + "\n")
    elif options.json:
        sys.stdout.write(json.dumps(_as_json(report), indent=1) + "\n")
    else:
        sys.stdout.write(_as_text(report))
    if report.manifest is None:
        return _CANNOT
    return 1 if report.errors or (options.strict and report.warnings) else 0


def _as_json(report: Report) -> dict[str, object]:
    return {
        "folder": report.folder,
        "app": report.manifest.id if report.manifest is not None else None,
        "findings": [{**dataclasses.asdict(one), "severity": one.severity} for one in report.findings],
        "errors": report.errors,
        "warnings": report.warnings,
        "files": report.files,
        "calls": report.calls,
        "others": list(report.others),
    }


def _as_text(report: Report) -> str:
    from locara.cli.lines import plain

    lines = []
    for one in report.findings:
        place = f":{one.line}:{one.column}" if one.line else ""
        lines.append(plain(f"{one.path}{place}: {one.code} {one.severity}: {one.what}"))
        if one.fix:
            lines.append(plain(f"  -> {one.fix}"))
    lines += [plain(f"{one}: an app of its own, with its own manifest: not looked at") for one in report.others]
    if report.manifest is not None:
        app = f"{report.manifest.id} {report.manifest.version}"
        read = f"{_count(report.calls, 'call')} of Locara in {_count(report.files, 'file')}"
        found = f"{_count(report.errors, 'error')}, {_count(report.warnings, 'warning')}"
        lines.append(plain(f"{app}: {read}: {found if report.findings else 'clean'}"))
    return "".join(f"{line}\n" for line in lines)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
