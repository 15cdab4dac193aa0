"""Kyutai's speech to text (1B English and French, half a second late; 2.6B English, 2.5 seconds late): true streaming, with
word times, by the package moshi in an environment of its own.

What may live here: the options of this one recogniser. The model runs in `locara.engines.kyutai_stt_worker`. Code MIT,
weights CC-BY-4.0. https://github.com/kyutai-labs/delayed-streams-modeling
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from locara.engines import option_values
from locara.engines.contracts import EngineInfo, Recogniser
from locara.engines.isolated import Environment
from locara.engines.isolated_recogniser import IsolatedRecogniser

ENGINE = "kyutai"
MODELS = ("kyutai-stt-1b-en_fr", "kyutai-stt-2.6b-en")
_ENVIRONMENT = Environment("kyutai", "moshi", '"moshi>=0.2.13"', "locara.engines.kyutai_stt_worker")
_OPTIONS = ("engine", "path", "device", "precision", "threads", "deadline", "python")


def create(model: str, options: Mapping[str, Any]) -> Recogniser | None:
    """The recogniser for `MODELS`, or for any name with ``engine="kyutai"``.

    ``path``: the folder with ``config.json`` and the files that it names (the weights of the language model and of Mimi as
    safetensors, the tokenizer of sentencepiece). ``device``: ``cpu``, ``cuda``, ``mps``, or what there is (``auto``).
    ``precision``: ``bf16`` as published, or ``fp32``. ``threads``: of the processor; torch's wait by spinning, and where
    others work too. ``deadline``: seconds for an answer.
    ``python``: the interpreter of its environment. Raises ``ConfigError`` and ``ModelMissing``.
    """
    if model not in MODELS and options.get("engine") != ENGINE:
        return None
    option_values.known(ENGINE, options, _OPTIONS)
    model = model or MODELS[0]
    path = option_values.path(ENGINE, options)
    told = {
        "device": option_values.one_of(ENGINE, options, "device", "auto", ("auto", "cpu", "cuda", "mps")),
        "precision": option_values.one_of(ENGINE, options, "precision", "bf16", ("bf16", "fp32")),
        "threads": option_values.whole(ENGINE, options, "threads", 1, 1, 64),
    }
    deadline = option_values.number(ENGINE, options, "deadline", 20.0, 0.1, 600.0, "seconds")
    folder = option_values.folder("stt", model, path)
    return IsolatedRecogniser(
        EngineInfo(
            ENGINE, model, "CC-BY-4.0", device=str(told["device"]), word_times=True, note="weights by Kyutai; code MIT"
        ),
        _ENVIRONMENT,
        {"path": str(folder), **told},
        deadline=deadline,
        python=options.get("python"),
    )
