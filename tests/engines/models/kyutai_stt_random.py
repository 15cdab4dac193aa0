"""Writes a speech to text of Kyutai's with random weights in its genuine format: run in an environment that has ``moshi``
(and ``sentencepiece``, which it needs itself).

    python tests/engines/models/kyutai_stt_random.py FOLDER [tiny | 1b]

``tiny``: some hundred kilobytes and a small Mimi. ``1b``: language model and Mimi of the published sizes (the 1B's ``dim``
2048, 16 layers, 32 codebooks; 2.4 GB), for measuring speed. What it writes is nonsense; the loader, the streaming loop and
the work for each frame are the real ones.
"""

from __future__ import annotations

import copy
import io
import json
import sys
from pathlib import Path
from typing import Any

import safetensors.torch
import sentencepiece
import torch
from moshi.models import loaders

_TINY: dict[str, Any] = {
    "dim": 32,
    "num_heads": 2,
    "num_layers": 2,
    "hidden_scale": 2,
    "n_q": 4,
    "context": 64,
    "text_card": 300,
}
_ONE_B: dict[str, Any] = {
    "dim": 2048, "num_heads": 16, "num_layers": 16, "hidden_scale": 4.125, "n_q": 32, "context": 750, "text_card": 8000,
}  # fmt: skip
_TEXT = "the kettle is on and the bread is in the oven where are you now please tell me what time it is today"


def main() -> None:
    """Weights, tokenizer, configurations."""
    folder, size = Path(sys.argv[1]), (sys.argv[2:] or ["tiny"])[0]
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(3)
    sizes = _TINY if size == "tiny" else _ONE_B
    mimi = copy.deepcopy(loaders._mimi_config)
    if size == "tiny":
        mimi["seanet"] |= {"dimension": 16, "n_filters": 2}
        mimi["transformer"] |= {
            "d_model": 16, "num_heads": 2, "num_layers": 1, "dim_feedforward": 32, "input_dimension": 16,
            "output_dimensions": [16], "context": 50,
        }  # fmt: skip
        mimi["quantizer"] |= {"dimension": 8, "bins": 64, "input_dimension": 16, "output_dimension": 16}
    card = mimi["quantizer"]["bins"]
    config = {
        **sizes, "card": card, "dep_q": 0, "delays": [0] * (sizes["n_q"] + 1), "causal": True, "layer_scale": None,
        "max_period": 100_000, "gating": "silu", "norm": "rms_norm_f32", "positional_embedding": "rope",
        "existing_text_padding_id": 3, "depformer_dim": 32, "depformer_num_heads": 2, "depformer_num_layers": 1,
    }  # fmt: skip
    model = loaders.get_moshi_lm(None, config, dtype=torch.bfloat16)
    save = safetensors.torch.save_file
    save({key: value.contiguous() for key, value in model.state_dict().items()}, folder / "model.safetensors")
    codec = loaders.get_mimi(None, mimi, num_codebooks=sizes["n_q"])
    with torch.no_grad():  # codebooks that were never trained are all the same
        for name, value in codec.named_buffers():
            if name.endswith("embedding_sum"):
                value.normal_()
    save({key: value.contiguous().clone() for key, value in codec.state_dict().items()}, folder / "mimi.safetensors")
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([_TEXT] * 20), model_writer=trained, vocab_size=60, pad_id=3, minloglevel=2,
        hard_vocab_limit=False,
    )  # fmt: skip
    (folder / "tokenizer.model").write_bytes(trained.getvalue())
    count = sentencepiece.SentencePieceProcessor(model_proto=trained.getvalue()).get_piece_size()
    # Tokens that the small tokenizer has not are never the likeliest.
    state = safetensors.torch.load_file(folder / "model.safetensors")
    state["text_linear.weight"][count:] = 0
    save(state, folder / "model.safetensors")
    (folder / "mimi.json").write_text(json.dumps(mimi))
    told = {
        **config, "moshi_name": "model.safetensors", "mimi_name": "mimi.safetensors", "mimi_config_name": "mimi.json",
        "tokenizer_name": "tokenizer.model", "model_type": "stt", "conditioners": {}, "cross_attention": False,
        "stt_config": {"audio_delay_seconds": 0.5, "audio_silence_prefix_seconds": 0.0}, "lm_gen_config": {},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
