"""Which tensors a checkpoint of Moshi must have, from its configuration: their names and shapes.

What may live here: pure arithmetic on the configuration. Sources: the package ``moshi`` (``models/lm.py``,
``modules/transformer.py``, ``modules/gating.py``; MIT) and the published checkpoints, whose attention weights are stacked
under older names (``in_proj_weight``), which the package's own loader takes apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Shape = tuple[int, ...]
Expected = tuple[Mapping[str, Shape], ...]
"""Names and shapes that belong together: the first is how it is published, the others as good."""

PUBLISHED: Mapping[str, Any] = {
    "dim": 4096, "text_card": 32000, "existing_text_padding_id": 3, "n_q": 16, "dep_q": 8, "card": 2048,
    "num_heads": 32, "num_layers": 32, "hidden_scale": 4.125, "causal": True, "layer_scale": None, "context": 3000,
    "max_period": 10000, "gating": "silu", "norm": "rms_norm_f32", "positional_embedding": "rope",
    "depformer_dim": 1024, "depformer_dim_feedforward": 4224, "depformer_num_heads": 16, "depformer_num_layers": 6,
    "depformer_layer_scale": None, "depformer_multi_linear": True, "depformer_context": 8,
    "depformer_max_period": 10000, "depformer_gating": "silu", "depformer_pos_emb": "none",
    "depformer_weights_per_step": True, "delays": [0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1],
}  # fmt: skip
"""Moshi 7B: what holds where a repository has no ``config.json``."""
_OTHER_LAYOUTS = (
    "depformer_weights_per_step_schedule", "depformer_low_rank_embeddings", "demux_second_text_stream", "norm_emb",
    "demux_second_stream", "kv_repeat", "extra_heads_num_heads", "cross_attention", "bias_proj", "depformer_norm",
)  # fmt: skip
"""What other models of the family have. Their tensors are left to the package's own check."""


def language_model(config: Mapping[str, Any]) -> Iterator[Expected]:
    """Every tensor of the language model. Nothing for a layout that is not laid down here."""
    if any(config.get(name) for name in _OTHER_LAYOUTS) or not str(config["norm"]).startswith("rms_norm"):
        return
    dim, card, text, depth = config["dim"], config["card"], config["text_card"], config["depformer_dim"]
    books, ways = config["n_q"], config["dep_q"]
    for number in range(books):
        yield _one(f"emb.{number}.weight", card + 1, dim)
    yield _one("text_emb.weight", text + 1, dim)
    yield _one("text_linear.weight", text, dim)
    yield _one("out_norm.alpha", 1, 1, dim)
    wide = int(config["hidden_scale"] * dim)
    yield from _layers("transformer", config["num_layers"], dim, wide, 0, config.get("layer_scale"))
    for number in range(ways if config["depformer_multi_linear"] else 1):
        yield _one(f"depformer_in.{number}.weight", depth, dim)
    for number in range(ways - 1):
        yield _one(f"depformer_emb.{number}.weight", card + 1, depth)
    yield _one("depformer_text_emb.weight", text + 1, depth)
    for number in range(ways):
        yield _one(f"linears.{number}.weight", card, depth)
    wide = config.get("depformer_dim_feedforward") or int(config["hidden_scale"] * depth)
    apart = ways if config["depformer_weights_per_step"] else 0
    scale = config.get("depformer_layer_scale")
    yield from _layers("depformer", config["depformer_num_layers"], depth, wide, apart, scale)


def codec(config: Mapping[str, Any]) -> Iterator[Expected]:
    """The codebooks and transformers of Mimi; its convolutions are left to the package's own check."""
    quantizer, sizes = config["quantizer"], config["transformer"]
    for number in range(quantizer["n_q"]):
        which = "rvq_first.vq.layers.0" if number == 0 else f"rvq_rest.vq.layers.{number - 1}"
        name = f"quantizer.{which}._codebook"
        yield _one(f"{name}.embedding_sum", quantizer["bins"], quantizer["dimension"])
        yield _one(f"{name}.cluster_usage", quantizer["bins"])
    dim = sizes["d_model"]
    for side in ("encoder", "decoder"):
        for number in range(sizes["num_layers"]):
            layer = f"{side}_transformer.transformer.layers.{number}"
            yield from _attention(layer, dim, 1)
            yield _one(f"{layer}.linear1.weight", sizes["dim_feedforward"], dim)
            yield _one(f"{layer}.linear2.weight", dim, sizes["dim_feedforward"])


def hidden(dim: int, wide: int) -> int:
    """The inner width of the package's gated layers: two thirds of ``wide``, so that three matrices cost what two did."""
    return 21 * dim // 8 if wide == 4 * dim else 2 * wide // 3


def _layers(where: str, count: int, dim: int, wide: int, apart: int, scale: object) -> Iterator[Expected]:
    """``apart``: how many codebooks have weights of their own; 0: none."""
    inner = hidden(dim, wide)
    for number in range(count):
        layer = f"{where}.layers.{number}"
        yield from _attention(layer, dim, max(apart, 1))
        for norm in ("norm1", "norm2"):
            yield _one(f"{layer}.{norm}.alpha", 1, 1, dim)
        for gate in [f"gating.{one}" for one in range(apart)] or ["gating"]:
            yield _one(f"{layer}.{gate}.linear_in.weight", 2 * inner, dim)
            yield _one(f"{layer}.{gate}.linear_out.weight", dim, inner)
        if scale is not None:
            yield _one(f"{layer}.layer_scale_1.scale", dim)
            yield _one(f"{layer}.layer_scale_2.scale", dim)


def _attention(layer: str, dim: int, apart: int) -> Iterator[Expected]:
    for kind, rows, old in (("in", 3 * dim, "in_proj_weight"), ("out", dim, "out_proj.weight")):
        where = f"{layer}.self_attn"
        split = {f"{where}.{kind}_projs.{number}.weight": (rows, dim) for number in range(apart)}
        stacked: dict[str, Shape] = {f"{where}.{old}": (apart * rows, dim)}
        yield stacked, split, {f"{where}.{kind}_proj.weight": (apart * rows, dim)}


def _one(name: str, *shape: int) -> Expected:
    return ({name: shape},)
