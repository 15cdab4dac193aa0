"""What the engine for MLX hears and says to the sound in ``FOLDER/reference.npz``: run in an environment that has
``moshi_mlx``, with Locara's source on the path. Leaves ``FOLDER/mlx.npz``; see ``moshi_torch_reference.py``.

    python tests/engines/models/moshi_mlx_frames.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from locara.engines.omni.moshi_mlx_worker import MoshiMlx


def main() -> None:
    """Greedy, in one conversation."""
    folder = Path(sys.argv[1])
    worker = MoshiMlx()
    options = {"path": str(folder), "device": "cpu", "slots": 1, "top_k": 250, "text_top_k": 25}
    worker.load({**options, "temperature": 0.0, "text_temperature": 0.0}, lambda _: None)
    for _ in worker.open(0, {}):
        pass
    one = worker._conversations[0]
    heard, text, codes, said = [], [], [], []
    for frame in np.load(folder / "reference.npz")["sound"]:
        heard.append(worker.heard(one, frame))
        made = worker.tokens(one, heard[-1])
        text.append(-1 if made is None else made[0])
        codes.append([-1] * 8 if made is None else made[1])
        said.append(np.zeros(1920, np.float32) if made is None else one.codec.decode(made[1]))
    np.savez(folder / "mlx.npz", heard=heard, text=text, codes=codes, said=said)


if __name__ == "__main__":
    main()
