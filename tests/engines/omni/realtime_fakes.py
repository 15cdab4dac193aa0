"""Realtime servers on loopback for tests, one class a dialect: each a real aiohttp server that keeps to what its original
publishes, and notes every word of a client that the original would refuse.

What may live here: the servers, and how they can misbehave. Where the package openai is installed, its own types check
what was sent and what is answered, too.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar

import numpy as np
from aiohttp import WSMsgType, web

from locara.audio import Samples, pcm16

JSON = dict[str, Any]
KEY = "sk-test-never-shown"

try:
    from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent
    from pydantic import TypeAdapter, ValidationError

    CLIENT: Any = TypeAdapter(RealtimeClientEvent)
    SERVER: Any = TypeAdapter(RealtimeServerEvent)
except ImportError:
    CLIENT = SERVER = None


def tone(seconds: float, rate: int, hertz: float = 440.0) -> Samples:
    """A sine, so that what is played can be told from silence."""
    t = np.arange(round(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


@dataclass
class Plan:
    """What a server does. ``reply_seconds`` of sound in pieces of ``piece`` seconds, each after ``pause`` seconds."""

    text: tuple[str, ...] = ("Hello", " there", ".")
    reply_seconds: float = 0.4
    piece: float = 0.1
    pause: float = 0.0
    tool: JSON | None = None
    """The first reply calls this: ``name`` and ``arguments``."""
    late: bool = False
    """Pieces of a cancelled response still come."""
    places: int = 4
    mischief: Callable[[Fake, web.WebSocketResponse, JSON], Awaitable[bool]] | None = None
    """Sees each message first; True: it has dealt with it."""
    first: Callable[[Fake, web.WebSocketResponse], Awaitable[bool]] | None = None
    """Sees each new connection first; True: it has dealt with it."""
    voices: tuple[str, ...] = ("marin", "cedar", "NATM1.pt", "v")
    """It refuses others."""


class Fake:
    """``async with OpenAI(plan) as server``: ``server.url``. What clients did wrong is in ``problems``."""

    path: ClassVar[str] = "/v1/realtime"
    input_rate: ClassVar[int] = 24_000
    output_rate: ClassVar[int] = 24_000
    encoding: ClassVar[str] = "pcm16"
    append: ClassVar[str] = "input_audio_buffer.append"

    def __init__(self, plan: Plan | None = None, *, key: str = "", context: ssl.SSLContext | None = None) -> None:
        self.plan = plan or Plan()
        self.key = key
        self.context = context
        self.problems: list[str] = []
        self.said: list[JSON] = []
        """What clients said, sound left out."""
        self.turns: list[Samples] = []
        """The sound that each reply answered."""
        self.queries: list[Mapping[str, str]] = []
        self.connections = 0
        self.open = 0
        self.ids = itertools.count(1)
        self._sockets: set[web.WebSocketResponse] = set()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}{self.path}"

    async def __aenter__(self) -> Fake:
        app = web.Application()
        app.router.add_get(self.path, self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self.context)
        await site.start()
        assert site._server is not None
        self.port: int = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        for socket in list(self._sockets):
            with contextlib.suppress(Exception):
                await socket.close()
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.connections += 1
        self.queries.append(dict(request.query))
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.json_response({"error": {"code": "invalid_api_key"}}, status=401)
        offered = [one.strip() for one in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        socket = web.WebSocketResponse(protocols=("realtime",) if "realtime" in offered else ())
        await socket.prepare(request)
        self._sockets.add(socket)
        self.open += 1
        try:
            if self.open > self.plan.places:
                await self.full(socket)
                return socket
            if self.plan.first is not None and await self.plan.first(self, socket):
                return socket
            await self.converse(socket, request)
        finally:
            self.open -= 1
            self._sockets.discard(socket)
            await self.left(socket)
        return socket

    async def full(self, socket: web.WebSocketResponse) -> None:
        """No place is left."""
        await self.tell(
            socket, type="error", error={"type": "invalid_request_error", "code": "server_busy", "message": "no"}
        )
        await socket.close(code=1013)

    async def converse(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        """Everything until the client goes."""
        await self.opened(socket)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                self.problem("a binary frame")
                continue
            said = json.loads(message.data)
            self.said.append({name: value for name, value in said.items() if name != "audio"})
            if self.plan.mischief is not None and await self.plan.mischief(self, socket, said):
                continue
            await self.hear(socket, said)

    async def opened(self, socket: web.WebSocketResponse) -> None:
        """The first words of a server that speaks first."""

    async def hear(self, socket: web.WebSocketResponse, message: JSON) -> None:
        """One message of a client."""
        raise NotImplementedError

    async def left(self, socket: web.WebSocketResponse) -> None:
        """The client has gone."""

    async def tell(self, socket: web.WebSocketResponse, **message: Any) -> None:
        """One message to a client."""
        with contextlib.suppress(ConnectionError, RuntimeError):
            await socket.send_str(json.dumps({"event_id": f"event_{next(self.ids)}", **message}))

    def problem(self, what: str) -> None:
        self.problems.append(what)

    def types(self, *kinds: str) -> list[JSON]:
        """What clients said of these types."""
        return [one for one in self.said if one["type"] in kinds]

    def sound_in(self, message: JSON) -> Samples:
        """The decoded sound of an append."""
        try:
            raw = base64.b64decode(message["audio"], validate=True)
        except (KeyError, ValueError):
            self.problem("an append whose sound is no base64")
            return np.zeros(0, np.float32)
        if self.encoding == "pcm_f32le":
            return np.frombuffer(raw, "<f4").astype(np.float32)
        if len(raw) % 2:
            self.problem("half a sample")
            raw = raw[:-1]
        return (np.frombuffer(raw, "<i2") / np.float32(32768)).astype(np.float32)

    def pieces(self) -> list[str]:
        """The reply's sound, piece by piece in base64."""
        sound = tone(self.plan.reply_seconds, self.output_rate)
        size = max(1, round(self.plan.piece * self.output_rate))
        return [base64.b64encode(pcm16(sound[at : at + size])).decode() for at in range(0, sound.size, size)]


