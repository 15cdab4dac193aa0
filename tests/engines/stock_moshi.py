"""Kyutai's stock server on a small checkpoint with random weights, run for real.

What may live here: making the checkpoint, starting the server, ending it. ``LOCARA_MOSHI_SERVER_PYTHON`` names a Python
with ``moshi``, ``sphn`` and ``aiohttp`` (``pip install moshi``); ``LOCARA_KYUTAI_PYTHON`` is taken where it has all three.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_MODELS = Path(__file__).parent / "models"
_START_SECONDS = 100.0


def interpreter() -> str:
    """The Python that has Moshi's server. Skips where there is none."""
    python = os.environ.get("LOCARA_MOSHI_SERVER_PYTHON") or os.environ.get("LOCARA_KYUTAI_PYTHON")
    if not python:
        pytest.skip("LOCARA_MOSHI_SERVER_PYTHON names no interpreter with moshi")
    wanted = "import importlib.util as i, sys; sys.exit(not all(map(i.find_spec, ('moshi', 'sphn', 'aiohttp'))))"
    if subprocess.run([python, "-c", wanted], check=False, timeout=60).returncode:
        pytest.skip(f"{python} has not all of moshi, sphn and aiohttp")
    return python


def checkpoint(python: str, folder: Path) -> Path:
    """A folder in the published format, with places instead of names of a hub."""
    script = str(_MODELS / "moshi_random.py")
    subprocess.run([python, script, str(folder)], check=True, timeout=100, capture_output=True, env=_environment())
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["mimi_config_name"] = (folder / "mimi.json").as_uri()
    path.write_text(json.dumps(config), encoding="utf-8")
    return folder


@contextlib.contextmanager
def running(python: str, folder: Path, log: Path) -> Iterator[str]:
    """The address of a server that has loaded this checkpoint."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [
        python, str(_MODELS / "stock_moshi_server.py"), "--device", "cpu", "--host", "127.0.0.1", "--port", str(port),
        "--static", "none", "--config-path", str(folder / "config.json"),
        "--moshi-weight", str(folder / "model.safetensors"), "--mimi-weight", str(folder / "mimi.safetensors"),
        "--tokenizer", str(folder / "tokenizer.model"),
    ]  # fmt: skip
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=_environment())
        try:
            _wait(process, port, log)
            yield f"ws://127.0.0.1:{port}/api/chat"
        finally:
            process.kill()
            process.wait(10)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text(encoding="utf-8", errors="replace")[-2000:]
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError(log.read_text(encoding="utf-8", errors="replace")[-2000:])


def _environment() -> dict[str, str]:
    # Compiling takes a minute; more threads than cores take turns.
    return {**os.environ, "NO_TORCH_COMPILE": "1", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
