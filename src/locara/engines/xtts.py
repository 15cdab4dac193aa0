"""XTTS v2 (Coqui, clones the voice of a short recording, 17 languages, streaming), in its own environment.

What may live here: the options of this one voice. The model runs in `locara.engines.xtts_worker`. The weights are under
the Coqui Public Model License: not for commercial use. Written from the package's own code and never run here.
https://github.com/idiap/coqui-ai-TTS
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from locara.engines import option_values
from locara.engines.contracts import EngineInfo, Voice
from locara.engines.isolated import Environment, IsolatedVoice
from locara.errors import ConfigError, ModelMissing

MODELS = ("xtts-v2", "xtts")
LANGUAGES = ("en", "es", "fr", "de", "it", "pt", "pl", "tr", "ru", "nl", "cs", "ar", "zh-cn", "ja", "hu", "ko", "hi")
_ENVIRONMENT = Environment("xtts", "TTS", '"coqui-tts>=0.28"', "locara.engines.xtts_worker")
_OPTIONS = ("voice", "language", "speed", "device", "python")


def create(model: str, options: Mapping[str, Any]) -> Voice | None:
    """The voice, or None when ``model`` is not one of its own.

    ``path``: the folder with ``config.json``, ``vocab.json`` and ``model.safetensors``. ``voice``: a WAV file of some
    seconds, whose voice it takes: needed, for its own voices come as a pickle. ``language``: one of `LANGUAGES`, ``en`` if
    left out. ``speed``: 1.0. ``device``: of torch. ``python``: the interpreter of its environment.
    """
    if model not in MODELS and not (options.get("engine") == "xtts" and options.get("path")):
        return None
    option_values.known("xtts", options, _OPTIONS)
    language = str(options.get("language", "en"))
    if language not in LANGUAGES:
        raise ConfigError(f"xtts does not speak {language!r}", hint=f"it speaks {', '.join(LANGUAGES)}")
    path = options.get("path")
    if path is None:
        raise ModelMissing(
            f"tts: {model} needs its weights", stage="tts", model=model, hint=f"locara models pull {model}"
        )
    if not options.get("voice"):
        raise ConfigError(
            "xtts speaks with the voice of a recording, and none was given", hint="voice: a WAV file of 6 s or more"
        )
    kept = {name: options[name] for name in ("speed", "device") if options.get(name) is not None}
    return IsolatedVoice(
        EngineInfo("xtts", model, "CPML (not for commercial use)", note="never run by Locara's authors"),
        _ENVIRONMENT,
        {"path": str(Path(path).expanduser()), "voice": str(options["voice"]), "language": language, **kept},
        language=language,
        python=options.get("python"),
    )
