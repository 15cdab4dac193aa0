"""Which file of a folder is what, for sherpa-onnx's recognisers: the family of the model, and its files by their role.

What may live here: names and headers in, a `Plan` out; nothing is opened here. sherpa-onnx publishes each model as a
folder of ONNX files whose names say their role (``tiny.en-encoder.int8.onnx``) and whose metadata says the rest. It ends
the whole process when metadata is missing (its ``macros.h``), so what each family needs is asked for here, before.
Source: sherpa-onnx 1.13.4 to 2.0.1, ``csrc/*-model.cc``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from locara.engines.onnx_header import Header
from locara.engines.sherpa_needs import NEEDED

Family = Literal[
    "zipformer-transducer", "nemo-streaming-transducer", "parakeet-unified", "streaming-paraformer",
    "zipformer-streaming-ctc", "nemo-streaming-ctc",
    "whisper", "moonshine", "moonshine-v2", "nemo-transducer", "transducer", "sense-voice", "paraformer", "qwen3-asr",
    "canary", "nemo-ctc", "zipformer-ctc",
]  # fmt: skip
STREAMING: frozenset[Family] = frozenset(
    ("zipformer-transducer", "nemo-streaming-transducer", "parakeet-unified", "streaming-paraformer",
     "zipformer-streaming-ctc", "nemo-streaming-ctc")
)  # fmt: skip
"""The families that keep a state and hear sound as it comes; the others hear a whole turn at once."""


class WrongFiles(ValueError):
    """The folder is not a model of this kind, or not a whole one. The message says what is wrong with which file."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``files``: role -> name in the folder. ``metadata``: of the file that tells the most."""

    family: Family
    files: Mapping[str, str]
    metadata: Mapping[str, str]
    vocabulary: int | None = None
    """How many symbols the model knows, where its files say so."""

    @property
    def streaming(self) -> bool:
        """Whether sound can be given as it comes."""
        return self.family in STREAMING


# The first that is found in a name is its role, so the longer words come first.
_ROLES = (
    ("conv_frontend", r"conv[_-]?frontend"),
    ("preprocessor", r"preprocess"),
    ("uncached_decoder", r"uncached[_-]decode"),
    ("cached_decoder", r"cached[_-]decode"),
    ("merged_decoder", r"decoder[_-]model[_-]merged|merged[_-]decode"),
    ("joiner", r"joiner"),
    ("encoder", r"encode"),
    ("decoder", r"decode"),
)


def plan(names: Collection[str], read: Callable[[str], Header], *, precision: str = "int8") -> Plan:
    """What the folder with these file names holds. ``read`` gives the header of one of them.

    ``precision`` chooses where a file is there in several: ``int8``, ``fp16`` or ``fp32``; if there is none of it,
    another is taken. Raises ``WrongFiles``, and what ``read`` raises.
    """
    files = _by_role(names, precision)
    if not files:
        raise WrongFiles(f"there is no .onnx file of a recogniser in it ({_some(names)})")
    headers: dict[str, Header] = {}

    def header(role: str) -> Header:
        if role not in headers:
            headers[role] = read(files[role])
        return headers[role]

    family, needs = _family(files, header)
    for role, keys in NEEDED.get(needs, {}).items():
        if role not in files:
            raise WrongFiles(f"the {role} is missing: a {family} model has one ({_some(names)})")
        told = header(role).metadata
        if missing := [key for key in keys if not told.get(key)]:
            raise WrongFiles(f"{files[role]} has no metadata {missing[0]!r}, which a {family} model needs")
    chosen = {role: files[role] for role in _USED[family] if role in files}
    if missing := [role for role in _USED[family] if role not in files]:
        raise WrongFiles(f"the {missing[0].replace('_', ' ')} is missing: a {family} model has one ({_some(names)})")
    for role in chosen:
        if role not in ("tokens", "tokenizer"):
            header(role)  # whoever is cut off is found here
    teller = "encoder" if "encoder" in chosen else "model"
    told = header(teller).metadata
    if family == "nemo-transducer":
        _same_size(files["joiner"], header("joiner"), told)
    known = told.get("vocab_size", "")
    if family in ("zipformer-transducer", "transducer"):
        known = header("decoder").metadata.get("vocab_size", "")
    return Plan(family, chosen, told, int(known) if known.isdecimal() else None)


def _same_size(name: str, joiner: Header, told: Mapping[str, str]) -> None:
    """Whether joiner and encoder are of one model: else the library ends the process."""
    size = joiner.outputs[0].shape[-1] if joiner.outputs and joiner.outputs[0].shape else ""
    wanted = int(told["vocab_size"]) + 1 if told["vocab_size"].isdecimal() else 0
    durations = "tdt" in told.get("url", "")
    if isinstance(size, int) and (size <= wanted if durations else size != wanted):
        raise WrongFiles(f"{name} knows {size} symbols, the encoder {wanted}: they are of two models")


