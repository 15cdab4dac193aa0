"""Writes a Pocket TTS model with random weights in its genuine format: run in an environment that has ``pocket_tts``.

    python tests/engines/models/pocket_tts_random.py FOLDER [CONFIGURATION]

``CONFIGURATION``: of the package; english_2m_2026-10 (the smallest) if left out. The sound is noise; the loader, the
streaming loop and the work per sample are the real ones.
"""

from __future__ import annotations

import sys
from pathlib import Path

import safetensors.torch
import tokenizers
import torch
import yaml
from pocket_tts import TTSModel, export_model_state
from pocket_tts.utils.config import CONFIGS_DIR


def main() -> None:
    """Weights, tokenizer, configuration and one voice."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    config = yaml.safe_load((CONFIGS_DIR / f"{(sys.argv[2:] or ['english_2m_2026-10'])[0]}.yaml").read_text())
    table = config["flow_lm"]["lookup_table"]
    words = ["<unk>", *(f"word{number}" for number in range(table["n_bins"] - 1))]  # a token a word, as in real speech
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))  # noqa: S106  no password
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    table["tokenizer"], table["tokenizer_path"] = "tokenizers", str(folder / "tokenizer.json")
    config["weights_path"] = config["weights_path_without_voice_cloning"] = None
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    torch.manual_seed(1)
    model = TTSModel.load_model(config=str(folder / "config.yaml"))
    with torch.no_grad():
        model.flow_lm.out_eos.bias.fill_(
            -100.0
        )  # it speaks as long as the package lets it: 3 words a second and 2 s more
    safetensors.torch.save_file(model.state_dict(), folder / "model.safetensors")
    (folder / "embeddings").mkdir(exist_ok=True)
    state = model.get_state_for_audio_prompt(0.1 * torch.randn(1, 24_000 * 2))
    export_model_state(state, folder / "embeddings" / "noise.safetensors")


if __name__ == "__main__":
    main()
