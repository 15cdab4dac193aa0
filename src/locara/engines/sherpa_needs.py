"""What sherpa-onnx reads from the metadata of each family's files; where one is missing, it ends the process.

What may live here: this table. Source: ``SHERPA_ONNX_READ_META_DATA`` in ``csrc/*-model.cc`` of sherpa-onnx, release 1.13.4.
"""

from __future__ import annotations

from collections.abc import Mapping

_ZIPFORMER = (
    "num_encoder_layers", "encoder_dims", "cnn_module_kernels", "left_context_len", "T", "decode_chunk_len",
)  # fmt: skip
_CACHES = tuple(f"cache_last_{name}_dim{n}" for name in ("channel", "time") for n in (1, 2, 3))
_WHISPER = (
    "n_mels", "n_text_layer", "n_text_ctx", "n_text_state", "n_vocab", "sot", "eot", "blank_id", "translate", "transcribe",
    "is_multilingual", "no_timestamps", "no_speech", "sot_sequence",
)  # fmt: skip
_SENSE_VOICE = ("vocab_size", "lfr_window_size", "lfr_window_shift", "normalize_samples")
NEEDED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "zipformer": {"encoder": (*_ZIPFORMER, "attention_dims"), "decoder": ("vocab_size", "context_size")},
    "zipformer2": {
        "encoder": (*_ZIPFORMER, "query_head_dims", "value_head_dims", "num_heads"),
        "decoder": ("vocab_size", "context_size"),
    },
    "conformer": {
        "encoder": (
            "num_encoder_layers", "T", "decode_chunk_len", "left_context", "encoder_dim", "pad_length",
            "cnn_module_kernel",
        ),
        "decoder": ("vocab_size", "context_size"),
    },
    "lstm": {
        "encoder": ("num_encoder_layers", "T", "decode_chunk_len", "rnn_hidden_size", "d_model"),
        "decoder": ("vocab_size", "context_size"),
    },
    "nemo-streaming-transducer": {
        "encoder": (
            "vocab_size", "window_size", "chunk_shift", "subsampling_factor", "pred_rnn_layers", "pred_hidden", *_CACHES,
        )
    },
    "parakeet-unified": {
        "encoder": (
            "vocab_size", "subsampling_factor", "pred_rnn_layers", "pred_hidden", "left_feature_frames",
            "chunk_feature_frames", "right_feature_frames", "left_encoder_frames", "chunk_encoder_frames",
            "right_encoder_frames",
        )
    },
    "streaming-paraformer": {
        "encoder": (
            "vocab_size", "lfr_window_size", "lfr_window_shift", "encoder_output_size", "decoder_num_blocks",
            "decoder_kernel_size", "neg_mean", "inv_stddev",
        )
    },
    "zipformer-streaming-ctc": {"model": (*_ZIPFORMER, "query_head_dims", "value_head_dims", "num_heads")},
    "nemo-streaming-ctc": {"model": ("window_size", "chunk_shift", "subsampling_factor", "vocab_size", *_CACHES)},
    "whisper": {"encoder": _WHISPER},
    "whisper-multilingual": {"encoder": (*_WHISPER, "all_language_tokens", "all_language_codes")},
    "nemo-transducer": {"encoder": ("vocab_size", "subsampling_factor", "pred_rnn_layers", "pred_hidden")},
    "transducer": {"encoder": (), "decoder": ("vocab_size", "context_size")},
    "sense-voice-nano": {"model": _SENSE_VOICE},
    "sense-voice": {
        "model": (
            *_SENSE_VOICE, "with_itn", "without_itn", "lang_auto", "lang_zh", "lang_en", "lang_ja", "lang_ko",
            "lang_yue", "neg_mean", "inv_stddev",
        )
    },
    "paraformer": {"model": ("vocab_size", "lfr_window_size", "lfr_window_shift", "neg_mean", "inv_stddev")},
    "canary": {"encoder": ("model_type", "vocab_size", "subsampling_factor", "feat_dim")},
    "nemo-ctc": {"model": ("vocab_size", "subsampling_factor")},
}  # fmt: skip
"""Family -> role of the file -> keys. The streaming transducers of icefall stand under their ``model_type``."""
