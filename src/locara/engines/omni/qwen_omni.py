"""Qwen2.5-Omni (3B, 7B) and Qwen3-Omni (30B-A3B): models that hear and speak, half duplex, by the package transformers in an
environment of their own.

What may live here: the options of this one engine. Conversations are `locara.engines.omni.qwen_omni_backend`; the model runs
in `locara.engines.omni.qwen_omni_worker`. Code of the models Apache-2.0 (transformers).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from locara.engines import option_values
from locara.engines.backend import VoiceBackend
from locara.engines.contracts import EngineInfo
from locara.engines.isolated import Environment
from locara.engines.omni.qwen_omni_backend import QwenOmniBackend

ENGINE = "qwen-omni"
MODELS = ("qwen2.5-omni-3b", "qwen2.5-omni-7b", "qwen3-omni-30b-a3b")
_LICENCES = {
    "qwen2.5-omni-3b": "LicenseRef-Qwen-Research",
    "qwen2.5-omni-7b": "Apache-2.0",
    "qwen3-omni-30b-a3b": "Apache-2.0",
}
_ENVIRONMENT = Environment(
    "qwen-omni",
    "transformers",
    # One minor version: the talker's inputs are built as this one builds them.
    '"transformers>=5.23,<5.24" torch accelerate jinja2',
    "locara.engines.omni.qwen_omni_worker",
)
_OPTIONS = (
    "engine", "path", "device", "precision", "threads", "context", "sessions", "deadline", "seed", "text_tokens",
    "speech_seconds", "temperature", "top_p", "speech_temperature", "speech_top_p", "speech_top_k", "python",
)  # fmt: skip


def create(model: str, options: Mapping[str, Any]) -> VoiceBackend | None:
    """The backend for `MODELS`, or for any name with ``engine="qwen-omni"``; without a name, that of the folder.

    ``path``: the folder as it is published (``config.json``, shards of safetensors, tokenizer, ``preprocessor_config.json``,
    chat template, and for 2.5 ``spk_dict.pt``). ``device``: ``cpu``, ``cuda``, ``mps``, or what there is (``auto``).
    ``precision``: ``bf16`` as published, or ``fp32``. ``threads``: of the processor. ``context``: tokens of the conversation
    that are read, the newest. ``sessions``: conversations at once, whose replies wait for each other. ``deadline``: seconds
    until a reply's first piece, and from piece to piece. ``text_tokens`` and ``speech_seconds``: how long a reply may be.
    ``temperature`` and ``top_p`` for its words (0: always the likeliest, as the package does it); ``speech_temperature``,
    ``speech_top_p`` and ``speech_top_k`` for its speech (left out: the package's). ``seed``: makes replies repeatable.
    ``python``: the interpreter of its environment. The voice is chosen with the session's ``voice``. Raises ``ConfigError``
    and ``ModelMissing``.
    """
    if model not in MODELS and options.get("engine") != ENGINE:
        return None
    option_values.known(ENGINE, options, _OPTIONS)
    path = option_values.path(ENGINE, options)
    model = model or (path.name if path is not None else MODELS[0])
    manner: dict[str, Any] = {
        "temperature": option_values.number(ENGINE, options, "temperature", 0.0, 0.0, 2.0),
        "top_p": option_values.number(ENGINE, options, "top_p", 1.0, 0.01, 1.0),
        "speech_temperature": option_values.number(ENGINE, options, "speech_temperature", 0.9, 0.0, 2.0),
        "text_tokens": option_values.whole(ENGINE, options, "text_tokens", 512, 8, 4096),
        "speech_seconds": option_values.number(ENGINE, options, "speech_seconds", 120.0, 1.0, 600.0, "seconds"),
    }
    if "speech_top_p" in options:
        manner["speech_top_p"] = option_values.number(ENGINE, options, "speech_top_p", 1.0, 0.01, 1.0)
    if "speech_top_k" in options:
        manner["speech_top_k"] = option_values.whole(ENGINE, options, "speech_top_k", 50, 1, 1000)
    told = {
        "device": option_values.one_of(ENGINE, options, "device", "auto", ("auto", "cpu", "cuda", "mps")),
        "precision": option_values.one_of(ENGINE, options, "precision", "bf16", ("bf16", "fp32")),
        "threads": option_values.whole(ENGINE, options, "threads", 1, 1, 64),
        "context": option_values.whole(ENGINE, options, "context", 8192, 512, 32_768),
        "seed": option_values.whole(ENGINE, options, "seed", 0, 0, 2**31) if "seed" in options else None,
        "manner": manner,
    }
    sessions = option_values.whole(ENGINE, options, "sessions", 1, 1, 8)
    deadline = option_values.number(ENGINE, options, "deadline", 60.0, 1.0, 600.0, "seconds")
    folder = option_values.folder("omni", model, path)
    return QwenOmniBackend(
        EngineInfo(
            ENGINE,
            model,
            next((one for name, one in _LICENCES.items() if model.lower().startswith(name)), "as its folder says"),
            device=str(told["device"]),
            note="one reply at a time; it gives no words of the user",
        ),
        _ENVIRONMENT,
        {"path": str(folder), **told},
        sessions=sessions,
        deadline=deadline,
        python=options.get("python"),
    )
