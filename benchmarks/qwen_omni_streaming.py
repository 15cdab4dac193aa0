"""When the sound of a Qwen-Omni model comes: by our worker, which speaks while it writes, and by the package's own
``generate``, which gives everything at the end. One process, the two in turns, greedy, the same reply.

    PYTHONPATH=src PYTHON benchmarks/qwen_omni_streaming.py FOLDER [--tokens 48] [--seconds 8] [--runs 3] [--device cpu]

PYTHON is the interpreter of the engine's environment (transformers 5.23, torch). FOLDER is a model as it is published, or
one with random weights: ``PYTHON tests/engines/models/qwen_omni_random.py FOLDER 3 small``. Random weights say when which
part of the work is done, nothing about the speed of a real model.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

RATE = 24_000


def wanted() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokens", type=int, default=48, help="of the text, at most")
    parser.add_argument("--seconds", type=float, default=8.0, help="of the speech, at most")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32", choices=("bf16", "fp32"))
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main() -> int:
    """Prints a table."""
    asked = wanted()
    try:
        import torch
        import transformers  # noqa: F401
    except ImportError as error:
        print(f"{error}: run it with the engine's own interpreter, see the top of this file", file=sys.stderr)
        return 2
    from locara.engines.omni.qwen_omni_asked import Asked, Manner
    from locara.engines.omni.qwen_omni_worker import QwenOmni

    manner = Manner(speech_temperature=0.0, text_tokens=asked.tokens, speech_seconds=asked.seconds)
    omni = QwenOmni()
    told = omni.load(
        {
            "path": str(asked.folder), "device": asked.device, "precision": asked.precision, "threads": asked.threads,
            "seed": 1, "context": 3000,
            "manner": {"speech_temperature": 0.0, "text_tokens": asked.tokens, "speech_seconds": asked.seconds},
        }
    )  # fmt: skip
    omni.hear("a", 1, (0.1 * np.random.default_rng(0).standard_normal(32_000)).astype(np.float32))
    ids, names = omni.prompt("a", [{"role": "user", "sounds": [1]}], "")
    features = [omni._sounds["a", name][0] for name in names]
    model = omni._speech._model
    if told["family"] == "qwen2.5-omni":
        model.speaker_map = dict(omni._speech._speakers)

    def ours() -> dict[str, float]:
        began, texts, sounds = time.perf_counter(), [], []
        request = Asked(
            ids, features, omni._voice(""), manner,
            lambda _: texts.append(time.perf_counter() - began),
            lambda samples: sounds.append((time.perf_counter() - began, samples.size)),
            threading.Event(),
        )  # fmt: skip
        omni._speech.reply(request)
        whole = sum(size for _, size in sounds)
        return {
            "first text": texts[0], "last text": texts[-1], "first sound": sounds[0][0],
            "all": time.perf_counter() - began, "seconds of sound": whole / RATE,
            "share of the sound before the last text": sum(size for at, size in sounds if at < texts[-1]) / whole,
            "share of the sound before the last piece": (whole - sounds[-1][1]) / whole,
        }  # fmt: skip

    def package() -> dict[str, float]:
        inputs: dict[str, Any] = Asked(
            ids, features, "", manner, lambda _: None, lambda _: None, threading.Event()
        ).inputs(torch, model)
        rate = 12.5 if told["family"] == "qwen3-omni" else 50.0
        began = time.perf_counter()
        _, sound = model.generate(
            **inputs, speaker=omni._voice(""), thinker_do_sample=False, talker_do_sample=False,
            thinker_eos_token_id=list(omni._speech._ends), thinker_max_new_tokens=asked.tokens,
            talker_max_new_tokens=round(asked.seconds * rate),
        )  # fmt: skip
        took = time.perf_counter() - began
        return {"generate: first sound = all": took, "generate: seconds of sound": sound.numel() / RATE}

    found: dict[str, list[float]] = {}
    for _ in range(asked.runs):
        for name, value in {**ours(), **package()}.items():
            found.setdefault(name, []).append(value)
    print(f"{told['family']}, {sum(one.numel() for one in model.parameters()) / 1e6:.1f} M weights, {asked.device}, "
          f"{asked.precision}, {asked.threads} thread(s), {asked.runs} runs: median (least to most)")  # fmt: skip
    for name, values in found.items():
        print(f"{name:42} {statistics.median(values):8.2f} ({min(values):.2f} to {max(values):.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
