"""Writes a Moshi or a PersonaPlex with random weights in the genuine format: run in an environment that has ``moshi``.

    python tests/engines/models/moshi_random.py FOLDER [moshi | personaplex] [CONTEXT]

Some megabytes: a small language model with all 17 streams, a thin Mimi with all its codebooks, a tokenizer with bytes, and
for PersonaPlex a depth decoder of 16 codebooks and two voices, one as sound and one as embeddings. What it says is
nonsense; the files' names, shapes and types, the loader and the work for each frame are the real ones.
"""

from __future__ import annotations

import copy
import io
import json
import sys
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import sentencepiece
import torch
from moshi.models import loaders

SIZES: dict[str, Any] = {
    "dim": 32, "num_heads": 2, "num_layers": 2, "hidden_scale": 2, "depformer_dim": 16, "depformer_num_heads": 2,
    "depformer_num_layers": 2, "depformer_dim_feedforward": 32,
}  # fmt: skip
_TEXT = "the kettle is on and the bread is in the oven where are you now please tell me what time it is today <system>"
_SPREAD = 0.15
"""Of the random weights: with the package's own the likeliest token is nearly always the same one."""

_LOUDER = 2.0
"""By how much the convolutions' random weights are raised: what goes through them fades to nothing otherwise."""


def tokenizer(path: Path) -> int:
    """A SentencePiece tokenizer that falls back on bytes, with 3 as its padding. Returns how many pieces it has."""
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([_TEXT] * 20), model_writer=trained, vocab_size=330, pad_id=3, minloglevel=2,
        hard_vocab_limit=False, byte_fallback=True,
    )  # fmt: skip
    path.write_bytes(trained.getvalue())
    return int(sentencepiece.SentencePieceProcessor(model_proto=trained.getvalue()).get_piece_size())


def mimi(folder: Path) -> None:
    """A thin Mimi of 32 codebooks of 2048, and its configuration."""
    config = copy.deepcopy(loaders._mimi_config)
    config["seanet"] |= {"dimension": 16, "n_filters": 2}
    config["transformer"] |= {
        "d_model": 16, "num_heads": 2, "num_layers": 1, "dim_feedforward": 32, "input_dimension": 16,
        "output_dimensions": [16], "context": 50,
    }  # fmt: skip
    config["quantizer"] |= {"dimension": 8, "input_dimension": 16, "output_dimension": 16}
    codec = loaders.get_mimi(None, config)
    with torch.no_grad():
        for name, value in codec.named_parameters():  # else every sound has the same codes
            if name.startswith("encoder."):
                value.mul_(_LOUDER if name.endswith(".weight") else 0)
        sound = 0.1 * torch.randn(1, 1, 50 * codec.frame_size)
        latent = codec.quantizer.rvq_first.input_proj(codec.encode_to_latent(sound, quantize=False))
        for name, value in codec.named_buffers():  # codebooks that were never trained are all the same
            if name.endswith("embedding_sum"):
                value.normal_().mul_(float(latent.std()))
    _save(codec.state_dict(), folder / "mimi.safetensors")
    (folder / "mimi.json").write_text(json.dumps(config))


def stacked(state: Mapping[str, Any]) -> dict[str, Any]:
    """The weights under the names of the published checkpoints, where attention's lie in one piece."""
    found: dict[str, Any] = {}
    for name, value in state.items():
        for side, old in (("in", "in_proj_weight"), ("out", "out_proj.weight")):
            where, middle, _rest = name.partition(f"{side}_projs.")
            if middle:
                key = f"{where}{old}"
                found[key] = torch.cat([found[key], value]) if key in found else value
                break
        else:
            found[name] = value
    return found


def main() -> None:
    """Weights, tokenizer, configurations, voices."""
    folder, kind, context = Path(sys.argv[1]), (sys.argv[2:] or ["moshi"])[0], int((sys.argv[3:] or ["60"])[0])
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(3)
    torch.set_grad_enabled(False)
    card = tokenizer(folder / "tokenizer.model")
    books = 16 if kind == "personaplex" else 8
    config = {**loaders._lm_kwargs, **SIZES, "text_card": card, "context": context, "dep_q": books}
    model = loaders.get_moshi_lm(None, config, dtype=torch.float32)
    for name, value in model.named_parameters():
        if not name.endswith(".alpha"):
            value.normal_(0, _SPREAD)
    _save(stacked(model.state_dict()), folder / "model.safetensors")
    mimi(folder)
    # PersonaPlex's repository does not say the 16: its code does.
    told = {**config, "dep_q": 8, "moshi_name": "model.safetensors", "mimi_name": "mimi.safetensors"}
    told |= {"mimi_config_name": "mimi.json", "tokenizer_name": "tokenizer.model", "model_type": kind}
    (folder / "config.json").write_text(json.dumps(told))
    if kind == "personaplex":
        voices(folder / "voices", model)


def voices(folder: Path, model: Any) -> None:
    """``ANNA.wav``, a second and a half at 16 kHz, and ``BERT.pt`` in the format of NVIDIA's program."""
    folder.mkdir(exist_ok=True)
    time = np.arange(24_000) / 16_000
    sound = 0.2 * np.sin(2 * np.pi * (220 + 60 * np.sin(9 * time)) * time) * (1 + np.sin(21 * time)) / 2
    with wave.open(str(folder / "ANNA.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((sound * 32767).astype("<i2").tobytes())
    torch.save(saved_voice(model, torch.randint(0, 2048, (6, 8)).tolist()), folder / "BERT.pt")


def saved_voice(model: Any, frames: list[list[int]]) -> dict[str, Any]:
    """What NVIDIA's program writes for a voice with these codes: of each step what goes into the temporal transformer, and
    the ring of four positions of tokens as it stands then."""
    sine, silent = [430, 1268, 381, 1611, 1095, 1495, 56, 472], 3
    count = len(frames)
    streams = torch.full((17, count + 1), model.card)
    streams[0] = silent
    streams[0, 0] = model.text_card
    for number, frame in enumerate(frames):
        for first, codes in ((1, frame), (9, sine)):
            if number:  # what stands at position 0 is replaced by the first tokens; so are the first delayed ones
                streams[first, number] = codes[0]
                streams[first + 1 : first + 8, number + 1] = torch.tensor(codes[1:])
    inputs = [
        model.text_emb(streams[:1, step : step + 1])
        + sum(model.emb[book](streams[1 + book : 2 + book, step : step + 1]) for book in range(16))
        for step in range(count - 1)
    ]
    ring = torch.zeros((1, 17, 4), dtype=torch.long)
    for position in range(count - 3, count + 1):
        ring[0, :, position % 4] = streams[:, position]
    return {"embeddings": torch.stack(inputs), "cache": ring}


def _save(state: Mapping[str, Any], path: Path) -> None:
    safetensors.torch.save_file({name: value.contiguous().clone() for name, value in state.items()}, path)


if __name__ == "__main__":
    main()
