"""Moshi on a Mac (Kyutai, 7B, full duplex, English) by the package moshi_mlx, in an environment of its own.

What may live here: the options of this one engine. The model runs in `locara.engines.omni.moshi_mlx_worker`. Code MIT,
weights CC-BY-4.0. https://github.com/kyutai-labs/moshi
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
from locara.errors import ModelMissing

ENGINE = "moshi-mlx"
MODELS = tuple(f"{name}-mlx-{kind}" for name in ("moshiko", "moshika") for kind in ("q4", "q8", "bf16"))
_ENVIRONMENT = Environment("moshi-mlx", "moshi_mlx", '"moshi_mlx==0.3.0"', "locara.engines.omni.moshi_mlx_worker")
_OPTIONS = (
    "engine", "path", "device", "slots", "temperature", "text_temperature", "top_k", "text_top_k", "realtime", "late",
    "python",
)  # fmt: skip
_MOST_SLOTS = 8  # their steps are made one after the other, all within 80 ms
_RATE, _FRAME = 24_000, 1920  # Mimi's: hertz, samples


def create(model: str, options: Mapping[str, Any]) -> VoiceBackend | None:
    """The model for `MODELS`, or for any name with ``engine="moshi-mlx"``.

    ``path``: the folder with the weights (``model.q4.safetensors``, ``model.q8.safetensors`` or ``model.safetensors``; also
    those that are published for PyTorch, in bf16), Mimi and the tokenizer. ``device``: ``gpu`` (Metal), ``cpu``, or what
    there is (``auto``). ``slots``: conversations at once; their steps are made one after the other. ``temperature`` and
    ``top_k`` of its voice, ``text_temperature`` and ``text_top_k`` of its words; 0 is the likeliest. ``realtime``:
    ``check`` refuses to load where a frame takes longer than it lasts, ``ignore`` does not. ``late``: seconds that a
    conversation may be behind before it skips to the present. ``python``: the interpreter of its environment. Raises
    ``ConfigError`` and ``ModelMissing``.
    """
    if model not in MODELS and options.get("engine") != ENGINE:
        return None
    option_values.known(ENGINE, options, _OPTIONS)
    model = model or MODELS[0]
    path = option_values.path(ENGINE, options)
    told = {
        "device": option_values.one_of(ENGINE, options, "device", "auto", ("auto", "cpu", "gpu")),
        "slots": option_values.whole(ENGINE, options, "slots", 1, 1, _MOST_SLOTS),
        # What the package for PyTorch has by default.
        "temperature": option_values.number(ENGINE, options, "temperature", 0.8, 0.0, 2.0),
        "text_temperature": option_values.number(ENGINE, options, "text_temperature", 0.7, 0.0, 2.0),
        "top_k": option_values.whole(ENGINE, options, "top_k", 250, 1, 2048),
        "text_top_k": option_values.whole(ENGINE, options, "text_top_k", 25, 1, 32_000),
    }
    realtime = option_values.one_of(ENGINE, options, "realtime", "check", ("check", "ignore"))
    late = option_values.number(ENGINE, options, "late", LATE_SECONDS, 0.08, 10.0, "seconds")
    if path is None or not path.is_dir():
        where = "where the files lie is not known" if path is None else f"there is no folder {path}"
        raise ModelMissing(
            f"omni: {model}: {where}",
            stage="omni",
            model=model,
            hint=f"locara models pull {model}, or correct path=...",
        )
    return FrameBackend(
        EngineInfo(ENGINE, model, "CC-BY-4.0", device=str(told["device"]), note="weights by Kyutai; code MIT"),
        _ENVIRONMENT,
        {"path": str(path), **told},
        expected=FrameFacts(rate=_RATE, frame=_FRAME, slots=int(cast("int", told["slots"]))),
        python=options.get("python"),
        late=late,
        realtime=cast("Literal['check', 'ignore']", realtime),
    )
