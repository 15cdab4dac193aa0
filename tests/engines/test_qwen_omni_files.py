"""A Qwen-Omni folder: what is missing, torn or another model's is told before anything is loaded."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from locara.engines.isolated_worker import Trouble
from locara.engines.omni.qwen_omni_files import look, shortage
from locara.engines.published_files import tensors_of

_BYTES = {"BF16": 2, "F16": 2, "F32": 4, "I32": 4, "F8_E4M3": 1}


def _shard(path: Path, weights: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
    told, at = {}, 0
    for name, (kind, shape) in weights.items():
        size = _BYTES[kind]
        for one in shape:
            size *= one
        told[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    head = json.dumps({"__metadata__": {"format": "pt"}, **told}).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + bytes(at))


def _header(shard: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {name: (one.dtype, one.shape) for name, one in tensors_of(shard).items()}


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Qwen3-Omni of the smallest size, in two shards."""
    _write(
        tmp_path / "config.json",
        {
            "model_type": "qwen3_omni_moe",
            "enable_audio_output": True,
            "thinker_config": {"text_config": {"vocab_size": 10, "hidden_size": 4}},
            "talker_config": {"speaker_id": {"ethan": 3}, "text_config": {"vocab_size": 6, "hidden_size": 4}},
        },
    )
    first = {"thinker.model.embed_tokens.weight": ("BF16", (10, 4)), "thinker.lm_head.weight": ("BF16", (10, 4))}
    second = {"talker.codec_head.weight": ("BF16", (6, 4)), "code2wav.decoder.0.conv.weight": ("F32", (2, 2))}
    _shard(tmp_path / "model-1.safetensors", first)
    _shard(tmp_path / "model-2.safetensors", second)
    places = dict.fromkeys(first, "model-1.safetensors") | dict.fromkeys(second, "model-2.safetensors")
    _write(tmp_path / "model.safetensors.index.json", {"weight_map": places})
    for name in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        _write(tmp_path / name, {})
    _write(tmp_path / "chat_template.json", {"chat_template": "{{ messages }}"})
    return tmp_path


