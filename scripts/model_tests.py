#!/usr/bin/env python3
"""Runs the tests that need torch, transformers or MLX: ``python3 scripts/model_tests.py [FOLDER]``.

Makes, in ``.models`` beside the project (or the folder that is given), one Python environment for each family of models, as
docs/moshi.md, docs/qwen-omni.md and docs/engines.md describe them, and then runs their tests on tiny random weights of the
genuine formats. The usual test command leaves these out, because the packages take about 4 GB; its tests skip and say so.
What is installed already stays. Needs PyPI; ``LOCARA_TORCH_INDEX`` may name an index that has a torch without CUDA
(https://download.pytorch.org/whl/cpu). Run it with the Python of the project's own environment.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TORCH = "torch==2.13.0"
MLX = "mlx[cpu]==0.32.4" if sys.platform == "linux" else "mlx==0.32.4"

STEPS: dict[str, tuple[tuple[str, ...], ...]] = {
    "kyutai": (
        ("numpy==2.2.6", "einops", "safetensors==0.7.0", "huggingface-hub==0.36.2", "sentencepiece", "sphn==0.2.1"),
        ("--no-deps", "moshi==0.2.13"),
        ("aiohttp<3.12",),
    ),
    "qwen-omni": (("transformers>=5.23,<5.24", "jinja2", "accelerate"),),
    "mlx": ((MLX, "numpy", "sentencepiece", "safetensors"), ("--no-deps", "moshi_mlx==0.3.0", "rustymimi==0.4.1")),
}
"""Environment -> what pip is told, one call after the other. All but MLX get torch first."""

VARIABLES = {
    "LOCARA_KYUTAI_PYTHON": "kyutai",
    "LOCARA_MOSHI_SERVER_PYTHON": "kyutai",
    "LOCARA_QWEN_OMNI_PYTHON": "qwen-omni",
    "LOCARA_MLX_PYTHON": "mlx",
}
TESTS = (
    "tests/engines/omni",
    "tests/engines/test_moshi_mlx.py",
    "tests/engines/test_stock_moshi.py",
    "tests/engines/test_kyutai_tts.py",
    "tests/engines/test_qwen_omni.py",
    "tests/engines/test_isolated_recogniser.py",
)
_SECONDS = 1800


def run(*command: str) -> None:
    """Runs a command; ends the script with its code if it fails."""
    print("+", " ".join(command), flush=True)
    done = subprocess.run(command, check=False, timeout=_SECONDS)
    if done.returncode:
        sys.exit(done.returncode)


def environment(name: str, home: Path) -> Path:
    """The interpreter of this environment, made if it is not there."""
    python = home / name / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    finished = home / name / "installed"
    if finished.exists():
        return python
    venv.EnvBuilder(with_pip=True, clear=True).create(home / name)
    index = os.environ.get("LOCARA_TORCH_INDEX")
    pip = (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    if name != "mlx":
        run(*pip, TORCH, *(("--index-url", index) if index else ()))
    for step in STEPS[name]:
        run(*pip, *step)
    finished.touch()
    return python


def main() -> int:
    """Makes what is missing, and runs the tests."""
    home = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".models"
    pythons = {name: environment(name, home.absolute()) for name in STEPS}
    os.environ.update({variable: str(pythons[name]) for variable, name in VARIABLES.items()})
    return subprocess.run([sys.executable, "-m", "pytest", "-n", "2", *TESTS], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
