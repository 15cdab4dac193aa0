"""F5-TTS in its own environment: started by `locara.engines.f5_tts`. Calls the package ``f5_tts`` 1.1. Never run here.

What may live here: this one synthesiser. It reads local files only, and no pickle: the vocoder's published weights are
one, so they have to be converted first (docs/engines.md says how).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from locara.engines.isolated_worker import Trouble, work


class F5Tts:
    """The model, its vocoder, and the recording whose voice it takes."""

    def __init__(self) -> None:
        self._parts: dict[str, Any] = {}
        self._settings: dict[str, Any] = {}

    def load(self, options: Mapping[str, Any]) -> int:
        """See `locara.engines.isolated_worker.Synthesiser`."""
        import torch
        from f5_tts.infer.utils_infer import load_model, preprocess_ref_audio_text
        from hydra.utils import get_class
        from omegaconf import OmegaConf

        folder = Path(options["path"])
        config = OmegaConf.load(str(files("f5_tts").joinpath(f"configs/{options.get('config', 'F5TTS_v1_Base')}.yaml")))
        mel = config.model.mel_spec
        if mel.mel_spec_type != "vocos":
            raise Trouble(f"the vocoder {mel.mel_spec_type} is not supported", hint="use F5TTS_v1_Base")
        device = str(options.get("device") or ("cuda" if torch.cuda.is_available() else "cpu"))
        weights = [one for one in sorted(folder.glob("*.safetensors")) if one.name != "model.safetensors"] or sorted(
            folder.glob("*.safetensors")
        )
        if not weights or not (folder / "vocab.txt").is_file():
            raise Trouble(
                f"{folder} must hold the model's .safetensors and vocab.txt", hint="locara models verify f5-tts"
            )
        model = load_model(
            get_class(f"f5_tts.model.{config.model.backbone}"),
            config.model.arch,
            str(weights[0]),
            mel.mel_spec_type,
            str(folder / "vocab.txt"),
            device=device,
        )
        voice, said = preprocess_ref_audio_text(options["voice"], options["voice_text"], show_info=_quietly)
        self._parts = {"model_obj": model, "vocoder": _vocoder(folder / "vocos", device), "device": device}
        self._settings = {
            "ref_audio": voice,
            "ref_text": said,
            "nfe_step": int(options.get("steps", 32)),
            "speed": float(options.get("speed", 1.0)),
        }
        return int(mel.target_sample_rate)

    def speak(self, text: str, stop: threading.Event) -> Iterator[npt.NDArray[np.float32]]:
        """See `locara.engines.isolated_worker.Synthesiser`. A clause is made whole: the model is not autoregressive."""
        from f5_tts.infer.utils_infer import infer_process

        if stop.is_set():
            return
        settings = dict(self._settings)
        voice, said = settings.pop("ref_audio"), settings.pop("ref_text")
        samples, _, _ = infer_process(
            voice, said, text, mel_spec_type="vocos", show_info=_quietly, progress=None, **self._parts, **settings
        )
        if samples is not None:
            yield np.asarray(samples, dtype=np.float32)


def _vocoder(folder: Path, device: str) -> Any:
    """Vocos from safetensors: the package itself would unpickle ``pytorch_model.bin``."""
    from safetensors.torch import load_file
    from vocos import Vocos

    weights = folder / "model.safetensors"
    if not weights.is_file() or not (folder / "config.yaml").is_file():
        raise Trouble(
            f"{folder} must hold config.yaml and model.safetensors",
            hint="the published pytorch_model.bin is a pickle, which Locara does not load: convert it (docs/engines.md)",
        )
    vocoder = Vocos.from_hparams(str(folder / "config.yaml"))
    vocoder.load_state_dict(load_file(str(weights)))
    return vocoder.eval().to(device)


def _quietly(*_: object) -> None:
    """The package prints what it does."""


if __name__ == "__main__":
    work(F5Tts())
