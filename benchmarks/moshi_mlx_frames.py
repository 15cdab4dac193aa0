"""What a frame (80 ms) of Moshi costs on MLX, part by part, beside the package's own loop and codec on the same weights.

Run it in the environment that has ``moshi_mlx``, with Locara's source on the path:

    PYTHONPATH=src python benchmarks/moshi_mlx_frames.py FOLDER [FRAMES] [cpu | gpu]

FOLDER: a published one, or one of ``tests/engines/models/moshi_mlx_random.py`` (with ``full``: a Mimi of the published
size). Prints milliseconds: median, and the 95th percentile.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from locara.engines.omni.moshi_mlx_worker import FRAME, MoshiMlx

_WARM = 8
"""Frames that are not counted: kernels are made in the first ones."""


def timed(frames: int, steps: Mapping[str, Callable[[int], object]]) -> None:
    """Runs each of ``steps`` so many times, one after the other in turn, and prints what they took: what else the machine
    does meanwhile falls on all of them."""
    took: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(frames + _WARM):
        for name, step in steps.items():
            began = time.perf_counter()
            step(number)
            took[name].append(1000 * (time.perf_counter() - began))
    for name, each in took.items():
        print(f"{name:34} {np.median(each[_WARM:]):8.1f} {np.percentile(each[_WARM:], 95):8.1f}")


def main() -> None:
    """Loads the model once, and times each part alone."""
    if len(sys.argv) < 2 or not Path(sys.argv[1]).is_dir():
        sys.exit(__doc__)
    folder, frames = Path(sys.argv[1]), int((sys.argv[2:] or ["100"])[0])
    worker = MoshiMlx()
    options = {"path": str(folder), "device": (sys.argv[3:] or ["auto"])[0], "slots": 1, "top_k": 250, "text_top_k": 25}
    facts = worker.load({**options, "temperature": 0.8, "text_temperature": 0.7}, lambda _: None)
    import mlx.core as mx
    from moshi_mlx import models

    rng = np.random.default_rng(1)
    sound = (0.1 * rng.standard_normal((frames + _WARM, FRAME))).astype(np.float32)
    codes = rng.integers(0, 2048, (frames + _WARM, 8))
    print(f"{facts.note}, {facts.device}, {frames} frames{'median ms':>16} {'p95':>8}")
    for _ in worker.open(0, {}):
        pass
    one = worker._conversations[0]
    steps = models.LmGen(worker._model, frames + _WARM, worker._text_sampler, worker._audio_sampler)
    ring = worker._model.transformer.make_rot_cache()

    def theirs(number: int) -> object:
        worker._model.transformer_cache = ring
        text = steps.step(mx.array(codes[number][None].astype(np.int32)))
        audio = steps.last_audio_tokens()
        return text[0].item(), None if audio is None else np.array(audio)

    timed(
        frames,
        {"thinking (ours)": lambda n: worker.tokens(one, codes[n].tolist()), "thinking (moshi_mlx's LmGen)": theirs},
    )
    mimi: dict[str, Callable[[int], object]] = {
        "hearing (Mimi, ours)": lambda n: one.codec.encode(sound[n]),
        "speaking (Mimi, ours)": lambda n: one.codec.decode(codes[n].tolist()),
    }
    files = worker._files
    if files is not None and files.mimi_config is None:
        import rustymimi

        rust = rustymimi.Tokenizer(str(files.mimi))
        given = np.ascontiguousarray(codes[:, None, :, None].astype(np.uint32))
        mimi["hearing (rustymimi)"] = lambda n: rust.encode_step(sound[n][None, None])
        mimi["speaking (rustymimi)"] = lambda n: rust.decode_step(given[n])
    timed(frames, mimi)
    for _ in worker.open(0, {}):
        pass
    timed(frames, {"a whole frame (ours)": lambda n: worker.step({0: sound[n]})})


if __name__ == "__main__":
    main()
