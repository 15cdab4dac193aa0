"""A Supertonic in its genuine files: four graphs, the settings, the table of characters, two voices.

What may live here: these graphs. Names, types and shapes are those of Supertonic 3; what stands in them is made up. It is
0.05 s long for each token, and as loud as the steps that were taken: each adds 0.05, from noise that is multiplied by zero.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from onnx_graph import Graph  # type: ignore[import-not-found]

RATE, BASE, SQUEEZED, LATENT = 44_100, 512, 6, 24
TOKEN_SECONDS = 0.05
STEP_LEVEL = 0.05
_WIDTH = LATENT * SQUEEZED
_EMBEDDED = 8
_STYLES = {"style_ttl": (1, 50, 16), "style_dp": (1, 8, 16)}


def known(limit: int = 0x2100) -> list[int]:
    """The token of each code point: printable ones in order, -1 for the others."""
    found, number = [], 0
    for one in map(chr, range(limit)):
        found.append(number if one.isprintable() else -1)
        number += one.isprintable()
    return found


def write(folder: Path) -> Path:
    """All files of the model."""
    (folder / "onnx").mkdir(parents=True)
    (folder / "voice_styles").mkdir()

    def text(graph: Graph) -> tuple[str, str]:
        return (
            graph.input("text_ids", ("batch", "length"), np.int64),
            graph.input("text_mask", ("batch", 1, "length")),
        )

    def given(graph: Graph, name: str) -> str:
        return str(graph.input(name, ("batch", *_STYLES[name][1:])))

    def unheard(graph: Graph, value: str, *others: str) -> str:
        """``value``, with the others taken in and not to be heard: 0 times their means."""
        for other in others:
            mean = graph.node("ReduceMean", graph.cast(other, np.float32), keepdims=0)
            value = graph.node("Add", value, graph.node("Mul", mean, graph.constant(0.0)))
        return value

    graph = Graph()
    ids, mask = text(graph)
    count = graph.node("ReduceSum", mask, graph.whole(1, 2), keepdims=0)
    seconds = graph.node("Mul", count, graph.constant(TOKEN_SECONDS))
    graph.output("duration", unheard(graph, seconds, ids, given(graph, "style_dp")), ("batch",))
    graph.save(folder / "onnx" / "duration_predictor.onnx")

    graph = Graph()
    ids, mask = text(graph)
    wide = graph.node("Expand", mask, graph.whole(1, _EMBEDDED, 1))
    emb = unheard(graph, wide, ids, given(graph, "style_ttl"))
    graph.output("text_emb", emb, ("batch", _EMBEDDED, "length"))
    graph.save(folder / "onnx" / "text_encoder.onnx")

    graph = Graph()
    latent = graph.input("noisy_latent", ("batch", _WIDTH, "frames"))
    emb = graph.input("text_emb", ("batch", _EMBEDDED, "length"))
    style = given(graph, "style_ttl")
    mask = graph.input("text_mask", ("batch", 1, "length"))
    latent_mask = graph.input("latent_mask", ("batch", 1, "frames"))
    step, total = graph.input("current_step", ("batch",)), graph.input("total_step", ("batch",))
    # (step + 1) * STEP_LEVEL everywhere: as loud as the last step says.
    level = graph.node("Mul", graph.node("Add", step, graph.constant(1.0)), graph.constant(STEP_LEVEL))
    made = graph.node("Add", graph.node("Mul", latent, graph.constant(0.0)), graph.node("Mul", latent_mask, level))
    graph.output("denoised_latent", unheard(graph, made, emb, style, mask, total), ("batch", _WIDTH, "frames"))
    graph.save(folder / "onnx" / "vector_estimator.onnx")

    graph = Graph()
    latent = graph.input("latent", ("batch", _WIDTH, "frames"))
    one = graph.node("Slice", latent, graph.whole(0), graph.whole(1), graph.whole(1))
    # (1, 1, frames) -> (1, frames, samples of a frame) -> (1, samples)
    column = graph.node("Transpose", one, perm=[0, 2, 1])
    wide = graph.node("Tile", column, graph.whole(1, 1, BASE * SQUEEZED))
    graph.output("wav_tts", graph.node("Reshape", wide, graph.whole(1, -1)), ("batch", "samples"))
    graph.save(folder / "onnx" / "vocoder.onnx")

    settings = {
        "ae": {"sample_rate": RATE, "base_chunk_size": BASE},
        "ttl": {"chunk_compress_factor": SQUEEZED, "latent_dim": LATENT},
    }
    (folder / "onnx" / "tts.json").write_text(json.dumps(settings))
    (folder / "onnx" / "unicode_indexer.json").write_text(json.dumps(known()))
    for number, name in enumerate(("F1", "M1")):
        styles: dict[str, Any] = {
            key: {"dims": list(dims), "data": np.full(dims, number / 4).tolist(), "type": "float32"}
            for key, dims in _STYLES.items()
        }
        (folder / "voice_styles" / f"{name}.json").write_text(json.dumps(styles))
    return folder
