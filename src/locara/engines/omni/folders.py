"""Which engine runs the model in a folder, by what its publisher put there. Nothing is loaded.

What may live here: this one look. Whether the files are whole is the engine's business.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from locara.errors import ConfigError

_QWEN = frozenset({"qwen2_5_omni", "qwen3_omni_moe"})
_MLX_ONLY = "model.q4.safetensors"  # nobody else publishes 4 bits under this name
_LIMIT = 4 * 1024 * 1024  # bytes of a config.json


def engine_for(folder: Path, *, mac: bool) -> str:
    """The name of the engine. ``mac``: where MLX runs. Raises ``ConfigError`` for a folder that none knows."""
    config = _config(folder)
    kind = str(config.get("model_type", ""))
    if kind in _QWEN:
        return "qwen-omni"
    names = {one.name for one in folder.iterdir() if one.is_file()} if folder.is_dir() else set()
    mimi = any(name.startswith("tokenizer-") and name.endswith(".safetensors") for name in names)
    if _MLX_ONLY in names:
        return "moshi-mlx"
    if "stt_config" in config or "tts_config" in config:
        what = "speech to text" if "stt_config" in config else "text to speech"
        raise ConfigError(f"omni: {folder} is a model for {what} of Kyutai's", hint='name it with engine="kyutai"')
    if mimi or "mimi_name" in config or "moshi_name" in config:
        return "moshi-mlx" if mac else "moshi"
    said = f"its config.json says {kind!r}" if kind else "it has no config.json that says a model_type"
    raise ConfigError(
        f"omni: no engine knows the model in {folder}: {said}",
        hint="folders of Moshi, PersonaPlex, Qwen2.5-Omni and Qwen3-Omni are known by their files; "
        'for others say {"model": "", "engine": NAME, "path": FOLDER}',
    )


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        if path.stat().st_size > _LIMIT:
            return {}
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}  # the engine that is asked for it says what is wrong with it
    return found if isinstance(found, dict) else {}
