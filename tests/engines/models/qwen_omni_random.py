"""Writes a Qwen-Omni model with random weights in its genuine format: run in an environment that has ``transformers``.

    python tests/engines/models/qwen_omni_random.py FOLDER 2.5|3 [tiny | small]

``tiny``: a few megabytes, for tests. ``small``: some tens of millions of weights, for measuring. What it says is nonsense;
the configurations, the tokenizer's kind, the shards and their index, the speakers and the code that runs them are real.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    Qwen2_5OmniConfig,
    Qwen2_5OmniForConditionalGeneration,
    Qwen2TokenizerFast,
    Qwen3OmniMoeConfig,
    Qwen3OmniMoeForConditionalGeneration,
    WhisperFeatureExtractor,
)

_SPECIAL = {
    "2.5": ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>", "<|IMAGE|>",
            "<|VIDEO|>", "<|vision_bos|>", "<|vision_eos|>", "<|text_bos|>", "<|text_eos|>", "<|text_pad|>"],
    "3": ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|audio_pad|>", "<|audio_start|>", "<|audio_end|>",
          "<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>", "<tts_pad>", "<tts_text_bos>",
          "<tts_text_eod>"],
}  # fmt: skip
_WORDS = ["system", "user", "assistant"]
"""Each must be one token: the talker finds the turns by them."""
_AUDIO = {"2.5": "<|audio_bos|><|AUDIO|><|audio_eos|>", "3": "<|audio_start|><|audio_pad|><|audio_end|>"}
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'audio' %}AUDIO{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer(kind: str) -> Any:
    """Bytes, three words that are one token, and the marks of the model."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces, merges = list(letters), []
    for word in _WORDS:
        for end in range(2, len(word) + 1):
            if word[:end] not in pieces:
                pieces.append(word[:end])
                merges.append((word[: end - 1], word[end - 1]))
    raw = Tokenizer(models.BPE(vocab={piece: at for at, piece in enumerate(pieces)}, merges=merges))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    marks = {"unk_token": None, "bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    made = Qwen2TokenizerFast(tokenizer_object=raw, **marks)
    made.add_special_tokens({"additional_special_tokens": _SPECIAL[kind]})
    return made


def config_3(ids: dict[str, int], width: int, layers: int) -> Any:
    """Qwen3-Omni: mixture of experts, four code groups, the sound decoder's real rates."""
    moe = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": width, "intermediate_size": width}
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1], "interleaved": True}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
    marks = {
        "audio_token_id": ids["<|audio_pad|>"], "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"], "audio_start_token_id": ids["<|audio_start|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
    }  # fmt: skip
    config = Qwen3OmniMoeConfig(
        thinker_config={
            "text_config": {"vocab_size": len(ids), "hidden_size": width, "num_hidden_layers": layers, **heads,
                            "rope_parameters": rope, "max_position_embeddings": 4096, **moe},
            "audio_config": {"encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32, "d_model": 32,
                             "output_dim": width, "downsample_hidden_size": 16, "num_mel_bins": 128},
            "vision_config": {"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2,
                              "out_hidden_size": width, "deepstack_visual_indexes": [0]},
            "user_token_id": ids["user"], **marks,
        },
        talker_config={
            "text_config": {"vocab_size": 1024 + 64, "hidden_size": width, "num_hidden_layers": 2, **heads,
                            "rope_parameters": rope, "shared_expert_intermediate_size": 16, **moe},
            "code_predictor_config": {"vocab_size": 64, "hidden_size": width, "intermediate_size": width,
                                      "num_hidden_layers": 1, **heads, "num_code_groups": 4},
            "num_code_groups": 4, "thinker_hidden_size": width, "accept_hidden_layer": 2, "codec_eos_token_id": 70,
            "codec_nothink_id": 71, "codec_think_bos_id": 72, "codec_think_eos_id": 73, "codec_pad_id": 74,
            "codec_bos_id": 75, "speaker_id": {"ethan": 80, "chelsie": 81}, "spatial_merge_size": 2, **marks,
        },
        code2wav_config={
            "codebook_size": 64, "hidden_size": 32, "num_attention_heads": 2, "num_key_value_heads": 2,
            "intermediate_size": 32, "num_hidden_layers": 2, "num_quantizers": 4, "decoder_dim": 32,
            "upsample_rates": [8, 5, 4, 3], "upsampling_ratios": [2, 2], "sliding_window": 9,
        },
        im_start_token_id=ids["<|im_start|>"], im_end_token_id=ids["<|im_end|>"], system_token_id=ids["system"],
        user_token_id=ids["user"], assistant_token_id=ids["assistant"], tts_pad_token_id=ids["<tts_pad>"],
        tts_bos_token_id=ids["<tts_text_bos>"], tts_eos_token_id=ids["<tts_text_eod>"], enable_audio_output=True,
    )  # fmt: skip
    config.talker_config.spatial_merge_size = 2
    return config


