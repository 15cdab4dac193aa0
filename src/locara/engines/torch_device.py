"""Where torch computes, for the workers that run in an environment with torch.

What may live here: this one choice. torch is given, never imported.
"""

from __future__ import annotations

from typing import Any

from locara.engines.isolated_worker import Trouble


def choose(torch: Any, wanted: str) -> str:
    """``cpu``, ``cuda`` or ``mps``, as ``wanted``. ``auto`` is CUDA where there is one, else the processor: MPS has
    to be asked for, since these models were not run on it here. Raises ``Trouble`` for one that is not there."""
    mps = getattr(torch.backends, "mps", None)
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": mps is not None and mps.is_available()}
    if wanted == "auto":
        return "cuda" if there["cuda"] else "cpu"
    if not there[wanted]:
        raise Trouble(
            f"torch {torch.__version__} has no {wanted} here", hint="device=cpu, or install the torch that has it"
        )
    return wanted
