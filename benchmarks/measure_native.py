"""How fast the voice of this operating system is: first sound, whole text, and how much is left when it is cut off.

    python benchmarks/measure_native.py [MODEL] [--repeat N]

MODEL is ``native`` (the default), or another voice's name to compare with, for example ``espeak-ng``. Prints medians, with
the least and the most. Nothing is played. Where the system has no voice it says so, and how to get one.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import AsyncGenerator
from typing import cast

from locara.engines import registry
from locara.engines.contracts import Speech, Voice
from locara.errors import LocaraError

SHORT = "It is a quarter past nine."
LONG = " ".join(["The meeting with the people from the museum was moved to Thursday afternoon."] * 10)


async def _one(voice: Voice, text: str) -> tuple[float, float, float]:
    """Seconds to the first sound, to the last, and seconds of sound."""
    began, first, samples = time.perf_counter(), 0.0, 0
    async for piece in voice.speak(text):
        first = first or time.perf_counter() - began
        samples += piece.samples.size
    return first, time.perf_counter() - began, samples / voice.rate


async def _cut(voice: Voice) -> float:
    """Seconds from closing a long text to the first sound of the next."""
    speech = cast("AsyncGenerator[Speech, None]", voice.speak(LONG))
    await anext(speech)
    began = time.perf_counter()
    await speech.aclose()
    async for _ in voice.speak(SHORT):
        return time.perf_counter() - began
    return float("nan")


def _row(name: str, seconds: list[float]) -> None:
    low, middle, high = (1000 * one for one in (min(seconds), statistics.median(seconds), max(seconds)))
    print(f"{name:<36} {middle:8.2f} ms   ({low:.2f} to {high:.2f}, n={len(seconds)})")


async def _measure(model: str, repeat: int) -> None:
    voice = cast(Voice, registry.create("tts", model, {}))
    try:
        began = time.perf_counter()
        await voice.load()
        loaded = time.perf_counter() - began
        print(f"{voice.info.engine} ({voice.info.note}), {voice.rate} Hz; {voice.info.why or 'named'}")
        _row("load", [loaded])
        for name, text in (("short text", SHORT), ("long text", LONG)):
            runs = [await _one(voice, text) for _ in range(repeat)]
            _row(f"{name}, first sound", [first for first, _, _ in runs])
            _row(f"{name}, for each second of sound", [whole / sound for _, whole, sound in runs])
        _row("cut off, then the next first sound", [await _cut(voice) for _ in range(repeat)])
    finally:
        await voice.close()


def main() -> int:
    """Exit 1 where there is no such voice."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", nargs="?", default="native")
    parser.add_argument("--repeat", type=int, default=20)
    chosen = parser.parse_args()
    try:
        asyncio.run(_measure(chosen.model, chosen.repeat))
    except LocaraError as error:
        print(error.explain(), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
