"""What a frame model of ours says as PersonaPlex, with a voice and a role: run in the environment of that model, with
Locara's source on the path.

    python tests/engines/models/personaplex_frames.py (torch | mlx) FOLDER VOICE ROLE OUT

FOLDER is one that ``moshi_random.py`` wrote. Leaves ``text`` (one a frame) and ``said`` (frames, 1920) in OUT, greedy.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

os.environ["NO_TORCH_COMPILE"] = "1"

import numpy as np

_MODELS = {"torch": ("moshi_worker", "MoshiModel"), "mlx": ("moshi_mlx_worker", "MoshiMlx")}


def main() -> None:
    """One conversation of twelve frames of noise."""
    which, folder, voice, role, out = sys.argv[1:6]
    module, name = _MODELS[which]
    model: Any = getattr(import_module(f"locara.engines.omni.{module}"), name)()
    options = {"path": folder, "device": "cpu", "slots": 1, "top_k": 250, "text_top_k": 25, "precision": "fp32"}
    model.load({**options, "temperature": 0.0, "text_temperature": 0.0}, lambda _: None)
    for _ in model.open(0, {"voice": voice, "instructions": role}):
        pass
    text, said = [], []
    for frame in (0.2 * np.random.default_rng(6).standard_normal((12, 1920))).astype(np.float32):
        sound, words = model.step({0: frame})[0]
        text.append(words)
        said.append(np.zeros(1920, np.float32) if sound is None else sound)
    np.savez(out, text=text, said=said)


if __name__ == "__main__":
    main()
