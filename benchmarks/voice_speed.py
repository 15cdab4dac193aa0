"""How fast any voice is here: load, first sound, and work for a second of sound.

    python benchmarks/voice_speed.py espeak-ng
    python benchmarks/voice_speed.py pocket-tts path=FOLDER python=ENVIRONMENT/bin/python --repeats 5

NAME is a model as `voice.session(tts=...)` takes it, then its options as NAME=VALUE. A folder with random weights of Pocket
TTS's real size is made by ``tests/engines/models/pocket_tts_random.py FOLDER english_2026-10`` in an environment that has
the package. Wall clock, median (least to most); the machine's load is printed too.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from typing import Any, cast

from locara.engines import registry
from locara.engines.contracts import Voice

TEXTS = {"short": "Ready to go.", "long": "The kettle is on and the bread is in the oven."}


async def measured(model: str, options: dict[str, Any], repeats: int) -> None:
    """Prints a table."""
    voice = cast(Voice, registry.create("tts", model, options))
    began = time.perf_counter()
    await voice.load()
    print(f"{model} ({voice.info.engine}, {voice.info.where}): load {time.perf_counter() - began:.2f} s")
    try:
        print("| text | first sound, ms | work for a second of sound, s | sound, s |\n|---|---|---|---|")
        for name, text in TEXTS.items():
            firsts, factors, seconds = [], [], 0.0
            for _ in range(repeats):
                first, seconds, spent = await spoken(voice, text)
                firsts.append(first * 1000)
                factors.append(spent / seconds)
            print(f"| {name} | {spread(firsts, 0)} | {spread(factors, 3)} | {seconds:.1f} |")
    finally:
        await voice.close()
    if hasattr(os, "getloadavg"):
        print(f"load average {os.getloadavg()[0]:.1f}")


async def spoken(voice: Voice, text: str) -> tuple[float, float, float]:
    """Seconds to the first sound, of sound, and in all."""
    began = time.perf_counter()
    first = samples = 0.0
    async for speech in voice.speak(text):
        first = first or time.perf_counter() - began
        samples += speech.samples.size
    return first, samples / voice.rate, time.perf_counter() - began


def spread(values: list[float], digits: int) -> str:
    """Median (least to most)."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("options", nargs="*", metavar="NAME=VALUE")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    options = dict(one.split("=", 1) for one in given.options)
    asyncio.run(measured(given.model, options, given.repeats))


if __name__ == "__main__":
    main()
