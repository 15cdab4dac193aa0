"""F5-TTS (SWivid, 336 million parameters, clones the voice of a short recording), in its own environment.

What may live here: the options of this one voice. The model runs in `locara.engines.f5_tts_worker`. Code MIT; the
published weights are CC-BY-NC-4.0: not for commercial use. Written from the package's own code and never run here.
https://github.com/SWivid/F5-TTS
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from locara.engines import option_values
from locara.engines.contracts import EngineInfo, Voice
from locara.engines.isolated import Environment, IsolatedVoice
from locara.errors import ConfigError, ModelMissing

MODELS = ("f5-tts",)
_ENVIRONMENT = Environment("f5-tts", "f5_tts", '"f5-tts>=1.1"', "locara.engines.f5_tts_worker")
_OPTIONS = ("config", "voice", "voice_text", "steps", "speed", "device", "python")


def create(model: str, options: Mapping[str, Any]) -> Voice | None:
    """The voice, or None when ``model`` is not one of its own.

    ``path``: the folder with the model's ``.safetensors``, ``vocab.txt`` and ``vocos/`` (``config.yaml`` and
    ``model.safetensors``). ``voice``: a WAV file of some seconds, and ``voice_text`` what is said in it: both are needed,
    the model has no voice of its own. ``config``: ``F5TTS_v1_Base`` if left out. ``steps``: of its solver, 32; 16 is twice
    as fast. ``speed``: 1.0. ``device``: of torch. ``python``: the interpreter of its environment.
    """
    if model not in MODELS and not (options.get("engine") == "f5-tts" and options.get("path")):
        return None
    option_values.known("f5-tts", options, _OPTIONS)
    path = options.get("path")
    if path is None:
        raise ModelMissing(
            f"tts: {model} needs its weights", stage="tts", model=model, hint=f"locara models pull {model}"
        )
    voice, said = options.get("voice"), options.get("voice_text")
    if not voice or not said:
        raise ConfigError(
            "f5-tts speaks with the voice of a recording, and none was given",
            hint="voice: a WAV file of 3 to 12 s, voice_text: the words in it",
        )
    kept = {name: options[name] for name in ("config", "steps", "speed", "device") if options.get(name) is not None}
    return IsolatedVoice(
        EngineInfo(
            "f5-tts",
            model,
            "CC-BY-NC-4.0 (not for commercial use)",
            streaming=False,
            note="never run by Locara's authors",
        ),
        _ENVIRONMENT,
        {"path": str(Path(path).expanduser()), "voice": str(voice), "voice_text": str(said), **kept},
        language="en",
        python=options.get("python"),
    )
