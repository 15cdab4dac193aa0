#!/usr/bin/env python3
"""Installs the stock clients that the server is tested with: ``python3 scripts/stock_clients.py [FOLDER]``.

Makes ``.clients`` beside the project (or the folder that is given): ``python`` with ``openai``, ``openai-agents``,
``wyoming`` and ``schemathesis``, whose dependencies are not ours, and ``npm`` with ``@openai/agents-realtime`` and
TypeScript's compiler, where there is npm. The tests that need them skip without. What is installed already stays. Needs PyPI
and npm.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON_CLIENTS = (
    "openai[realtime]>=3.54,<4", "openai-agents>=0.24,<0.25", "wyoming>=1.10,<2", "schemathesis>=4.32,<5",
)  # fmt: skip
NPM_CLIENTS = ("@openai/agents-realtime@^0.20.0", "zod@^4", "typescript@^5")
"""Newer ones may want more than the server does; raise these when they were tried."""

_SECONDS = 600


def run(*command: str, within: Path | None = None) -> None:
    """Runs a command; ends the script with its code if it fails."""
    print("+", " ".join(command), flush=True)
    done = subprocess.run(command, cwd=within, check=False, timeout=_SECONDS)
    if done.returncode:
        sys.exit(done.returncode)


def main() -> int:
    """Installs both."""
    home = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".clients"
    python = home / "python" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.EnvBuilder(with_pip=True).create(home / "python")
    run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PYTHON_CLIENTS)
    npm = shutil.which("npm")
    if npm is None:
        print("no npm: the JavaScript client is not installed, and its test skips", flush=True)
        return 0
    folder = home / "npm"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "package.json").exists():
        (folder / "package.json").write_text('{"name": "locara-clients", "private": true}\n', encoding="utf-8")
    run(npm, "install", "--no-audit", "--no-fund", "--loglevel=error", *NPM_CLIENTS, within=folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
