#!/usr/bin/env python3
"""Asks the resolver whether Locara installs from wheels alone on every platform: ``python3 scripts/check_platforms.py``.

Needs ``uv`` and a package index. Prints a line for each platform and Python; exits 1 if one of them has no solution.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLATFORMS = (
    "x86_64-manylinux_2_28",
    "aarch64-manylinux_2_28",
    "aarch64-apple-darwin",
    "x86_64-apple-darwin",
    "x86_64-pc-windows-msvc",
)
PYTHONS = ("3.11", "3.12", "3.13")


def packages(platform: str, python: str) -> tuple[int, str]:
    """How many packages a core install takes there, or 0 and why there is no solution."""
    command = ["uv", "pip", "compile", "--quiet", "pyproject.toml", "--only-binary", ":all:", "--no-header"]
    command += ["--no-annotate", "--python-platform", platform, "--python-version", python]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        return 0, done.stderr.strip()
    return sum("==" in line for line in done.stdout.splitlines()), ""


def main() -> int:
    """Prints the table."""
    failed = 0
    for platform in PLATFORMS:
        for python in PYTHONS:
            count, why = packages(platform, python)
            failed += not count
            print(f"{platform:24} {python:5} {f'{count} packages' if count else 'NO SOLUTION: ' + why}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