@dataclass
class Response:
    """One response of a GA server."""

    id: str
    item: str
    task: asyncio.Task[None] | None = None
    samples: int = 0
    over: bool = False


class OpenAI(Fake):
    """The GA events of OpenAI's Realtime API, as one conversation: items, an input buffer, one response at a time."""

    decides = False
    """Whether the server decides whose turn it is (`SpeechToSpeech`)."""

    def __init__(self, plan: Plan | None = None, *, key: str = "", context: ssl.SSLContext | None = None) -> None:
        super().__init__(plan, key=key, context=context)
        self.buffers: dict[web.WebSocketResponse, list[Samples]] = {}
        self.items: dict[str, Any] = {}
        """The conversation: id -> the sound of a user, or the role of what is none."""
        self.responses: dict[web.WebSocketResponse, Response] = {}
        self.made: dict[str, int] = {}
        """Assistant's items -> samples."""
        self.truncated: dict[str, int] = {}
        self.deleted: list[str] = []
        self.session: JSON = {
            "type": "realtime",
            "object": "realtime.session",
            "id": "sess_1",
            "model": "test",
            "audio": {
                "input": {"format": {"type": "audio/pcm", "rate": 24_000}, "turn_detection": {"type": "server_vad"}},
                "output": {"format": {"type": "audio/pcm", "rate": 24_000}, "voice": "marin"},
            },
        }

    async def tell(self, socket: web.WebSocketResponse, **message: Any) -> None:
        if SERVER is not None and message["type"] in _CHECKED:
            SERVER.validate_python({"event_id": "x", **message})  # a fault of this file, if any
        await super().tell(socket, **message)

    async def opened(self, socket: web.WebSocketResponse) -> None:
        self.buffers[socket] = []
        await self.tell(socket, type="session.created", session=self.session)

    async def refuse(self, socket: web.WebSocketResponse, message: JSON, code: str, why: str) -> None:
        error = {"type": "invalid_request_error", "code": code, "message": why, "event_id": message.get("event_id")}
        await self.tell(socket, type="error", error=error)

    async def hear(self, socket: web.WebSocketResponse, message: JSON) -> None:
        if CLIENT is not None:
            try:
                CLIENT.validate_python(message)
            except ValidationError as error:
                self.problem(f"{message.get('type')}: {error.errors()[0]}")
        kind = message["type"].replace(".", "_")
        heard = getattr(self, f"on_{kind}", None)
        if heard is None:
            self.problem(f"unknown {message['type']}")
            return
        await heard(socket, message)

    async def on_session_update(self, socket: web.WebSocketResponse, message: JSON) -> None:
        session = message["session"]
        if session.get("type") != "realtime":
            self.problem("a session without its type")
        if not self.decides and session["audio"]["input"].get("turn_detection", 0) is not None:
            self.problem("turn_detection is not null")
        voice = session["audio"].get("output", {}).get("voice", self.plan.voices[0])
        if voice not in self.plan.voices:
            await self.refuse(socket, message, "invalid_value", f"Invalid value: '{voice}'")
            return
        self.session = merged(self.session, session)
        await self.tell(socket, type="session.updated", session=self.session)

    async def on_input_audio_buffer_append(self, socket: web.WebSocketResponse, message: JSON) -> None:
        self.buffers[socket].append(self.sound_in(message))

    async def on_input_audio_buffer_clear(self, socket: web.WebSocketResponse, message: JSON) -> None:
        self.buffers[socket].clear()
        await self.tell(socket, type="input_audio_buffer.cleared")

    async def on_input_audio_buffer_commit(self, socket: web.WebSocketResponse, message: JSON) -> None:
        sound = np.concatenate(self.buffers[socket]) if self.buffers[socket] else np.zeros(0, np.float32)
        if sound.size < 0.1 * self.input_rate:
            await self.refuse(socket, message, "input_audio_buffer_commit_empty", "buffer too small")
            return
        self.buffers[socket].clear()
        item = f"item_{next(self.ids)}"
        self.items[item] = sound
        await self.tell(socket, type="input_audio_buffer.committed", item_id=item, previous_item_id=None)

    async def on_conversation_item_create(self, socket: web.WebSocketResponse, message: JSON) -> None:
        item = {"id": f"item_{next(self.ids)}", **message["item"]}
        self.items[item["id"]] = item
        await self.tell(socket, type="conversation.item.added", item=item, previous_item_id=None)

    async def on_conversation_item_delete(self, socket: web.WebSocketResponse, message: JSON) -> None:
        id_, made = message["item_id"], self.responses.get(socket)
        if id_ not in self.items or (made is not None and id_ == made.item and not made.over):
            await self.refuse(socket, message, "item_not_found", "no such item")
            self.problem(f"delete of {id_}")
            return
        del self.items[id_]
        self.deleted.append(id_)
        await self.tell(socket, type="conversation.item.deleted", item_id=id_)

    async def on_conversation_item_truncate(self, socket: web.WebSocketResponse, message: JSON) -> None:
        id_, end = message["item_id"], message["audio_end_ms"]
        if id_ not in self.made:
            self.problem(f"truncate of {id_}")
        elif end * self.output_rate > self.made[id_] * 1000:
            self.problem(f"Audio content of {self.made[id_]} samples is already shorter than {end}ms")
        else:
            self.truncated[id_] = end
        await self.tell(
            socket,
            type="conversation.item.truncated",
            item_id=id_,
            content_index=message["content_index"],
            audio_end_ms=end,
        )

    async def on_response_cancel(self, socket: web.WebSocketResponse, message: JSON) -> None:
        response = self.responses.get(socket)
        if response is None or response.over:
            await self.refuse(socket, message, "response_cancel_not_active", "no active response")
            return
        if message.get("response_id") not in (None, response.id):
            self.problem("cancel of another response")
        await self.stop(socket, response, "client_cancelled")

    async def stop(self, socket: web.WebSocketResponse, response: Response, reason: str) -> None:
        """Ends a response before its end."""
        if response.task is not None:
            response.task.cancel()
        response.over = True
        if self.plan.late:
            await self.piece(socket, response, self.pieces()[0])
        await self.done(socket, response, "cancelled", {"type": "cancelled", "reason": reason})
        if self.plan.late:
            await self.piece(socket, response, self.pieces()[0])

    async def on_response_create(self, socket: web.WebSocketResponse, message: JSON) -> None:
        response = self.responses.get(socket)
        if response is not None and not response.over:
            self.problem("response.create while another is active")
            await self.refuse(socket, message, "conversation_already_has_active_response", "one at a time")
            return
        await self.answer(socket)

    async def answer(self, socket: web.WebSocketResponse) -> None:
        """Begins a response to the conversation as it is."""
        sounds = [one for one in self.items.values() if isinstance(one, np.ndarray)]
        self.turns.append(sounds[-1] if sounds else np.zeros(0, np.float32))
        number = next(self.ids)
        response = self.responses[socket] = Response(f"resp_{number}", f"item_{number}")
        await self.tell(socket, type="response.created", response=described(response.id, "in_progress"))
        response.task = asyncio.create_task(self.make(socket, response))

    async def make(self, socket: web.WebSocketResponse, response: Response) -> None:
        if self.plan.tool is not None:
            tool, self.plan.tool = self.plan.tool, None
            await self.call(socket, response, tool)
            return
        item = {"id": response.item, "type": "message", "role": "assistant", "content": [], "status": "in_progress"}
        self.items[response.item] = item
        await self.tell(socket, type="response.output_item.added", response_id=response.id, output_index=0, item=item)
        texts = list(self.plan.text)
        for piece in self.pieces():
            if texts:
                await self.words(socket, response, texts.pop(0))
            await self.piece(socket, response, piece)
            await asyncio.sleep(self.plan.pause)
        for text in texts:
            await self.words(socket, response, text)
        response.over = True
        await self.done(socket, response, "completed", None)

    async def words(self, socket: web.WebSocketResponse, response: Response, text: str) -> None:
        where = {"response_id": response.id, "item_id": response.item, "output_index": 0, "content_index": 0}
        await self.tell(socket, type="response.output_audio_transcript.delta", delta=text, **where)

    async def piece(self, socket: web.WebSocketResponse, response: Response, delta: str) -> None:
        where = {"response_id": response.id, "item_id": response.item, "output_index": 0, "content_index": 0}
        self.made[response.item] = self.made.get(response.item, 0) + len(base64.b64decode(delta)) // 2
        await self.tell(socket, type="response.output_audio.delta", delta=delta, **where)

    async def done(self, socket: web.WebSocketResponse, response: Response, status: str, details: JSON | None) -> None:
        where = {"response_id": response.id, "item_id": response.item, "output_index": 0, "content_index": 0}
        await self.tell(socket, type="response.output_audio.done", **where)
        await self.tell(socket, type="response.done", response=described(response.id, status, details))

    async def call(self, socket: web.WebSocketResponse, response: Response, tool: JSON) -> None:
        raw = json.dumps(tool["arguments"])
        item = {"id": response.item, "type": "function_call", "name": tool["name"], "call_id": "call_1"}
        begun = {**item, "arguments": "", "status": "in_progress"}
        await self.tell(socket, type="response.output_item.added", response_id=response.id, output_index=0, item=begun)
        await self.tell(
            socket, type="response.function_call_arguments.done", response_id=response.id, item_id=response.item,
            output_index=0, call_id="call_1", name=tool["name"], arguments=raw,
        )  # fmt: skip
        ended = {**item, "arguments": raw, "status": "completed"}
        await self.tell(socket, type="response.output_item.done", response_id=response.id, output_index=0, item=ended)
        self.items[response.item] = item
        response.over = True
        await self.tell(socket, type="response.done", response=described(response.id, "completed"))

    async def left(self, socket: web.WebSocketResponse) -> None:
        response = self.responses.get(socket)
        if response is not None and response.task is not None:
            response.task.cancel()


