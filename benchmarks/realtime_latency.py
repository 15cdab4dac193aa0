"""How long the Realtime door takes, beside the engines: ``python benchmarks/realtime_latency.py URL KEY SPEECH.wav [RUNS]``.

Against a server that runs (``locara serve``). The recording is sent at the pace at which it sounds, then silence. Printed,
in milliseconds, for each run and as median and spread: from the last voiced sample of the recording to
``speech_stopped``, to the transcript, to the first sound of the reply; and from ``response.cancel`` to ``response.done``.
The recording: one spoken question, WAV of 16 bits, any rate.
"""

from __future__ import annotations

import asyncio
import base64
import json
import statistics
import sys
import wave
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from locara.audio import Samples, from_pcm16, mono, pcm16, resample

RATE = 24_000
STEP = RATE // 25
SILENCE_SECONDS = 20.0
"""For the answer to begin; then the run has failed."""


def read(path: Path) -> Samples:
    """The recording at 24 kHz."""
    with wave.open(str(path), "rb") as file:
        if file.getsampwidth() != 2:
            sys.exit(f"{path}: {8 * file.getsampwidth()} bits; 16 are needed")
        samples = from_pcm16(file.readframes(file.getnframes()))
        return resample(mono(samples.reshape(-1, file.getnchannels())), file.getframerate(), RATE)


def last_voiced(samples: Samples) -> float:
    """Seconds: the end of the last 20 ms whose level is over 6 % of the loudest."""
    blocks = samples[: samples.size // 480 * 480].reshape(-1, 480)
    levels = np.sqrt((blocks**2).mean(axis=1))
    return float((np.flatnonzero(levels > 0.06 * levels.max())[-1] + 1) * 480 / RATE)


async def one(url: str, key: str, samples: Samples) -> dict[str, float]:
    """One connection, one question, one cancelled answer."""
    found: dict[str, float] = {}
    loop = asyncio.get_running_loop()
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession() as http, http.ws_connect(url, headers=headers, max_msg_size=0) as socket:

        async def send(kind: str, **fields: Any) -> None:
            await socket.send_str(json.dumps({"type": kind, **fields}))

        async def talk() -> None:
            silence = np.zeros(round(SILENCE_SECONDS * RATE), np.float32)
            sound = np.concatenate([samples, silence])
            for number, at in enumerate(range(0, sound.size, STEP)):
                audio = base64.b64encode(pcm16(sound[at : at + STEP])).decode()
                await send("input_audio_buffer.append", audio=audio)
                await asyncio.sleep(max(0.0, began + (number + 1) / 25 - loop.time()))

        audio = {"input": {"turn_detection": {"type": "semantic_vad"}, "transcription": {"model": "any"}}}
        await send("session.update", session={"type": "realtime", "audio": audio})
        async with asyncio.timeout(SILENCE_SECONDS + 60):
            while json.loads((await socket.receive()).data)["type"] != "session.updated":
                pass
            began = loop.time()
            voiced = began + last_voiced(samples)
            talking = asyncio.create_task(talk())
            names = {
                "input_audio_buffer.speech_stopped": "speech_stopped",
                "conversation.item.input_audio_transcription.completed": "transcript",
                "response.output_audio.delta": "first sound",
            }
            while True:
                event = json.loads((await socket.receive()).data)
                if (name := names.get(event["type"])) is not None and name not in found:
                    found[name] = 1000 * (loop.time() - voiced)
                    if name == "first sound":
                        cancelled = loop.time()
                        await send("response.cancel")
                elif event["type"] == "response.done":
                    found["cancel to done"] = 1000 * (loop.time() - cancelled)
                    break
        talking.cancel()
    return found


async def main() -> None:
    """All runs, and their figures."""
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    url, key, path = sys.argv[1:4]
    samples = read(Path(path))
    runs = [await one(url, key, samples) for _ in range(int(sys.argv[4]) if len(sys.argv) > 4 else 5)]
    for name in runs[0]:
        values = sorted(run[name] for run in runs if name in run)
        print(f"{name:16} median {statistics.median(values):7.1f}  {values[0]:.1f} to {values[-1]:.1f} ms")


if __name__ == "__main__":
    asyncio.run(main())
