"""Moshi and PersonaPlex on MLX in their own environment: started by `locara.engines.omni.moshi_mlx`. Calls ``moshi_mlx``.

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
import numpy.typing as npt

from locara.engines.frame_model import FrameFacts, Sound
from locara.engines.isolated_worker import Trouble
from locara.engines.omni import moshi_mlx_codec, moshi_mlx_files, moshi_mlx_prompting, personaplex
from locara.engines.omni.delayed_tokens import DelayedTokens
from locara.engines.omni.moshi_files import AGENT_BOOKS
from locara.engines.omni.moshi_mlx_codec import Codec
from locara.engines.omni.moshi_mlx_files import MlxFiles
from locara.engines.omni.moshi_mlx_prompting import Sizes
from locara.engines.omni.personaplex import Forced
from locara.engines.omni.sentencepiece_pieces import PieceText
from locara.engines.published_files import AGAIN

RATE = 24_000  # Hz, Mimi's
FRAME = 1920  # samples: 80 ms
_WARM_FRAMES = 4  # the kernels of a step are made in the first ones
_END_OF_PADDING = 0  # the text token before a word


@dataclass(slots=True)
class _Conversation:
    """What belongs to one of them: weights are shared, but for Mimi's, whose package keeps its state beside them. See also
    `locara.engines.omni.moshi_mlx_prompting.Talk`."""

    model: MoshiMlx
    codec: Codec
    tokens: DelayedTokens
    caches: list[Any]
    text: PieceText

    def force(self, forced: Forced) -> None:
        self.model.tokens(self, list(forced.user), forced)

    def feed(self, embedding: npt.NDArray[np.float32]) -> None:
        self.model.feed(self, embedding)

    def resume(self, steps: int, text: int, made: list[int], heard: list[int]) -> None:
        self.tokens.resume(steps, text, made, heard)


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
        self._voice = ""

    def load(self, options: Mapping[str, Any], report: Callable[[str], None]) -> FrameFacts:
        """See `locara.engines.frame_model.FrameModel`. Options: those of `locara.engines.omni.moshi_mlx.create`."""
        files = moshi_mlx_files.read(Path(options["path"]))
        import mlx.core as mx
        from moshi_mlx.utils import Sampler

        device = _device(mx, str(options["device"]))
        report(f"reading {files.weights.name} ({files.weights.stat().st_size / 1e9:.1f} GB)")
        self._files = files
        self._voice = str(options.get("voice") or "") or next(iter(files.voices), "")
        try:
            self._model = _language_model(mx, files, int(options.get("bits") or 0))
            slots = int(options["slots"])
            self._codecs = [_codec(files) for _ in range(slots)]
        except (ValueError, KeyError, RuntimeError) as error:
            said = " ".join(str(error).split())[:300] or type(error).__name__
            raise Trouble(f"{files.weights.parent} does not hold a whole Moshi: {said}", hint=AGAIN) from error
        temperatures = float(options["text_temperature"]), float(options["temperature"])
        most = int(options["text_top_k"]), int(options["top_k"])
        cards = int(files.config["text_card"]), int(files.config["card"])
        self._text_sampler, self._audio_sampler = (
            Sampler(temp=temperature, top_k=min(top, card - 1))
            for temperature, top, card in zip(temperatures, most, cards, strict=True)
        )
        report("warming up")
        for slot in range(slots):
            self._begin(slot)
            for _ in range(_WARM_FRAMES):
                self.step({slot: np.zeros(FRAME, np.float32)})
            self.close(slot)
        bits = files.bits or int(options.get("bits") or 0)
        return FrameFacts(
            rate=RATE,
            frame=FRAME,
            slots=slots,
            instructions=files.persona,
            voices=files.voices,
            device=device,
            note=f"{'PersonaPlex' if files.persona else 'Moshi'} on MLX, {f'{bits} bits' if bits else 'as published'}",
        )

    def open(self, slot: int, settings: Mapping[str, Any]) -> Iterator[float]:
        """See `locara.engines.frame_model.FrameModel`. Moshi takes neither a role nor a voice, and no step here."""
        assert self._files is not None
        files = self._files
        for name, what in (("instructions", "no instructions"), ("voice", "no other voice than its own")):
            if settings.get(name) and not files.persona:
                raise Trouble(f"Moshi takes {what}", hint=f"leave {name} out, or choose PersonaPlex, which takes both")
        voice = str(settings.get("voice") or self._voice)
        path = personaplex.voice_file(files.folder, voice, files.voices) if voice else None
        one = self._begin(slot)
        return self._prompt(slot, one, str(settings.get("instructions") or ""), path) if files.persona else iter(())

    def _begin(self, slot: int) -> _Conversation:
        """From nothing."""
        assert self._files is not None
        config = self._files.config
        codec = self._codecs[slot]
        codec.reset()
        one = self._conversations[slot] = _Conversation(
            model=self,
            codec=codec,
            tokens=DelayedTokens(
                config["delays"][1:], AGENT_BOOKS, padding=int(config["card"]), start=int(config["text_card"])
            ),
            caches=moshi_mlx_codec.rings(self._model.transformer),
            text=PieceText(self._files.pieces, (_END_OF_PADDING, int(config.get("existing_text_padding_id", 3)))),
        )
        return one

    def _prompt(self, slot: int, one: _Conversation, instructions: str, voice: Path | None) -> Iterator[float]:
        assert self._files is not None
        config = self._files.config
        sizes = Sizes(
            width=int(config["dim"]), card=int(config["card"]), text_card=int(config["text_card"]),
            context=int(config["context"]), pad=int(config.get("existing_text_padding_id", 3)), rate=RATE, frame=FRAME,
        )  # fmt: skip
        try:
            said = moshi_mlx_prompting.words(self._files.tokenizer, personaplex.role(instructions))
            yield from moshi_mlx_prompting.hear(one, sizes, said, voice)
        except BaseException:
            self.close(slot)
            raise
        one.codec.reset()  # what it heard of the voice was no sound of the user

    def step(self, frames: Mapping[int, Sound]) -> Mapping[int, tuple[Sound | None, str]]:
        """See `locara.engines.frame_model.FrameModel`."""
        return {slot: self._frame(self._conversations[slot], samples) for slot, samples in frames.items()}

    def close(self, slot: int) -> None:
        """See `locara.engines.frame_model.FrameModel`."""
        self._conversations.pop(slot, None)

    def _frame(self, one: _Conversation, samples: Sound) -> tuple[Sound | None, str]:
        made = self.tokens(one, self.heard(one, samples))
        if made is None:
            return None, ""
        text, codes = made
        return one.codec.decode(codes), one.text.next(text)

    def heard(self, one: _Conversation, samples: Sound) -> list[int]:
        """The codes of the next frame. The first one is never read (`DelayedTokens`): as in the package's server it is
        heard and forgotten, so that the next one has the padding that belongs to a start."""
        codes = one.codec.encode(samples)
        if one.tokens.fresh:
            one.codec.reset()
        return codes

    def tokens(
        self, one: _Conversation, heard: list[int], forced: Forced | None = None
    ) -> tuple[int, list[int]] | None:
        """One step of the language model: the codes of a frame heard to the text token and the codes of a frame said.
        ``forced``: what it must think and say instead of what it likes."""
        import mlx.core as mx

        text, audio = one.tokens.read(heard)
        self._model.transformer_cache = one.caches
        said, codes = self._model.sample(
            mx.array([[text]]), [mx.array([[token]]) for token in audio], self._text_sampler, self._audio_sampler
        )
        mx.eval(said, codes)
        text, made = int(said.item()), [int(code) for code in np.array(codes).reshape(-1)]
        if forced is not None:
            text = text if forced.text is None else forced.text
            made = [made[0] if forced.semantic is None else forced.semantic, *forced.acoustic]
        return one.tokens.made(text, made)

    def feed(self, one: _Conversation, embedding: npt.NDArray[np.float32]) -> None:
        """See `locara.engines.omni.moshi_mlx_prompting.Talk`."""
        import mlx.core as mx

        weight = self._model.out_norm.weight  # never quantised: its type is that of the sums
        mx.eval(self._model.transformer(mx.array(embedding).astype(weight.dtype)[None, None], cache=one.caches))


def _device(mx: Any, wanted: str) -> str:
    """``gpu`` is Metal on a Mac."""
    there = bool(mx.is_available(mx.gpu)) if hasattr(mx, "is_available") else bool(mx.metal.is_available())
    if wanted == "gpu" and not there:
        raise Trouble("MLX has no GPU here", hint="device=cpu; Moshi is far too slow there but for trials")
    device = "gpu" if there and wanted != "cpu" else "cpu"
    mx.set_default_device(mx.gpu if device == "gpu" else mx.cpu)
    return device


def _language_model(mx: Any, files: MlxFiles, bits: int) -> Any:
    """``bits``: to which weights that are published plain are quantised; 0: not at all."""
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
    # PersonaPlex's depth decoder predicts the user's codes, too, which nobody needs.
    model.depformer.slices = model.depformer.slices[:AGENT_BOOKS]
    if bits and files.bits is None:
        nn.quantize(model, bits=bits, group_size=moshi_mlx_files.QUANTISED[bits])
    mx.eval(model.parameters())
    return model


def _codec(files: MlxFiles) -> Codec:
    return Codec(moshi_mlx_codec.load(files.mimi, files.mimi_config, files.books, AGENT_BOOKS))


if __name__ == "__main__":
    from locara.engines.frame_worker import serve_model

    serve_model(MoshiMlx())