def config_25(ids: dict[str, int], width: int, layers: int) -> Any:
    """Qwen2.5-Omni: the codes' and the vocoder's real numbers, so that a code is 480 samples."""
    half = width // 4 // 2
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [half // 2, half // 4, half // 4]}
    text = {"hidden_size": width, "intermediate_size": width, "num_hidden_layers": layers, "num_attention_heads": 4,
            "num_key_value_heads": 2, "rope_parameters": rope}  # fmt: skip
    marks = {
        "audio_token_index": ids["<|AUDIO|>"], "image_token_index": ids["<|IMAGE|>"],
        "video_token_index": ids["<|VIDEO|>"], "audio_start_token_id": ids["<|audio_bos|>"],
        "audio_end_token_id": ids["<|audio_eos|>"], "vision_start_token_id": ids["<|vision_bos|>"],
    }  # fmt: skip
    return Qwen2_5OmniConfig(
        thinker_config={
            "text_config": {"vocab_size": len(ids), "max_position_embeddings": 4096, **text},
            "audio_config": {"encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32, "d_model": 32,
                             "output_dim": width, "num_mel_bins": 128},
            "vision_config": {"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2,
                              "out_hidden_size": width},
            "user_token_id": ids["user"], "pad_token_id": ids["<|endoftext|>"], "eos_token_id": ids["<|im_end|>"],
            "vision_end_token_id": ids["<|vision_eos|>"], **marks,
        },
        talker_config={
            "vocab_size": 8448, "tts_codec_start_token_id": 8293, "tts_codec_end_token_id": 8294,
            "tts_codec_pad_token_id": 8292, "tts_codec_mask_token_id": 8296,
            "tts_text_start_token_id": ids["<|text_bos|>"], "tts_text_end_token_id": ids["<|text_eos|>"],
            "tts_text_pad_token_id": ids["<|text_pad|>"], "embedding_size": width, "head_dim": width // 4, **text,
            **marks,
        },
        token2wav_config={
            "dit_config": {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "head_dim": 16,
                           "emb_dim": 16, "num_embeds": 8193, "mel_dim": 80, "enc_dim": 16, "enc_emb_dim": 8,
                           "enc_channels": [16, 16, 16, 16, 48], "enc_attention_channels": 8, "enc_se_channels": 8,
                           "look_ahead_layers": [1], "look_backward_layers": [0, 3], "block_size": 24},
            "bigvgan_config": {"mel_dim": 80, "upsample_initial_channel": 64},
        },
        enable_audio_output=True,
    )  # fmt: skip


def main() -> None:
    """Weights in shards, configuration, tokenizer, feature extractor, template and speakers."""
    folder, kind, size = Path(sys.argv[1]), sys.argv[2], (sys.argv[3:] or ["tiny"])[0]
    torch.manual_seed(7)
    width, layers = (32, 4) if size == "tiny" else (512, 12)
    words = tokenizer(kind)
    ids = words.get_vocab()
    if kind == "3":
        model: Any = Qwen3OmniMoeForConditionalGeneration(config_3(ids, width, layers))
    else:
        model = Qwen2_5OmniForConditionalGeneration(config_25(ids, width, layers))
    for weight in model.parameters():  # as they begin, all answers are alike
        weight.data += 0.1 * torch.randn_like(weight) if size == "tiny" else 0.01 * torch.randn_like(weight)
    model.eval().save_pretrained(folder, max_shard_size="1MB" if size == "tiny" else "200MB")
    words.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=128, chunk_length=300).save_pretrained(folder)
    template = _TEMPLATE.replace("AUDIO", _AUDIO[kind])
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}), encoding="utf-8")
    if kind == "2.5":
        speakers = {
            name: {"bos_token": ids["<|text_bos|>"], "cond": torch.randn(1, 8), "ref_mel": torch.randn(1, 60, 80)}
            for name in ("Chelsie", "Ethan")
        }
        torch.save(speakers, folder / "spk_dict.pt")


if __name__ == "__main__":
    main()
