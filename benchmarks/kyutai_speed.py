#!/usr/bin/env python3
"""How fast Kyutai's speech to text runs here: seconds of work for each second of sound, and what a pause costs.

    python benchmarks/kyutai_speed.py FOLDER --python INTERPRETER [--turns N] [--seconds N] [--precision bf16|fp32]

``FOLDER``: the model; ``tests/engines/models/kyutai_stt_random.py FOLDER 1b``, run by ``INTERPRETER``, makes one of the
published size with random weights, whose speed is that of the real one. On a busy machine one second of sound is too little:
the two turns then differ by less than the noise. ``INTERPRETER``: a Python that has ``moshi``.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
import wave
from pathlib import Path
from typing import Any

import numpy as np

import locara.cli
from locara.audio import RATE, Resampler, Samples, from_pcm16
from locara.engines import registry


def speech(seconds: float) -> Samples:
    """The recorded question that comes with the program, as often as it takes."""
    with wave.open(str(Path(locara.cli.__file__).parent / "question.wav")) as file:
        sound, rate = from_pcm16(file.readframes(file.getnframes())), file.getframerate()
    sound = sound if rate == RATE else Resampler(rate, RATE).push(sound, last=True)
    return np.resize(sound, round(seconds * RATE))


async def measure(options: argparse.Namespace) -> None:
    """Prints the load time and both figures with their spread."""
    engine = registry.create(
        "stt", "kyutai-stt-1b-en_fr",
        {"path": options.folder, "python": options.python, "precision": options.precision, "threads": options.threads,
         "deadline": 600.0},
    )  # fmt: skip
    began = time.perf_counter()
    await engine.load()
    print(f"loaded in {time.perf_counter() - began:.1f} s")
    factors, ends = [], []
    try:
        for _ in range(options.turns):
            # A turn and one twice as long: what they differ in is the sound, what they have in common the settling.
            short, long = [await turn(engine, speech(times * options.seconds)) for times in (1, 2)]
            factors.append((long - short) / options.seconds)
            ends.append(2 * short - long)
    finally:
        await engine.close()
    for name, values in (("seconds of work for a second of sound", factors), ("seconds of settling", ends)):
        print(
            f"{name}: median {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f}), n={len(values)}"
        )


async def turn(engine: Any, sound: Samples) -> float:
    """Seconds from the first sample to the settled text, all given at once."""
    recognition = engine.open()
    began = time.perf_counter()
    await recognition.push(sound)
    await recognition.settle()
    took = time.perf_counter() - began
    await recognition.close()
    return took


def main() -> int:
    """Measures what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder")
    parser.add_argument("--python", required=True)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    for path in (Path(options.folder) / "config.json", Path(options.python)):
        if not path.is_file():
            sys.stderr.write(f"{path} is missing: see the first lines of this file\n")
            return 2
    asyncio.run(measure(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
