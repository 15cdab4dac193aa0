"""How long both Whispers take for a turn, on files of the real sizes with random weights: speed, and nothing else.

    python benchmarks/whisper_speed.py [--engines faster-whisper whisper-cpp] [--sizes tiny.en base.en] [--threads 1 2]

For 1, 3 and 10 s of sound: the time of one decode (median, smallest and largest of the repeats), the processor's time, and
the real-time factor. Then a turn of 3 s at a microphone's pace with partial texts: from the last sample to the settled text.
The weights are made by tests/engines/whisper_weights.py; they say 3.5 tokens for each second, as English does.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from locara.audio import BLOCK, RATE, Samples
from locara.engines import registry

TOKENS_PER_SECOND = 3.5
LIVE_SECONDS = 3.0
MODULES = {"faster-whisper": "ctranslate2", "whisper-cpp": "_pywhispercpp"}


def sound(seconds: float) -> Samples:
    """Noise with syllables: how long it takes does not depend on what is said."""
    at = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(0).standard_normal(at.size) * np.clip(np.sin(2 * np.pi * 4 * at), 0.0, None)
    made: Samples = (0.1 * noise).astype(np.float32)
    return made


def written(engine: str, size: str, seconds: float, folder: Path) -> Path:
    """The model's file or folder, for a turn of so many seconds."""
    weights: Any = importlib.import_module("whisper_weights")
    shape = {"tiny.en": weights.TINY_EN, "base.en": weights.BASE_EN}[size]
    made = weights.random_weights(shape, round(TOKENS_PER_SECOND * seconds))
    if engine == "whisper-cpp":
        return Path(weights.write_ggml(folder / f"ggml-{size}.bin", shape, made))
    return Path(weights.write_ctranslate2(folder / size, shape, made, "float16"))


async def decode(engine: Any, seconds: float, repeats: int) -> str:
    """One decode of a turn's sound, as a partial text costs it."""
    samples, walls, cpus = sound(seconds), [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        got = await engine.lane.run(
            lambda: engine.decoder.decode(samples, final=True, stop=threading.Event()), deadline=120
        )
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
        assert len(got.text.split()) == round(TOKENS_PER_SECOND * seconds), got
    middle = statistics.median(walls)
    return (
        f"{middle:.3f} s ({min(walls):.3f} to {max(walls):.3f}), processor {statistics.median(cpus):.3f} s, "
        f"real-time factor {middle / seconds:.2f}"
    )


async def live(engine: Any, repeats: int) -> str:
    """From the last sample of a turn to its settled text, at a microphone's pace."""
    samples, delays, partials = sound(LIVE_SECONDS), [], 0
    for _ in range(repeats):
        listening = engine.open()
        began = time.perf_counter()
        for at in range(0, samples.size, BLOCK):
            partials += await listening.push(samples[at : at + BLOCK]) is not None
            await asyncio.sleep(max(0.0, began + (at + BLOCK) / RATE - time.perf_counter()))
        ended = time.perf_counter()
        await listening.settle()
        delays.append(time.perf_counter() - ended)
        await listening.close()
    return (
        f"{statistics.median(delays):.3f} s ({min(delays):.3f} to {max(delays):.3f}), {partials / repeats:.1f} partials"
    )


async def measure(engine: str, size: str, threads: int, path: Path, seconds: float, repeats: int, **more: Any) -> None:
    """Prints the figures of one file."""
    options = {"engine": engine, "path": str(path), "threads": threads, **more}
    made: Any = registry.create("stt", f"whisper-{size}", options)
    await made.load()
    try:
        title = f"{engine} {size}, {threads} thread{'s' * (threads > 1)}{', whole window' * bool(more)}"
        print(f"{title}, {seconds:g} s: {await decode(made, seconds, repeats)}", flush=True)
        if seconds == LIVE_SECONDS and not more:
            print(f"{title}, settled after {seconds:g} s of speech: {await live(made, repeats)}", flush=True)
    finally:
        await made.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", choices=sorted(MODULES), default=sorted(MODULES))
    parser.add_argument("--sizes", nargs="+", choices=("tiny.en", "base.en"), default=["tiny.en", "base.en"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--seconds", nargs="+", type=float, default=[1.0, 3.0, 10.0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--weights", type=Path, default=Path(__file__).parents[1] / "tests" / "engines")
    parser.add_argument(
        "--whole-window", action="store_true", help="also 30 s computed for each, as Whisper was trained"
    )
    asked = parser.parse_args()
    if not (asked.weights / "whisper_weights.py").is_file():
        parser.error(f"{asked.weights} holds no whisper_weights.py: give the folder tests/engines of the source")
    sys.path.insert(0, str(asked.weights))
    for engine in asked.engines:
        if importlib.util.find_spec(MODULES[engine]) is None:
            print(f'{engine}: not installed; pip install "locara[{engine}]"')
            continue
        for size in asked.sizes:
            for seconds in asked.seconds:
                with tempfile.TemporaryDirectory() as folder:
                    path = written(engine, size, seconds, Path(folder))
                    for threads in asked.threads:
                        asyncio.run(measure(engine, size, threads, path, seconds, asked.repeats))
                        if asked.whole_window:
                            asyncio.run(measure(engine, size, threads, path, seconds, asked.repeats, whole_window=True))


if __name__ == "__main__":
    main()
