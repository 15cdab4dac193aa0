"""What a conversation with a Moshi server costs on our side, and how late the server is.

    python -m moshi.server --static none &      # or any server that speaks its protocol
    python benchmarks/moshi_server.py ws://127.0.0.1:8998/api/chat [--seconds 20] [--flavour personaplex]

Sound goes out at the pace of the clock, 20 ms at a time. Measured: the time to load (a conversation of a second), to the
handshake, to the first frame of sound; how long after the last sample of what it had heard each frame came; processor time
of this whole process for each frame of 80 ms, which is Opus both ways, the WebSocket and asyncio; and what was lost. Wants
the extra ``opus``.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time

import numpy as np

from locara.engines import registry
from locara.engines.backend import BackendSettings, Ended, Frame, Lag, VoiceBackend
from locara.errors import LocaraError

BLOCK_SECONDS = 0.02


async def measure(backend: VoiceBackend, seconds: float) -> None:
    """One conversation; prints its figures."""
    began = time.perf_counter()
    await backend.load()
    loaded = time.perf_counter()
    session = await backend.start_session(BackendSettings())
    opened = time.perf_counter()
    print(f"load {loaded - began:.2f} s, handshake {(opened - loaded) * 1000:.0f} ms")
    rate = backend.capabilities.input_rate
    block = round(BLOCK_SECONDS * rate)
    came: list[float] = []
    late: list[float] = []
    lost = 0
    first = 0.0
    start = time.perf_counter()

    async def listen() -> None:
        nonlocal lost, first
        async for event in backend.event_stream(session):
            now = time.perf_counter()
            if isinstance(event, Frame):
                first = first or now - start
                came.append(now)
                late.append(now - start - event.heard / rate)
            elif isinstance(event, Lag):
                lost += event.skipped
            elif not isinstance(event, Ended):
                print(event)

    listening = asyncio.create_task(listen())
    sound = np.random.default_rng(1).normal(0, 0.03, round(seconds * rate)).astype(np.float32)
    used = time.process_time()
    for at in range(0, sound.size, block):
        await backend.push_audio(session, sound[at : at + block])
        await asyncio.sleep(max(0.0, start + (at + block) / rate - time.perf_counter()))
    used = time.process_time() - used
    await asyncio.sleep(0.5)
    await backend.stop_session(session)
    await listening
    if len(came) < 10:
        raise SystemExit(f"only {len(came)} frames came")
    gaps = np.diff(came) * 1000
    print(
        f"first frame {first * 1000:.0f} ms after the first sample; {len(came)} frames, {lost / rate:.2f} s not heard"
    )
    print(
        f"late: median {statistics.median(late) * 1000:.1f} ms, p95 {float(np.percentile(late, 95)) * 1000:.1f} ms;"
        f" between frames: median {float(np.median(gaps)):.1f} ms, p95 {float(np.percentile(gaps, 95)):.1f} ms"
    )
    print(f"processor time of this process: {used / len(came) * 1000:.2f} ms a frame")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--flavour", default="moshi", choices=("moshi", "personaplex"))
    options = parser.parse_args()

    async def run() -> None:
        backend = registry.create("omni", "moshi-server", {"url": options.url, "flavour": options.flavour})
        assert isinstance(backend, VoiceBackend)
        try:
            await measure(backend, options.seconds)
        finally:
            await backend.close()

    try:
        asyncio.run(run())
    except LocaraError as error:
        sys.exit(error.explain())


if __name__ == "__main__":
    main()
