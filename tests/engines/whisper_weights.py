"""Whisper models in their genuine file formats, with weights made here: tiny ones that say a known text, and full-size
random ones for measuring speed.

What may live here: the weights (named as in OpenAI's checkpoints) and the two writers, CTranslate2's folder and ggml's file.
The tokenizer has Whisper's own sizes and special tokens (the programs count on them); its words are made up.

The model that says something has one layer and a width of 64. What it says is written into the decoder's positions: at each
place the next word's embedding is the strongest. What it *hears* comes in through the cross attention, which looks only at
frames that are not silent: a low tone (below about 500 Hz) makes the word "yes" stronger, a high one (above 3 kHz) "no".
With nothing heard, the first answer is the token for "nobody spoke". So a text shows that features, window, encoder, cross
attention, prompt and tokenizer are all right: a mistake in any of them changes it.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from locara.engines.whisper_features import mel_filters

Array = npt.NDArray[Any]
Weights = dict[str, Array]

WIDTH = 64
LANGUAGES = (
    "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg lt la "
    "mi ml cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka be "
    "tg sd gu am yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw su"
).split()
WORDS = ("go", "yes", "no", "now", "please")
SAID = ("go", "yes|no", "now")
"""What the tiny model says; at the second place it depends on what it hears."""


@dataclass(frozen=True)
class Size:
    """The dimensions of a Whisper. ``english``: one without language tokens."""

    width: int
    heads: int
    audio_layers: int
    text_layers: int
    english: bool = True
    bands: int = 80
    audio_positions: int = 1500
    text_positions: int = 448

    @property
    def vocabulary(self) -> int:
        return 51864 if self.english else 51865


TINY_EN = Size(384, 6, 4, 4)
BASE_EN = Size(512, 8, 6, 6)


@dataclass(frozen=True)
class Tokens:
    """Where the special tokens stand; they follow one another in this order in all of Whisper's vocabularies."""

    english: bool

    @property
    def end(self) -> int:
        return 50256 if self.english else 50257

    @property
    def start(self) -> int:
        return self.end + 1

    def language(self, code: str) -> int:
        return self.start + 1 + LANGUAGES.index(code)

    @property
    def silent(self) -> int:
        return self.start + 1 + 99 + 4

    def word(self, word: str) -> int:
        return 1000 + WORDS.index(word)


def byte_letters() -> dict[int, str]:
    """How GPT-2's tokenizers write a byte as a letter."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + at) for at, byte in enumerate(others)}


def vocabulary(english: bool) -> list[str]:
    """All tokens in their order, as a tokenizer's file has them."""
    letters = byte_letters()
    plain = [letters[byte] for byte in [*range(33, 127), *range(161, 173), *range(174, 256)]]
    plain += [letters[byte] for byte in range(256) if letters[byte] not in plain]
    space = letters[32]
    # Eight letters that look like chance: a text of them compresses like speech, not like a loop.
    tokens = plain + [f"{space}{at * 2654435761 % 2**32:08x}" for at in range(len(plain), Tokens(english).end)]
    for word in WORDS:
        tokens[Tokens(english).word(word)] = space + word
    if not english:
        tokens[50256] = ""  # as in Whisper's own; CTranslate2 takes it for the sign that a model is multilingual
    special = ["endoftext", "startoftranscript", *LANGUAGES, "translate", "transcribe", "startoflm", "startofprev"]
    special += ["nospeech", "notimestamps", *(f"{at * 0.02:.2f}" for at in range(1501))]
    return tokens + [f"<|{name}|>" for name in special]


# --- weights ----------------------------------------------------------------------------------------------------------


def random_weights(size: Size, said: int, seed: int = 0) -> Weights:
    """Noise of the shapes of a trained model: what it says means nothing, and takes as long as with the real weights. It
    says ``said`` tokens, and is sure of them: a doubtful decode would be done twice."""
    weights = _weights(size, np.random.default_rng(seed), 0.02)
    embedding, positions = weights["decoder.token_embedding.weight"], weights["decoder.positional_embedding"]
    first = 1 if size.english else 3
    ids = [2000 + 97 * at for at in range(said)] + [Tokens(size.english).end] * (size.text_positions - said - first)
    positions[first:] = 400.0 * embedding[ids]
    weights["decoder.ln.weight"] *= 4.0
    return weights


