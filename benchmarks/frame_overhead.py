"""What the process around a frame model costs: ``python benchmarks/frame_overhead.py [--seconds 20] [--sessions 1 8 32]``.

No model is needed: three are played, one that takes nothing, one that waits for ``--busy`` ms (20) as for a GPU, and one
that keeps a core busy for as long; whatever the batch. Printed first: a frame pushed, its answer awaited, the next pushed,
as fast as it goes: what the pipes and threads take when the machine does nothing else in between. Then so many sessions
push 20 ms of sound every 20 ms, as a microphone does, all at once or each begun at a moment of its own in the 80 ms of a
frame ("spread"). Printed: from the last sample of a frame given to ``push_audio`` to its `Frame` taken from the event
stream, in milliseconds, less the median step as the worker measured it (median, 95 of 100, worst); and, where the model
takes nothing, the processor's time of both processes for one frame of one session, this program's own pacing included.
With more than one session the delay holds two waits: for sessions whose frames are about to come (10 ms at most), and for
the step that was being computed. The load of the machine is printed, too: on a busy one the figures are its scheduler's.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import sys
import time
from pathlib import Path

import numpy as np

from locara.engines.backend import BackendSettings, Frame, Lag
from locara.engines.contracts import EngineInfo
from locara.engines.frame_backend import FrameBackend
from locara.engines.frame_model import FrameFacts
from locara.engines.isolated import Environment

RATE, FRAME = 24_000, 1920
BLOCK = FRAME // 4
_HERE = str(Path(__file__).resolve().parent)
_WARM_FRAMES = 12  # of each session, not counted


def processor_seconds(pid: int) -> float:
    """What this process and the worker have used; the worker's is known on Linux only."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    used = own.ru_utime + own.ru_stime
    stat = Path(f"/proc/{pid}/stat")
    if stat.exists():
        fields = stat.read_text().rpartition(")")[2].split()
        used += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used


async def talk(backend: FrameBackend, phase: float, frames: int, delays: list[float]) -> int:
    """One session; returns how many frames were skipped."""
    session = await backend.start_session(BackendSettings())
    pushed: list[float] = []
    block = np.zeros(BLOCK, dtype=np.float32)

    async def push() -> None:
        began = time.perf_counter() + phase
        for n in range(4 * frames):
            await asyncio.sleep(max(0.0, began + n * BLOCK / RATE - time.perf_counter()))
            if n % 4 == 3:
                pushed.append(time.perf_counter())
            await backend.push_audio(session, block)

    pushing = asyncio.create_task(push())
    skipped = at = 0
    async for event in backend.event_stream(session):
        if isinstance(event, Lag):
            skipped += event.skipped // FRAME
            at += event.skipped // FRAME
        elif isinstance(event, Frame):
            if at >= _WARM_FRAMES:
                delays.append(time.perf_counter() - pushed[at])
            at += 1
            if at == frames:
                break
    await pushing
    await backend.stop_session(session)
    return skipped


def backend_of(sessions: int, busy: float, waits: bool = False) -> FrameBackend:
    """The played model in its process."""
    where = Environment("busy", "numpy", "numpy", "frame_overhead_model")
    return FrameBackend(
        EngineInfo("busy", "busy", "Apache-2.0"),
        where,
        {"slots": sessions, "busy": busy, "waits": waits},
        expected=FrameFacts(RATE, FRAME, slots=sessions),
        python=sys.executable,
        realtime="ignore",
    )


async def back_to_back(frames: int) -> str:
    """One session as fast as it goes."""
    backend = backend_of(1, 0.0)
    try:
        session = await backend.start_session(BackendSettings())
        events = backend.event_stream(session)
        sound = np.zeros(FRAME, dtype=np.float32)
        delays: list[float] = []
        for _ in range(frames):
            began = time.perf_counter()
            await backend.push_audio(session, sound)
            await anext(events)
            delays.append(1000 * (time.perf_counter() - began))
    finally:
        await backend.close()
    median, p95, worst = np.percentile(delays[_WARM_FRAMES:], [50, 95, 100])
    return f"back to back, {frames} frames: median {median:.2f} ms, p95 {p95:.2f}, worst {worst:.1f}"


async def measure(sessions: int, busy: float, waits: bool, seconds: float, spread: bool) -> str:
    """One line of the table."""
    backend = backend_of(sessions, busy, waits)
    await backend.load()
    dice = random.Random(1)
    frames = round(seconds * RATE / FRAME)
    delays: list[float] = []
    try:
        before = processor_seconds(backend.pid or 0)
        phases = [dice.uniform(0, FRAME / RATE) * spread for _ in range(sessions)]
        skips = await asyncio.gather(*(talk(backend, phase, frames, delays) for phase in phases))
        counts = backend.counts
        used = processor_seconds(backend.pid or 0) - before
    finally:
        await backend.close()
    ours = [1000 * (delay - counts["step_median"]) for delay in delays]
    median, p95, worst = np.percentile(ours, [50, 95, 100])
    step = f"{1000 * busy:.0f}{' waits' if waits else ' busy' if busy else ''}"
    processor = "" if busy else f"{1000 * used / counts['frames']:.2f}"
    return (
        f"| {sessions} {'spread' if spread else 'together'} | {step} | {median:.2f} | {p95:.2f} | {worst:.1f} | "
        f"{processor} | {counts['frames'] / counts['steps']:.1f} | {sum(skips)} |"
    )


async def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--busy", type=float, default=20.0, help="ms of the second model's step")
    asked = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [_HERE, os.environ.get("PYTHONPATH")]))
    if hasattr(os, "getloadavg"):
        print(f"load: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(await back_to_back(1000))
    print("| sessions | step ms | ours ms: median | p95 | worst | processor ms a frame | frames a step | skipped |")
    print("|---|---|---|---|---|---|---|---|")
    for busy, waits in ((0.0, False), (asked.busy / 1000, True), (asked.busy / 1000, False)):
        for sessions in asked.sessions:
            for spread in (False, True) if sessions > 1 else (False,):
                print(await measure(sessions, busy, waits, asked.seconds, spread), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
