"""Recognisers in the genuine file formats of sherpa-onnx whose answer is known: they say "low" while they hear a low tone,
"high" while they hear a high one, and nothing in silence.

The names, shapes and metadata are those that sherpa-onnx asks for (its ``csrc/*-model.cc``); inside there is a comparison
of two bands of the spectrum instead of a network. Needs the package ``onnx``. Deterministic, some kilobytes each.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from onnx_graph import Graph  # type: ignore[import-not-found]

from locara.audio import RATE, Samples

LOW, HIGH = 500.0, 3000.0
"""Hertz of the two tones."""
_LOW_BANDS, _HIGH_BANDS = (10, 24), (46, 62)  # of 80 mel bands, wherever a family puts its lowest one
_THRESHOLD = -3.0
"""Natural log of a band's energy: a tone of amplitude 0.3 has about 8, silence less than -10."""
_FORGET = 100.0
"""Taken off a token that has just been said, so that a tone of any length is one word."""


def tones(*words: str, seconds: float = 0.5, gap: float = 0.3) -> Samples:
    """``words`` ("low", "high", "-" for silence) as sound: float32, 16 kHz."""
    t = np.arange(round(seconds * RATE)) / RATE
    silence = np.zeros(round(gap * RATE), np.float32)
    parts = [silence]
    for word in words:
        hertz = {"low": LOW, "high": HIGH, "-": 0.0}[word]
        parts += [(0.3 * np.sin(2 * np.pi * hertz * t)).astype(np.float32), silence]
    return np.concatenate(parts)


