"""Voices in the genuine file formats of sherpa-onnx whose sound is known: each token is a stretch of samples with its
number as the level, so that what was said can be read from the sound (`spoken`).

The names, shapes and metadata are those that sherpa-onnx asks for. Needs the package ``onnx``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx_graph import Graph  # type: ignore[import-not-found]

from locara.audio import Samples

STEP = 256
"""Samples of one token at speed 1."""
_LEVELS = 1024.0
IPA = "abdefhijklmnopstuvwzæðŋɐɑɔəɚɛɜɡɪɫɹɾʃʊʌʒθᵊIAWOYQʤʧˈˌː"
SYMBOLS = ("_", "^", "$", " ", *"!',-.:;?…", *dict.fromkeys(IPA))
"""Token -> its number is its place."""


def spoken(samples: Samples, *, step: int = STEP, offset: int = 0) -> str:
    """What was said, from the sound. ``offset``: what the speaker adds to each number."""
    levels = np.abs(samples[: samples.size // step * step].reshape(-1, step)).max(axis=1)
    numbers = np.round(levels * _LEVELS).astype(int) - 1 - offset
    return "".join(SYMBOLS[number] for number in numbers)


def _tokens(folder: Path, name: str = "tokens.txt") -> None:
    lines = (f"{symbol} {number}" for number, symbol in enumerate(SYMBOLS))
    folder.joinpath(name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _sound(graph: Graph, tokens: str, count: str, more: str | None = None) -> str:
    """(1, N) numbers as (N * count,) samples: level (number + 1) / 1024, with alternating sign so that it is no silence."""
    level = graph.node("Add", graph.cast(tokens, np.float32), graph.constant(1.0))
    if more is not None:
        level = graph.node("Add", level, more)
    level = graph.node("Div", level, graph.constant(_LEVELS))
    column = graph.node("Reshape", level, graph.whole(-1, 1))
    shape = graph.node("Concat", graph.node("Shape", graph.node("Squeeze", column, graph.whole(1))), count, axis=0)
    flat = graph.node("Reshape", graph.node("Expand", column, shape), graph.whole(-1))
    total = graph.node("Squeeze", graph.node("Shape", flat), graph.whole(0))
    steps = graph.node("Range", graph.constant(0, np.int64), total, graph.constant(1, np.int64))
    odd = graph.cast(graph.node("Mod", steps, graph.constant(2, np.int64)), np.float32)
    sign = graph.node("Sub", graph.constant(1.0), graph.node("Mul", odd, graph.constant(2.0)))
    return str(graph.node("Mul", flat, sign))


def _samples(graph: Graph, scale: str, *, divide: bool = False) -> str:
    """`STEP` times a (1,) scale, or divided by it, as (1,) int64."""
    scaled = graph.node("Div" if divide else "Mul", graph.constant([float(STEP)]), scale)
    return str(graph.cast(graph.node("Round", scaled), np.int64))


def piper(folder: Path, **metadata: Any) -> None:
    """A voice of Piper as sherpa-onnx publishes them."""
    graph = Graph()
    tokens = graph.input("input", ("batch", "phonemes"), np.int64)
    _ = graph.input("input_lengths", ("batch",), np.int64)
    scale = graph.node("Slice", graph.input("scales", (3,)), graph.whole(1), graph.whole(2), graph.whole(0))
    sound = _sound(graph, tokens, _samples(graph, scale))
    graph.output("output", graph.node("Reshape", sound, graph.whole(1, 1, 1, -1)), ("batch", 1, 1, "time"))
    told = {
        "model_type": "vits", "comment": "piper", "language": "English", "voice": "en-us", "has_espeak": 1,
        "n_speakers": 1, "sample_rate": 22050,
    }  # fmt: skip
    graph.save(folder / "en_US-test-medium.onnx", told | metadata)
    _tokens(folder)


def piper_medium(folder: Path) -> None:
    """A voice of the size and computing of Piper's "medium" ones (63 MB), with random weights: an encoder of 6 layers, a
    flow of 4 and the HiFi-GAN that most of the time goes into (rates 8, 8, 4; from 256 channels). Every token lasts three
    frames of 256 samples, which at some 28 tokens a second is the pace of speech. The sound is noise."""
    graph, rng = Graph(), np.random.default_rng(0)

    def weights(*shape: int) -> str:
        return str(graph.constant(rng.standard_normal(shape, np.float32) * (0.5 / np.sqrt(np.prod(shape[1:])))))

    def conv(x: str, into: int, out: int, size: int, dilation: int = 1) -> str:
        pad = dilation * (size - 1) // 2
        return str(graph.node("Conv", x, weights(out, into, size), pads=[pad, pad], dilations=[dilation]))

    def leaky(x: str) -> str:
        return str(graph.node("LeakyRelu", x, alpha=0.1))

    tokens = graph.input("input", ("batch", "phonemes"), np.int64)
    _ = graph.input("input_lengths", ("batch",), np.int64)
    _ = graph.input("scales", (3,))
    x = graph.node("Transpose", graph.node("Gather", weights(256, 192), tokens), perm=[0, 2, 1])
    for _ in range(6):
        mixed = x
        for _ in range(4):
            mixed = conv(mixed, 192, 192, 1)
        x = graph.node("Add", graph.node("Add", x, mixed), conv(leaky(conv(x, 192, 768, 3)), 768, 192, 3))
    x = graph.node("Resize", x, "", graph.constant([1.0, 1.0, 3.0]), mode="nearest")
    for _ in range(4 * 4):
        gated = conv(x, 192, 384, 5)
        half = graph.node("Slice", gated, graph.whole(0), graph.whole(192), graph.whole(1))
        rest = graph.node("Slice", gated, graph.whole(192), graph.whole(384), graph.whole(1))
        x = graph.node(
            "Add", x, conv(graph.node("Mul", graph.node("Tanh", half), graph.node("Sigmoid", rest)), 192, 192, 1)
        )
    x = conv(x, 192, 256, 7)
    channels = 256
    for rate, size in ((8, 16), (8, 16), (4, 8)):
        pad = (size - rate) // 2
        up = weights(channels, channels // 2, size)
        x = graph.node("ConvTranspose", leaky(x), up, strides=[rate], pads=[pad, pad])
        channels //= 2
        added = []
        for kernel, dilations in ((3, (1, 2)), (5, (2, 6)), (7, (3, 12))):
            y = x
            for dilation in dilations:
                y = graph.node("Add", y, conv(leaky(y), channels, channels, kernel, dilation))
            added.append(y)
        x = graph.node("Div", graph.node("Sum", *added), graph.constant(3.0))
    # Loud, because the library shortens what it takes for silence.
    loud = graph.node("Mul", conv(leaky(x), channels, 1, 7), graph.constant(1e6))
    sound = graph.node("Mul", graph.node("Tanh", loud), graph.constant(0.1))
    graph.output("output", graph.node("Unsqueeze", sound, graph.whole(1)), ("batch", 1, 1, "time"))
    told = {
        "model_type": "vits", "comment": "piper", "language": "English", "voice": "en-us", "has_espeak": 1,
        "n_speakers": 1, "sample_rate": 22050,
    }  # fmt: skip
    graph.save(folder / "en_US-random-medium.onnx", told)
    _tokens(folder)


def _styled(folder: Path, names: Sequence[str], told: dict[str, Any], shape: tuple[int, ...], name: str) -> None:
    graph = Graph()
    tokens = graph.input(name, (1, "tokens"), np.int64)
    style = graph.input("style", (1, 4))
    speed = graph.input("speed", (1,))
    first = graph.node("Slice", style, graph.whole(0), graph.whole(1), graph.whole(1))
    sound = _sound(graph, tokens, _samples(graph, speed, divide=True), first)
    graph.output("audio", sound, ("time",))
    told = {"n_speakers": len(names), "speaker_names": ",".join(names), "sample_rate": 24000, "has_espeak": 1, **told}
    told["style_dim"] = ",".join(map(str, shape))
    graph.save(folder / "model.onnx", told)
    styles = np.zeros((len(names), *shape), np.float32)
    styles += np.arange(len(names)).reshape(-1, *([1] * len(shape))) * 100
    folder.joinpath("voices.bin").write_bytes(styles.tobytes())
    _tokens(folder)


def kokoro(folder: Path, *, version: int = 2) -> None:
    """Kokoro: speaker n adds 100 n to every number. Version 1 is 0.19, 2 is 1.0."""
    told = {"model_type": "kokoro", "version": version, "voice": "en-us", "language": "English"}
    _styled(folder, ("af_heart", "bf_emma", "ef_dora", "zf_xiaobei"), told, (510, 1, 4), "tokens")


def kitten(folder: Path) -> None:
    """Kitten: the same with another order of sizes."""
    told = {"model_type": "kitten-tts", "version": 1, "voice": "en-us", "language": "English"}
    _styled(folder, ("expr-voice-2-m", "expr-voice-2-f"), told, (1, 4), "input_ids")
