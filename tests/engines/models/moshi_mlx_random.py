"""Writes a Moshi with random weights in the format of the MLX repositories: run in an environment that has ``moshi_mlx``.

    python tests/engines/models/moshi_mlx_random.py FOLDER [bf16 | q8 | q4] [thin | full]

The language model is small (4096 wide and 32 layers deep in the published one, 256 and 2 here). ``full``: Mimi has its
published sizes (320 MB), for measuring its speed. What it says is noise; the loader, the loop and the files are the real
ones.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import safetensors.numpy
import sentencepiece
from mlx import nn
from mlx.utils import tree_map
from moshi_mlx import models

CONFIG: dict[str, Any] = {
    "dim": 256, "num_heads": 4, "num_layers": 2, "causal": True, "layer_scale": None, "context": 24, "max_period": 10_000,
    "hidden_scale": 4.125, "gating": "silu", "norm": "rms_norm_f32", "positional_embedding": "rope", "text_card": 300,
    "existing_text_padding_id": 3, "card": 2048, "n_q": 16, "dep_q": 8, "depformer_dim": 64, "depformer_num_heads": 2,
    "depformer_num_layers": 2, "depformer_dim_feedforward": 192, "depformer_pos_emb": "none", "depformer_context": 8,
    "delays": [0, 0, *[1] * 7, 0, *[1] * 7],
    "mimi_name": "tokenizer-e351c8d8-checkpoint125.safetensors", "tokenizer_name": "tokenizer_spm_32k_3.model",
}  # fmt: skip
_FILES = {"bf16": "model.safetensors", "q8": "model.q8.safetensors", "q4": "model.q4.safetensors"}
_CODEBOOKS = 32
_RATIOS = (4, 5, 6, 8)
_SIZES = {
    "full": {"filters": 64, "dim": 512, "layers": 8, "wide": 2048, "book": 256},
    "thin": {"filters": 2, "dim": 16, "layers": 1, "wide": 32, "book": 8},
}
_TEXT = "the kettle is on and the bread is in the oven where are you now please tell me what time it is today"


def main() -> None:
    """Weights, codec, tokenizer, configuration."""
    folder, kind, size = Path(sys.argv[1]), (sys.argv[2:] or ["bf16"])[0], (sys.argv[3:] or ["thin"])[0]
    folder.mkdir(parents=True, exist_ok=True)
    card = tokenizer(folder / CONFIG["tokenizer_name"])
    config = {**CONFIG, "text_card": card, "moshi_name": _FILES[kind]}
    mx.random.seed(7)
    model = models.Lm(models.LmConfig.from_config_dict(dict(config)))
    # As the package draws them, the likeliest token is nearly always the same one.
    model.update(tree_map(lambda value: value * (3.0 if value.ndim == 2 else 1.0), model.parameters()))
    model.set_dtype(mx.bfloat16)
    if kind != "bf16":
        nn.quantize(model, bits=int(kind[1:]), group_size=32 if kind == "q4" else 64)
    model.save_weights(str(folder / _FILES[kind]))
    sizes = _SIZES[size]
    safetensors.numpy.save_file(dict(mimi(np.random.default_rng(5), **sizes)), folder / CONFIG["mimi_name"])
    if size == "thin":
        config["mimi_config_name"] = "mimi.json"
        (folder / "mimi.json").write_text(json.dumps(mimi_config(**sizes)))
    (folder / "config.json").write_text(json.dumps(config))


def tokenizer(path: Path) -> int:
    """A SentencePiece tokenizer that falls back on bytes, with 3 as its padding. Returns how many pieces it has."""
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([_TEXT] * 20), model_writer=trained, vocab_size=330, pad_id=3, minloglevel=2,
        hard_vocab_limit=False, byte_fallback=True,
    )  # fmt: skip
    path.write_bytes(trained.getvalue())
    return int(sentencepiece.SentencePieceProcessor(model_proto=trained.getvalue()).get_piece_size())


def mimi_config(filters: int, dim: int, layers: int, wide: int, book: int) -> dict[str, Any]:
    """As the package moshi writes it: what is not the published value."""
    return {
        "seanet": {"dimension": dim, "n_filters": filters, "ratios": list(reversed(_RATIOS))},
        "transformer": {
            "d_model": dim, "num_heads": 2, "num_layers": layers, "dim_feedforward": wide, "context": 50,
        },
        "quantizer": {"dimension": book, "n_q": _CODEBOOKS, "bins": 2048},
    }  # fmt: skip


def mimi(
    rng: np.random.Generator, filters: int, dim: int, layers: int, wide: int, book: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Mimi's tensors by their names in the checkpoint: a SEANet of four blocks, two transformers, 1 + 31 codebooks."""
    block = rng.standard_normal((1 << 16) + 1).astype(np.float32)

    def drawn(*shape: int) -> np.ndarray:
        return np.resize(block, shape) / np.float32(np.sqrt(int(np.prod(shape[1:])) or 1))

    def conv(name: str, out: int, into: int, kernel: int) -> Iterator[tuple[str, np.ndarray]]:
        yield f"{name}.weight", drawn(out, into, kernel)
        yield f"{name}.bias", np.zeros(out, np.float32)

    def residual(side: str, at: int, width: int) -> Iterator[tuple[str, np.ndarray]]:
        yield from conv(f"{side}.model.{at}.block.1.conv.conv", width // 2, width, 3)
        yield from conv(f"{side}.model.{at}.block.3.conv.conv", width, width // 2, 1)

    yield from conv("encoder.model.0.conv.conv", filters, 1, 7)
    for number, ratio in enumerate(_RATIOS):
        width = filters << number
        yield from residual("encoder", 1 + 3 * number, width)
        yield from conv(f"encoder.model.{3 + 3 * number}.conv.conv", 2 * width, width, 2 * ratio)
    yield from conv("encoder.model.14.conv.conv", dim, 16 * filters, 3)
    yield from conv("decoder.model.0.conv.conv", 16 * filters, dim, 7)
    for number, ratio in enumerate(reversed(_RATIOS)):
        width = filters << (4 - number)
        yield f"decoder.model.{2 + 3 * number}.convtr.convtr.weight", drawn(width, width // 2, 2 * ratio)
        yield f"decoder.model.{2 + 3 * number}.convtr.convtr.bias", np.zeros(width // 2, np.float32)
        yield from residual("decoder", 3 + 3 * number, width // 2)
    yield from conv("decoder.model.14.conv.conv", 1, filters, 3)
    for side in ("encoder", "decoder"):
        for layer in range(layers):
            at = f"{side}_transformer.transformer.layers.{layer}"
            yield f"{at}.self_attn.in_proj_weight", drawn(3 * dim, dim)
            yield f"{at}.self_attn.out_proj.weight", drawn(dim, dim)
            yield f"{at}.linear1.weight", drawn(wide, dim)
            yield f"{at}.linear2.weight", drawn(dim, wide)
            for norm in ("norm1", "norm2"):
                yield f"{at}.{norm}.weight", np.ones(dim, np.float32)
                yield f"{at}.{norm}.bias", np.zeros(dim, np.float32)
            for scale in ("layer_scale_1", "layer_scale_2"):
                yield f"{at}.{scale}.scale", np.full(dim, 0.5, np.float32)
    yield "downsample.conv.conv.conv.weight", drawn(dim, dim, 4)
    yield "upsample.convtr.convtr.convtr.weight", drawn(dim, 1, 4)
    for half, count in (("rvq_first", 1), ("rvq_rest", _CODEBOOKS - 1)):
        yield f"quantizer.{half}.input_proj.weight", drawn(book, dim, 1)
        yield f"quantizer.{half}.output_proj.weight", drawn(dim, book, 1)
        for number in range(count):
            at = f"quantizer.{half}.vq.layers.{number}._codebook"
            yield f"{at}._initialized", np.ones(1, np.float32)
            yield f"{at}.cluster_usage", np.ones(2048, np.float32)
            yield f"{at}.embedding_sum", rng.standard_normal((2048, book)).astype(np.float32)


if __name__ == "__main__":
    main()
