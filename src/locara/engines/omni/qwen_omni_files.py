"""Whether a folder holds a whole Qwen-Omni model as it is published, before anything heavy is loaded.

What may live here: reading the small files and the shards' headers, and saying what is wrong. Only the standard library: no
weights are read, nothing is unpickled, no code of the folder is run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from locara.engines.isolated_worker import Trouble
from locara.engines.omni.qwen_omni_prompt import Family
from locara.engines.published_files import AGAIN, json_object, tensors_of
from locara.engines.safetensors_header import TensorFacts

FAMILIES: Mapping[str, Family] = {"qwen2_5_omni": "qwen2.5-omni", "qwen3_omni_moe": "qwen3-omni"}
"""``model_type`` of the configuration -> which of the two it is."""
_OTHER = "choose the published model with speech, in bf16"
_KINDS = ("BF16", "F16", "F32", "I64")
"""Numbers that the weights may be made of."""
_SPEAKERS_LIMIT = 64 * 1024 * 1024
"""Bytes of ``spk_dict.pt``, which holds a few spectrograms."""
_TEMPLATES = ("chat_template.json", "chat_template.jinja")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_SPEAKERS = "spk_dict.pt"


@dataclass(frozen=True, slots=True)
class OmniFolder:
    """A model's folder that is whole. ``voices``: as its configuration names them; empty where ``speakers``, a file, does.
    ``weights``: how many numbers it has."""

    path: Path
    family: Family
    config: Mapping[str, Any]
    template: str
    voices: tuple[str, ...]
    speakers: Path | None
    weights: int


def look(folder: Path) -> OmniFolder:
    """Looks through ``folder``. Raises `Trouble` that says what is missing or wrong, and what to do."""
    config = json_object(folder / "config.json")
    family = _family(folder, config)
    shapes = _weights(folder)
    _parts(folder, config, family, shapes)
    for name in ("tokenizer_config.json", "preprocessor_config.json"):
        json_object(folder / name)
    if not (folder / "tokenizer.json").is_file():
        for name in ("vocab.json", "merges.txt"):
            if not (folder / name).is_file():
                raise Trouble(f"{folder} has neither tokenizer.json nor {name}", hint=AGAIN)
    voices, speakers = _voices(folder, config, family)
    return OmniFolder(folder, family, config, _template(folder), voices, speakers, _count(shapes))


def within(config: Mapping[str, Any], *path: str) -> Any:
    """The value at ``path`` in nested objects; None where there is none."""
    value: Any = config
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _family(folder: Path, config: Mapping[str, Any]) -> Family:
    kind = str(config.get("model_type", ""))
    if kind.endswith("_thinker") and kind.removesuffix("_thinker") in FAMILIES:
        raise Trouble(f"the model in {folder} only writes: it is a thinker without a talker", hint=_OTHER)
    if kind not in FAMILIES:
        raise Trouble(
            f"{folder / 'config.json'} is no Qwen2.5-Omni or Qwen3-Omni: model_type is {kind!r}",
            hint="name another engine, or the folder of one of these models",
        )
    if "quantization_config" in config or within(config, "thinker_config", "quantization_config"):
        raise Trouble(f"the weights in {folder} are quantised, which is not read here", hint=_OTHER)
    if config.get("enable_audio_output") is False:
        raise Trouble(f"the model in {folder} only writes: its configuration has the speech turned off", hint=_OTHER)
    return FAMILIES[kind]


def shortage(weights: int, width: int, free: int | None, where: str) -> None:
    """Raises `Trouble` where so many ``weights`` of ``width`` bytes are more than the ``free`` bytes (None: not known) of
    ``where``. What a conversation takes comes on top, so this refuses only what is sure to fail."""
    if free is not None and weights * width > free:
        raise Trouble(
            f"its weights take {weights * width / 1e9:.1f} GB, and {free / 1e9:.1f} GB {where} are free",
            hint="close what takes memory, choose a smaller model, or run it on a server",
        )


def _count(shapes: Mapping[str, TensorFacts]) -> int:
    return sum(math.prod(one.shape) for one in shapes.values())


def _weights(folder: Path) -> dict[str, TensorFacts]:
    """All weights of all shards."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        places = json_object(index).get("weight_map")
        if not isinstance(places, dict) or not places:
            raise Trouble(f"{index} names no weights", hint=AGAIN)
        names = sorted({str(name) for name in places.values()})
    elif (folder / "model.safetensors").is_file():
        places, names = None, ["model.safetensors"]
    else:
        pickles = sorted(one.name for one in folder.glob("*") if one.suffix in _PICKLES and one.name != _SPEAKERS)
        if pickles:
            raise Trouble(
                f"the weights in {folder} are pickles ({pickles[0]}), which could run any code and are not read",
                hint="take the published files in the format safetensors",
            )
        raise Trouble(f"there are no weights in {folder}", hint=AGAIN)
    found: dict[str, TensorFacts] = {}
    for name in names:
        shard = folder / name
        if Path(name).name != name or shard.suffix != ".safetensors":
            raise Trouble(f"{index} names {name!r}, which is no shard in this folder", hint=AGAIN)
        if not shard.is_file():
            raise Trouble(f"the shard {name} is missing in {folder}", hint=AGAIN)
        found |= tensors_of(shard)
    for name in places or ():
        if name not in found:
            raise Trouble(f"the weight {name} is in no shard of {folder}, though its index names it", hint=AGAIN)
    for name, one in found.items():
        if one.dtype not in _KINDS:
            raise Trouble(
                f"the weight {name} in {folder} is of the kind {one.dtype}, not bf16, fp16 or fp32", hint=_OTHER
            )
    return found


