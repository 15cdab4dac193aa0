"""A folder in a published format is enough to name a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locara.engines.omni.folders import engine_for
from locara.errors import ConfigError, LocaraError, ModelMissing
from locara.voice import naming


def _folder(at: Path, config: Any = None, *names: str) -> Path:
    at.mkdir(parents=True, exist_ok=True)
    if config is not None:
        (at / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for name in names:
        (at / name).write_bytes(b"")
    return at


@pytest.mark.parametrize(
    ("config", "names", "mac", "engine"),
    [
        ({"model_type": "qwen2_5_omni"}, (), False, "qwen-omni"),
        ({"model_type": "qwen3_omni_moe"}, (), True, "qwen-omni"),
        (None, ("model.safetensors", "tokenizer-e351c8d8-checkpoint125.safetensors"), False, "moshi"),
        (None, ("model.safetensors", "tokenizer-e351c8d8-checkpoint125.safetensors"), True, "moshi-mlx"),
        (None, ("model.q4.safetensors", "tokenizer-e351c8d8-checkpoint125.safetensors"), False, "moshi-mlx"),
        ({"moshi_name": "a.safetensors", "mimi_name": "b.safetensors"}, (), False, "moshi"),
    ],
)
def test_what_a_publisher_put_there_tells_the_engine(
    tmp_path: Path, config: Any, names: tuple[str, ...], mac: bool, engine: str
) -> None:
    assert engine_for(_folder(tmp_path / "m", config, *names), mac=mac) == engine


def test_a_folder_of_something_else_is_refused_with_the_road(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="llama") as refused:
        engine_for(_folder(tmp_path / "m", {"model_type": "llama"}), mac=False)
    assert "engine" in refused.value.hint
    with pytest.raises(ConfigError, match="speech to text"):
        engine_for(_folder(tmp_path / "n", {"stt_config": {}, "mimi_name": "x"}), mac=False)


def test_a_path_that_is_not_there_is_said_to_be_a_path(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="no folder"):
        naming.named("omni", str(tmp_path / "nothing"), {})


@given(content=st.binary(max_size=200))
@settings(max_examples=50)
def test_no_config_breaks_it(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "config.json").write_bytes(content)
    with pytest.raises(LocaraError):
        engine_for(folder, mac=False)
