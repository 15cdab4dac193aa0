"""A Kokoro in its genuine files, whose sound is known: each symbol is a stretch of samples with its number as the level.

What may live here: this graph and its voices. The names, types and shapes are those of kokoro-onnx's export of August 2026
(``input_ids``, ``style``, ``speed``; ``waveform``, ``duration``), the voices an npz of (510, 1, 256) each.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from onnx_graph import Graph  # type: ignore[import-not-found]

from locara.audio import Samples
from locara.engines.kokoro_files import CONFIG_KEY, SYMBOLS

STEP = 600
"""Samples of one symbol at speed 1: one of the model's frames, 25 ms."""
_LEVELS = 256.0
_WIDTH = 256
NAMES = ("af_heart", "bf_emma", "ff_siwis", "jf_alpha")


def spoken(samples: Samples) -> str:
    """What was said, from the sound: the padding at both ends left out."""
    levels = np.abs(samples[: samples.size // STEP * STEP].reshape(-1, STEP)).max(axis=1)
    by_number = {number: one for one, number in SYMBOLS.items()}
    return "".join(by_number[number] for number in np.round(levels * _LEVELS).astype(int) - 1 if number)


def write(folder: Path, *, timed: bool = True, whole_speed: bool = False, vocabulary: bool = True) -> Path:
    """The graph and four voices. ``timed``: with durations; ``whole_speed``: as some exports have it."""
    graph = Graph()
    tokens = graph.input("input_ids", (1, "input_ids_len"), np.int64)
    style = graph.input("style", (1, _WIDTH))
    speed = graph.input("speed", (1,), np.int32 if whole_speed else np.float32)
    level = graph.node("Add", graph.cast(tokens, np.float32), graph.constant(1.0))
    level = graph.node("Div", level, graph.constant(_LEVELS))
    # The style must be taken in, and must not be heard: 0 times its mean.
    nothing = graph.node("Mul", graph.node("ReduceMean", style, keepdims=0), graph.constant(0.0))
    column = graph.node("Reshape", graph.node("Add", level, nothing), graph.whole(-1, 1))
    pace = graph.node("Div", graph.constant([float(STEP)]), graph.cast(speed, np.float32))
    length = graph.cast(graph.node("Round", pace), np.int64)
    rows = graph.node("Shape", graph.node("Squeeze", column, graph.whole(1)))
    flat = graph.node(
        "Reshape", graph.node("Expand", column, graph.node("Concat", rows, length, axis=0)), graph.whole(-1)
    )
    total = graph.node("Squeeze", graph.node("Shape", flat), graph.whole(0))
    steps = graph.node("Range", graph.constant(0, np.int64), total, graph.constant(1, np.int64))
    odd = graph.cast(graph.node("Mod", steps, graph.constant(2, np.int64)), np.float32)
    sign = graph.node("Sub", graph.constant(1.0), graph.node("Mul", odd, graph.constant(2.0)))
    graph.output("waveform", graph.node("Mul", flat, sign), ("num_samples",))
    if timed:
        one = graph.node("Expand", graph.whole(1), rows)
        graph.output("duration", one, ("input_ids_len",), np.int64)
    told = {CONFIG_KEY: json.dumps({"vocab": SYMBOLS})} if vocabulary else {}
    folder.mkdir(parents=True, exist_ok=True)
    graph.save(folder / "kokoro-v1.0.onnx", told)
    rng = np.random.default_rng(0)
    voices: dict[str, Any] = {name: rng.standard_normal((510, 1, _WIDTH)).astype(np.float32) for name in NAMES}
    with (folder / "voices-v1.0.bin").open("wb") as file:
        np.savez(file, **voices)
    return folder
