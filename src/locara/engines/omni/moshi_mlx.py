"""Moshi and PersonaPlex on a Mac (7B, full duplex, English) by the package moshi_mlx, in an environment of its own.

What may live here: the options of this one engine. The model runs in `locara.engines.omni.moshi_mlx_worker`. Code MIT;
weights of Moshi CC-BY-4.0, of PersonaPlex under the NVIDIA Open Model License. https://github.com/kyutai-labs/moshi
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from locara.engines import option_values
from locara.engines.backend import VoiceBackend
from locara.engines.contracts import EngineInfo
from locara.engines.frame_backend import FrameBackend
from locara.engines.frame_clock import LATE_SECONDS
from locara.engines.frame_model import FrameFacts
from locara.engines.isolated import Environment
from locara.engines.omni.moshi_files import voice_names
from locara.errors import ConfigError

ENGINE = "moshi-mlx"
MODELS = tuple(f"{name}-mlx-{kind}" for name in ("moshiko", "moshika") for kind in ("q4", "q8", "bf16"))
_ENVIRONMENT = Environment("moshi-mlx", "moshi_mlx", '"moshi_mlx==0.3.0"', "locara.engines.omni.moshi_mlx_worker")
_OPTIONS = (
    "engine", "path", "device", "slots", "temperature", "text_temperature", "top_k", "text_top_k", "bits", "voice",
    "realtime", "late", "python",
)  # fmt: skip
_MOST_SLOTS = 8  # their steps are made one after the other, all within 80 ms
_RATE, _FRAME = 24_000, 1920  # Mimi's: hertz, samples


def create(model: str, options: Mapping[str, Any]) -> VoiceBackend | None:
    """The model for `MODELS`, or for any name with ``engine="moshi-mlx"``.

    ``path``: the folder with the weights (``model.q4.safetensors``, ``model.q8.safetensors`` or ``model.safetensors``; also
    those that are published for PyTorch in bf16, and PersonaPlex's), Mimi and the tokenizer. ``device``: ``gpu`` (Metal),
    ``cpu``, or what there is (``auto``). ``slots``: conversations at once; their steps are made one after the other.
    ``temperature`` and ``top_k`` of its voice, ``text_temperature`` and ``text_top_k`` of its words; 0 is the likeliest.
    ``bits``: 4 or 8, to which weights that are published plain are quantised while they are read; 0: not at all.
    ``voice``: of PersonaPlex, where a session names none: a name in ``voices``, or a ``.pt`` or ``.wav`` file inside the
    folder. ``realtime``: ``check`` refuses to load where a frame takes longer than it lasts, ``ignore`` does not measure.
    ``late``: seconds that a conversation may be behind before it skips to the present. ``python``: the interpreter of its
    environment. Raises ``ConfigError`` and ``ModelMissing``.
    """
    if model not in MODELS and options.get("engine") != ENGINE:
        return None
    option_values.known(ENGINE, options, _OPTIONS)
    path = option_values.path(ENGINE, options)
    model = model or (path.name if path is not None else MODELS[0])
    told = {
        "device": option_values.one_of(ENGINE, options, "device", "auto", ("auto", "cpu", "gpu")),
        "slots": option_values.whole(ENGINE, options, "slots", 1, 1, _MOST_SLOTS),
        # What the package for PyTorch has by default.
        "temperature": option_values.number(ENGINE, options, "temperature", 0.8, 0.0, 2.0),
        "text_temperature": option_values.number(ENGINE, options, "text_temperature", 0.7, 0.0, 2.0),
        "top_k": option_values.whole(ENGINE, options, "top_k", 250, 1, 2048),
        "text_top_k": option_values.whole(ENGINE, options, "text_top_k", 25, 1, 32_000),
        "bits": option_values.whole(ENGINE, options, "bits", 0, 0, 8),
        "voice": option_values.text(ENGINE, options, "voice"),
    }
    if told["bits"] not in (0, 4, 8):
        raise ConfigError(f"{ENGINE}: bits is {told['bits']}", hint="it can be 0, 4, 8")
    realtime = option_values.one_of(ENGINE, options, "realtime", "check", ("check", "ignore"))
    late = option_values.number(ENGINE, options, "late", LATE_SECONDS, 0.08, 10.0, "seconds")
    folder = option_values.folder("omni", model, path)
    voices = voice_names(folder)
    licence, who = ("LicenseRef-NVIDIA-Open-Model", "NVIDIA") if voices else ("CC-BY-4.0", "Kyutai")
    slots = cast("int", told["slots"])
    return FrameBackend(
        EngineInfo(ENGINE, model, licence, device=str(told["device"]), note=f"weights by {who}; code MIT"),
        _ENVIRONMENT,
        {"path": str(folder), **told},
        expected=FrameFacts(rate=_RATE, frame=_FRAME, slots=slots, instructions=bool(voices), voices=voices),
        python=options.get("python"),
        late=late,
        realtime=cast("Literal['check', 'ignore']", realtime),
    )
