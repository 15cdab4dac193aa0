"""Pocket TTS in its own environment: started by `locara.engines.pocket_tts`. Calls the package ``pocket_tts`` 4.

What may live here: this one synthesiser. It reads local files only: the package's own configuration names its weights by
their address on a hub, and they are replaced by the files in the folder before it sees them.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from locara.engines.isolated_worker import Trouble, work


class PocketTts:
    """The model, and the state of its voice."""

    def __init__(self) -> None:
        self._model: Any = None
        self._voice: Any = None

    def load(self, options: Mapping[str, Any]) -> int:
        """See `locara.engines.isolated_worker.Synthesiser`."""
        from pocket_tts import TTSModel

        folder = Path(options["path"])
        config = _config(folder, str(options.get("config") or ""))
        steps = {"sampler_decode_steps": int(options["steps"])} if "steps" in options else {}
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", delete=False, encoding="utf-8") as file:
            file.write(config)
        try:
            self._model = TTSModel.load_model(config=file.name, temp=options.get("temperature"), **steps)
        finally:
            Path(file.name).unlink(missing_ok=True)
        self._voice = self._model.get_state_for_audio_prompt(_voice(folder, str(options.get("voice") or "")))
        return int(self._model.sample_rate)

    def speak(self, text: str, stop: threading.Event) -> Iterator[npt.NDArray[np.float32]]:
        """See `locara.engines.isolated_worker.Synthesiser`. Stops after the frame (80 ms of sound) it is in."""
        for piece in self._model.generate_audio_stream(self._voice, text, stop=stop):
            yield piece.detach().cpu().numpy().astype(np.float32)


def _config(folder: Path, named: str) -> str:
    """The package's configuration as YAML, with the files of ``folder`` in it."""
    import yaml
    from pocket_tts.utils.config import CONFIGS_DIR

    if named and not named.endswith((".yaml", ".yml")):
        source = CONFIGS_DIR / f"{named}.yaml"
        if not source.is_file():
            known = ", ".join(sorted(one.stem for one in CONFIGS_DIR.glob("*.yaml")))
            raise Trouble(f"pocket-tts has no configuration {named!r}", hint=f"it has {known}")
    else:
        found = [folder / named] if named else sorted(folder.glob("*.yaml"))
        if not found or not found[0].is_file():
            raise Trouble(f"there is no configuration in {folder}", hint="name one of the package: config=english")
        source = found[0]
    config = yaml.safe_load(source.read_text(encoding="utf-8"))
    weights = folder / "model.safetensors"
    tokenizers = [folder / name for name in ("tokenizer.json", "tokenizer.model") if (folder / name).is_file()]
    if not weights.is_file() or not tokenizers:
        raise Trouble(
            f"{folder} must hold model.safetensors and tokenizer.json or tokenizer.model",
            hint="locara models verify pocket-tts",
        )
    config["weights_path"] = str(weights)
    config["weights_path_without_voice_cloning"] = None
    table = config["flow_lm"]["lookup_table"]
    table["tokenizer_path"] = str(tokenizers[0])
    table["tokenizer"] = "tokenizers" if tokenizers[0].suffix == ".json" else "sentencepiece"
    return str(yaml.safe_dump(config, allow_unicode=True))


def _voice(folder: Path, named: str) -> Path:
    """The file of the voice: a path, a name in the folder, or the first one there."""
    if named and Path(named).is_file():
        return Path(named)
    places = (folder / "embeddings", folder / "voices", folder)
    known = [one for place in places if place.is_dir() for one in sorted(place.glob("*.safetensors"))]
    known = [one for one in known if one.name != "model.safetensors"]
    for one in known:
        if not named or one.stem == named:
            return one
    raise Trouble(
        f"there is no voice {named!r} in {folder}" if named else f"there is no voice in {folder}",
        hint="voices there: " + (", ".join(one.stem for one in known) or "none; give a WAV file to clone: voice=..."),
    )


if __name__ == "__main__":
    work(PocketTts())
