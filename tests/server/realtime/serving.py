"""What these tests share: a server with the Realtime door, engines that know what was said, and a strict client.

What may live here: the way to a server and from it; what is expected stands in the tests.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import wave
from collections.abc import AsyncIterator, Callable, Sequence
from importlib import resources
from typing import Any

import aiohttp

from locara.audio import Samples, from_pcm16, pcm16, resample
from locara.engines.contracts import EngineInfo, Transcript
from locara.server import serving
from locara.server.pool import Pool
from locara.server.seats import Seats
from locara.server.settings import Limits, Settings
from locara.testing import ScriptedBackend, ScriptedModel, ScriptedVoice

TOKEN = "realtime-test-token_0123456789"  # noqa: S105  of a server that lives for a test
RATE = 24_000
WITHIN = 30.0
"""Seconds that a test waits for an event; it usually comes in a fraction of one."""


LEAST_SPEECH = 0.9
"""Seconds in which somebody has said something: less is a click, or the beginning of it."""


class Recogniser:
    """Understands ``texts``, one a turn, whatever is said, if it is long enough."""

    def __init__(self, texts: Sequence[str], least: float = LEAST_SPEECH) -> None:
        self.least = least
        self.info = EngineInfo("scripted", "recogniser", "Apache-2.0")
        self.texts = list(texts)
        self.turns = 0

    async def load(self) -> None:
        """Ready."""

    async def close(self) -> None:
        """Nothing to close."""

    def open(self) -> _Recognition:
        return _Recognition(self)


class _Recognition:
    def __init__(self, of: Recogniser) -> None:
        self._of = of
        self._text: str | None = None
        self._given = 0

    async def push(self, samples: Samples) -> str | None:
        self._given += samples.size
        return None

    async def settle(self) -> Transcript:
        if self._given < self._of.least * 16_000:
            return Transcript("")
        if self._text is None:
            self._text = self._of.texts[min(self._of.turns, len(self._of.texts) - 1)]
            self._of.turns += 1
        return Transcript(self._text, 0.9)

    async def close(self) -> None:
        """Nothing to close."""


class Engines(Pool):
    """A pool of engines that a test made."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        super().__init__()
        self._make = make

    async def _load(self, kind: Any, stage: Any) -> Any:
        del stage
        engine = self._make(kind)
        await engine.load()
        return engine


def scripted(
    texts: Sequence[str] = ("what time is it",),
    replies: Any = ("It is noon now.",),
    *,
    chars_per_second: float = 30.0,
    tokens_per_second: float = 200.0,
    least: float = LEAST_SPEECH,
) -> Engines:
    """Engines that hear ``texts`` and answer ``replies``."""

    def make(kind: str) -> Any:
        if kind == "stt":
            return Recogniser(texts, least)
        if kind == "tts":
            return ScriptedVoice(first_chunk=0.02, chars_per_second=chars_per_second)
        return ScriptedModel(replies, first_token=0.02, tokens_per_second=tokens_per_second)

    return Engines(make)


def omni(replies: Sequence[str] = ("Hello there.",)) -> Engines:
    """One model that hears and speaks."""
    return Engines(lambda _kind: ScriptedBackend(replies))


_LINES = ((0.3, 1.9), (5.0, 7.5))
"""Seconds of the recording in which one thing is said, with a little silence before and after."""


def question(number: int = 1) -> Samples:
    """Somebody asks something (0: "what time is it", 1: "what is twelve times seven"): float32 at 24 kHz."""
    with resources.files("locara.cli").joinpath("question.wav").open("rb") as file, wave.open(file, "rb") as recording:
        rate = recording.getframerate()
        data = from_pcm16(recording.readframes(recording.getnframes()))
    start, end = _LINES[number]
    return resample(data[round(start * rate) : round(end * rate)], rate, RATE)


@contextlib.asynccontextmanager
async def server(engines: Engines | None = None, *, limits: Limits | None = None, **stages: Any) -> AsyncIterator[int]:
    """A server that listens on loopback; its port."""
    settings = Settings(TOKEN, port=0, stages={"turn": "silence", **stages}, limits=limits or Limits())
    seats = Seats(settings, engines)
    async with serving.serving(settings, seats=seats, questions=None) as running:
        try:
            yield running.port
        finally:
            await asyncio.wait_for(seats.close(), 20)


class Client:
    """A client that keeps every event, and the rules that hold for all of them."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []
        self._at = 0

    async def send(self, kind: str, **fields: Any) -> None:
        """A client event."""
        await self.socket.send_str(json.dumps({"type": kind, **fields}))

    async def next(self) -> dict[str, Any]:
        """The next event. Raises ``ConnectionError`` at the end."""
        message = await asyncio.wait_for(self.socket.receive(), WITHIN)
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise ConnectionError(f"{message.type} {self.socket.close_code} {message.extra}")
        event: dict[str, Any] = json.loads(message.data)
        self.events.append(event)
        return event

    async def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The next event of this type, with these fields."""
        async with asyncio.timeout(WITHIN):
            while True:
                event = await self.next()
                if event["type"] == kind and all(event.get(name) == value for name, value in fields.items()):
                    return event

    async def update(self, **session: Any) -> dict[str, Any]:
        """``session.update``, and what the session is then."""
        await self.send("session.update", session={"type": "realtime", **session})
        return dict((await self.until("session.updated"))["session"])

    async def say(self, samples: Samples, *, pace: float = 1.25) -> None:
        """Appends sound, 40 ms at a time, ``pace`` times as fast as it sounds: a little faster, so that a busy machine makes
        no gaps in it."""
        step = RATE // 25
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number, at in enumerate(range(0, samples.size, step)):
            await self.append(pcm16(samples[at : at + step]))
            await asyncio.sleep(max(0.0, began + (number + 1) / 25 / pace - loop.time()))

    async def append(self, data: bytes) -> None:
        """Appends bytes."""
        await self.send("input_audio_buffer.append", audio=base64.b64encode(data).decode())

    def types(self) -> list[str]:
        """The types of all events so far, deltas of a kind only once in a row."""
        kinds = [event["type"] for event in self.events]
        return [kind for at, kind in enumerate(kinds) if not kind.endswith(".delta") or kinds[at - 1 : at] != [kind]]

    def all(self, kind: str) -> list[dict[str, Any]]:
        """All events of a type."""
        return [event for event in self.events if event["type"] == kind]

    def sound(self, kind: str = "response.output_audio.delta") -> bytes:
        """All sound that came."""
        return b"".join(base64.b64decode(event["delta"]) for event in self.all(kind))


@contextlib.asynccontextmanager
async def connected(port: int, *, path: str = "/v1/realtime?model=m", **more: Any) -> AsyncIterator[Client]:
    """A client, with its key, to which the session was told."""
    headers = more.pop("headers", {"Authorization": f"Bearer {TOKEN}"})
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"http://127.0.0.1:{port}{path}", headers=headers, max_msg_size=0, **more) as socket,
    ):
        yield Client(socket)
