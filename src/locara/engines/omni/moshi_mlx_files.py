"""A folder with Moshi's weights for MLX as they are published, read and checked before anything heavy is loaded.

What may live here: finding the files, and what can be told from their headers: plain, or quantised to how many bits.
Weights in PyTorch's layout are left to `moshi_files`, whose checks of single files are used for both. Only the standard
library. File names: ``moshi_mlx/local.py`` of kyutai-labs/moshi.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from locara.engines.isolated_worker import Trouble
from locara.engines.omni import moshi_files, moshi_shapes
from locara.engines.omni.sentencepiece_pieces import Piece
from locara.engines.published_files import AGAIN, file_in, json_object, tensors_of
from locara.engines.safetensors_header import TensorFacts

WEIGHTS = ("model.q4.safetensors", "model.q8.safetensors", "model.safetensors")
"""Looked for in this order: who has two of them has the smaller one because the larger one is too slow."""
QUANTISED = {4: 32, 8: 64}
"""Bits a weight, and how many weights share a scale: as the published files have them."""
_WORD_BITS = 32
"""Of the integers that quantised weights are packed into (``mlx.nn.quantize``)."""
_PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".npz")


@dataclass(frozen=True, slots=True)
class MlxFiles:
    """A folder that was found whole. ``config``: in the package's form, the published sizes where there is no
    ``config.json``; ``mimi_config``: None where Mimi is the published one; ``bits``: of quantised weights, None for plain
    ones; ``torch_layout``: they lie as PyTorch has them; ``books``: codebooks that the file of Mimi has; ``persona``: it is
    PersonaPlex, with ``voices``."""

    folder: Path
    weights: Path
    mimi: Path
    tokenizer: Path
    config: Mapping[str, Any]
    mimi_config: Mapping[str, Any] | None
    bits: int | None
    torch_layout: bool
    books: int
    pieces: tuple[Piece, ...] = field(repr=False)
    persona: bool = False
    voices: tuple[str, ...] = ()


def read(folder: Path) -> MlxFiles:
    """The folder, checked. Raises ``Trouble``."""
    if not folder.is_dir():
        raise Trouble(f"there is no folder {folder}", hint=AGAIN)
    path = folder / "config.json"
    raw = json_object(path) if path.exists() else {}
    weights = _weights(folder, raw)
    tensors = tensors_of(weights)
    if not any(name.startswith("depformer.slices.") for name in tensors):
        return _torch_layout(folder)
    config = {**moshi_shapes.PUBLISHED, **raw}
    for name in ("stt_config", "tts_config", "lora_name", "conditioners"):
        if raw.get(name):
            raise Trouble(f"{path} is another model of the family: it has {name}", hint="choose Moshi")
    made = 1 + max(int(name.split(".")[2]) for name in tensors if name.startswith("depformer.slices."))
    if made != config["dep_q"] or config["n_q"] != 2 * moshi_files.AGENT_BOOKS:
        raise Trouble(
            f"{weights} makes {made} codebooks of {config['n_q']}, and Moshi {moshi_files.AGENT_BOOKS} of "
            f"{2 * moshi_files.AGENT_BOOKS}",
            hint="it is another model, or config.json belongs to another one: " + AGAIN,
        )
    _check_kinds(weights, tensors)
    mimi = file_in(folder, str(raw.get("mimi_name") or moshi_files.MIMI))
    tokenizer = file_in(folder, str(raw.get("tokenizer_name") or moshi_files.TOKENIZER))
    return MlxFiles(
        folder=folder,
        tokenizer=tokenizer,
        weights=weights,
        mimi=mimi,
        config=config,
        mimi_config=json_object(file_in(folder, str(codec))) if (codec := raw.get("mimi_config_name")) else None,
        bits=_bits(weights, tensors, int(config["dim"])),
        torch_layout=False,
        books=_books(mimi),
        pieces=moshi_files.tokenizer_pieces(tokenizer, int(config["text_card"])),
    )


def _torch_layout(folder: Path) -> MlxFiles:
    files = moshi_files.read(folder)
    if files.quantized:
        raise Trouble(
            f"{files.weights} is quantised for PyTorch, which MLX cannot read",
            hint="download a repository for MLX (moshiko-mlx-q8), or the one in bf16 for PyTorch",
        )
    return MlxFiles(
        folder=folder,
        tokenizer=files.tokenizer,
        persona=files.family == "personaplex",
        voices=files.voices,
        weights=files.weights,
        mimi=files.mimi,
        config=files.config,
        mimi_config=files.mimi_config,
        bits=None,
        torch_layout=True,
        books=_books(files.mimi),
        pieces=files.pieces,
    )


def _weights(folder: Path, raw: Mapping[str, Any]) -> Path:
    if raw.get("moshi_name") and (path := folder / Path(str(raw["moshi_name"])).name).is_file():
        return path
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    if pickles := sorted(one.name for one in folder.iterdir() if one.suffix in _PICKLES):
        raise Trouble(
            f"there are no weights as safetensors in {folder}, only {pickles[0]}, a pickle, which could run any program",
            hint="download the repository that has safetensors",
        )
    raise Trouble(f"{raw.get('moshi_name') or WEIGHTS[-1]} is missing in {folder}", hint=AGAIN)


def _check_kinds(path: Path, tensors: Mapping[str, TensorFacts]) -> None:
    for name, one in tensors.items():
        if one.dtype not in ("BF16", "F16", "F32", "U32"):
            raise Trouble(f"{path}: {name} is {one.dtype}, which is no type of these weights", hint=AGAIN)
        if one.dtype == "U32" and f"{name.removesuffix('.weight')}.scales" not in tensors:
            raise Trouble(f"{path}: {name} is quantised, and its scales are missing", hint=AGAIN)


def _bits(path: Path, tensors: Mapping[str, TensorFacts], dim: int) -> int | None:
    """Read from the shapes: a name says it too, but a file can be renamed."""
    scales = tensors.get("text_linear.scales")
    if scales is None:
        return None
    words = tensors["text_linear.weight"].shape[-1]
    bits, group = words * _WORD_BITS // dim, dim // max(scales.shape[-1], 1)
    if QUANTISED.get(bits) != group:
        told = ", ".join(f"{one} bits in groups of {many}" for one, many in QUANTISED.items())
        raise Trouble(
            f"{path} is quantised to {bits} bits in groups of {group}", hint=f"known are {told}: choose one of these"
        )
    return bits


def _books(mimi: Path) -> int:
    """How many codebooks it has: 32 in the published file, of which Moshi uses 8."""
    count = sum(1 for name in tensors_of(mimi) if name.endswith("._codebook.embedding_sum"))
    if count < moshi_files.AGENT_BOOKS:
        raise Trouble(
            f"{mimi} has {count} codebooks, and Moshi needs {moshi_files.AGENT_BOOKS}: it is no Mimi, or not all of one",
            hint=AGAIN,
        )
    return count