_BLANKS = ("<blk>", "<eps>", "<blank>")


def check_symbols(plan: Plan, symbols: Mapping[str, int]) -> None:
    """Whether ``tokens.txt`` (symbol -> number) is this model's: else the library ends the process, or fails later.
    Raises ``WrongFiles``."""
    name = plan.files["tokens"]
    count = max(symbols.values(), default=-1) + 1
    if plan.family.startswith(("nemo", "parakeet")) and "ctc" not in plan.family:
        if plan.vocabulary is not None and (count != plan.vocabulary + 1 or symbols.get("<blk>") != count - 1):
            raise WrongFiles(
                f"{name} has {count} symbols, the model {plan.vocabulary + 1} of which <blk> is the last: it is cut off, "
                "or another model's"
            )
        return
    if "ctc" in plan.family and not any(one in symbols for one in _BLANKS):
        raise WrongFiles(f"{name} has no symbol <blk>: it is another model's")
    if plan.vocabulary is not None and count < plan.vocabulary:
        raise WrongFiles(f"{name} has {count} symbols, the model {plan.vocabulary}: it is cut off, or another model's")


_TRANSDUCER = ("encoder", "decoder", "joiner", "tokens")
_USED: Mapping[Family, tuple[str, ...]] = {
    "zipformer-transducer": _TRANSDUCER,
    "nemo-streaming-transducer": _TRANSDUCER,
    "parakeet-unified": _TRANSDUCER,
    "nemo-transducer": _TRANSDUCER,
    "transducer": _TRANSDUCER,
    "streaming-paraformer": ("encoder", "decoder", "tokens"),
    "whisper": ("encoder", "decoder", "tokens"),
    "canary": ("encoder", "decoder", "tokens"),
    "moonshine": ("preprocessor", "encoder", "uncached_decoder", "cached_decoder", "tokens"),
    "moonshine-v2": ("encoder", "merged_decoder", "tokens"),
    "qwen3-asr": ("conv_frontend", "encoder", "decoder", "tokenizer"),
    "zipformer-streaming-ctc": ("model", "tokens"),
    "nemo-streaming-ctc": ("model", "tokens"),
    "sense-voice": ("model", "tokens"),
    "paraformer": ("model", "tokens"),
    "nemo-ctc": ("model", "tokens"),
    "zipformer-ctc": ("model", "tokens"),
}


def _by_role(names: Collection[str], precision: str) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        low = name.lower()
        if low == "tokens.txt" or low.endswith("-tokens.txt"):
            found.setdefault("tokens", []).append(name)
        elif low == "tokenizer/vocab.json" or re.fullmatch(r"[^/]*qwen3[^/]*/vocab\.json", low):
            found.setdefault("tokenizer", []).append(name.rpartition("/")[0])
        elif low.endswith((".onnx", ".ort")) and "/" not in name:
            role = next((role for role, word in _ROLES if re.search(word, low)), "model")
            found.setdefault(role, []).append(name)
    return {role: min(of, key=lambda name: (_distance(name, precision), len(name), name)) for role, of in found.items()}


def _distance(name: str, precision: str) -> int:
    low = name.lower()
    is_now = next((one for one in ("int8", "fp16") if one in low), "fp32")
    order = [precision, *(one for one in ("int8", "fp32", "fp16") if one != precision)]
    return order.index(is_now)


def _family(files: Mapping[str, str], header: Callable[[str], Header]) -> tuple[Family, str]:
    """The family, and the name under which its needs stand."""
    if {"uncached_decoder", "cached_decoder"} & files.keys():
        return "moonshine", "moonshine"
    if "merged_decoder" in files:
        return "moonshine-v2", "moonshine-v2"
    if "conv_frontend" in files:
        return "qwen3-asr", "qwen3-asr"
    if "encoder" in files:
        told = header("encoder").metadata
        return _transducer(files, header, told) if "joiner" in files else _encoder_decoder(files["encoder"], told)
    if "model" in files:
        return _single(files["model"], header("model").metadata)
    raise WrongFiles(f"there is {_some(files.values())}, but no encoder and no model")


