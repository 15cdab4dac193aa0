"""What the package moshi itself hears and says, frame by frame, with the model in a folder: run in an environment that has
``moshi``.

    python tests/engines/models/moshi_torch_reference.py FOLDER FRAMES

FOLDER is one that ``moshi_random.py`` wrote. Beside the weights it leaves ``reference.npz``: ``sound`` (FRAMES, 1920),
``heard`` (FRAMES, 8), ``text`` (FRAMES) and ``codes`` (FRAMES, 8), -1 before the first frame, ``said`` (FRAMES, 1920), all
greedy and in 32 bits.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ["NO_TORCH_COMPILE"] = "1"

import numpy as np
import torch
from moshi.models import LMGen
from moshi.models.loaders import CheckpointInfo


def main() -> None:
    """See the file's docstring."""
    folder, frames = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    told = json.loads((folder / "config.json").read_text())
    mimi_path = folder / told["mimi_name"]
    info = CheckpointInfo.from_hf_repo(
        "",
        moshi_weights=folder / told["moshi_name"],
        mimi_weights=mimi_path,
        tokenizer=folder / told["tokenizer_name"],
        config_path=folder / "config.json",
        mimi_config_path=folder / told["mimi_config_name"],
    )
    mimi = info.get_mimi(device="cpu")
    steps = LMGen(info.get_moshi(device="cpu", dtype=torch.float32), use_sampling=False)
    mimi.streaming_forever(1)
    steps.streaming_forever(1)
    rng = np.random.default_rng(4)
    sound = (0.2 * rng.standard_normal((frames, 1920))).astype(np.float32)
    heard: list[np.ndarray[Any, Any]] = []
    text, codes, said = [], [], []
    with torch.no_grad():
        for frame in sound:
            given = mimi.encode(torch.from_numpy(frame)[None, None])
            if (
                not heard
            ):  # as the package's server does it: the first frame is in the past, and the next has the padding
                mimi.reset_streaming()
            heard.append(given[0, :, 0].numpy())
            made = steps.step(given)
            whole = made is not None and int(made.min()) >= 0
            text.append(int(made[0, 0, 0]) if whole else -1)
            codes.append(made[0, 1:, 0].numpy() if whole else np.full(8, -1))
            said.append(mimi.decode(made[:, 1:])[0, 0].numpy() if whole else np.zeros(1920, np.float32))
    np.savez(
        folder / "reference.npz", sound=sound, heard=np.array(heard), text=np.array(text), codes=np.array(codes),
        said=np.array(said),
    )  # fmt: skip


if __name__ == "__main__":
    main()
