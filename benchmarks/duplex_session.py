"""What a whole session costs beside the model's step: ``python benchmarks/duplex_session.py [--seconds 10] [--runs 3]``.

Real sessions, ``voice.session(omni=...)``, in real time, with real Silero, 1, 2, 4 and 8 at once on one process of a frame
model. The model is the parrot, which needs no weights (``--step MS``: one whose step waits so long, as for a GPU). Each
microphone hears the question that comes with ``locara talk`` and a rest, again and again, each at a phase of its own; events
are taken as an app takes them; the output is ``"none"``.

In the same run, alternating: the same microphones alone (``idle``: what waking 50 times a second takes), and the same
session as a pipeline whose engines are scripted and cost next to nothing (``pipeline``).

Printed per 80 ms and session, the median of the runs (least to most): processor milliseconds of this process (main thread,
other threads) and of the worker outside ``step``; from the moment the last block of a frame is over at the microphone to the
model's frame at the brain, less the step (median, 95 of 100); from there to the mouth's queue. ``--split`` meters the parts
of the main thread, which costs a little itself. ``--card``: one session with an output that pulls 10 ms at a time by the
clock; from the moment at which the parrot, as fast as it can be, would be heard, to the moment at which it is.
``--profile``: cProfile of one session.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import cProfile
import importlib.resources
import os
import pstats
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from duplex_session_parts import Card, Meter, Microphone, load, of_three, processor_seconds

from locara import voice
from locara.audio import BLOCK, RATE, Samples, resample, silence
from locara.devices.wav import read_wav
from locara.engines.contracts import EngineInfo
from locara.engines.frame_backend import FrameBackend
from locara.engines.frame_model import FrameFacts
from locara.engines.isolated import Environment
from locara.gate.mouth import lead_of
from locara.testing import ScriptedModel, ScriptedRecogniser, ScriptedVoice, Spoken
from locara.voice.deriving import lead_needed
from locara.voice.duplex import DuplexBrain
from locara.voice.lending import Lent

MODEL_RATE, FRAME = 24_000, 1920
FRAME_SECONDS = FRAME / MODEL_RATE
BLOCKS = round(FRAME_SECONDS * RATE / BLOCK)
WARM_SECONDS = 2.0
_HERE = str(Path(__file__).resolve().parent)


@dataclass
class Run:
    """Per frame and session where nothing else is said; seconds."""

    main: float = 0.0
    threads: float = 0.0
    worker: float = float("nan")
    parts: dict[str, float] = field(default_factory=dict)
    delays: list[float] = field(default_factory=list)
    """From the end of a frame at the microphone to the model's at the brain, less the step."""
    queued: list[float] = field(default_factory=list)
    """From there to the mouth's queue."""
    added: list[float] = field(default_factory=list)
    """Voice to voice, beyond what the parrot itself takes."""
    leads: list[float] = field(default_factory=list)
    """Of that, the silence before each utterance: more, the less even the frames came."""
    skipped: float = 0.0


