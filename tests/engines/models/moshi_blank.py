"""A Moshi in its published format whose weights are zeros, written without any package: for what is checked before torch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from locara.engines.omni import moshi_shapes

SIZES: dict[str, Any] = {
    **moshi_shapes.PUBLISHED, "dim": 8, "num_heads": 2, "num_layers": 2, "hidden_scale": 2, "text_card": 12, "card": 6,
    "depformer_dim": 4, "depformer_num_heads": 2, "depformer_num_layers": 1, "depformer_dim_feedforward": 8,
}  # fmt: skip
MIMI: dict[str, Any] = {
    "quantizer": {"dimension": 2, "n_q": 32, "bins": 6},
    "transformer": {"d_model": 4, "num_layers": 1, "dim_feedforward": 8},
}
PIECES = (
    ("<unk>", 2), ("<s>", 3), ("</s>", 3), ("<pad>", 3), ("<0xE2>", 6), ("<0x82>", 6), ("<0xAC>", 6),
    ("▁the", 1), ("▁ket", 1), ("tle", 1), ("▁", 1), ("!", 1),
)  # fmt: skip


def safetensors(path: Path, shapes: Mapping[str, tuple[int, ...]], dtype: str = "BF16") -> None:
    """Zeros of these shapes; a name that ends with ``_scb`` is F32."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape in shapes.items():
        kind = "F32" if name.endswith("_scb") else dtype
        size = math.prod(shape) * {"I8": 1, "BF16": 2, "F32": 4, "I64": 8}[kind]
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    head = json.dumps(header).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + bytes(at))


def shapes(expected: Iterable[moshi_shapes.Expected], way: int = 0) -> dict[str, tuple[int, ...]]:
    """All of them, where there are several ways in this one."""
    return {name: shape for ways in expected for name, shape in ways[min(way, len(ways) - 1)].items()}


def tokenizer(path: Path, pieces: Iterable[tuple[str, int]] = PIECES) -> None:
    """A SentencePiece model of these pieces and kinds."""
    data = b""
    for text, kind in pieces:
        said = text.encode()
        one = b"\x0a" + bytes([len(said)]) + said + b"\x15\x00\x00\x80\xbf\x18" + bytes([kind])
        data += b"\x0a" + bytes([len(one)]) + one
    path.write_bytes(data + b"\x12\x02\x08\x01")  # and a trainer's settings


def write(folder: Path, **config: Any) -> Path:
    """The folder. ``config``: what ``config.json`` says otherwise; ``dep_q`` 16 makes a PersonaPlex, whose own says 8."""
    sizes = {**SIZES, **config}
    safetensors(folder / "model.safetensors", shapes(moshi_shapes.language_model(sizes)))
    safetensors(folder / "mimi.safetensors", shapes(moshi_shapes.codec(MIMI)), "F32")
    tokenizer(folder / "tokenizer.model")
    (folder / "mimi.json").write_text(json.dumps(MIMI))
    told = {**sizes, "dep_q": 8, "mimi_name": "mimi.safetensors", "mimi_config_name": "mimi.json"}
    (folder / "config.json").write_text(json.dumps({**told, "tokenizer_name": "hf://kyutai/somewhere/tokenizer.model"}))
    return folder
