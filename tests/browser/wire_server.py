"""A small server with Locara's wire over a real session, for tests of the page and the SDK alone.

What may live here: as much of the protocol as a browser uses, and what a test wants to do to a connection: drop it, ask a
question, look at what went through. The real server is tested with the real page in test_conversation.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import WSMsgType, web
from locara.audio import Samples, from_pcm16, pcm16
from locara.devices.remote import RemoteMicrophone, RemoteSpeaker
from locara.errors import LocaraError
from locara.server import page
from locara.voice import Session
from locara.voice.events import AudioChunk, BargeIn, to_json

HEADER = struct.Struct("<BBHiQ")
TOKEN = "test-token"  # noqa: S105  it opens nothing
CODE = "launch-code"

Build = Callable[[RemoteMicrophone, RemoteSpeaker], Session]


@dataclass
class WireServer:
    """``build`` makes the session. What went over the wire is kept: ``heard`` from the browser, ``sent`` to it."""

    build: Build
    consent: dict[str, Any] | None = None
    """Asked before a session starts."""
    url: str = ""
    requests: list[str] = field(default_factory=list)
    params: list[dict[str, Any]] = field(default_factory=list)
    heard: list[Samples] = field(default_factory=list)
    input_rate: int = 0
    sent: list[tuple[int, Samples]] = field(default_factory=list)
    acks: list[float] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    resumed: list[dict[str, Any]] = field(default_factory=list)
    session: Session | None = None
    speaker: RemoteSpeaker | None = None
    _turn: int = -1
    _microphone: RemoteMicrophone | None = None
    _socket: web.WebSocketResponse | None = None
    _log: list[dict[str, Any]] = field(default_factory=list)
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    _answered: asyncio.Event = field(default_factory=asyncio.Event)
    _codes: set[str] = field(default_factory=lambda: {CODE})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[WireServer]:
        """Serves on a free port of loopback."""
        app = web.Application()
        app.add_routes([*page.routes(), web.get("/ipc", self._ipc), web.post("/code", self._code)])
        app.add_routes([web.get("/healthz", self._health)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            for task in [*self._tasks]:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if self.session is not None:
                await self.session.stop()
            await runner.cleanup()

    async def drop(self) -> None:
        """Cuts the connection without a word, as a network does."""
        assert self._socket is not None
        transport = self._socket._req.transport if self._socket._req is not None else None  # noqa: SLF001
        assert transport is not None
        transport.abort()

    async def _code(self, request: web.Request) -> web.Response:
        code = (await request.json()).get("code")
        if code not in self._codes:
            return web.json_response({"error": {"code": "bad-code", "message": "used"}}, status=401)
        self._codes.discard(code)
        return web.json_response({"token": TOKEN})

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response(status=200 if request.headers.get("Authorization") == f"Bearer {TOKEN}" else 401)

    async def _ipc(self, request: web.Request) -> web.StreamResponse:
        if f"locara.token.{TOKEN}" not in request.headers.get("Sec-WebSocket-Protocol", ""):
            return web.Response(status=401)
        socket = web.WebSocketResponse(protocols=("locara.ipc.v1",), heartbeat=10)
        await socket.prepare(request)
        self._socket = socket
        await socket.send_json({"hello": {"protocol": 1, "server": "locara test", "limits": {}}})
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                self._hear(message.data)
            elif message.type is WSMsgType.TEXT:
                told = json.loads(message.data)
                self._keep(self._answer(socket, told))
        if self._socket is socket and self.speaker is not None:
            self.speaker.stand()
        return socket

    def _keep(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _hear(self, frame: bytes) -> None:
        samples = from_pcm16(frame[HEADER.size :])
        self.heard.append(samples)
        if self._microphone is not None:
            self._microphone.push(samples, self.input_rate)

    async def _answer(self, socket: web.WebSocketResponse, told: dict[str, Any]) -> None:
        method, params = told["method"], told.get("params", {})
        self.requests.append(method)
        try:
            result = await self._do(method, params)
            answer = {"id": told.get("id"), "result": result}
        except LocaraError as error:
            answer = {
                "id": told.get("id"),
                "error": {"code": error.code, "message": error.message, "hint": error.hint, "stage": ""},
            }
        if "id" in told and not socket.closed:
            with contextlib.suppress(ConnectionError):
                await socket.send_json(answer)

    async def _do(self, method: str, params: dict[str, Any]) -> dict[str, Any]:  # noqa: PLR0911  one line a method
        session = self.session
        match method:
            case "voice.session_start":
                return await self._start(params)
            case "session.resume":
                return await self._resume(params)
            case "playback.ack":
                self.acks.append(params["played_ms"])
                assert self.speaker is not None
                self.speaker.heard_until(round(params["played_ms"] * self.speaker.rate / 1000))
            case "consent.answer":
                self.answers.append(params["answer"])
                self._answered.set()
            case "models.list":
                return {"models": _MODELS}
            case "ping":
                pass
            case _ if session is None:
                raise LocaraError("there is no session")
            case "session.send_text":
                session.send_text(params["text"])
            case "session.say":
                await session.say(params["text"])
            case "session.interrupt":
                session.interrupt()
            case "session.mute":
                session.mute()
            case "session.unmute":
                session.unmute()
            case "session.push_to_talk":
                (session.push_to_talk.press if params["down"] else session.push_to_talk.release)()
            case "session.change":
                return {"plan": await session.change(**params)}
            case "session.configure":
                session.configure(**params)
            case "session.history":
                said = [one for one in session.history if hasattr(one, "role")]
                return {"history": [{"turn": one.turn, "role": one.role, "text": one.text} for one in said]}
            case "session.metrics":
                return {"metrics": session.metrics()}
            case "voice.session_stop":
                await session.stop()
                return {"reason": "stopped"}
        return {}

    async def _start(self, params: dict[str, Any]) -> dict[str, Any]:
        self.params.append(params)
        self.input_rate = params["input_rate"]
        if self.consent is not None:
            self._push({"consent": {"question": "q1", **self.consent}})
            await self._answered.wait()
            if self.answers[-1] == "deny":
                raise LocaraError("You have not allowed the microphone.", hint="locara grants allow dev.locara.page")
        self._microphone = RemoteMicrophone()
        self.speaker = RemoteSpeaker(self._deliver, params["output_rate"], reports=True)
        self.session = self.build(self._microphone, self.speaker)
        self._keep(self._tell(self.session, self.session.events()))
        await self.session.start()
        self._keep(self._watch(self.session))
        return {
            "session": "s1",
            "resume_token": "r1",
            "input_rate": self.input_rate,
            "output_rate": params["output_rate"],
            "plan": self.session.plan,
            "capabilities": self.session.capabilities,
            "grace_seconds": 10,
        }

    async def _resume(self, params: dict[str, Any]) -> dict[str, Any]:
        self.resumed.append(params)
        assert self.speaker is not None
        for message in self._log[params["after"] :]:
            self._push(message)
        for at, samples in self.sent:
            if at + samples.size > params["received"]:
                self._frame(at, samples)
        self.speaker.go_on()
        return {"seq": len(self._log), "missed": 0, "output_at": self.speaker.pulled}

    def _deliver(self, at: int, samples: Samples) -> None:
        self.sent.append((at, samples))
        self._frame(at, samples)

    def _frame(self, at: int, samples: Samples) -> None:
        self._send(HEADER.pack(2, 0, 0, self._turn, at) + pcm16(samples))

    async def _tell(self, session: Session, events: Any) -> None:
        async for event in events:
            if isinstance(event, AudioChunk) and event.turn is not None:
                self._turn = event.turn
            if isinstance(event, BargeIn):
                self._push({"playback": "flush"})
            message = {"event": to_json(event, audio=False), "seq": len(self._log) + 1}
            self._log.append(message)
            self._push(message)

    async def _watch(self, session: Session) -> None:
        before = None
        while True:
            user, assistant = session.state
            now = {"user": user, "assistant": assistant, "muted": session.muted}
            if now != before:
                self._push({"state": now})
            before = now
            await asyncio.sleep(0.02)

    def _push(self, message: dict[str, Any]) -> None:
        self._send(json.dumps(message))

    def _send(self, message: str | bytes) -> None:
        socket = self._socket
        if socket is None or socket.closed:
            return

        async def send() -> None:
            with contextlib.suppress(ConnectionError):
                await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))

        self._keep(send())

    def stream(self) -> Samples:
        """What was sent, one after the other as a browser plays it."""
        return np.concatenate([samples for _, samples in self.sent]) if self.sent else np.zeros(0, np.float32)


_MODELS = [
    {"id": "pocketsphinx-en-us", "task": "stt", "status": "works", "installed": True},
    {"id": "whisper-base.en", "task": "stt", "status": "works", "installed": False, "why": "locara models pull it"},
    {"id": "built-in", "task": "llm", "status": "works", "installed": True},
    {"id": "qwen2.5-3b-instruct-q4", "task": "llm", "status": "works", "installed": False, "why": "not pulled"},
    {"id": "espeak-ng", "task": "tts", "status": "works", "installed": True},
    {"id": "kokoro-82m", "task": "tts", "status": "works", "installed": True},
]
