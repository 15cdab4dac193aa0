#!/usr/bin/env python3
"""What a frame of Moshi costs: the package's own loop and our frame model in turns, on the same weights, in one run.

    INTERPRETER benchmarks/moshi_frames.py [--layers N] [--depth-layers N] [--tiny] [--frames N] [--threads N]
    INTERPRETER benchmarks/moshi_frames.py --device cuda --full [--batches 1,2,4,8,16,32] [--frames N]

``INTERPRETER``: a Python that has ``moshi`` and finds ``locara`` (``PYTHONPATH=src``). The weights are random and of the
published width; ``--tiny``: 32 instead of 4096, and a thin Mimi, so that what is left is not the weights' work. How many
layers of the temporal and the depth transformer there are say ``--layers`` and ``--depth-layers`` (published: 32 and 6,
``--full``). The first command compares one conversation: Mimi, the language model, Mimi and the text of each frame. The
second one also fills a batch, and sets each step beside the floor: the bytes that a step must read (weights once, and the
part of the window that is filled for each conversation) over the memory's bandwidth, which is measured first.

Printed: milliseconds, median, and the 5th and 95th of a hundred. ``difference``: ours less stock, frame by frame. On a CPU
they are of the processor's time, not the clock's: what else runs on the machine counts less then.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from locara.engines.omni import moshi_loading, moshi_shapes
from locara.engines.omni.moshi_files import MoshiFiles
from locara.engines.omni.moshi_worker import MoshiModel
from locara.engines.omni.sentencepiece_pieces import Piece

_FRAME = 1920
_WARM = 8
_COPY_BYTES = 2**31  # of the bandwidth's measurement


def sizes(options: argparse.Namespace) -> dict[str, Any]:
    """The language model's."""
    small = {"dim": 32, "num_heads": 2, "hidden_scale": 2, "depformer_dim": 16, "depformer_num_heads": 2}
    small |= {"depformer_dim_feedforward": 32}
    layers, depth = (32, 6) if options.full else (options.layers, options.depth_layers)
    return {
        **moshi_shapes.PUBLISHED, **(small if options.tiny else {}), "num_layers": layers, "depformer_num_layers": depth,
        "context": options.context,
    }  # fmt: skip


def networks(config: dict[str, Any], where: Any, dtype: Any, *, tiny: bool) -> tuple[Any, Any]:
    """Mimi and the language model, with random weights."""
    import torch
    from moshi.models import LMModel, loaders

    model = LMModel(device=torch.device("meta"), dtype=dtype, **config).to_empty(device=where).eval()
    for name, value in model.named_parameters():
        value.data.normal_(0, 0.02) if not name.endswith(".alpha") else value.data.fill_(1.0)
    codec = copy.deepcopy(loaders._mimi_config)
    if tiny:
        codec["seanet"] |= {"dimension": 16, "n_filters": 2}
        codec["transformer"] |= {"d_model": 16, "num_heads": 2, "num_layers": 1, "dim_feedforward": 32}
        codec["transformer"] |= {"input_dimension": 16, "output_dimensions": [16]}
        codec["quantizer"] |= {"dimension": 8, "input_dimension": 16, "output_dimension": 16}
    return loaders.get_mimi(None, codec, device=where, num_codebooks=8), model


def files(config: dict[str, Any]) -> MoshiFiles:
    """What our model is told of a folder that is not there."""
    nowhere, pieces = Path(), tuple(Piece("▁a") for _ in range(config["text_card"]))
    return MoshiFiles(nowhere, nowhere, nowhere, nowhere, config, None, {}, "moshi", 0, False, pieces)


class Stock:
    """The loop of ``moshi.server``, without its socket."""

    def __init__(self, mimi: Any, model: Any, pieces: Sequence[str]) -> None:
        from moshi.models import LMGen

        self._mimi, self._pieces, self._where = mimi, pieces, model.device
        self._steps = LMGen(model)
        mimi.streaming_forever(1)
        self._steps.streaming_forever(1)

    def step(self, samples: Any) -> None:
        """One frame, as the server makes it: tokens to sound on the processor, and text."""
        import torch

        chunk = torch.from_numpy(samples).to(device=self._where)[None, None]
        tokens = self._steps.step(self._mimi.encode(chunk))
        if tokens is None:
            return
        sound = self._mimi.decode(tokens[:, 1:]).cpu()
        sound[0, 0].numpy()
        text = int(tokens[0, 0, 0].item())
        if text not in (0, 3):
            self._pieces[text].replace("▁", " ")


class Ours:
    """Our frame model with ``slots`` conversations, all of which have a frame in each step."""

    def __init__(self, mimi: Any, model: Any, told: MoshiFiles, slots: int) -> None:
        self.model = MoshiModel()
        self.model.adopt(told, mimi, model, {"slots": slots})
        self._slots = range(slots)
        for slot in self._slots:
            list(self.model.open(slot, {}))

    def step(self, samples: Any) -> None:
        """One step."""
        self.model.step(dict.fromkeys(self._slots, samples))


class Turns:
    """Two loops on one pair of networks: each has its own streaming state, which is put in before its frame."""

    def __init__(self, mimi: Any, model: Any) -> None:
        self._networks = (mimi, model)
        self._states: dict[str, list[Any]] = {}

    def begin(self, name: str, make: Callable[[], Any]) -> Any:
        """Makes a loop, and takes its state out again."""
        made = make()
        self._states[name] = [one.get_streaming_state() for one in self._networks]
        for one in self._networks:
            one._stop_streaming()
        return made

    def put(self, name: str) -> None:
        """It is this one's turn."""
        for one, state in zip(self._networks, self._states[name], strict=True):
            one.set_streaming_state(state)


