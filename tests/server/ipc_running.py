"""What the tests of `/ipc` share: the whole server with scripted engines, and a client that says exactly what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket as sockets
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from locara.audio import RATE, Samples
from locara.client.frames import SPEAKER, Frame, unpacked
from locara.consent.ledger import default_ledger
from locara.engines.contracts import EngineInfo, Transcript
from locara.manifest.values import CAPABILITIES
from locara.server import app as doors
from locara.server import serving
from locara.server.pool import Pool
from locara.server.questions import Questions
from locara.server.seats import Seats
from locara.server.settings import Limits, Settings
from locara.testing import ScriptedModel, ScriptedRecogniser, ScriptedVoice

TOKEN = "a-token-of-the-tests-0123456789"
PAGE = "dev.locara.page"
MANIFEST = """
[app]
id = "com.example.talk"
name = "Talk"
version = "1.0"
[modalities]
use = ["voice-to-voice"]
"""
LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"


class Hears:
    """A recogniser that understands ``text`` whatever was said, half a second after it began."""

    info = EngineInfo("scripted", "hears", "Apache-2.0")

    def __init__(self, text: str) -> None:
        self.text = text

    async def load(self) -> None: ...

    async def close(self) -> None: ...

    def open(self) -> Any:
        return Hearing(self.text)


class Hearing:
    def __init__(self, text: str) -> None:
        self.text = text
        self.samples = 0

    async def push(self, samples: Samples) -> str | None:
        self.samples += samples.size
        return self.text if self.samples > RATE // 2 else None

    async def settle(self) -> Transcript:
        return Transcript(self.text, 0.9)

    async def close(self) -> None: ...


class Scripted(Pool):
    """A pool whose models give ``replies`` and whose voices are quick. ``hears``: see `Hears`."""

    def __init__(self, replies: Any, word_times: bool = True, hears: str = "") -> None:
        super().__init__()
        self.replies = replies
        self.hears = hears
        self.word_times = word_times

    async def _load(self, kind: Any, stage: Any) -> Any:
        if kind == "llm":
            return ScriptedModel(self.replies, first_token=0.02, tokens_per_second=200)
        if kind == "tts":
            return ScriptedVoice(first_chunk=0.02, speed=20, word_times=self.word_times)
        return Hears(self.hears) if self.hears else ScriptedRecogniser([])


@dataclass
class Running:
    """A server that runs."""

    server: serving.Server
    seats: Seats
    questions: Questions

    @property
    def url(self) -> str:
        return self.server.url

    def line(self, **more: Any) -> Raw:
        return Raw(self.url, **more)


@contextlib.asynccontextmanager
async def running(
    patch: Any,
    replies: Any = (LONG,),
    *,
    word_times: bool = True,
    hears: str = "",
    ask_seconds: float = 20.0,
    **limits: Any,
) -> AsyncIterator[Running]:
    """The server with its doors `codes`, `health` and `ipc` at a free port."""
    patch.setattr(doors, "DOORS", ("codes", "health", "ipc"))
    told = Settings(TOKEN, port=0, stages={"turn": "silence"}, limits=Limits(**{"sessions": 4, **limits}))
    seats = Seats(told, Scripted(replies, word_times, hears))
    questions = Questions(ask_seconds)
    async with serving.serving(told, seats=seats, questions=questions) as server:
        try:
            yield Running(server, seats, questions)
        finally:
            await seats.close()


@dataclass
class Raw:
    """A client without opinions. ``told``: all messages; ``sound``: all frames."""

    url: str
    token: str = TOKEN
    origin: str = ""
    told: list[dict[str, Any]] = field(default_factory=list)
    sound: list[Frame] = field(default_factory=list)
    number: int = 0

    async def __aenter__(self) -> Raw:
        self.http = aiohttp.ClientSession()
        headers = {"Authorization": f"Bearer {self.token}", **({"Origin": self.origin} if self.origin else {})}
        self.ws = await self.http.ws_connect(f"{self.url}/ipc", headers=headers, protocols=("locara.ipc.v1",))
        self.news = asyncio.Event()
        self.reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.reading.cancel()
        await asyncio.gather(self.reading, return_exceptions=True)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self.ws.close(), 2)
        await self.http.close()

    async def _read(self) -> None:
        try:
            async for message in self.ws:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self.told.append(json.loads(message.data))
                elif message.type is aiohttp.WSMsgType.BINARY:
                    self.sound.append(unpacked(message.data, SPEAKER))
                self.news.set()
        finally:
            self.news.set()

    async def until(self, found: Callable[[], Any], seconds: float = 20.0) -> Any:
        """Waits until it is so, looking after every message."""
        async with asyncio.timeout(seconds):
            while not (result := found()):
                self.news.clear()
                await self.news.wait()
                if self.ws.closed and not found():
                    raise AssertionError(f"closed with {self.ws.close_code} while waiting; last: {self.told[-3:]}")
        return result

    async def ask(self, method: str, **params: Any) -> Any:
        """The result; an error as a dict under ``error``."""
        self.number += 1
        number = self.number
        await self.ws.send_str(json.dumps({"id": number, "method": method, "params": params}))
        answer = await self.until(lambda: next((one for one in self.told if one.get("id") == number), None))
        return answer.get("result", answer)

    async def tell(self, method: str, **params: Any) -> None:
        await self.ws.send_str(json.dumps({"method": method, "params": params}))

    def events(self, *types: str) -> list[dict[str, Any]]:
        found = [one["event"] for one in self.told if "event" in one]
        return [one for one in found if one["type"] in types] if types else found

    async def event(self, kind: str, count: int = 1) -> dict[str, Any]:
        """The ``count``-th event of this kind."""
        found: list[dict[str, Any]] = await self.until(lambda: len(self.events(kind)) >= count and self.events(kind))
        return found[count - 1]

    def reset(self) -> None:
        """Cuts the connection with a TCP reset, as a network does that is gone."""
        transport = self.ws._response.connection.transport  # type: ignore[union-attr]  # noqa: SLF001
        raw: sockets.socket = transport.get_extra_info("socket")
        raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


def allow(*apps: str) -> None:
    """Grants everything, as `locara grants allow` does."""
    for app in apps or (PAGE, "com.example.talk"):
        for capability in CAPABILITIES:
            default_ledger().decide("grant", app, capability, by="cli")


def run(work: Coroutine[Any, Any, Any], seconds: float = 60.0) -> Any:
    return asyncio.run(asyncio.wait_for(work, seconds))