def spoken_to() -> Samples:
    """A question of 1.4 s and a rest in which it is answered, 16 kHz, a whole number of frames long."""
    path = str(importlib.resources.files("locara.cli") / "question.wav")
    question = resample(*read_wav(path), RATE)
    whole = np.concatenate((silence(RATE // 2), question, silence(round(2.8 * RATE))))
    return whole[: whole.size - whole.size % (BLOCKS * BLOCK)]


def backend_of(slots: int, step: float | None) -> FrameBackend:
    """The parrot, or a model whose step waits so many seconds."""
    module = "locara.engines.omni.parrot_worker" if step is None else "frame_overhead_model"
    options: dict[str, Any] = {"slots": slots} if step is None else {"slots": slots, "busy": step, "waits": True}
    return FrameBackend(
        EngineInfo("parrot" if step is None else "waits", "parrot", "Apache-2.0"),
        Environment("parrot", "numpy", "numpy", module),
        options,
        expected=FrameFacts(MODEL_RATE, FRAME, slots=slots),
        python=sys.executable,
        realtime="ignore",
    )


def a_pipeline(microphone: Microphone, cycle: float) -> voice.Session:
    """The same conversation, with engines that cost next to nothing."""
    script = [Spoken(n * cycle + 0.5, n * cycle + 1.9, "what time is it") for n in range(100)]
    hears = ScriptedRecogniser(script)
    hears.began = lambda: microphone.began
    return voice.session(
        stt=hears, llm=ScriptedModel(["It is noon and a bit."]), tts=ScriptedVoice(), turn_detection="silence",
        input=microphone, output="none", echo="headphones",
    )  # fmt: skip


def watch(session: voice.Session, microphone: Microphone, run: Run, card: Card | None) -> None:
    """Notes when each frame comes to the brain, and to the mouth. To be called when it has started."""
    loop = session._loop
    brain, mouth = loop._brain, loop._mouth
    assert isinstance(brain, DuplexBrain)
    assert mouth is not None
    clock = asyncio.get_running_loop().time
    backend = brain._backend
    steps = backend._life.counts  # type: ignore[attr-defined]
    came: list[float] = []
    due: list[float] = []
    take, play = brain._frame, mouth.play

    def taken(frame: Any) -> None:
        now = clock()
        over = microphone.over(frame.heard / FRAME * BLOCKS)
        run.delays.append(now - over - steps.pace.median)
        came[:] = [now]
        if frame.text and card is not None:
            due.append(over + lead_of(frame.samples) / MODEL_RATE)
            run.leads.append(lead_needed(brain._delays))
            asyncio.get_running_loop().call_later(0.5, sounded)
        take(frame)

    def sounded() -> None:
        at = due.pop(0)
        assert card is not None
        run.added.extend(one - at for one in card.began_to_sound if 0 <= one - at < 0.5)

    def played(reply: int, samples: Samples) -> None:
        if came:
            run.queued.append(clock() - came.pop())
        play(reply, samples)

    brain._frame, mouth.play = taken, played  # type: ignore[method-assign]


def meter_over(meter: Meter, session: voice.Session) -> None:
    """The parts of the main thread."""
    loop = session._loop
    meter.over(loop.ear, "hear", "ear")
    meter.over(loop.parts.detector, "probability", "vad")
    meter.over(loop, "_decide", "decisions")
    meter.over(loop, "_after_block", "decisions")
    meter.over(loop._mouth, "render", "gate")
    if isinstance(loop._brain, DuplexBrain):
        meter.over_async(loop._brain._to, "_give", "feeding")
        meter.over_async(loop._brain, "_take", "following")


async def take_all(events: AsyncIterator[Any]) -> None:
    """As an app does."""
    async for _ in events:
        pass


async def listen(microphone: Microphone) -> None:
    """A microphone, and nothing that hears."""
    async for _ in microphone.blocks():
        pass


async def counted(
    seconds: float, sessions: int, pid: int | None = None, steps: Callable[[], float] = float, warm: Run | None = None
) -> Run:
    """The processor's time once everything is warm; what ``warm`` has noted by then is forgotten."""
    await asyncio.sleep(WARM_SECONDS)
    if warm is not None:
        warm.delays.clear()
        warm.queued.clear()
    process, thread, other, stepped = time.process_time(), time.thread_time(), processor_seconds(pid or 0), steps()
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(seconds)
    frames = (asyncio.get_running_loop().time() - began) / FRAME_SECONDS * sessions
    main = time.thread_time() - thread
    threads = time.process_time() - process - main
    worker = processor_seconds(pid or 0) - other - (steps() - stepped)
    return Run(main / frames, threads / frames, worker / frames)


async def idle(sessions: int, seconds: float) -> Run:
    """Microphones alone."""
    sound = spoken_to()
    tasks = [asyncio.create_task(listen(Microphone(sound, phase))) for phase in phases(sessions)]
    run = await counted(seconds, sessions)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return run


def phases(sessions: int) -> list[float]:
    """Spread evenly within a frame, and unevenly within its blocks."""
    return [FRAME_SECONDS * n / sessions for n in range(sessions)]


async def conversations(kind: str, sessions: int, seconds: float, asked: argparse.Namespace) -> Run:
    """So many at once."""
    sound = spoken_to()
    microphones = [Microphone(sound, phase) for phase in phases(sessions)]
    card = Card() if asked.card else None
    backend: FrameBackend | None = None
    if kind == "omni":
        backend = backend_of(sessions, None if asked.step is None else asked.step / 1000)
        await backend.load()
        lent = Lent(backend)
        made = [
            voice.session(omni={"model": lent}, input=one, output=card or "none", echo="headphones")
            for one in microphones
        ]
    else:
        made = [a_pipeline(one, sound.size / RATE) for one in microphones]
    watched = Run()
    meter = Meter()
    async with contextlib.AsyncExitStack() as stack:
        if backend is not None:
            stack.push_async_callback(backend.close)
        tasks = [asyncio.create_task(take_all(one.events())) for one in made]
        for session, microphone in zip(made, microphones, strict=True):
            await stack.enter_async_context(session)
            if backend is not None:
                watch(session, microphone, watched, card)
            if asked.split:
                meter_over(meter, session)
        pid = None if backend is None else backend.pid
        run = await counted(seconds, sessions, pid, lambda: stepped(backend, asked.step), watched)
        skipped = sum(one.metrics().get("omni_skipped_seconds", 0.0) for one in made)
        whole = (WARM_SECONDS + seconds) / FRAME_SECONDS * sessions
        parts = {part: spent / whole for part, spent in meter.seconds.items()}
    await asyncio.wait(tasks)
    run.delays, run.queued, run.added, run.leads = watched.delays, watched.queued, watched.added, watched.leads
    run.skipped, run.parts = skipped, parts
    return run


def stepped(backend: FrameBackend | None, step: float | None) -> float:
    """Processor seconds within ``step`` so far: the parrot's, by its median; one that waits uses none."""
    if backend is None or step is not None:
        return 0.0
    return backend.counts["steps"] * backend.counts["step_median"]


def row(kind: str, sessions: int, runs: Sequence[Run]) -> str:
    """One line of the table."""
    cells = [of_three([one.main for one in runs]), of_three([one.threads for one in runs])]
    if kind == "omni":
        delays, queued = [one for run in runs for one in run.delays], [one for run in runs for one in run.queued]
        cells.append(of_three([one.worker for one in runs]))
        cells += [" / ".join(f"{1000 * one:.2f}" for one in np.percentile(of, [50, 95])) for of in (delays, queued)]
        cells.append(f"{sum(one.skipped for one in runs):.2f}")
    else:
        cells += [""] * 4
    return f"| {kind} | {sessions} | {' | '.join(cells)} |"


async def main() -> None:
    """The tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run, after two to get warm")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--kinds", nargs="+", default=["idle", "pipeline", "omni"])
    parser.add_argument("--step", type=float, help="ms that the model's step waits; left out: the parrot")
    parser.add_argument("--split", action="store_true")
    parser.add_argument("--card", action="store_true")
    parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [_HERE, os.environ.get("PYTHONPATH")]))
    print(load())
    if asked.card or asked.profile:
        profile = cProfile.Profile()
        if asked.profile:
            profile.enable()
        run = await conversations("omni", 1, asked.seconds, asked)
        profile.disable()
        if asked.profile:
            pstats.Stats(profile).sort_stats("tottime").print_stats(45)
        print(f"voice to voice beyond the parrot's own, {len(run.added)} replies: {of_three(run.added)} ms")
        print(f"of that the silence before each: {of_three(run.leads)} ms")
        return
    print("| session | at once | main thread | other threads | worker | frame at the brain, p50 / p95 ", end="")
    print("| to the mouth, p50 / p95 | skipped s |\n|---|---|---|---|---|---|---|---|")
    for sessions in asked.sessions:
        runs: dict[str, list[Run]] = {kind: [] for kind in asked.kinds}
        for _ in range(asked.runs):
            for kind, of_kind in runs.items():
                of_kind.append(
                    await idle(sessions, asked.seconds)
                    if kind == "idle"
                    else await conversations(kind, sessions, asked.seconds, asked)
                )
        for kind, of_kind in runs.items():
            print(row(kind, sessions, of_kind), flush=True)
            names = sorted({part for one in of_kind for part in one.parts})
            for part in names:
                print(f"  {part}: {of_three([one.parts.get(part, 0.0) for one in of_kind])}")
    print(load())


if __name__ == "__main__":
    asyncio.run(main())
