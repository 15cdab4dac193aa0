"""An app that owns its microphone: it gives the session sound itself, in its own rate, shape and sizes.

    python examples/push_audio.py [RECORDING.wav] [--simulated]

What it shows: ``PushedSource`` as the input, ``push_audio`` for every buffer that the app's own audio code delivers, and
``finish`` when there is no more. Here the "microphone" is a recording, given as 16-bit stereo at 48 kHz in buffers of
10 ms. ``--simulated`` runs on a virtual clock, so it takes as long as the engines compute.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Sequence
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from locara import testing, voice
from locara.audio import resample
from locara.devices.pushed import PushedSource
from locara.devices.wav import read_wav
from locara.voice.events import Error, Event, FinalTranscript, TurnEnd

RATE = 48_000
BUFFER = 480
"""Samples in one buffer of the app's microphone: 10 ms."""

RECORDING = str(files("locara.cli") / "question.wav")


async def microphone(path: str) -> AsyncIterator[npt.NDArray[np.int16]]:
    """The app's own microphone: buffers of shape ``(480, 2)``, each when it is due."""
    samples, rate = read_wav(path)
    whole = (resample(samples, rate, RATE) * 32767).astype(np.int16)
    clock = asyncio.get_running_loop()
    began = clock.time()
    for start in range(0, whole.size, BUFFER):
        await asyncio.sleep(max(0.0, began + start / RATE - clock.time()))
        one = whole[start : start + BUFFER]
        yield np.stack((one, one), axis=1)


async def converse(path: str, llm: str) -> list[Event]:
    """The conversation; returns its events."""
    source = PushedSource("my own microphone")
    session = voice.session(llm=llm, input=source, output="none", end_with_input=True)

    async def push() -> None:
        async for buffer in microphone(path):
            await session.push_audio(buffer, RATE)  # waits only when far more is given than can be heard
        source.finish()

    told: list[Event] = []
    events = session.events()
    async with session:
        pushing = asyncio.create_task(push())
        async for event in events:
            told.append(event)
            match event:
                case FinalTranscript(text=text) | Error(message=text):
                    print(f"{event.t:6.2f} s  {event.type}: {text}")
                case TurnEnd(who="assistant", reason=reason):
                    print(f"{event.t:6.2f} s  the reply ended: {reason}")
        await pushing
    for said in session.history:
        if isinstance(said, voice.Said):
            print(f"{said.role:>9}: {said.text}")
    return told


def main(argv: Sequence[str] | None = None) -> list[Event]:
    """Runs it in real time, or with ``--simulated`` as fast as it goes."""
    parser = argparse.ArgumentParser(description="An app that owns its microphone.")
    parser.add_argument("recording", nargs="?", default=RECORDING)
    parser.add_argument("--llm", default="auto", help="the language model, for example built-in")
    parser.add_argument("--simulated", action="store_true", help="on a virtual clock")
    options = parser.parse_args(argv)
    run = testing.run if options.simulated else asyncio.run
    return run(converse(options.recording, options.llm))


if __name__ == "__main__":
    main()
