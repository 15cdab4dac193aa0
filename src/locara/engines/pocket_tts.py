"""Pocket TTS (Kyutai, 2 to 100 million parameters, streaming, English and six more languages), in its own environment.

What may live here: the options of this one voice. The model runs in `locara.engines.pocket_tts_worker`. Code MIT, weights
CC-BY-4.0; the weights that can clone a voice are gated. https://github.com/kyutai-labs/pocket-tts
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from locara.engines import option_values
from locara.engines.contracts import EngineInfo, Voice
from locara.engines.isolated import Environment, IsolatedVoice
from locara.errors import ModelMissing

MODELS = ("pocket-tts",)
_ENVIRONMENT = Environment("pocket-tts", "pocket_tts", '"pocket-tts>=4"', "locara.engines.pocket_tts_worker")
_OPTIONS = ("config", "voice", "temperature", "steps", "python")


def create(model: str, options: Mapping[str, Any]) -> Voice | None:
    """The voice, or None when ``model`` is not one of its own.

    ``path``: the folder with ``model.safetensors``, ``tokenizer.json`` (or ``.model``) and voices. ``config``: which model
    it is, a name of the package (``english_2026-10``, ``german``, ...) or a YAML file; left out, a YAML file in the folder.
    ``voice``: a voice's ``.safetensors`` or a WAV file to clone, by its path or its name in the folder (``alba``).
    ``temperature``, ``steps``: of the sampler. ``python``: the interpreter of its environment.
    """
    if model not in MODELS and not (options.get("engine") == "pocket-tts" and options.get("path")):
        return None
    option_values.known("pocket-tts", options, _OPTIONS)
    path = options.get("path")
    if path is None:
        raise ModelMissing(
            f"tts: {model} needs its weights", stage="tts", model=model, hint=f"locara models pull {model}"
        )
    config = str(options.get("config") or "")
    kept = {name: options[name] for name in ("voice", "temperature", "steps") if options.get(name) is not None}
    return IsolatedVoice(
        EngineInfo("pocket-tts", model, "CC-BY-4.0", note="weights by Kyutai; code MIT"),
        _ENVIRONMENT,
        {"path": str(Path(path).expanduser()), "config": config, **kept},
        language=_language(config),
        python=options.get("python"),
    )


def _language(config: str) -> str:
    known = {"german": "de", "french": "fr", "italian": "it", "spanish": "es", "portuguese": "pt", "dutch": "nl"}
    return next((code for name, code in known.items() if config.startswith(name)), "en")