def timed(step: Callable[[Any], None], samples: Any, clock: Callable[[], float] = time.perf_counter) -> float:
    """Milliseconds."""
    began = clock()
    step(samples)
    return 1000.0 * (clock() - began)


def told(values: Sequence[float]) -> str:
    """Median and spread."""
    cut = statistics.quantiles(values, n=20)
    return f"{statistics.median(values):8.2f}  ({cut[0]:.2f} to {cut[-1]:.2f})"


def compare(mimi: Any, model: Any, config: dict[str, Any], options: argparse.Namespace) -> None:
    """Stock and ours, one frame each in turns, each first as often as the other."""
    turns, pieces = Turns(mimi, model), ["▁a"] * config["text_card"]
    loops = {
        "stock": turns.begin("stock", lambda: Stock(mimi, model, pieces)),
        "ours": turns.begin("ours", lambda: Ours(mimi, model, files(config), 1)),
    }
    taken: dict[str, list[float]] = {"stock": [], "ours": []}
    generator = np.random.default_rng(1)
    clock = time.process_time if options.device == "cpu" else time.perf_counter
    for number in range(options.frames + _WARM):
        samples = (0.05 * generator.standard_normal(_FRAME)).astype(np.float32)
        for name in ("stock", "ours") if number % 2 else ("ours", "stock"):
            turns.put(name)
            one = timed(loops[name].step, samples, clock)
            if number >= _WARM:
                taken[name].append(one)
    for name, values in taken.items():
        print(f"{name:>10}  {told(values)} ms")
    apart = [ours - stock for ours, stock in zip(taken["ours"], taken["stock"], strict=True)]
    print(f"{'difference':>10}  {told(apart)} ms")
    turns.put("ours")


def bandwidth(where: Any) -> float:
    """Bytes a second that the memory of an accelerator reads and writes, from a large copy, the best of ten."""
    import torch

    source = torch.empty(_COPY_BYTES // 2, dtype=torch.bfloat16, device=where)
    target = torch.empty_like(source)
    best = 0.0
    for _ in range(10):
        torch.cuda.synchronize(where)
        began = time.perf_counter()
        target.copy_(source)
        torch.cuda.synchronize(where)
        best = max(best, 2 * _COPY_BYTES / (time.perf_counter() - began))
    return best


def read_bytes(model: Any) -> int:
    """Bytes of weights that every step reads: all but the tables, of which it reads a row."""
    return sum(one.numel() * one.element_size() for name, one in model.named_parameters() if "emb" not in name)


def batches(mimi: Any, model: Any, config: dict[str, Any], options: argparse.Namespace) -> None:
    """Ours with 1 to 32 conversations in a step, beside the floor."""
    rate = bandwidth(model.device)
    weights = read_bytes(model) + sum(one.numel() * one.element_size() for one in mimi.parameters())
    print(f"memory {rate / 1e9:.0f} GB/s, weights {weights / 1e9:.2f} GB a step")
    print("     batch      step, ms                       floor, ms   times the floor   of 80 ms")
    samples = np.zeros(_FRAME, np.float32)
    for slots in options.batches:
        for one in (mimi, model):
            one._stop_streaming()
        ours = Ours(mimi, model, files(config), slots)
        for _ in range(_WARM):
            ours.step(samples)
        taken = [timed(ours.step, samples) for _ in range(options.frames)]
        window = min(config["context"], options.frames // 2 + _WARM)
        each = 2 * config["num_layers"] * window * config["dim"] * model.dtype.itemsize
        floor = 1000.0 * (weights + slots * each) / rate
        middle = statistics.median(taken)
        print(f"{slots:10}  {told(taken)}   {floor:10.2f}   {middle / floor:15.1f}   {middle / 80:8.0%}")
        del ours


def main() -> None:
    """Builds the networks and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda", "mps"))
    parser.add_argument("--precision", default="bf16", choices=("bf16", "fp32"))
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--depth-layers", type=int, default=1)
    parser.add_argument("--full", action="store_true", help="32 and 6 layers")
    parser.add_argument("--tiny", action="store_true", help="a width of 32: what is left is not the weights' work")
    parser.add_argument("--context", type=int, default=3000)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batches", type=lambda text: [int(one) for one in text.split(",")], default=[])
    options = parser.parse_args()
    try:
        import moshi  # noqa: F401
        import torch
    except ImportError as error:
        sys.exit(f"{sys.executable} has not what this needs: {error}. Run it with an interpreter that has moshi.")
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    where = moshi_loading.device(options.device)
    dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[options.precision]
    config = sizes(options)
    mimi, model = networks(config, where, dtype, tiny=options.tiny)
    compiled = "no" if os.environ.get("NO_TORCH_COMPILE") else "yes"
    print(f"{where}, {options.precision}, {options.threads} thread(s), torch {torch.__version__}, compiled: {compiled}")
    print(f"language model {sum(one.numel() for one in model.parameters()) / 1e9:.3f} G, {config['num_layers']} layers")
    compare(mimi, model, config, options)
    if options.device == "cuda":
        batches(mimi, model, config, options)


if __name__ == "__main__":
    main()