def _tokens(folder: Path, *symbols: str) -> None:
    lines = (f"{symbol} {number}" for number, symbol in enumerate(symbols))
    folder.joinpath("tokens.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _bands(graph: Graph, features: str, axis: int, threshold: float = _THRESHOLD) -> tuple[str, str]:
    """How much louder than the threshold the two bands are; the axis of the bands is gone."""
    found = []
    for first, last in (_LOW_BANDS, _HIGH_BANDS):
        band = graph.node("Slice", features, graph.whole(first), graph.whole(last), graph.whole(axis))
        loudest = graph.node("ReduceMax", band, axes=[axis], keepdims=0)
        found.append(graph.node("Sub", loudest, graph.constant(threshold)))
    return found[0], found[1]


def _pooled(graph: Graph, rows: str, size: int) -> str:
    """The loudest of each ``size`` steps; ``rows`` is (batch, channels, time)."""
    return str(graph.node("MaxPool", rows, kernel_shape=[size], strides=[size], ceil_mode=1))


def _seconds(graph: Graph, rows: str, steps: int) -> str:
    """The loudest of the middle of each second of ``steps`` steps."""
    from_middle = graph.node("Slice", rows, graph.whole(steps // 3), graph.whole(2**31), graph.whole(2))
    return str(graph.node("MaxPool", from_middle, kernel_shape=[steps // 3], strides=[steps], ceil_mode=1))


def _zipformer_states(graph: Graph) -> None:
    """The states of one layer, handed on as they are (``GetEncoderInitStates``)."""
    shapes = {
        "cached_key_0": (8, "N", 8), "cached_nonlin_attn_0": (1, "N", 8, 12), "cached_val1_0": (8, "N", 8),
        "cached_val2_0": (8, "N", 8), "cached_conv1_0": ("N", 16, 15), "cached_conv2_0": ("N", 16, 15),
        "embed_states": ("N", 128, 3, 19),
    }  # fmt: skip
    for name, shape in shapes.items():
        graph.output(f"new_{name}", graph.input(name, shape), shape)
    done = graph.input("processed_lens", ("N",), np.int64)
    graph.output("new_processed_lens", graph.node("Add", done, graph.whole(16)), ("N",), np.int64)


def layers(graph: Graph, rows: str, size: int, width: int, count: int) -> str:
    """As much computing as a network: ``count`` layers of ``width`` with four times as many between, on (.., T, ``size``)
    rows, as one number that is nothing. 8 ``width``² weights a layer, random and always the same."""
    rng = np.random.default_rng(0)

    def weights(*shape: int) -> str:
        return str(graph.constant(rng.standard_normal(shape, np.float32) * 0.02))

    rows = graph.node("MatMul", rows, weights(size, width))
    for _ in range(count):
        inner = graph.node("Relu", graph.node("MatMul", rows, weights(width, 4 * width)))
        rows = graph.node("Add", rows, graph.node("MatMul", inner, weights(4 * width, width)))
    return str(graph.node("Mul", graph.node("ReduceMean", rows, keepdims=0), graph.constant(0.0)))


_ZIPFORMER = {
    "version": "1", "model_author": "k2-fsa", "T": 45, "decode_chunk_len": 32,
    "num_encoder_layers": "1", "encoder_dims": "16", "cnn_module_kernels": "31", "left_context_len": "8",
    "query_head_dims": "4", "value_head_dims": "4", "num_heads": "2",
}  # fmt: skip


def _chunk(graph: Graph, width: int = 0, count: int = 0) -> str:
    """A chunk's logits, 8 frames of (blank, low, high), from (N, 45, 80) features. ``width`` and ``count``: `layers`,
    computed for the 16 frames that are left after the first halving."""
    x = graph.input("x", ("N", 45, 80))
    own = graph.node("Slice", x, graph.whole(0), graph.whole(32), graph.whole(1))  # the rest is heard next time
    low, high = _bands(graph, own, 2)
    blank = graph.node("Mul", low, graph.constant(0.0))
    rows = graph.node("Concat", *(graph.node("Unsqueeze", one, graph.whole(1)) for one in (blank, low, high)), axis=1)
    logits = graph.node("Transpose", _pooled(graph, rows, 4), perm=[0, 2, 1])
    if count:
        half = graph.node("Slice", own, graph.whole(0), graph.whole(32), graph.whole(1), graph.whole(2))
        logits = graph.node("Add", logits, layers(graph, half, 80, width, count))
    return str(logits)


def _stateless_decoder(folder: Path, name: str) -> None:
    """The last word that was said, as something to take off (icefall's ``export-onnx-streaming.py``)."""
    graph = Graph()
    said = graph.node("Max", graph.input("y", ("N", 2), np.int64), graph.whole(0))
    last = graph.node("Gather", said, graph.constant(1, np.int64), axis=1)
    table = graph.constant(np.diag([0.0, _FORGET, _FORGET]))
    graph.output("decoder_out", graph.node("Gather", table, last), ("N", 3))
    graph.save(folder / name, {"context_size": 2, "vocab_size": 3})


def _joiner(folder: Path, name: str) -> None:
    graph = Graph()
    logit = graph.node("Sub", graph.input("encoder_out", ("N", 3)), graph.input("decoder_out", ("N", 3)))
    graph.output("logit", logit, ("N", 3))
    graph.save(folder / name, {"joiner_dim": 3})


def zipformer_transducer(folder: Path, width: int = 0, count: int = 0) -> None:
    """A streaming zipformer2 transducer: encoder with caches, stateless decoder, joiner."""
    graph = Graph()
    graph.output("encoder_out", _chunk(graph, width, count), ("N", 8, 3))
    _zipformer_states(graph)
    stem = "epoch-99-avg-1-chunk-16-left-128.onnx"
    graph.save(
        folder / f"encoder-{stem}", {**_ZIPFORMER, "model_type": "zipformer2", "comment": "streaming zipformer2"}
    )
    _stateless_decoder(folder, f"decoder-{stem}")
    _joiner(folder, f"joiner-{stem}")
    _tokens(folder, "<blk>", "▁low", "▁high")


def zipformer_ctc(folder: Path) -> None:
    """A streaming zipformer2 with CTC: one file."""
    graph = Graph()
    graph.output("log_probs", _chunk(graph), ("N", 8, 3))
    _zipformer_states(graph)
    graph.save(
        folder / "ctc-epoch-30-avg-3-chunk-16-left-128.onnx",
        {**_ZIPFORMER, "model_type": "zipformer2", "comment": "streaming ctc zipformer2"},
    )
    _tokens(folder, "<blk>", "▁low", "▁high")


def _nemo_logits(graph: Graph, time: int | str) -> str:
    """(B, 80, T) features to (B, 3, ceil(T / 8)) of (low, high, blank): NeMo's blank is the last."""
    features = graph.input("audio_signal", ("B", 80, time))
    low, high = _bands(graph, features, 1)
    blank = graph.node("Mul", low, graph.constant(0.0))
    rows = graph.node("Concat", *(graph.node("Unsqueeze", one, graph.whole(1)) for one in (low, high, blank)), axis=1)
    return _pooled(graph, rows, 8)


def _eighths(graph: Graph) -> str:
    length = graph.input("length", ("B",), np.int64)
    return str(graph.node("Div", graph.node("Add", length, graph.whole(7)), graph.whole(8)))


def _nemo_decoder(folder: Path) -> None:
    graph = Graph()
    target = graph.input("targets", ("B", 1), np.int32)
    table = graph.constant(np.diag([_FORGET, _FORGET, 0.0]))
    said = graph.node("Transpose", graph.node("Gather", table, graph.cast(target, np.int64)), perm=[0, 2, 1])
    length = graph.input("target_length", ("B",), np.int32)
    graph.output("outputs", said, ("B", 3, 1))
    graph.output("prednet_lengths", length, ("B",), np.int32)
    for name, new in (("states.1", "states"), ("onnx::Slice_3", "162")):
        graph.output(new, graph.input(name, (1, "B", 4)), (1, "B", 4))
    graph.save(folder / "decoder.onnx")


def _nemo_joiner(folder: Path) -> None:
    graph = Graph()
    heard = graph.input("encoder_outputs", ("B", 3, 1))
    logit = graph.node("Sub", heard, graph.input("decoder_outputs", ("B", 3, 1)))
    rows = graph.node("Unsqueeze", graph.node("Transpose", logit, perm=[0, 2, 1]), graph.whole(1))
    graph.output("outputs", rows, ("B", 1, 1, 3))
    graph.save(folder / "joiner.onnx")


_NEMO = {
    "vocab_size": 2, "subsampling_factor": 8, "normalize_type": "NA", "pred_rnn_layers": 1, "pred_hidden": 4,
    "model_type": "EncDecRNNTBPEModel", "version": "2", "feat_dim": 80,
    "url": "https://huggingface.co/nvidia/parakeet", "comment": "made by a test",
}  # fmt: skip


def nemo_transducer(folder: Path) -> None:
    """A whole-turn NeMo transducer, as Parakeet is."""
    graph = Graph()
    graph.output("outputs", _nemo_logits(graph, "T"), ("B", 3, "S"))
    graph.output("encoded_lengths", _eighths(graph), ("B",), np.int64)
    graph.save(folder / "encoder.onnx", _NEMO)
    _nemo_decoder(folder)
    _nemo_joiner(folder)
    _tokens(folder, "▁low", "▁high", "<blk>")


def nemo_streaming(folder: Path) -> None:
    """A cache-aware streaming NeMo transducer, as Nemotron is: chunks of 56 frames of which 48 are new."""
    graph = Graph()
    graph.output("outputs", _nemo_logits(graph, "T"), ("B", 3, "S"))
    graph.output("encoded_lengths", _eighths(graph), ("B",), np.int64)
    for name, shape in (("cache_last_channel", ("B", 1, 4, 8)), ("cache_last_time", ("B", 1, 8, 4))):
        graph.output(f"{name}_next", graph.input(name, shape), shape)
    filled = graph.input("cache_last_channel_len", ("B",), np.int64)
    graph.output("cache_last_channel_next_len", filled, ("B",), np.int64)
    names = (f"cache_last_{name}_dim{n}" for name in ("channel", "time") for n in (1, 2, 3))
    sizes = dict(zip(names, (1, 4, 8, 1, 8, 4), strict=True))
    graph.save(folder / "encoder.onnx", {**_NEMO, **sizes, "window_size": 56, "chunk_shift": 48})
    _nemo_decoder(folder)
    _nemo_joiner(folder)
    _tokens(folder, "▁low", "▁high", "<blk>")


def nemo_ctc(folder: Path) -> None:
    """A whole-turn NeMo model with CTC."""
    graph = Graph()
    rows = _nemo_logits(graph, "T")
    _ = graph.input("length", ("B",), np.int64)
    graph.output("logprobs", graph.node("Transpose", rows, perm=[0, 2, 1]), ("B", "S", 3))
    graph.save(
        folder / "model.onnx",
        {"vocab_size": 2, "subsampling_factor": 8, "normalize_type": "", "model_type": "EncDecCTCModelBPE"},
    )
    _tokens(folder, "▁low", "▁high", "<blk>")


_LANGUAGES = {"en": 5, "de": 6}
_EOT, _SOT, _PLAIN = 2, 3, 4


def whisper(folder: Path, *, multilingual: bool = False) -> None:
    """Whisper: an encoder that gives keys and values, a decoder with a cache. It says one word for each second."""
    vocab = 12
    prompt = 4 if multilingual else 2  # start, language, task, no time stamps; or start and no time stamps
    graph = Graph()
    low, high = _bands(graph, graph.input("mel", ("n_audio", 80, "T")), 1, threshold=0.6)
    end = graph.node("Mul", low, graph.constant(0.0))
    nothing = graph.node("Sub", end, graph.constant(100.0))
    rows = [graph.node("Unsqueeze", one, graph.whole(1)) for one in (low, high, end, *([nothing] * (vocab - 3)))]
    seconds = _seconds(graph, graph.node("Concat", *rows, axis=1), 100)  # (1, vocab, seconds)
    state = graph.node("Unsqueeze", graph.node("Transpose", seconds, perm=[0, 2, 1]), graph.whole(0))
    for name in ("n_layer_cross_k", "n_layer_cross_v"):
        graph.output(name, state, (1, "n_audio", "S", vocab))
    codes = {"all_language_tokens": "5,6", "all_language_codes": "en,de"} if multilingual else {}
    graph.save(
        folder / "tiny-encoder.onnx",
        {
            "model_type": "whisper-tiny", "n_mels": 80, "n_text_layer": 1, "n_text_ctx": 448, "n_text_state": vocab,
            "n_vocab": vocab, "sot": _SOT, "eot": _EOT, "blank_id": 11, "translate": 8, "transcribe": 7,
            "is_multilingual": int(multilingual), "no_timestamps": _PLAIN, "no_speech": 10,
            "sot_sequence": f"{_SOT},5,7" if multilingual else f"{_SOT}", **codes,
        },
    )  # fmt: skip

    graph = Graph()
    tokens = graph.input("tokens", ("n_audio", "n_tokens"), np.int64)
    cache = {
        name: graph.input(f"in_{name}", (1, "n_audio", 448, vocab))
        for name in ("n_layer_self_k_cache", "n_layer_self_v_cache")
    }
    heard = graph.input("n_layer_cross_k", (1, "n_audio", "S", vocab))
    _ = graph.input("n_layer_cross_v", (1, "n_audio", "S", vocab))
    offset = graph.input("offset", (1,), np.int64)
    count = graph.node("Gather", graph.node("Shape", tokens), graph.whole(1))
    last = graph.node("Sub", graph.node("Gather", graph.node("Shape", heard), graph.whole(2)), graph.whole(1))
    step = graph.node("Sub", graph.node("Add", offset, count), graph.whole(prompt))
    at = graph.node("Min", graph.node("Max", step, graph.whole(0)), last)
    row = graph.node("Squeeze", graph.node("Gather", heard, at, axis=2), graph.whole(0))  # (1, 1, vocab)
    logits = graph.node("Expand", row, graph.node("Concat", graph.whole(1), count, graph.whole(vocab), axis=0))
    graph.output("logits", logits, ("n_audio", "n_tokens", vocab))
    for name, value in cache.items():
        graph.output(f"out_{name}", value, (1, "n_audio", 448, vocab))
    graph.save(folder / "tiny-decoder.onnx")
    words = [" low", " high", *(f"<|{n}|>" for n in range(2, vocab))]
    lines = (f"{base64.b64encode(word.encode()).decode()} {n}" for n, word in enumerate(words))
    folder.joinpath("tiny-tokens.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def moonshine(folder: Path, width: int = 0, count: int = 0, vocabulary: int = 5, steps: int = 42) -> None:
    """Moonshine v1: four files, straight from the samples. It says one word for each second: ``steps`` of 384 samples.
    ``width`` and ``count``: `layers` in its encoder and decoder."""
    graph = Graph()
    t = np.arange(400) / RATE
    window = np.hanning(400) / 100
    phases = (np.cos, np.sin)  # 384 samples are whole periods of 500 Hz: with one phase it could be missed
    filters = np.stack([window * phase(2 * np.pi * hertz * t) for phase in phases for hertz in (LOW, HIGH)])[:, None]
    sound = graph.node("Unsqueeze", graph.input("args_0", ("batch", "samples")), graph.whole(1))
    loud = graph.node("Abs", graph.node("Conv", sound, graph.constant(filters), strides=[384]))
    halves = [graph.node("Slice", loud, graph.whole(n), graph.whole(n + 2), graph.whole(1)) for n in (0, 2)]
    graph.output("sequential", graph.node("Transpose", graph.node("Max", *halves), perm=[0, 2, 1]), ("batch", "T", 2))
    graph.save(folder / "preprocess.onnx")

    graph = Graph()
    features = graph.input("args_0", ("batch", "T", 2))
    _ = graph.input("args_1", (1,), np.int32)
    if count:
        features = graph.node("Add", features, layers(graph, features, 2, width, count))
    graph.output("layer_norm", features, ("batch", "T", 2))
    graph.save(folder / "encode.onnx")

    for name, first in (("uncached_decode.onnx", True), ("cached_decode.onnx", False)):
        graph = Graph()
        _ = graph.input("args_0", ("batch", 1), np.int32)
        heard = graph.node("Transpose", graph.input("args_1", ("batch", "T", 2)), perm=[0, 2, 1])
        step = graph.node("Sub", graph.cast(graph.input("args_2", (1,), np.int32), np.int64), graph.whole(1))
        seconds = _seconds(graph, graph.node("Sub", heard, graph.constant(0.05)), steps)
        padded = graph.node("Pad", seconds, graph.whole(0, 0, 0, 0, 0, 1), graph.constant(-1.0))
        last = graph.node("Sub", graph.node("Gather", graph.node("Shape", padded), graph.whole(2)), graph.whole(1))
        row = graph.node("Gather", padded, graph.node("Min", step, last), axis=2)  # (1, 2, 1): low, high
        ends = graph.constant([[[-9.0], [-9.0], [0.0]]])  # nothing, start, end
        others = graph.constant(np.full((1, vocabulary - 5, 1), -9.0))
        logits = graph.node("Transpose", graph.node("Concat", ends, row, others, axis=1), perm=[0, 2, 1])
        if count:
            last = graph.node("Transpose", row, perm=[0, 2, 1])
            logits = graph.node("Add", logits, layers(graph, last, 2, width, count))
            rng = np.random.default_rng(1)
            table = graph.constant(rng.standard_normal((2, width), np.float32))
            words = graph.constant(rng.standard_normal((width, vocabulary), np.float32))
            spread = graph.node("MatMul", graph.node("MatMul", last, table), words)
            logits = graph.node("Add", logits, graph.node("Mul", spread, graph.constant(0.0)))
        graph.output("reversible_embedding", logits, ("batch", 1, vocabulary))
        graph.output("state", graph.constant([[0.0]]) if first else graph.input("args_3", (1, 1)), (1, 1))
        graph.save(folder / name)
    _tokens(folder, "<unk>", "<s>", "</s>", "▁low", "▁high", *(f"▁{number}" for number in range(5, vocabulary)))


FAMILIES: Mapping[str, Callable[[Path], None]] = {
    "zipformer-transducer": zipformer_transducer,
    "zipformer-streaming-ctc": zipformer_ctc,
    "nemo-streaming-transducer": nemo_streaming,
    "nemo-transducer": nemo_transducer,
    "nemo-ctc": nemo_ctc,
    "whisper": whisper,
    "moonshine": moonshine,
}
"""Family, as `locara.engines.sherpa_files` calls it, and what writes a model of it into a folder."""
