"""Moshi on MLX in its own environment: started by `locara.engines.omni.moshi_mlx`. Calls the package ``moshi_mlx``.

What may live here: this one `FrameModel`. It reads local files only, and only safetensors. Its loop is ours: the package's
(``LmGen``) ends after a fixed number of steps, and its memory of the conversation is wrong before that number could be
raised (see `moshi_mlx_codec.rings`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from locara.engines.frame_model import FrameFacts, Sound
from locara.engines.isolated_worker import Trouble
from locara.engines.omni import moshi_mlx_codec, moshi_mlx_files
from locara.engines.omni.delayed_tokens import DelayedTokens
from locara.engines.omni.moshi_mlx_codec import Codec
from locara.engines.omni.moshi_mlx_files import MlxFiles
from locara.engines.omni.sentencepiece_pieces import PieceText

RATE = 24_000  # Hz, Mimi's
FRAME = 1920  # samples: 80 ms
_WARM_FRAMES = 4  # the kernels of a step are made in the first ones
_END_OF_PADDING = 0  # the text token before a word
_HINT = "download the whole repository again, or name its folder with path=..."


@dataclass(slots=True)
class _Conversation:
    """What belongs to one of them: weights are shared, but for Mimi's, whose package keeps its state beside them."""

    codec: Codec
    tokens: DelayedTokens
    caches: list[Any]
    text: PieceText


class MoshiMlx:
    """See `locara.engines.frame_model.FrameModel`. Several conversations take their steps one after the other: the package
    has one place in its caches for all rows of a batch."""

    def __init__(self) -> None:
        self._model: Any = None
        self._files: MlxFiles | None = None
        self._text_sampler: Any = None
        self._audio_sampler: Any = None
        self._conversations: dict[int, _Conversation] = {}
        self._codecs: list[Codec] = []

    def load(self, options: Mapping[str, Any], report: Callable[[str], None]) -> FrameFacts:
        """See `locara.engines.frame_model.FrameModel`."""
        files = moshi_mlx_files.read(Path(options["path"]))
        import mlx.core as mx
        from moshi_mlx.utils import Sampler

        device = _device(mx, str(options["device"]))
        report(f"reading {files.weights.name} ({files.weights.stat().st_size / 1e9:.1f} GB)")
        self._files = files
        try:
            self._model = _language_model(mx, files)
            slots = int(options["slots"])
            self._codecs = [_codec(files) for _ in range(slots)]
        except (ValueError, KeyError, RuntimeError) as error:
            said = " ".join(str(error).split())[:300] or type(error).__name__
            raise Trouble(f"{files.weights.parent} does not hold a whole Moshi: {said}", hint=_HINT) from error
        temperatures = float(options["text_temperature"]), float(options["temperature"])
        most = int(options["text_top_k"]), int(options["top_k"])
        cards = int(files.config["text_card"]), int(files.config["card"])
        self._text_sampler, self._audio_sampler = (
            Sampler(temp=temperature, top_k=min(top, card - 1))
            for temperature, top, card in zip(temperatures, most, cards, strict=True)
        )
        report("warming up")
        for slot in range(slots):
            for _ in self.open(slot, {}):
                pass
            for _ in range(_WARM_FRAMES):
                self.step({slot: np.zeros(FRAME, np.float32)})
            self.close(slot)
        kind = "bf16" if files.bits is None else f"{files.bits} bits"
        return FrameFacts(rate=RATE, frame=FRAME, slots=slots, device=device, note=f"MLX, {kind}")

    def open(self, slot: int, settings: Mapping[str, Any]) -> Iterator[float]:
        """See `locara.engines.frame_model.FrameModel`. Moshi takes neither a role nor a voice."""
        for name, what in (("instructions", "no instructions"), ("voice", "no other voice than its own")):
            if settings.get(name):
                raise Trouble(f"Moshi takes {what}", hint=f"leave {name} out, or choose PersonaPlex, which takes both")
        assert self._files is not None
        config = self._files.config
        codec = self._codecs[slot]
        codec.reset()
        self._conversations[slot] = _Conversation(
            codec=codec,
            tokens=DelayedTokens(
                config["delays"][1:], int(config["dep_q"]), padding=int(config["card"]), start=int(config["text_card"])
            ),
            caches=moshi_mlx_codec.rings(self._model.transformer),
            text=PieceText(self._files.pieces, (_END_OF_PADDING, int(config.get("existing_text_padding_id", 3)))),
        )
        return iter(())

    def step(self, frames: Mapping[int, Sound]) -> Mapping[int, tuple[Sound | None, str]]:
        """See `locara.engines.frame_model.FrameModel`."""
        return {slot: self._frame(self._conversations[slot], samples) for slot, samples in frames.items()}

    def close(self, slot: int) -> None:
        """See `locara.engines.frame_model.FrameModel`."""
        self._conversations.pop(slot, None)

    def _frame(self, one: _Conversation, samples: Sound) -> tuple[Sound | None, str]:
        text, codes = self.tokens(one, one.codec.encode(samples))
        return None if codes is None else one.codec.decode(codes), one.text.next(text)

    def tokens(self, one: _Conversation, heard: list[int]) -> tuple[int, list[int] | None]:
        """One step of the language model: the codes of a frame heard to the text token, and the codes of a frame said."""
        import mlx.core as mx

        text, audio = one.tokens.read(heard)
        self._model.transformer_cache = one.caches
        said, codes = self._model.sample(
            mx.array([[text]]), [mx.array([[token]]) for token in audio], self._text_sampler, self._audio_sampler
        )
        mx.eval(said, codes)
        text = int(said.item())
        return text, one.tokens.made(text, [int(code) for code in np.array(codes).reshape(-1)])


def _device(mx: Any, wanted: str) -> str:
    """``gpu`` is Metal on a Mac."""
    there = bool(mx.is_available(mx.gpu)) if hasattr(mx, "is_available") else bool(mx.metal.is_available())
    if wanted == "gpu" and not there:
        raise Trouble("MLX has no GPU here", hint="device=cpu; Moshi is far too slow there but for trials")
    device = "gpu" if there and wanted != "cpu" else "cpu"
    mx.set_default_device(mx.gpu if device == "gpu" else mx.cpu)
    return device


def _language_model(mx: Any, files: MlxFiles) -> Any:
    from mlx import nn
    from moshi_mlx import models

    told = files.config
    config = models.LmConfig.from_config_dict(dict(told))
    config.transformer.dim_feedforward = int(
        float(told["hidden_scale"]) * int(told["dim"])
    )  # the package assumes 4.125
    model = models.Lm(config)
    model.set_dtype(mx.bfloat16)
    if files.bits is not None:
        nn.quantize(model, bits=files.bits, group_size=moshi_mlx_files.QUANTISED[files.bits])
    if files.torch_layout:
        model.load_pytorch_weights(str(files.weights), config, strict=True)
    else:
        model.load_weights(str(files.weights), strict=True)
    mx.eval(model.parameters())
    return model


def _codec(files: MlxFiles) -> Codec:
    used = int(files.config["dep_q"])
    return Codec(moshi_mlx_codec.load(files.mimi, files.mimi_config, files.books, used))


if __name__ == "__main__":
    from locara.engines.frame_worker import serve_model

    serve_model(MoshiMlx())
