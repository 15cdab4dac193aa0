"""XTTS v2 in its own environment: started by `locara.engines.xtts`. Calls the package ``TTS`` of coqui-tts. Never run here.

What may live here: this one synthesiser. It reads local files only, and no pickle: the published ``model.pth`` is one, so
it has to be converted first (docs/engines.md says how).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from locara.engines.isolated_worker import Trouble, work


class Xtts:
    """The model, and the latents of its voice."""

    def __init__(self) -> None:
        self._model: Any = None
        self._voice: tuple[Any, Any] = (None, None)
        self._language = "en"
        self._speed = 1.0

    def load(self, options: Mapping[str, Any]) -> int:
        """See `locara.engines.isolated_worker.Synthesiser`."""
        import torch
        from safetensors.torch import load_file
        from TTS.tts.configs.xtts_config import XttsConfig
        from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer
        from TTS.tts.models.xtts import Xtts as Model

        folder = Path(options["path"])
        for name in ("config.json", "vocab.json", "model.safetensors"):
            if not (folder / name).is_file():
                raise Trouble(
                    f"{folder} must hold {name}",
                    hint="the published model.pth is a pickle, which Locara does not load: convert it (docs/engines.md)",
                )
        config = XttsConfig()
        config.load_json(str(folder / "config.json"))
        model = Model.init_from_config(config)
        model.tokenizer = VoiceBpeTokenizer(vocab_file=str(folder / "vocab.json"))
        model.init_models()
        weights = load_file(str(folder / "model.safetensors"))
        try:
            model.load_state_dict(weights)
        except RuntimeError:  # older checkpoints hold what the next call makes, too
            model.gpt.init_gpt_for_inference(kv_cache=model.args.kv_cache)
            model.load_state_dict(weights)
        model.hifigan_decoder.eval()
        model.gpt.init_gpt_for_inference(kv_cache=model.args.kv_cache)
        model.gpt.eval()
        model.to(str(options.get("device") or ("cuda" if torch.cuda.is_available() else "cpu")))
        self._voice = model.get_conditioning_latents(audio_path=[str(options["voice"])])
        self._model, self._language, self._speed = model, options["language"], float(options.get("speed", 1.0))
        return int(config.model_args.output_sample_rate)

    def speak(self, text: str, stop: threading.Event) -> Iterator[npt.NDArray[np.float32]]:
        """See `locara.engines.isolated_worker.Synthesiser`."""
        pieces = self._model.inference_stream(
            text, self._language, *self._voice, speed=self._speed, enable_text_splitting=True
        )
        for piece in pieces:
            if stop.is_set():
                return
            yield piece.detach().cpu().numpy().astype(np.float32).reshape(-1)


if __name__ == "__main__":
    work(Xtts())