def _changed(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    _write(path, value)


def test_a_whole_folder_is_known_by_its_configuration(folder: Path) -> None:
    found = look(folder)
    assert (found.family, found.voices, found.speakers, found.template) == (
        "qwen3-omni", ("ethan",), None, "{{ messages }}",
    )  # fmt: skip
    assert found.weights == 10 * 4 + 10 * 4 + 6 * 4 + 2 * 2


def test_one_file_without_an_index_will_do(folder: Path) -> None:
    weights = _header(folder / "model-1.safetensors") | _header(folder / "model-2.safetensors")
    _shard(folder / "model.safetensors", weights)
    (folder / "model.safetensors.index.json").unlink()
    assert look(folder).family == "qwen3-omni"


def _older(folder: Path) -> None:
    """Makes it a Qwen2.5-Omni."""
    _changed(
        folder / "config.json",
        lambda one: one.update(model_type="qwen2_5_omni", talker_config={"vocab_size": 6, "hidden_size": 4}),
    )
    _shard(folder / "model-2.safetensors", {"talker.codec_head.weight": ("BF16", (6, 4)), "token2wav.x": ("F32", (1,))})
    _changed(
        folder / "model.safetensors.index.json",
        lambda one: one["weight_map"].pop("code2wav.decoder.0.conv.weight"),
    )


def test_the_voices_of_qwen_2_5_are_a_file_of_their_own(folder: Path) -> None:
    _older(folder)
    with pytest.raises(Trouble, match=r"spk_dict\.pt is missing"):
        look(folder)
    (folder / "spk_dict.pt").write_bytes(b"\x80\x04old pickle")
    with pytest.raises(Trouble, match="no archive of tensors"):
        look(folder)
    (folder / "spk_dict.pt").write_bytes(b"PK\x03\x04...")
    assert look(folder).speakers == folder / "spk_dict.pt"


def _config(**values: Any) -> Callable[[Path], None]:
    return lambda folder: _changed(folder / "config.json", lambda one: one.update(values))


def _pickled(folder: Path) -> None:
    for one in folder.glob("model*"):
        one.unlink()
    (folder / "pytorch_model-00001-of-00002.bin").write_bytes(b"\x80\x04")


def _shape(folder: Path) -> None:
    weights = _header(folder / "model-2.safetensors")
    weights["talker.codec_head.weight"] = ("BF16", (7, 4))
    _shard(folder / "model-2.safetensors", weights)


def _kind(folder: Path) -> None:
    weights = _header(folder / "model-1.safetensors")
    weights["thinker.lm_head.weight"] = ("F8_E4M3", (10, 4))
    _shard(folder / "model-1.safetensors", weights)


def _torn(folder: Path) -> None:
    shard = folder / "model-2.safetensors"
    shard.write_bytes(shard.read_bytes()[:-5])


def _without_a_talker(folder: Path) -> None:
    _shard(folder / "model-2.safetensors", {"thinker.more": ("BF16", (1,))})
    first = _header(folder / "model-1.safetensors")
    places = dict.fromkeys(first, "model-1.safetensors") | {"thinker.more": "model-2.safetensors"}
    _write(folder / "model.safetensors.index.json", {"weight_map": places})


def _outside(folder: Path) -> None:
    _changed(
        folder / "model.safetensors.index.json", lambda one: one["weight_map"].update(x="../elsewhere.safetensors")
    )


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
        (lambda folder: (folder / "config.json").write_bytes(b"{"), "config.json cannot be read"),
        (lambda folder: (folder / "config.json").write_bytes(b"[]"), "it is no object"),
        (_config(model_type="qwen3"), "no Qwen2.5-Omni or Qwen3-Omni: model_type is 'qwen3'"),
        (_config(model_type="qwen3_omni_moe_thinker"), "a thinker without a talker"),
        (_config(enable_audio_output=False), "speech turned off"),
        (_config(quantization_config={"bits": 4}), "quantised"),
        (_config(talker_config={}), "names no speakers"),
        (lambda folder: (folder / "model-1.safetensors").unlink(), "the shard model-1.safetensors is missing"),
        (_torn, "a part of it is missing"),
        (
            lambda folder: (folder / "model-2.safetensors").write_bytes(b"\x80\x04pickle"),
            "not in the format safetensors",
        ),
        (lambda folder: (folder / "model-2.safetensors").write_bytes(b""), "not in the format safetensors"),
        (_pickled, "are pickles"),
        (lambda folder: [one.unlink() for one in folder.glob("model*")], "no weights"),
        (lambda folder: _write(folder / "model.safetensors.index.json", {}), "names no weights"),
        (_outside, "no shard in this folder"),
        (_shape, r"has the shape \(7, 4\); its config.json says \(6, 4\)"),
        (_kind, "of the kind F8_E4M3"),
        (_without_a_talker, "has no talker: it only writes"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "neither tokenizer.json nor vocab.json"),
        (lambda folder: (folder / "preprocessor_config.json").unlink(), "preprocessor_config.json is missing"),
        (lambda folder: (folder / "chat_template.json").unlink(), "has no chat template"),
    ],
)
def test_what_is_wrong_with_a_folder_is_told_with_what_to_do(
    folder: Path, harm: Callable[[Path], object], told: str
) -> None:
    harm(folder)
    with pytest.raises(Trouble, match=told) as caught:
        look(folder)
    assert caught.value.hint


def test_a_weight_that_only_the_index_names_is_told(folder: Path) -> None:
    _changed(folder / "model.safetensors.index.json", lambda one: one["weight_map"].update(more="model-1.safetensors"))
    with pytest.raises(Trouble, match="the weight more is in no shard"):
        look(folder)


def test_a_model_that_cannot_fit_is_refused_with_the_numbers() -> None:
    shortage(10**9, 2, 2 * 10**9, "of memory")
    shortage(10**12, 2, None, "of memory")
    with pytest.raises(Trouble, match=r"take 62\.0 GB, and 24\.0 GB of the graphics card are free"):
        shortage(31 * 10**9, 2, 24 * 10**9, "of the graphics card")


def test_a_template_may_be_a_file_of_its_own_or_the_tokenizers(folder: Path) -> None:
    (folder / "chat_template.json").unlink()
    _write(folder / "tokenizer_config.json", {"chat_template": "from the tokenizer"})
    assert look(folder).template == "from the tokenizer"
    (folder / "chat_template.jinja").write_text("from a file", encoding="utf-8")
    assert look(folder).template == "from a file"