def _weights(size: Size, rng: np.random.Generator, scale: float) -> Weights:
    def noise(*shape: int) -> Array:
        return (scale * rng.standard_normal(shape, dtype=np.float32)) if scale else np.zeros(shape, np.float32)

    width = size.width
    weights: Weights = {
        "encoder.positional_embedding": noise(size.audio_positions, width),
        "encoder.conv1.weight": noise(width, size.bands, 3),
        "encoder.conv1.bias": noise(width),
        "encoder.conv2.weight": noise(width, width, 3),
        "encoder.conv2.bias": noise(width),
        "decoder.positional_embedding": noise(size.text_positions, width),
        "decoder.token_embedding.weight": noise(size.vocabulary, width),
    }

    def norm(name: str) -> None:
        weights[f"{name}.weight"] = np.ones(width, np.float32)
        weights[f"{name}.bias"] = np.zeros(width, np.float32)

    def attention(name: str) -> None:
        norm(f"{name}_ln")
        for part in ("query", "key", "value", "out"):
            weights[f"{name}.{part}.weight"] = noise(width, width)
            if part != "key":
                weights[f"{name}.{part}.bias"] = noise(width)

    for side, layers in (("encoder", size.audio_layers), ("decoder", size.text_layers)):
        for layer in range(layers):
            block = f"{side}.blocks.{layer}"
            attention(f"{block}.attn")
            if side == "decoder":
                attention(f"{block}.cross_attn")
            norm(f"{block}.mlp_ln")
            weights[f"{block}.mlp.0.weight"], weights[f"{block}.mlp.0.bias"] = noise(4 * width, width), noise(4 * width)
            weights[f"{block}.mlp.2.weight"], weights[f"{block}.mlp.2.bias"] = noise(width, 4 * width), noise(width)
    norm("encoder.ln_post")
    norm("decoder.ln")
    return weights


def saying(english: bool = True) -> tuple[Size, Weights]:
    """The tiny model that says `SAID`."""
    size = Size(WIDTH, 2, 1, 1, english=english)
    weights = _weights(size, np.random.default_rng(0), 0.0)
    tokens = Tokens(english)
    weights["decoder.ln.weight"] *= 3.0

    # One direction for each token that matters, at right angles, without a mean: normalising leaves them as they are.
    raw = np.random.default_rng(1).standard_normal((WIDTH, WIDTH))
    raw[:, 0] = 1.0
    directions = np.linalg.qr(raw)[0].T[1:].astype(np.float32)
    names = ["yes", "no", "go", "now", "end", "start", "silent", "language"]
    of = {name: directions[at] for at, name in enumerate(names)}
    embedding = weights["decoder.token_embedding.weight"]
    ids = {name: tokens.word(name) for name in ("yes", "no", "go", "now")}
    ids |= {"end": tokens.end, "start": tokens.start, "silent": tokens.silent, "language": tokens.language("de")}
    for name, at in ids.items():
        embedding[at] = of[name]

    positions = weights["decoder.positional_embedding"]
    positions[0] = 1.5 * of["silent"]
    first = 1 if english else 3  # after start (language, transcribe) and no-timestamps
    for at, word in enumerate(SAID):
        positions[first + at] = 6.0 * (of[word] if word in of else of["yes"] + of["no"])
    positions[first + len(SAID) :] = 6.0 * of["end"]

    # Hearing: of the bands, the lowest quarter against the highest, and the other way round.
    low, high = weights["encoder.conv1.weight"][0, :, 1], weights["encoder.conv1.weight"][1, :, 1]
    low[:16], low[40:] = 1.0, -0.4
    high[56:], high[:40] = 2.0 / 3, -0.4
    weights["encoder.conv2.weight"][0, 0, 1] = weights["encoder.conv2.weight"][1, 1, 1] = 1.0

    heard = np.zeros((2, WIDTH), np.float32)
    heard[0, 0] = heard[1, 1] = 1.0
    heard = (heard - heard.mean(axis=1, keepdims=True)) / heard.std(axis=1, keepdims=True)  # as ``ln_post`` leaves them
    to_own = np.linalg.pinv(heard).T  # (2, width): from what is heard to 1 for low, 1 for high
    cross = "decoder.blocks.0.cross_attn"
    yes = 3.0 * of["language"] + 2.0 * (of["yes"] - of["no"])
    no = 3.0 * of["language"] - 2.0 * (of["yes"] - of["no"])
    weights[f"{cross}.value.weight"] = (np.outer(yes, to_own[0]) + np.outer(no, to_own[1])).astype(np.float32)
    weights[f"{cross}.out.weight"] = np.eye(WIDTH, dtype=np.float32)
    # Frames where something is heard score high, all others nothing: the average is over those alone, however long the rest.
    ones = np.ones(WIDTH, np.float32)
    weights[f"{cross}.key.weight"] = np.outer(ones, to_own.sum(axis=0)).astype(np.float32)
    weights[f"{cross}.query.bias"] = 1.5 * ones
    return size, weights


