"""Kyutai's text to speech (1.6B, English and French): sound frame by frame, with the times of its words, by the package
moshi in an environment of its own.

What may live here: the options of this one voice. The model runs in `locara.engines.kyutai_tts_worker`. Code MIT, weights
CC-BY-4.0; each voice has a licence of its own. https://github.com/kyutai-labs/delayed-streams-modeling
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from locara.engines import option_values
from locara.engines.contracts import EngineInfo, Voice
from locara.engines.isolated import Environment, IsolatedVoice

ENGINE = "kyutai"
MODELS = ("kyutai-tts-1.6b-en_fr",)
_ENVIRONMENT = Environment("kyutai", "moshi", '"moshi>=0.2.13"', "locara.engines.kyutai_tts_worker")
_OPTIONS = (
    "voice", "device", "precision", "threads", "codebooks", "temperature", "guidance", "language", "python",
)  # fmt: skip


def create(model: str, options: Mapping[str, Any]) -> Voice | None:
    """The voice for `MODELS`, or for any name with ``engine="kyutai"``.

    ``path``: the folder with ``config.json`` and the files that it names (the weights of the language model and of Mimi as
    safetensors, the tokenizer of sentencepiece), and voices. ``voice``: one of them by its name (``robert``), or the path of
    a file of the repository ``kyutai/tts-voices``, whose ending names the model it was made for; left out, the first one
    there. ``device``: ``cpu``, ``cuda``, ``mps``, or what there is (``auto``). ``precision``: ``bf16`` as published,
    ``fp16`` for older graphics cards, or ``fp32``. ``threads``: of the processor. ``codebooks``: 8 to 32; fewer are faster
    and sound worse. ``temperature``: 0 is the likeliest. ``guidance``: how closely it keeps to the voice and the text,
    1 to 4 in halves. ``language``: ``en`` or ``fr``: numbers are written out in it. ``python``: the interpreter of its
    environment. Raises ``ConfigError`` and ``ModelMissing``.
    """
    if model not in MODELS and options.get("engine") != ENGINE:
        return None
    option_values.known(ENGINE, options, _OPTIONS)
    model = model or MODELS[0]
    path = option_values.path(ENGINE, options)
    told = {
        "voice": option_values.text(ENGINE, options, "voice"),
        "device": option_values.one_of(ENGINE, options, "device", "auto", ("auto", "cpu", "cuda", "mps")),
        "precision": option_values.one_of(ENGINE, options, "precision", "bf16", ("bf16", "fp16", "fp32")),
        "threads": option_values.whole(ENGINE, options, "threads", 1, 1, 64),
        "codebooks": option_values.whole(ENGINE, options, "codebooks", 32, 8, 32),
        "temperature": option_values.number(ENGINE, options, "temperature", 0.6, 0.0, 2.0),
        "guidance": option_values.number(ENGINE, options, "guidance", 2.0, 1.0, 4.0),
    }
    language = option_values.one_of(ENGINE, options, "language", "en", ("en", "fr"))
    folder = option_values.folder("tts", model, path)
    return IsolatedVoice(
        EngineInfo(
            ENGINE, model, "CC-BY-4.0", device=str(told["device"]), word_times=True, note="weights by Kyutai; code MIT"
        ),
        _ENVIRONMENT,
        {"path": str(folder), **told},
        language=language,
        python=options.get("python"),
    )
