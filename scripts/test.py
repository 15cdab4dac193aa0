#!/usr/bin/env python3
"""Sets up everything the tests need and runs them: ``python3 scripts/test.py [pytest arguments]``.

Makes ``.venv-test`` beside the project, installs Locara and its test tools, installs the sound server and the browser that
tests need where this machine lets it (Debian, as root) and the stock clients of the server's protocols (``.clients``), then
runs the linters, the type checker, the import contracts and pytest, whose closing line is the last thing printed. Without a
sound server, a browser or the clients those tests skip and say so.

pytest runs in two processes (pytest-xdist); ``python3 scripts/test.py -n0`` runs it in one, as a debugger needs it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv-test"
PYTHON = HOME / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
SOUND_PACKAGES = ("pulseaudio", "pulseaudio-utils", "libasound2-plugins", "libportaudio2")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

# Most of the time the tests wait in real time, for engines that compute in other processes: two workers are enough for
# two processor cores, and more would disturb what is played and recorded. worksteal: neighbours stay together, which keeps
# what a file sets up for all its tests, and whoever has finished takes over from the other.
WORKERS = ("-n", "2", "--dist", "worksteal")


def run(*command: str, may_fail: bool = False, quiet: bool = False) -> int:
    """Runs a command in the project's folder; ends the script with its code if it fails."""
    print("+", " ".join(command), flush=True)
    done = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.DEVNULL if quiet else None)
    if done.returncode and not may_fail:
        sys.exit(done.returncode)
    return done.returncode


def prepare_python() -> None:
    """A virtual environment with Locara, as it would be installed, and the tools."""
    if sys.version_info < (3, 11):  # noqa: UP036  whoever has only an older one shall read a sentence
        sys.exit("Locara needs Python 3.11 or newer: run this script with it")
    if not PYTHON.exists():
        venv.EnvBuilder(with_pip=True, clear=True).create(HOME)
    run(str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-e", ".[dev]")


def prepare_system() -> None:
    """The sound server and the browser, where they can be had without asking anybody."""
    wanted: list[str] = []
    if not (shutil.which("pulseaudio") and shutil.which("pactl")):
        wanted += SOUND_PACKAGES
    if not any(map(shutil.which, BROWSERS)):
        wanted.append("chromium")
    if not wanted:
        return
    if sys.platform == "linux" and shutil.which("apt-get") and os.geteuid() == 0:
        os.environ.setdefault("DEBIAN_FRONTEND", "noninteractive")
        run("apt-get", "update", "-qq", may_fail=True, quiet=True)
        run("apt-get", "install", "-y", "-qq", *wanted, may_fail=True, quiet=True)
    else:
        print(f"not here: {', '.join(wanted)}; the tests that need them will skip", flush=True)


def prepare_clients() -> None:
    """The stock clients of the protocols that we serve; where they cannot be had, their tests skip."""
    run(str(PYTHON), str(ROOT / "scripts" / "stock_clients.py"), may_fail=True)


def main() -> int:
    """Prepares, checks, tests."""
    prepare_python()
    prepare_system()
    prepare_clients()
    tools = str(PYTHON.parent)
    run(f"{tools}/ruff", "check", ".")
    run(f"{tools}/ruff", "format", "--check", ".")
    run(f"{tools}/mypy")
    run(f"{tools}/lint-imports")
    workers = () if "no:xdist" in sys.argv else WORKERS
    return run(str(PYTHON), "-m", "pytest", *workers, *sys.argv[1:], may_fail=True)


if __name__ == "__main__":
    sys.exit(main())