_CHECKED = frozenset(
    {
        "response.created", "response.output_item.added", "response.output_audio_transcript.delta",
        "response.output_audio.delta", "response.output_audio.done", "response.done", "input_audio_buffer.committed",
        "input_audio_buffer.cleared", "response.function_call_arguments.done", "response.output_item.done", "error",
        "input_audio_buffer.speech_started", "conversation.item.input_audio_transcription.completed",
    }
)  # fmt: skip


def described(id_: str, status: str, details: JSON | None = None) -> JSON:
    """A response, as its events describe it."""
    response: JSON = {"object": "realtime.response", "id": id_, "status": status, "output": []}
    return response if details is None else {**response, "status_details": details}


def merged(before: JSON, patch: Mapping[str, Any]) -> JSON:
    """A deep merge, as the protocol wants it."""
    new = dict(before)
    for name, value in patch.items():
        old = new.get(name)
        new[name] = merged(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return new


class SpeechToSpeech(OpenAI):
    """Hugging Face's: GA names at 16 kHz, and its own voice activity: loud is speech, a quiet quarter of a second an end."""

    decides = True
    input_rate = 16_000
    output_rate = 16_000

    def __init__(self, plan: Plan | None = None, *, key: str = "") -> None:
        super().__init__(plan, key=key)
        self.session = {"type": "realtime", "id": "session_1", "audio": {"input": {}, "output": {}}}
        self.voice = False
        self.quiet = 0
        self.heard: list[Samples] = []

    async def full(self, socket: web.WebSocketResponse) -> None:
        await self.tell(
            socket, type="error",
            error={"type": "session_limit_reached", "message": "All 1 session slots are in use."},
        )  # fmt: skip
        await socket.close(code=1008, message=b"All session slots are in use")

    async def on_input_audio_buffer_append(self, socket: web.WebSocketResponse, message: JSON) -> None:
        sound = self.sound_in(message)
        loud = bool(sound.size) and float(np.max(np.abs(sound))) > 0.05
        if loud and not self.voice:
            self.voice, self.heard = True, []
            response = self.responses.get(socket)
            if response is not None and not response.over:
                await self.stop(socket, response, "turn_detected")
            await self.tell(socket, type="input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        self.quiet = 0 if loud else self.quiet + sound.size
        if self.voice:
            self.heard.append(sound)
        if self.voice and self.quiet > self.input_rate / 4:
            self.voice = False
            self.items[f"item_{next(self.ids)}"] = np.concatenate(self.heard)
            await self.tell(socket, type="input_audio_buffer.speech_stopped", audio_end_ms=0, item_id="item_u")
            await self.tell(
                socket, type="conversation.item.input_audio_transcription.completed", item_id="item_u",
                content_index=0, transcript="how are you", usage={"type": "duration", "seconds": 1},
            )  # fmt: skip
            await self.answer(socket)
