"""A folder with Moshi or PersonaPlex as it is published, read and checked before any heavy package is loaded.

What may live here: finding the files, reading their headers and saying what is wrong with them: which file, which tensor,
what was expected, what is there, and what to do. Only the standard library; weights are not read, nothing is unpickled,
and nothing is fetched. File names: ``moshi/models/loaders.py`` of kyutai-labs/moshi.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from locara.engines.isolated_worker import Trouble
from locara.engines.omni import moshi_shapes
from locara.engines.omni.sentencepiece_pieces import NotSentencePiece, Piece
from locara.engines.omni.sentencepiece_pieces import read as read_pieces
from locara.engines.published_files import AGAIN, file_in, json_object, tensors_of
from locara.engines.safetensors_header import TensorFacts

Family = Literal["moshi", "personaplex"]

WEIGHTS = ("model.safetensors", "model.q8.safetensors")
MIMI = "tokenizer-e351c8d8-checkpoint125.safetensors"
TOKENIZER = "tokenizer_spm_32k_3.model"
VOICES = "voices"
"""The folder of PersonaPlex's voices, as its ``voices.tgz`` unpacks."""
AGENT_BOOKS = 8
"""Codebooks that the agent speaks with. PersonaPlex's depth decoder predicts 8 more, the user's, which nobody needs."""
_NOT_THE_MODELS = (
    "moshi_name", "mimi_name", "mimi_config_name", "tokenizer_name", "lora_name", "model_type", "lm_gen_config",
    "tts_config", "stt_config", "model_id",
)  # fmt: skip
_NEEDED = (
    "dim", "text_card", "n_q", "dep_q", "card", "num_heads", "num_layers", "hidden_scale", "context", "gating", "norm",
    "positional_embedding", "delays", "depformer_dim", "depformer_num_heads", "depformer_num_layers",
    "depformer_multi_linear", "depformer_weights_per_step",
)  # fmt: skip
_FLOATS = ("BF16", "F16", "F32")
_OTHERS = ("hibiki", "stt", "tts")
"""What ``model_type`` says of the others that Kyutai publishes."""
_PADDED = 0.01
"""By how much of them text tokens and pieces may differ: tables are rounded up now and then."""
_LARGEST_TOKENIZER = 2**26  # bytes: 64 MB, a hundred times the published one