def _transducer(
    files: Mapping[str, str], header: Callable[[str], Header], told: Mapping[str, str]
) -> tuple[Family, str]:
    if "decoder" in files:
        unified = header("decoder").metadata.get("streaming_model_type", "")
        if unified == "nemo_parakeet_unified_streaming" or "chunk_feature_frames" in told:
            return "parakeet-unified", "parakeet-unified"
    if "window_size" in told or "cache_last_channel_dim1" in told:
        return "nemo-streaming-transducer", "nemo-streaming-transducer"
    if "pred_hidden" in told or told.get("model_type", "").startswith("EncDec"):
        return "nemo-transducer", "nemo-transducer"
    kind = told.get("model_type", "")
    if not kind:
        raise WrongFiles(f"{files['encoder']} has no metadata 'model_type': it was not exported for sherpa-onnx")
    if (
        "decode_chunk_len" in told or len(header("encoder").inputs) > 2
    ):  # more than the features and their length: states
        if kind not in NEEDED:
            raise WrongFiles(f"{files['encoder']} is a streaming {kind!r}, a kind that this engine does not run")
        return "zipformer-transducer", kind
    return "transducer", "transducer"


def _encoder_decoder(name: str, told: Mapping[str, str]) -> tuple[Family, str]:
    if "n_mels" in told or "n_text_layer" in told or told.get("model_type", "").startswith("whisper"):
        return "whisper", "whisper-multilingual" if told.get("is_multilingual") == "1" else "whisper"
    if told.get("model_type") == "EncDecMultiTaskModel":
        return "canary", "canary"
    if told.get("model_type") == "paraformer":
        return "streaming-paraformer", "streaming-paraformer"
    raise WrongFiles(
        f"{name} does not say what it is (metadata model_type is {told.get('model_type', '')!r}): it was not exported "
        "for sherpa-onnx, or a file of the model is missing"
    )


def _single(name: str, told: Mapping[str, str]) -> tuple[Family, str]:
    kind = told.get("model_type", "")
    streaming_nemo = "window_size" in told and "cache_last_channel_dim1" in told
    family: Family
    if kind == "sense_voice_ctc":
        return "sense-voice", "sense-voice-nano" if "Nano" in told.get("comment", "") else "sense-voice"
    if kind == "paraformer":
        family = "paraformer"
    elif kind.startswith("zipformer2") and "decode_chunk_len" in told:
        family = "zipformer-streaming-ctc"
    elif kind == "zipformer2_ctc":
        family = "zipformer-ctc"
    elif kind in ("EncDecCTCModelBPE", "EncDecCTCModel", "EncDecHybridRNNTCTCBPEModel"):
        family = "nemo-streaming-ctc" if streaming_nemo else "nemo-ctc"
    else:
        what = f"its metadata model_type is {kind!r}" if kind else "it has no metadata 'model_type'"
        raise WrongFiles(f"{name} is no recogniser that this engine runs: {what}")
    return family, family


def _some(names: Collection[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:6]) + (f" and {len(shown) - 6} more" if len(shown) > 6 else "") if shown else "it is empty"


def languages(plan: Plan) -> tuple[str, ...] | None:
    """The language codes that may be asked for; empty: none may (the model has one, or finds it out); None: any may."""
    told = plan.metadata
    if plan.family == "whisper":
        codes = [one.strip() for one in told.get("all_language_codes", "").split(",")]
        return tuple(codes) if told.get("is_multilingual") == "1" else ("en",)
    if plan.family == "sense-voice":
        return ("auto", "zh", "en", "ja", "ko", "yue")
    if plan.family == "canary":
        return ("en", "es", "de", "fr")
    if plan.family == "nemo-streaming-transducer" and any("prompt" in key for key in told):
        return None  # a table inside the model; an unknown code falls back to its default
    return ()


def frames(plan: Plan) -> tuple[int, int]:
    """How a streaming model eats: frames of 10 ms it needs to take a step, and frames by which a step moves on."""
    told = plan.metadata

    def number(key: str, otherwise: int) -> int:
        value = told.get(key, "")
        return int(value) if value.isdecimal() else otherwise

    if plan.family in ("nemo-streaming-transducer", "nemo-streaming-ctc"):
        return number("window_size", 121), number("chunk_shift", 112)
    if plan.family == "parakeet-unified":
        chunk = number("chunk_feature_frames", 104)
        return chunk + number("right_feature_frames", 104), chunk
    if plan.family == "streaming-paraformer":
        return 61, 60  # OnlineRecognizerParaformerImpl: chunk_size_ 61, chunk_shift_ 60
    return number("T", 45), number("decode_chunk_len", 32)


def tail(heard: int, window: int, shift: int, late: int) -> int:
    """How many frames of silence make a streaming model take all of the ``heard`` frames, and ``late`` more, for what it
    says only some time after the sound. The model takes ``window`` frames for a step and moves on by ``shift``."""
    steps = max(1, -(-(heard + late) // shift))
    return max(0, (steps - 1) * shift + window - heard)
