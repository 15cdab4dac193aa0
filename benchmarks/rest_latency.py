"""How late the first sound of REST comes, and what the way over HTTP costs.

    python benchmarks/rest_latency.py --times 10
    python benchmarks/rest_latency.py --recording SOME.wav --text "One sentence. And another one."

A server of its own with the engines that come with the installation, on loopback. Each figure: median, lowest, highest. The
first request of each kind, which loads the engine, is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, FormData, web

import locara.cli
from locara import speech, transcribe
from locara.server import rest
from locara.server.runtime import RUNTIME, Runtime
from locara.server.seats import Seats
from locara.server.settings import Settings

QUESTION = Path(locara.cli.__file__).with_name("question.wav")
TEXT = (
    "It is a quarter past nine. The kettle is on, and there are three things in your diary today. "
    "The first of them begins at ten."
)

Measured = Callable[[], Awaitable[tuple[float, ...]]]


async def measure(options: argparse.Namespace) -> None:
    """Everything, printed."""
    settings = Settings(token="")
    seats = Seats(settings)
    nobody: Any = None
    app = web.Application()
    app[RUNTIME] = Runtime(settings, seats, nobody, nobody, nobody)
    app.add_routes(rest.routes())
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with ClientSession(f"http://127.0.0.1:{port}") as client:
            await tell("speech: first sound, all of it", options.times, lambda: spoken(client, options.text))
            async with speech.speaker() as one:
                await tell("  the same without HTTP", options.times, lambda: spoken_here(one, options.text))
            await tell("transcription", options.times, lambda: heard(client, options.recording))
            async with transcribe.transcriber() as other:
                await tell("  the same without HTTP", options.times, lambda: heard_here(other, options.recording))
    finally:
        await runner.cleanup()
        await seats.close()


async def tell(what: str, times: int, once: Measured) -> None:
    """One line: for each of what ``once`` measures in seconds, in milliseconds."""
    await once()
    found: list[tuple[float, ...]] = [await once() for _ in range(times)]
    columns: Sequence[Sequence[float]] = list(zip(*found, strict=True))
    told = "   ".join(
        f"{statistics.median(one) * 1000:6.0f} ({min(one) * 1000:.0f} to {max(one) * 1000:.0f})" for one in columns
    )
    sys.stdout.write(f"{what:32} {told}\n")


async def spoken(client: ClientSession, text: str) -> tuple[float, ...]:
    began = time.perf_counter()
    given = {"model": "default", "voice": "alloy", "input": text, "response_format": "pcm"}
    async with client.post("/v1/audio/speech", json=given) as response:
        response.raise_for_status()
        await response.content.readany()
        first = time.perf_counter() - began
        await response.read()
    return first, time.perf_counter() - began


async def spoken_here(one: speech.Speaker, text: str) -> tuple[float, ...]:
    began = time.perf_counter()
    first = 0.0
    async for _ in one.stream(text, sample_rate=24_000):
        first = first or time.perf_counter() - began
    return first, time.perf_counter() - began


async def heard(client: ClientSession, path: Path) -> tuple[float, ...]:
    began = time.perf_counter()
    form = FormData({"model": "default"})
    form.add_field("file", path.open("rb"), filename=path.name)  # closed by the form when it is sent
    async with client.post("/v1/audio/transcriptions", data=form) as response:
        response.raise_for_status()
        await response.read()
    return (time.perf_counter() - began,)


async def heard_here(one: transcribe.Transcriber, path: Path) -> tuple[float, ...]:
    began = time.perf_counter()
    await one.from_file(path)
    return (time.perf_counter() - began,)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10, help="requests of each kind that are counted")
    parser.add_argument("--recording", type=Path, default=QUESTION, help="a WAV file; default: that of locara doctor")
    parser.add_argument("--text", default=TEXT, help="what is spoken")
    options = parser.parse_args()
    if not options.recording.is_file():
        parser.error(f"there is no recording {options.recording}")
    asyncio.run(measure(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