@dataclass(frozen=True, slots=True)
class MoshiFiles:
    """A folder that was found whole. ``config``: arguments of the language model, ``dep_q`` as the weights have it;
    ``mimi_config``: None where Mimi is the published one; ``generation``: how it was meant to be sampled; ``parameters``: of
    the language model; ``quantized``: weights in 8 bits; ``voices``: names of PersonaPlex's."""

    folder: Path
    weights: Path
    mimi: Path
    tokenizer: Path
    config: Mapping[str, Any]
    mimi_config: Mapping[str, Any] | None
    generation: Mapping[str, Any]
    family: Family
    parameters: int
    quantized: bool
    pieces: tuple[Piece, ...] = field(repr=False)
    voices: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all weights."""
        return self.weights.stat().st_size + self.mimi.stat().st_size

    def memory_per_slot(self, bytes_each: int) -> int:
        """Bytes that one conversation takes once its window is full: keys and values of each layer."""
        sizes = self.config
        return int(2 * sizes["num_layers"] * sizes["context"] * sizes["dim"] * bytes_each)


def read(folder: Path, family: str = "auto") -> MoshiFiles:
    """The folder, checked. ``family``: ``moshi``, ``personaplex`` or ``auto``. Raises ``Trouble``."""
    if not folder.is_dir():
        raise Trouble(f"there is no folder {folder}", hint=AGAIN)
    raw = _config(folder)
    config = {name: value for name, value in raw.items() if name not in _NOT_THE_MODELS} if "dim" in raw else {}
    config = config or dict(moshi_shapes.PUBLISHED)
    _refuse_others(folder, raw, config)
    weights = _weights(folder, raw)
    tensors = tensors_of(weights)
    _refuse_mlx(weights, tensors)
    books = sum(1 for name in tensors if name.startswith("linears.") and name.endswith(".weight"))
    voices = voice_names(folder)
    kind = _family(family, raw, config, books, folder)
    if kind == "personaplex" and books == 2 * AGENT_BOOKS:
        config["dep_q"] = books
    check(weights, tensors, moshi_shapes.language_model(config), more=kind == "personaplex")
    mimi = file_in(folder, str(raw.get("mimi_name") or MIMI))
    mimi_config = json_object(file_in(folder, str(name))) if (name := raw.get("mimi_config_name")) else None
    _check_mimi(mimi, mimi_config, config)
    tokenizer = file_in(folder, str(raw.get("tokenizer_name") or TOKENIZER))
    return MoshiFiles(
        folder=folder,
        weights=weights,
        mimi=mimi,
        tokenizer=tokenizer,
        config=config,
        mimi_config=mimi_config,
        generation=dict(raw.get("lm_gen_config") or {}),
        family=kind,
        parameters=sum(math.prod(one.shape) for one in tensors.values()),
        quantized=any(one.dtype == "I8" for one in tensors.values()),
        pieces=tokenizer_pieces(tokenizer, int(config["text_card"])),
        voices=voices,
    )


def check(
    path: Path, tensors: Mapping[str, TensorFacts], expected: Iterable[moshi_shapes.Expected], *, more: bool = False
) -> None:
    """Raises ``Trouble`` where a tensor is missing, has another shape or type, or belongs to another model (not asked
    with ``more``). Nothing expected: nothing checked."""
    known: set[str] = set()
    wrong: list[str] = []
    for ways in expected:
        way = next((one for one in ways if all(name in tensors for name in one)), None)
        if way is None:
            wrong.append(f"{next(iter(ways[0]))} is missing")
            continue
        known.update(way)
        for name, shape in way.items():
            there = tensors[name]
            if there.shape != shape:
                wrong.append(f"{name} should have the shape {list(shape)} and has {list(there.shape)}")
            elif there.dtype not in _FLOATS and not (there.dtype == "I8" and f"{name}_scb" in tensors):
                wrong.append(f"{name} should be one of {', '.join(_FLOATS)} and is {there.dtype}")
    if known and not more:
        wrong += [f"{name} belongs to another model" for name in tensors if name not in known and "_scb" not in name]
    if wrong:
        many = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise Trouble(
            f"{path}: {wrong[0]}{many}", hint="the weights and config.json are not of the same model: " + AGAIN
        )


def tokenizer_pieces(path: Path, text_card: int) -> tuple[Piece, ...]:
    """The pieces of the tokenizer, as many as the model has text tokens. Raises ``Trouble``."""
    try:
        if path.stat().st_size > _LARGEST_TOKENIZER:
            raise NotSentencePiece(f"it is too large for one ({path.stat().st_size} bytes)")
        pieces = read_pieces(path.read_bytes())
    except NotSentencePiece as error:
        raise Trouble(f"{path}: {error}", hint=AGAIN) from None
    except OSError as error:
        raise Trouble(f"{path} cannot be read: {error}", hint=AGAIN) from None
    if abs(len(pieces) - text_card) > _PADDED * text_card:
        raise Trouble(
            f"{path} is the tokenizer of another model: it has {len(pieces)} pieces, and the model {text_card} text tokens",
            hint=AGAIN,
        )
    return pieces


def _config(folder: Path) -> dict[str, Any]:
    """``config.json``; empty where there is none: that is Moshi 7B as it was first published."""
    path = folder / "config.json"
    return json_object(path) if path.exists() else {}


def _refuse_others(folder: Path, raw: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Other models of the same format."""
    path = folder / "config.json"
    if raw.get("stt_config") or config.get("dep_q") == 0:
        raise Trouble(
            f"{path} is a speech to text of Kyutai's", hint='name it as stt={"engine": "kyutai", "path": ...}'
        )
    if raw.get("tts_config"):
        raise Trouble(f"{path} is a voice of Kyutai's, and no model for conversations", hint="name it as tts")
    if raw.get("model_type") in _OTHERS or config.get("conditioners") or config.get("fuser"):
        kind = raw.get("model_type") or "with conditioners"
        raise Trouble(f"{path} is another model of the family ({kind})", hint="choose Moshi or PersonaPlex")
    if raw.get("lora_name") or config.get("lora"):
        raise Trouble(f"{path} names LoRA weights, which are not read here", hint="merge them into the model first")
    if missing := [name for name in _NEEDED if name not in config]:
        raise Trouble(f"{path} does not say {', '.join(missing)}", hint=AGAIN)
    for name in ("dim", "text_card", "n_q", "card", "num_heads", "num_layers", "context", "depformer_dim"):
        value = config[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise Trouble(f"{path}: {name} is {value!r}, and must be a whole number above 0", hint=AGAIN)
    delays = config["delays"]
    if not isinstance(delays, list) or len(delays) != config["n_q"] + 1 or not all(one in (0, 1) for one in delays):
        raise Trouble(f"{path}: delays must be {config['n_q'] + 1} times 0 or 1, and is {delays!r}", hint=AGAIN)


def _weights(folder: Path, raw: Mapping[str, Any]) -> Path:
    if name := raw.get("moshi_name"):
        return file_in(folder, str(name))
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    others = sorted(one.name for one in folder.iterdir() if one.suffix in (".pt", ".pth", ".bin", ".ckpt"))
    if others:
        raise Trouble(
            f"there is no {WEIGHTS[0]} in {folder}, only {others[0]}, which is a pickle: it could run any program",
            hint="download the repository that has safetensors",
        )
    if (folder / "model.q4.safetensors").is_file():
        raise Trouble(f"{folder} has weights for MLX", hint="use the engine for MLX, or download the PyTorch weights")
    return file_in(folder, WEIGHTS[0])


def _refuse_mlx(path: Path, tensors: Mapping[str, TensorFacts]) -> None:
    if any(name.endswith(".scales") or name.startswith("depformer.slices.") for name in tensors):
        raise Trouble(f"{path} has weights for MLX", hint="use the engine for MLX, or download the PyTorch weights")


def _family(wanted: str, raw: Mapping[str, Any], config: Mapping[str, Any], books: int, folder: Path) -> Family:
    """PersonaPlex says so, or predicts the user's codes too, or lies beside its voices."""
    if wanted in ("moshi", "personaplex"):
        kind: Family = "personaplex" if wanted == "personaplex" else "moshi"
    else:
        told = raw.get("model_type") == "personaplex" or books == 2 * AGENT_BOOKS
        voices = (folder / VOICES).is_dir() or (folder / "voices.tgz").is_file()
        kind = "personaplex" if told or voices else "moshi"
    if kind == "personaplex" and config["n_q"] != 2 * AGENT_BOOKS:
        raise Trouble(
            f"PersonaPlex has {2 * AGENT_BOOKS} audio streams, and {folder} {config['n_q']}", hint='use family="moshi"'
        )
    return kind


def voice_names(folder: Path) -> tuple[str, ...]:
    """PersonaPlex's voices that lie there; none where it is no folder."""
    place = folder / VOICES
    if not place.is_dir():
        return ()
    return tuple(sorted({one.stem for one in place.iterdir() if one.suffix in (".pt", ".wav")}))


def _check_mimi(path: Path, config: Mapping[str, Any] | None, sizes: Mapping[str, Any]) -> None:
    tensors = tensors_of(path)
    told = PUBLISHED_MIMI if config is None else config
    try:
        expected = list(moshi_shapes.codec(told))
        books, bins = int(told["quantizer"]["n_q"]), int(told["quantizer"]["bins"])
    except (KeyError, TypeError, ValueError) as error:
        raise Trouble(f"the configuration of {path} does not say {error}", hint=AGAIN) from None
    check(path, tensors, expected, more=True)
    if bins != sizes["card"] or books < sizes["n_q"] - AGENT_BOOKS:
        raise Trouble(
            f"{path} is the codec of another model: {books} codebooks of {bins}, and the model has codes of {sizes['card']}",
            hint=AGAIN,
        )


PUBLISHED_MIMI: Mapping[str, Any] = {
    "quantizer": {"dimension": 256, "n_q": 32, "bins": 2048},
    "transformer": {"d_model": 512, "num_layers": 8, "dim_feedforward": 2048},
}
"""What is checked of Mimi as published."""