# --- CTranslate2 ------------------------------------------------------------------------------------------------------


def write_ctranslate2(folder: Path, size: Size, weights: Weights, dtype: str = "float32") -> Path:
    """The folder that ``ct2-transformers-converter`` makes: model.bin (version 6), config.json, vocabulary.json."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = Tokens(size.english)
    variables: list[tuple[str, Array | np.generic]] = [
        ("encoder/num_heads", np.int16(size.heads)), ("decoder/num_heads", np.int16(size.heads)),
        ("decoder/pre_norm", np.int8(1)), ("decoder/activation", np.int8(3)), ("decoder/alignment_layer", np.int16(-1)),
        ("decoder/alignment_heads", np.int16(1)), ("decoder/scale_embeddings", np.int8(0)), ("decoder/alibi", np.int8(0)),
        ("decoder/alibi_use_positive_positions", np.int8(0)), ("decoder/scale_alibi", np.int8(0)),
        ("decoder/start_from_zero_embedding", np.int8(0)),
    ]  # fmt: skip
    variables += [(name, value.astype(dtype)) for name, value in _ctranslate2_names(size, weights).items()]
    variables.sort(key=lambda variable: variable[0])
    with (folder / "model.bin").open("wb") as file:

        def text(value: str) -> None:
            file.write(struct.pack("<H", len(value) + 1) + value.encode() + b"\0")

        file.write(struct.pack("<I", 6))
        text("WhisperSpec")
        file.write(struct.pack("<II", 3, len(variables)))
        kinds = ("float32", "int8", "int16", "int32", "float16", "bfloat16")
        for name, value in variables:
            text(name)
            file.write(struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape))
            file.write(struct.pack("<BI", kinds.index(value.dtype.name), value.nbytes) + value.tobytes())
        file.write(struct.pack("<I", 1))
        text("decoder/projection/weight")
        text("decoder/embeddings/weight")
    config = {
        "alignment_heads": [[size.text_layers - 1, 0]],
        "lang_ids": [tokens.language(code) for code in LANGUAGES],
        "suppress_ids": [1, 2, 7],
        "suppress_ids_begin": [220, tokens.end],
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocabulary.json").write_text(json.dumps(vocabulary(size.english)))
    (folder / "tokenizer.json").write_text("{}")  # the converter copies it along; nothing here reads it
    return folder


def _ctranslate2_names(size: Size, weights: Weights) -> Weights:
    named: Weights = {
        "decoder/embeddings/weight": weights["decoder.token_embedding.weight"],
        "encoder/position_encodings/encodings": weights["encoder.positional_embedding"],
        "decoder/position_encodings/encodings": weights["decoder.positional_embedding"],
    }
    for conv in ("conv1", "conv2"):
        for part in ("weight", "bias"):
            named[f"encoder/{conv}/{part}"] = weights[f"encoder.{conv}.{part}"]

    def norm(to: str, name: str) -> None:
        named[f"{to}/gamma"], named[f"{to}/beta"] = weights[f"{name}.weight"], weights[f"{name}.bias"]

    def linear(to: str, *names: str) -> None:
        named[f"{to}/weight"] = np.concatenate([weights[f"{name}.weight"] for name in names])
        none = np.zeros(size.width, np.float32)  # the key has no bias
        named[f"{to}/bias"] = np.concatenate([weights.get(f"{name}.bias", none) for name in names])

    norm("encoder/layer_norm", "encoder.ln_post")
    norm("decoder/layer_norm", "decoder.ln")
    for side, layers in (("encoder", size.audio_layers), ("decoder", size.text_layers)):
        for layer in range(layers):
            to, block = f"{side}/layer_{layer}", f"{side}.blocks.{layer}"
            norm(f"{to}/self_attention/layer_norm", f"{block}.attn_ln")
            linear(f"{to}/self_attention/linear_0", *(f"{block}.attn.{part}" for part in ("query", "key", "value")))
            linear(f"{to}/self_attention/linear_1", f"{block}.attn.out")
            if side == "decoder":
                norm(f"{to}/attention/layer_norm", f"{block}.cross_attn_ln")
                linear(f"{to}/attention/linear_0", f"{block}.cross_attn.query")
                linear(f"{to}/attention/linear_1", f"{block}.cross_attn.key", f"{block}.cross_attn.value")
                linear(f"{to}/attention/linear_2", f"{block}.cross_attn.out")
            norm(f"{to}/ffn/layer_norm", f"{block}.mlp_ln")
            linear(f"{to}/ffn/linear_0", f"{block}.mlp.0")
            linear(f"{to}/ffn/linear_1", f"{block}.mlp.2")
    return named


# --- ggml -------------------------------------------------------------------------------------------------------------


def write_ggml(file: Path, size: Size, weights: Weights) -> Path:
    """The file that whisper.cpp's ``convert-pt-to-ggml.py`` makes: matrices in float16, everything else in float32."""
    letters = {letter: byte for byte, letter in byte_letters().items()}
    words = [
        bytes(letters[letter] for letter in token) for token in vocabulary(size.english)[: Tokens(size.english).end]
    ]
    with file.open("wb") as out:
        out.write(struct.pack(
            "<12i", 0x67676D6C, size.vocabulary, size.audio_positions, size.width, size.heads, size.audio_layers,
            size.text_positions, size.width, size.heads, size.text_layers, size.bands, 1,
        ))  # fmt: skip
        filters = mel_filters(size.bands).T.astype(np.float32)
        out.write(struct.pack("<2i", *filters.shape) + filters.tobytes())
        out.write(struct.pack("<i", len(words)))
        for word in words:
            out.write(struct.pack("<i", len(word)) + word)
        for name, value in weights.items():
            data = value[:, None] if name in ("encoder.conv1.bias", "encoder.conv2.bias") else value
            half = data.ndim > 1 and not name.endswith(("bias", "positional_embedding"))
            data = np.ascontiguousarray(data, np.float16 if half else np.float32)
            out.write(struct.pack("<3i", data.ndim, len(name), int(half)))
            out.write(struct.pack(f"<{data.ndim}i", *reversed(data.shape)) + name.encode() + data.tobytes())
    return file


# --- sound ------------------------------------------------------------------------------------------------------------


def tone(hertz: float, seconds: float, level: float = 0.3) -> npt.NDArray[np.float32]:
    """What the tiny model can tell apart. It fades in and out: a click is both high and low."""
    at = np.arange(round(seconds * 16_000))
    fade = np.minimum(1.0, np.minimum(at, at[::-1]) / 800)
    sound: npt.NDArray[np.float32] = (level * fade * np.sin(2 * np.pi * hertz / 16_000 * at)).astype(np.float32)
    return sound
