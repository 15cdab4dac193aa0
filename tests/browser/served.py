"""The real server for the browser's tests, with the engines that come with the installation.

What may live here: starting it, and reading what went over the wire in a browser. It checks nothing.
"""

from __future__ import annotations

import contextlib
import json
import struct
import wave
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import locara.cli
from locara.audio import Samples, from_pcm16, pcm16, resample
from locara.server.pool import Pool
from locara.server.questions import Questions
from locara.server.seats import Seats
from locara.server.serving import Server, serving
from locara.server.settings import Limits, Settings

from .chromium import Tab, executable

TOKEN = "token-of-the-browser-tests"  # noqa: S105  it opens nothing
QUESTION = Path(locara.cli.__file__).with_name("question.wav")
"""*What time is it?*, its loud part from 0.8 to 1.6 s, and *What is twelve times seven?*, from 5.4 to 6.8 s."""
SECOND = (5.2, 7.4)
"""The second question with a little room, in seconds."""

needs_browser = pytest.mark.skipif(
    not executable(), reason="needs Chromium: set LOCARA_CHROMIUM to the program, or install it"
)

APP = "dev.locara.page"


def allow(*capabilities: str) -> None:
    """As a person would with `locara grants allow`."""
    for capability in capabilities:
        assert locara.cli.main(["grants", "allow", APP, capability]) == 0


class _Only(Pool):
    """A pool of one model."""

    def __init__(self, omni: Any) -> None:
        super().__init__()
        self._omni = omni

    async def _load(self, kind: Any, stage: Any) -> Any:
        del kind, stage
        return self._omni


@contextlib.asynccontextmanager
async def served(omni: Any = None, **limits: Any) -> AsyncIterator[Server]:
    """It takes connections inside. ``omni``: one model in the place of the installation's own engines."""
    stages = {"stt": "pocketsphinx-en-us", "llm": "built-in", "tts": "espeak-ng"}
    if omni is not None:
        stages = {"omni": "scripted", "turn": "silence"}
    settings = Settings(token=TOKEN, port=0, stages=stages, limits=Limits(**limits))
    seats = Seats(settings, None if omni is None else _Only(omni))
    try:
        async with serving(settings, seats=seats, questions=Questions()) as server:
            yield server
    finally:
        await seats.close()


def microphone(file: Path, pieces: Iterable[float | tuple[float, float]]) -> Path:
    """A WAV made of silences (seconds) and of parts of `QUESTION` (from, to), with a breath of noise under all of it."""
    with wave.open(str(QUESTION)) as source:
        rate = source.getframerate()
        speech = from_pcm16(source.readframes(source.getnframes()))
    parts = [
        speech[round(one[0] * rate) : round(one[1] * rate)] if isinstance(one, tuple) else np.zeros(round(one * rate))
        for one in pieces
    ]
    sound = np.concatenate(parts).astype(np.float32)
    sound += np.random.default_rng(1).normal(0, 3e-4, sound.size).astype(np.float32)
    with wave.open(str(file), "wb") as out:
        out.setparams((1, 2, rate, 0, "NONE", ""))
        out.writeframes(pcm16(sound))
    return file


def messages(frames: Iterable[str | bytes]) -> list[dict[str, Any]]:
    """The JSON among what went over a WebSocket."""
    return [json.loads(one) for one in frames if isinstance(one, str)]


def events(tab: Tab, *types: str) -> list[dict[str, Any]]:
    """The contract's events that the server sent."""
    return [one["event"] for one in messages(tab.received) if "event" in one and one["event"]["type"] in types]


def acknowledged(tab: Tab) -> list[float]:
    """Milliseconds of the output that the browser said it has played."""
    told = [one for one in messages(tab.sent) if one.get("method") == "playback.ack"]
    return [one["params"]["played_ms"] for one in told]


def sounds(frames: Iterable[str | bytes]) -> list[tuple[int, Samples]]:
    """(place in its stream, samples) of each binary frame."""
    out = []
    for one in frames:
        if isinstance(one, bytes):
            (at,) = struct.unpack_from("<Q", one, 8)
            out.append((at, from_pcm16(one[16:])))
    return out


def correlation(sound: Samples, part: Samples) -> float:
    """How well ``part`` is found somewhere in ``sound``: 1 for exactly."""
    size = 1 << int(np.ceil(np.log2(sound.size + part.size)))
    spectrum = np.fft.rfft(sound, size) * np.conj(np.fft.rfft(part, size))
    place = int(np.argmax(np.fft.irfft(spectrum, size)[: max(1, sound.size - part.size)]))
    found = sound[place : place + part.size]
    return float(np.dot(found, part) / (np.linalg.norm(found) * np.linalg.norm(part) + 1e-12))


def at_rate(samples: Samples, rate: int, wanted: int) -> Samples:
    """The same sound at another rate."""
    return samples if rate == wanted else resample(samples, rate, wanted)
