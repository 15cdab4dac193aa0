"""Writes a text to speech of Kyutai's with random weights in its genuine format: run in an environment that has ``moshi``.

    python tests/engines/models/kyutai_tts_random.py FOLDER [tiny | 1.6b]

``tiny``: some megabytes and a small Mimi. ``1.6b``: language model and Mimi of the published sizes (4 GB), for measuring
speed. The configuration has the published one's keys: conditioners for the voice, the guidance and ``control``,
cross-attention, two text streams in one, a depth decoder whose weights are shared by schedule. What it says is noise; the
loader, the state machine, the streaming loop and the work for each frame are the real ones.
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from moshi.models import loaders
from moshi_random import stacked, tokenizer  # type: ignore[import-not-found]  # beside this file

_CONFIG: dict[str, Any] = {
    "card": 2048, "n_q": 32, "dep_q": 32, "delays": [0, 0, *[2] * 31], "dim": 2048, "text_card": 8000,
    "existing_text_padding_id": 3, "num_heads": 16, "num_layers": 16, "hidden_scale": 4.125, "causal": True,
    "layer_scale": None, "context": 500, "max_period": 10_000, "gating": "silu", "norm": "rms_norm_f32",
    "positional_embedding": "rope", "depformer_dim": 1024, "depformer_num_heads": 16, "depformer_num_layers": 4,
    "depformer_dim_feedforward": 3072, "depformer_multi_linear": True, "depformer_pos_emb": "none",
    "depformer_weights_per_step": True, "depformer_low_rank_embeddings": 128, "demux_second_stream": True,
    "text_card_out": None, "cross_attention": True,
    "depformer_weights_per_step_schedule": [*range(8), *[8] * 8, *[9] * 8, *[10] * 8],
    "conditioners": {
        "speaker_wavs": {"type": "tensor", "tensor": {"dim": 512}},
        "cfg": {"type": "lut", "lut": {
            "n_bins": 7, "dim": 16, "tokenizer": "noop",
            "possible_values": ["1.0", "1.5", "2.0", "2.5", "3.0", "3.5", "4.0"],
        }},
        "control": {"type": "lut", "lut": {"n_bins": 1, "dim": 2048, "tokenizer": "noop", "possible_values": ["ok"]}},
    },
    "fuser": {
        "cross_attention_pos_emb": True, "cross_attention_pos_emb_scale": 1, "sum": ["control", "cfg"], "prepend": [],
        "cross": ["speaker_wavs"],
    },
}  # fmt: skip
_TINY = {
    "dim": 32, "num_heads": 2, "num_layers": 2, "context": 64, "depformer_dim": 16, "depformer_num_heads": 2,
    "depformer_num_layers": 1, "depformer_dim_feedforward": 32, "depformer_low_rank_embeddings": 8,
}  # fmt: skip
_NAMES: dict[str, Any] = {
    "moshi_name": "dsm_tts_1e68beda@240.safetensors", "mimi_name": "tokenizer-e351c8d8-checkpoint125.safetensors",
    "tokenizer_name": "tokenizer_spm_8k_en_fr_audio.model", "model_type": "tts",
    "model_id": {"sig": "1e68beda", "epoch": 240}, "tts_config": {"audio_delay": 1.28, "second_stream_ahead": 2},
    "lm_gen_config": {"temp": 0.6, "text_temp": 0.6},
}  # fmt: skip


def main() -> None:
    """Weights, tokenizer, configurations, two voices."""
    folder, size = Path(sys.argv[1]), (sys.argv[2:] or ["tiny"])[0]
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(3)
    pieces = tokenizer(folder / "tokenizer_spm_8k_en_fr_audio.model")
    config = copy.deepcopy(_CONFIG)
    mimi = copy.deepcopy(loaders._mimi_config)
    names = dict(_NAMES)
    if size == "tiny":
        config |= {**_TINY, "text_card": pieces}
        config["conditioners"]["control"]["lut"]["dim"] = 32
        config["conditioners"]["speaker_wavs"]["tensor"]["dim"] = 24
        mimi["seanet"] |= {"dimension": 16, "n_filters": 2}
        mimi["transformer"] |= {
            "d_model": 16, "num_heads": 2, "num_layers": 1, "dim_feedforward": 32, "input_dimension": 16,
            "output_dimensions": [16], "context": 50,
        }  # fmt: skip
        mimi["quantizer"] |= {"dimension": 8, "input_dimension": 16, "output_dimension": 16}
        names["mimi_config_name"] = "mimi.json"
        (folder / "mimi.json").write_text(json.dumps(mimi))
    # What makes the model puts the width and the device into the conditioners' own dictionaries.
    model = loaders.get_moshi_lm(None, copy.deepcopy(config), dtype=torch.bfloat16)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if not name.endswith(".alpha") and size == "tiny":
                value.normal_(0, 0.15)  # with the package's own the likeliest token is nearly always the same one
    _save(stacked(model.state_dict()), folder / names["moshi_name"])
    codec = loaders.get_mimi(None, mimi)
    with torch.no_grad():
        for name, value in codec.named_buffers():  # codebooks that were never trained are all the same
            if name.endswith("embedding_sum"):
                value.normal_()
    _save(stacked(codec.state_dict()), folder / names["mimi_name"])
    (folder / "config.json").write_text(json.dumps({**config, **names}))
    (folder / "voices").mkdir(exist_ok=True)
    wide = config["conditioners"]["speaker_wavs"]["tensor"]["dim"]
    for name in ("anna", "bert"):
        _save({"speaker_wavs": torch.randn(1, wide, 125)}, folder / "voices" / f"{name}.wav.1e68beda@240.safetensors")


def _save(state: dict[str, Any], path: Path) -> None:
    safetensors.torch.save_file({name: value.contiguous().clone() for name, value in state.items()}, path)


if __name__ == "__main__":
    main()
