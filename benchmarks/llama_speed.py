"""How fast llama.cpp in this process is: a file of random weights with the real size and shape of a model.

    pip install "locara[llama]"
    python benchmarks/llama_speed.py [--shape qwen2.5-0.5b] [--path FILE.gguf] [--threads N] [--batch 256] [--runs 3]

Without ``--path`` a random Q4_0 file is made (350 MB for 0.5 billion weights) in a temporary folder and deleted afterwards.
Speed does not depend on the values of the weights, so this is a fair figure for the real model; what it says is noise.
A real file may be given instead. Figures are medians (least to most) over the runs; each run has a prompt of its own.

  prompt          tokens a second while a prompt of about 500 tokens is read, nothing of it cached
  generation      tokens a second of the reply
  first token     seconds from the request to the first piece: nothing cached; the prompt read ahead, but for the last words
  stop, talking   seconds from closing a reply to the end of generation, and to the first token of the next, short one
  stop, reading   seconds from cancelling a prompt that is being read to the end of that
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from locara.engines import llama
from locara.engines.contracts import Message
from locara.engines.llama_settings import BATCH

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "engines"))
from tiny_gguf import F32, Q4_0, TEMPLATE, write  # type: ignore[import-not-found]

Q8_0 = 8
SHAPES = {
    "qwen2.5-0.5b": (24, 896, 4864, 14, 2, 151_936),
    "qwen2.5-1.5b": (28, 1536, 8960, 12, 2, 151_936),
}
"""Layers, width, feed-forward width, heads, heads of keys and values, vocabulary (the models' config.json)."""

PROMPT_CHARACTERS = 500  # the random file's tokeniser makes a token of each character
REPLY_TOKENS = 48


def random_model(path: Path, shape: str) -> Path:
    """A qwen2 of this shape: Q4_0, the embedding Q8_0, as such files are published."""
    layers, width, feed, heads, kv_heads, vocabulary = SHAPES[shape]
    dice = np.random.default_rng(0)

    def weights(kind: int, *size: int) -> tuple[int, tuple[int, ...], bytes]:
        blocks = int(np.prod(size)) // 32
        length, scale = (18, 0.004) if kind == Q4_0 else (34, 0.0003)  # a deviation of about 0.02 in both
        data = dice.integers(0, 256, (blocks, length), dtype=np.uint8)
        data[:, :2] = np.frombuffer(np.float16(scale).tobytes(), dtype=np.uint8)
        return kind, size, data.tobytes()

    def plain(size: int, value: float) -> tuple[int, tuple[int, ...], bytes]:
        return F32, (size,), np.full(size, value, dtype="<f4").tobytes()

    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    tokens = [chr(byte) for byte in shown] + [chr(256 + at) for at in range(len(hidden))]
    tokens += [f"w{at}" for at in range(vocabulary - len(tokens) - 2)] + ["<|im_start|>", "<|im_end|>"]
    tensors = {"token_embd.weight": weights(Q8_0, vocabulary, width), "output_norm.weight": plain(width, 1.0)}
    kv = width // heads * kv_heads
    for layer in range(layers):
        name = f"blk.{layer}."
        tensors |= {f"{name}attn_norm.weight": plain(width, 1.0), f"{name}ffn_norm.weight": plain(width, 1.0)}
        for part, size in (("q", width), ("k", kv), ("v", kv)):
            tensors[f"{name}attn_{part}.weight"] = weights(Q4_0, size, width)
            tensors[f"{name}attn_{part}.bias"] = plain(size, 0.0)
        tensors[f"{name}attn_output.weight"] = weights(Q4_0, width, width)
        tensors |= {f"{name}ffn_{part}.weight": weights(Q4_0, feed, width) for part in ("gate", "up")}
        tensors[f"{name}ffn_down.weight"] = weights(Q4_0, width, feed)
    metadata: dict[str, Any] = {
        "general.architecture": "qwen2",
        "general.name": f"random {shape}",
        "general.file_type": 2,
        "general.quantization_version": 2,
        "qwen2.block_count": layers,
        "qwen2.context_length": 32_768,
        "qwen2.embedding_length": width,
        "qwen2.feed_forward_length": feed,
        "qwen2.attention.head_count": heads,
        "qwen2.attention.head_count_kv": kv_heads,
        "qwen2.rope.freq_base": 1e6,
        "qwen2.attention.layer_norm_rms_epsilon": 1e-6,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [1] * (vocabulary - 2) + [3, 3],
        "tokenizer.ggml.merges": ["w 0"],
        "tokenizer.ggml.eos_token_id": vocabulary - 1,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": TEMPLATE,
    }
    made: Path = write(path, metadata, tensors)
    return made


def prompt(seed: float) -> list[Message]:
    """A conversation that no other run has."""
    dice = random.Random(seed)
    return [Message("system", "".join(dice.choice("abcdefgh ") for _ in range(PROMPT_CHARACTERS)))]


async def first(engine: llama.Llama, messages: Sequence[Message]) -> float:
    """Seconds to the first piece; the reply then goes on to its end."""
    began = time.perf_counter()
    took = 0.0
    async for _ in engine.reply(messages):
        took = took or time.perf_counter() - began
    return took


async def measure(engine: llama.Llama, runs: int) -> dict[str, list[float]]:
    """Each figure of every run."""
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    for run in range(runs):
        question = Message("user", "and what time is it there")
        note("first token, cold (s)", await first(engine, [*prompt(run), question]))
        note("prompt (tokens/s)", engine.timings["prompt_per_second"])
        note("generation (tokens/s)", engine.timings["predicted_per_second"])
        before = prompt(run + 0.5)
        assert await engine.read([*before, Message("user", "and what")])
        note("first token, read ahead (s)", await first(engine, [*before, question]))
        note("tokens that were cached", engine.timings["cache_n"])
        note("tokens that were read", engine.timings["prompt_n"])
        reply = engine.reply([*before, question])
        await anext(reply)
        await anext(reply)
        began = time.perf_counter()
        generation = engine._running
        await reply.aclose()
        assert generation is not None
        await asyncio.to_thread(generation.wait, 60.0)
        note("stop, talking (s)", time.perf_counter() - began)
        note("next first token (s)", await first(engine, [*before, question]))
        reading = asyncio.create_task(engine.read([*prompt(run + 0.25), question]))
        await asyncio.sleep(0.5)
        began = time.perf_counter()
        generation = engine._running
        assert generation is not None
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
        await asyncio.to_thread(generation.wait, 60.0)
        note("stop, reading (s)", time.perf_counter() - began)
    return found


async def main(options: argparse.Namespace) -> None:
    """Makes the file where none is given, and prints the table."""
    vars(llama)["BATCH"] = options.batch
    with tempfile.TemporaryDirectory() as folder:
        path = options.path or random_model(Path(folder) / f"{options.shape}.gguf", options.shape)
        threads = {} if options.threads is None else {"threads": options.threads}
        engine = llama.create(path.name, {"path": str(path), "max_tokens": REPLY_TOKENS, "timeout": 300.0, **threads})
        assert isinstance(engine, llama.Llama)
        began = time.perf_counter()
        await engine.load()
        print(f"{path.name}, {path.stat().st_size / 1e6:.0f} MB; {engine.info.note}; batch {options.batch}")
        print(f"load: {time.perf_counter() - began:.2f} s\n\n| | median | least to most |\n|---|---|---|")
        try:
            for name, values in (await measure(engine, options.runs)).items():
                print(f"| {name} | {statistics.median(values):.3g} | {min(values):.3g} to {max(values):.3g} |")
        finally:
            await engine.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="qwen2.5-0.5b")
    parser.add_argument("--path", type=Path, help="a real GGUF file instead of a random one")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--runs", type=int, default=3)
    asyncio.run(main(parser.parse_args()))
