"""A server with the REST door alone, on engines that are told what to do: for tests of this door.

The guard stands before every door and is tested with the app; here only its token check is imitated, so that clients can be
run as they are.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from locara.audio import RATE, Samples, pcm16, silence
from locara.engines.contracts import EngineInfo, TimedWord, Transcript
from locara.errors import EngineFailed
from locara.server import rest
from locara.server.rest_answering import refuse
from locara.server.rest_errors import of_status
from locara.server.rest_sound import WAV_HEADER
from locara.server.runtime import RUNTIME, Runtime
from locara.server.seats import Seats
from locara.server.settings import Limits, Settings
from locara.testing import EnergyDetector, ScriptedVoice

TOKEN = "test-token_0123456789"  # noqa: S105  of servers that live for one test


class Telling:
    """A recogniser that says for each utterance how long it was, in whole tenths of a second. ``fault``: "raises" or
    "hangs" when it settles, after ``good`` times. ``closed``: how many recognitions were closed."""

    def __init__(self, *, fault: str = "", good: int = 0, word_times: bool = False, pause: float = 0.0) -> None:
        self.info = EngineInfo("telling", "telling", "Apache-2.0", word_times=word_times)
        self.fault = fault
        self.good = good
        self.pause = pause
        self.opened = self.closed = 0
        self.begins, self.ends = asyncio.Event(), asyncio.Event()

    async def load(self) -> None: ...

    async def close(self) -> None: ...

    def open(self) -> TellingOne:
        self.opened += 1
        self.begins.set()
        return TellingOne(self)


class TellingOne:
    def __init__(self, of: Telling) -> None:
        self.of = of
        self.samples = 0

    async def push(self, samples: Samples) -> str | None:
        self.samples += samples.size
        await asyncio.sleep(self.of.pause)
        return None

    async def settle(self) -> Transcript:
        if self.of.opened <= self.of.good:
            return Transcript(f"about {self.samples / RATE:.1f}", 0.9)
        if self.of.fault == "hangs":
            await asyncio.sleep(1e6)
        if self.of.fault == "raises":
            raise EngineFailed("stt: telling failed", stage="stt", model="telling", hint="tell it again")
        length = self.samples / RATE
        words = (
            (TimedWord("about", 0.3, 0.5), TimedWord(f"{length:.1f}", 0.5, length)) if self.of.info.word_times else ()
        )
        return Transcript(f"about {length:.1f}", 0.9, words)

    async def close(self) -> None:
        self.of.closed += 1
        self.of.ends.set()


def app(stages: Mapping[str, Any], limits: Limits | None = None) -> web.Application:
    """The application. ``stages`` beside those that need no engine."""
    settings = Settings(token=TOKEN, stages=stages, limits=limits or Limits())

    @web.middleware
    async def token(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given, f"Bearer {TOKEN}"):
            return refuse(of_status(401, "the token is missing or wrong"))
        return await handler(request)

    made = web.Application(middlewares=[token])
    seats = Seats(settings)
    nobody: Any = None  # REST asks neither the guard nor the page
    runtime = Runtime(settings, seats, nobody, nobody, nobody)
    made[RUNTIME] = runtime
    made.add_routes(rest.routes())

    async def close(_: web.Application) -> None:
        await seats.close()

    made.on_cleanup.append(close)
    return made


@asynccontextmanager
async def serving(limits: Limits | None = None, **stages: Any) -> AsyncIterator[ClientSession]:
    """A client of a server with these stages; what is left out is told or scripted."""
    given = {"stt": Telling(), "tts": ScriptedVoice(first_chunk=0.01, speed=1000.0), "vad": EnergyDetector(), **stages}
    server = TestServer(app(given, limits))
    await server.start_server(auto_decompress=False)
    try:
        async with ClientSession(server.make_url("/"), headers={"Authorization": f"Bearer {TOKEN}"}) as client:
            yield client
    finally:
        await server.close()


def tones(*lengths: float, rate: int = RATE, gap: float = 1.2) -> Samples:
    """Tones of these lengths in seconds, each before and after a pause that is longer than one inside an utterance."""
    quiet = silence(round(gap * rate))
    pieces: list[Samples] = [quiet]
    for length in lengths:
        at = np.arange(round(length * rate)) / rate
        pieces += [(0.3 * np.sin(2 * np.pi * 440 * at)).astype(np.float32), quiet]
    return np.concatenate(pieces)


def wav(samples: Samples, rate: int = RATE) -> bytes:
    """A WAV file of 16 bits, as one that is streamed: its header says no size."""
    header = bytearray(WAV_HEADER)
    header[24:32] = rate.to_bytes(4, "little") + (2 * rate).to_bytes(4, "little")
    return bytes(header) + pcm16(samples)
