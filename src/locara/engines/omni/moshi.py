"""Moshi (Moshiko, Moshika) and PersonaPlex: full duplex, on torch, by the package ``moshi`` in an environment of its own.

What may live here: the options of this one engine. The model runs in `locara.engines.omni.moshi_worker`. Package MIT;
weights of Moshi CC-BY-4.0, of PersonaPlex under the NVIDIA Open Model License. https://github.com/kyutai-labs/moshi
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from locara.engines import option_values
from locara.engines.backend import VoiceBackend
from locara.engines.contracts import EngineInfo
from locara.engines.frame_backend import FrameBackend
from locara.engines.frame_clock import LATE_SECONDS
from locara.engines.frame_model import FrameFacts
from locara.engines.isolated import Environment
from locara.engines.omni.moshi_files import voice_names

ENGINE = "moshi"
PERSONAPLEX = "personaplex-7b-v1"
MODELS = ("moshiko-pytorch-bf16", "moshika-pytorch-bf16", PERSONAPLEX)
_ENVIRONMENT = Environment("kyutai", "moshi", '"moshi>=0.2.13"', "locara.engines.omni.moshi_worker")
_RATE, _FRAME = 24_000, 1920  # hertz, samples: Mimi
_MOST_SLOTS = 256
"""More than fit on any one accelerator: 85 full windows on one of 140 GB."""
_OPTIONS = (
    "engine", "path", "family", "device", "precision", "slots", "threads", "voice", "temperature", "text_temperature",
    "top_k", "text_top_k", "seed", "realtime", "late", "python",
)  # fmt: skip


def create(model: str, options: Mapping[str, Any]) -> VoiceBackend | None:
    """The backend for `MODELS`, or for any name with ``engine="moshi"``.

    ``path``: the folder as it is published. ``family``: ``moshi``, ``personaplex``, or what the files say (``auto``).
    ``device``: ``cpu``, ``cuda``, ``mps``, or what there is (``auto``). ``precision``: ``bf16`` as published (``auto``),
    ``fp16``, ``fp32``. ``slots``: conversations at once. ``threads``: of the processor. ``voice``: of PersonaPlex, where a
    session names none: a name in ``voices``, or a ``.pt`` or ``.wav`` file inside the folder. ``temperature``, ``top_k``:
    of the codes; ``text_temperature``, ``text_top_k``: of the text; else as the model's configuration says. ``seed``: makes
    a conversation that is alone repeatable. ``realtime``: ``check`` refuses what this machine cannot keep up with,
    ``ignore`` does not measure. ``late``: seconds behind after which it skips to the present. ``python``: the interpreter
    of its environment. Raises ``ConfigError`` and ``ModelMissing``.
    """
    if model not in MODELS and options.get("engine") != ENGINE:
        return None
    option_values.known(ENGINE, options, _OPTIONS)
    model = model or MODELS[0]
    path = option_values.path(ENGINE, options)
    usual = "personaplex" if model == PERSONAPLEX else "auto"
    told = {
        "family": option_values.one_of(ENGINE, options, "family", usual, ("auto", "moshi", "personaplex")),
        "device": option_values.one_of(ENGINE, options, "device", "auto", ("auto", "cpu", "cuda", "mps")),
        "precision": option_values.one_of(ENGINE, options, "precision", "auto", ("auto", "bf16", "fp16", "fp32")),
        "slots": option_values.whole(ENGINE, options, "slots", 1, 1, _MOST_SLOTS),
        "threads": option_values.whole(ENGINE, options, "threads", 1, 1, 64),
        "voice": option_values.text(ENGINE, options, "voice"),
        **_sampling(options),
    }
    realtime: Literal["check", "ignore"] = "check"
    if option_values.one_of(ENGINE, options, "realtime", realtime, ("check", "ignore")) == "ignore":
        realtime = "ignore"
    late = option_values.number(ENGINE, options, "late", LATE_SECONDS, 0.08, 60.0, "seconds")
    folder = option_values.folder("omni", model, path)
    voices = voice_names(folder) if told["family"] != "moshi" else ()
    persona = told["family"] == "personaplex" or bool(voices)
    licence = "LicenseRef-NVIDIA-Open-Model" if persona else "CC-BY-4.0"
    note = "weights by NVIDIA; code MIT" if persona else "weights by Kyutai; code MIT"
    return FrameBackend(
        EngineInfo(ENGINE, model, licence, device=str(told["device"]), note=note),
        _ENVIRONMENT,
        {"path": str(folder), **told},
        expected=FrameFacts(_RATE, _FRAME, slots=int(told["slots"]), instructions=persona, voices=voices),
        python=options.get("python"),
        realtime=realtime,
        late=late,
    )


def _sampling(options: Mapping[str, Any]) -> dict[str, Any]:
    """Only what was given: the rest is the model's own."""
    found: dict[str, Any] = {}
    for name in ("temperature", "text_temperature"):
        if options.get(name) is not None:
            found[name] = option_values.number(ENGINE, options, name, 0.0, 0.0, 5.0)
    for name in ("top_k", "text_top_k"):
        if options.get(name) is not None:
            found[name] = option_values.whole(ENGINE, options, name, 1, 1, 100_000)
    if options.get("seed") is not None:
        found["seed"] = option_values.whole(ENGINE, options, "seed", 0, 0, 2**63 - 1)
    return found