def _parts(folder: Path, config: Mapping[str, Any], family: Family, shapes: Mapping[str, TensorFacts]) -> None:
    """All three networks are there, and the tables that tie them to the configuration have its shapes."""
    decoder = "code2wav." if family == "qwen3-omni" else "token2wav."
    for part, what in (("thinker.", "thinker"), ("talker.", "talker"), (decoder, "decoder of speech")):
        if not any(name.startswith(part) for name in shapes):
            more = "" if part == "thinker." else ": it only writes"
            raise Trouble(f"the model in {folder} has no {what}{more}", hint=_OTHER)
    text = within(config, "thinker_config", "text_config") or {}
    talker = within(config, "talker_config") or {}
    talker = talker.get("text_config", talker) if family == "qwen3-omni" else talker
    expected = {
        "thinker.model.embed_tokens.weight": (text.get("vocab_size"), text.get("hidden_size")),
        "thinker.lm_head.weight": (text.get("vocab_size"), text.get("hidden_size")),
        "talker.codec_head.weight": (talker.get("vocab_size"), talker.get("hidden_size")),
    }
    for name, shape in expected.items():
        if name in shapes and None not in shape and shapes[name].shape != shape:
            raise Trouble(
                f"the weight {name} in {folder} has the shape {shapes[name].shape}; its config.json says {shape}",
                hint="configuration and weights are of two models; " + AGAIN,
            )


def _voices(folder: Path, config: Mapping[str, Any], family: Family) -> tuple[tuple[str, ...], Path | None]:
    if family == "qwen3-omni":
        speakers = within(config, "talker_config", "speaker_id")
        if not isinstance(speakers, dict) or not speakers:
            raise Trouble(f"{folder / 'config.json'} names no speakers (talker_config.speaker_id)", hint=AGAIN)
        return tuple(speakers), None
    file = folder / _SPEAKERS
    if not file.is_file():
        raise Trouble(f"{_SPEAKERS} is missing in {folder}: without it the model has no voice", hint=AGAIN)
    if file.stat().st_size > _SPEAKERS_LIMIT:
        raise Trouble(f"{file} is larger than {_SPEAKERS_LIMIT} bytes: no speakers' file is", hint=AGAIN)
    with file.open("rb") as opened:
        if opened.read(4) != b"PK\x03\x04":
            raise Trouble(f"{file} is no archive of tensors as torch writes it", hint=AGAIN)
    return (), file


def _template(folder: Path) -> str:
    """The chat template; the model's own words around what is said."""
    for name in _TEMPLATES:
        path = folder / name
        if path.is_file() and path.suffix == ".jinja":
            try:
                return path.read_text(encoding="utf-8")
            except (OSError, ValueError) as error:
                raise Trouble(f"{path} cannot be read: {error}", hint=AGAIN) from error
        if path.is_file() and isinstance(found := json_object(path).get("chat_template"), str):
            return found
    if isinstance(found := json_object(folder / "tokenizer_config.json").get("chat_template"), str):
        return found
    raise Trouble(f"{folder} has no chat template ({', '.join(_TEMPLATES)})", hint=AGAIN)
