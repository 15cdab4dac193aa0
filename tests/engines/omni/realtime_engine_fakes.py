"""More realtime servers on loopback for tests: vLLM-Omni's two, SGLang-Omni's, mlx-vlm's and OpenAI's Live API.

What may live here: these servers; what they share is in `realtime_fakes`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from aiohttp import web
from realtime_fakes import JSON, Fake, Plan, described, tone  # type: ignore[import-not-found]

from locara.audio import Samples, pcm16

TOKEN = "tok"  # noqa: S105  of a server in this process


@dataclass
class Generation:
    """One connection to `VllmTurn`."""

    model: str = ""
    sounds: list[Samples] = field(default_factory=list)
    whole: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class VllmTurn(Fake):  # type: ignore[misc]
    """vLLM-Omni turn by turn: no ids, no cancel, the sound under ``audio``; one generation after a ``commit`` that is not
    final, over what is appended until the one that is."""

    input_rate = 16_000

    def __init__(self, plan: Plan | None = None) -> None:
        super().__init__(plan)
        self.of: dict[web.WebSocketResponse, Generation] = {}

    async def opened(self, socket: web.WebSocketResponse) -> None:
        self.of[socket] = Generation()
        await socket.send_str(json.dumps({"type": "session.created", "id": "sess-1", "created": 1}))

    async def hear(self, socket: web.WebSocketResponse, message: JSON) -> None:
        mine = self.of[socket]
        match message["type"]:
            case "session.update":
                mine.model = message["model"]
            case "input_audio_buffer.append":
                mine.sounds.append(self.sound_in(message))
            case "input_audio_buffer.commit" if not mine.model:
                self.problem("commit before the model is known")
            case "input_audio_buffer.commit" if not message["final"]:
                if mine.task is not None and not mine.task.done():
                    self.problem("a commit while it generates")
                mine.whole = asyncio.Event()
                mine.task = asyncio.create_task(self.generate(socket, mine))
            case "input_audio_buffer.commit":
                mine.whole.set()
            case other:
                told = {"type": "error", "error": f"Unknown event type: {other}", "code": "unknown_event"}
                await socket.send_str(json.dumps(told))
                self.problem(f"unknown {other}")

    async def generate(self, socket: web.WebSocketResponse, mine: Generation) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):
            await mine.whole.wait()
            self.turns.append(np.concatenate(mine.sounds))
            mine.sounds.clear()
            for text in self.plan.text:
                await socket.send_str(json.dumps({"type": "transcription.delta", "delta": text}))
            for piece in self.pieces():
                sound = {"type": "response.output_audio.delta", "audio": piece, "format": "pcm16"}
                await socket.send_str(json.dumps({**sound, "sample_rate_hz": 24_000}))
                await asyncio.sleep(self.plan.pause)
            done = {"type": "transcription.done", "text": "".join(self.plan.text), "usage": {}}
            await socket.send_str(json.dumps(done))
            await socket.send_str(json.dumps({"type": "response.output_audio.done", "has_audio": True}))

    async def left(self, socket: web.WebSocketResponse) -> None:
        mine = self.of.get(socket)
        if mine is not None and mine.task is not None:
            mine.task.cancel()


class VllmDuplex(Fake):  # type: ignore[misc]
    """vLLM-Omni in full duplex with a model that marks its replies (MiniCPM-o): it hears one second, then decides. Loud: it
    listens; quiet after loud: it speaks. Numbers its events, keeps them, and takes a client back that was lost."""

    input_rate = 16_000

    def __init__(self, plan: Plan | None = None, *, key: str = "") -> None:
        super().__init__(plan, key=key)
        self.journal: list[JSON] = []
        self.configured = False
        self.heard = 0
        self.loud = False
        self.closed = asyncio.Event()
        """Set by ``session.close``: else the place would stay taken."""
        self.resumed = 0
        self.id = ""
        self.socket: web.WebSocketResponse | None = None
        self.speaking: asyncio.Task[None] | None = None

    async def keep(self, **message: Any) -> None:
        """An event of the session: numbered, journalled, and sent to whoever is there."""
        message = {"event_id": f"event_{next(self.ids)}", "server_event_seq": len(self.journal) + 1, **message}
        self.journal.append(message)
        if self.socket is not None:
            with contextlib.suppress(ConnectionError, RuntimeError):
                await self.socket.send_str(json.dumps(message))

    async def hear(self, socket: web.WebSocketResponse, message: JSON) -> None:
        kind = message["type"]
        if not self.configured and kind != "session.update":
            self.problem(f"{kind} before session.update")
        match kind:
            case "session.update":
                session = message["session"]
                for name in ("model", "input_audio_format", "output_audio_format", "sample_rate_hz"):
                    if name not in session:
                        self.problem(f"a session without {name}")
                if session.get("voice", self.plan.voices[0]) not in self.plan.voices:
                    error = {
                        "type": "invalid_request_error",
                        "code": "invalid_duplex_runtime_config",
                        "message": "voice",
                    }
                    await self.tell(socket, type="error", error=error)
                    return
                self.configured, self.socket = True, socket
                told = {"id": "dup_1", "audio": {"input": {"format": {"type": "audio/pcm", "rate": self.input_rate}}}}
                await self.keep(type="session.created", session=told, resume_token=TOKEN, attachment_generation=1)
                await self.keep(type="session.updated", session=told)
            case "session.resume":
                if (message["session_id"], message["resume_token"]) != ("dup_1", TOKEN):
                    self.problem("a resume of nothing")
                self.resumed += 1
                self.socket = socket
                await socket.send_str(
                    json.dumps({"type": "session.resumed", "session_id": "dup_1", "resume_token": TOKEN})
                )
                for one in self.journal:  # one too many, as after a lost acknowledgement
                    if one["server_event_seq"] >= message["last_received_server_event_seq"]:
                        await socket.send_str(json.dumps(one))
            case "input_audio_buffer.append":
                if message.get("format") != self.encoding or message.get("sample_rate_hz") != self.input_rate:
                    self.problem("an append that does not say what it is")
                await self.append_sound(self.sound_in(message))
            case "session.close":
                await self.keep(type="session.closed", session_id="dup_1", reason="client_close", event={})
                self.closed.set()
                await socket.close()
            case "playback.ack" | "session.event_ack" | "session.heartbeat":
                if kind == "playback.ack" and not isinstance(message.get("played_ms"), int):
                    self.problem("a playback.ack without its time")
            case other:
                self.problem(f"unknown {other}")

    async def append_sound(self, sound: Samples) -> None:
        loud = bool(sound.size) and float(np.max(np.abs(sound))) > 0.05
        if loud and self.speaking is not None and not self.speaking.done():
            self.speaking.cancel()
            await self.keep(
                type="response.done",
                response_id=self.id,
                response=described(self.id, "cancelled", {"reason": "turn_detected"}),
            )
        if not loud and self.loud:
            self.id = f"resp_{next(self.ids)}"
            self.speaking = asyncio.create_task(self.speak(self.id))
        elif loud and not self.loud:
            await self.keep(type="response.listen", session_id="dup_1", epoch=1, response={"status": "listening"})
        self.loud = loud

    async def speak(self, id_: str) -> None:
        where = {"response_id": id_, "item_id": f"item_{id_}", "output_index": 0, "content_index": 0}
        await self.keep(type="response.created", response_id=id_, response=described(id_, "in_progress"))
        await self.keep(type="response.speak", metadata={}, **where)
        texts = list(self.plan.text)
        for piece in self.pieces():
            if texts:
                await self.keep(type="response.output_audio_transcript.delta", delta=texts.pop(0), **where)
            await self.keep(
                type="response.output_audio.delta",
                delta=piece,
                format="pcm16",
                sample_rate_hz=self.output_rate,
                **where,
            )
            await asyncio.sleep(self.plan.pause)
        await self.keep(type="response.done", response_id=id_, response=described(id_, "completed"))

    async def left(self, socket: web.WebSocketResponse) -> None:
        if socket is self.socket:
            self.socket = None


class PersonaPlexOnVllm(VllmDuplex):
    """PersonaPlex there: float32 at 24 kHz, 80 ms frames in one response that never ends, no resuming."""

    encoding = "pcm_f32le"
    input_rate = 24_000

    async def append_sound(self, sound: Samples) -> None:
        where = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
        if not self.heard:
            await self.keep(type="response.created", response_id="resp_1", response=described("resp_1", "in_progress"))
        before, self.heard = self.heard // 1920, self.heard + sound.size
        for number in range(before, self.heard // 1920):
            if number % 5 == 0:
                await self.keep(type="response.output_audio_transcript.delta", delta="la ", **where)
            frame = base64.b64encode(pcm16(tone(0.08, 24_000, 200 + number))).decode()
            await self.keep(
                type="response.output_audio.delta", delta=frame, format="pcm16", sample_rate_hz=24_000, **where
            )


class Sglang(Fake):  # type: ignore[misc]
    """SGLang-Omni's native sessions, as strict as they are: an event_id with every event, appends numbered without a gap,
    nothing extra."""

    input_rate = 16_000
    fields: ClassVar[Mapping[str, set[str]]] = {
        "session.update": {"session"},
        "input_audio_buffer.append": {"audio", "sglang"},
        "session.close": set(),
    }

    async def opened(self, socket: web.WebSocketResponse) -> None:
        self.next, self.loud, self.granted = 0, False, False
        await self.tell(
            socket, type="session.created",
            session={"id": "s1", "object": "realtime.session", "type": "realtime", "sglang": {"granted": None}},
        )  # fmt: skip

    async def hear(self, socket: web.WebSocketResponse, message: JSON) -> None:
        kind = message["type"]
        extra = set(message) - {"type", "event_id"} - self.fields.get(kind, set())
        if not isinstance(message.get("event_id"), str) or extra or kind not in self.fields:
            self.problem(f"{kind}: event_id missing, or {extra} forbidden, or not granted")
        match kind:
            case "session.update":
                self.granted = True
                if set(message["session"]) - {"type", "model", "instructions", "output_modalities", "audio", "sglang"}:
                    self.problem("a session with fields that it does not have")
                granted = {
                    "interaction": "native",
                    "input_audio_format": {"type": "audio/pcm", "rate": self.input_rate},
                    "output_audio_format": {"type": "audio/pcm", "rate": self.output_rate},
                }
                await self.tell(
                    socket, type="session.updated", client_event_id=message.get("event_id"),
                    session={**message["session"], "id": "s1", "sglang": {"granted": granted}},
                )  # fmt: skip
            case "input_audio_buffer.append":
                if message["sglang"]["seq"] != self.next or not self.granted:
                    self.problem("audio seq must be contiguous")
                self.next += 1
                await self.tell(
                    socket, type="sglang.input_audio.accepted", seq=message["sglang"]["seq"], accepted_end_ms=1.0
                )
                await self.sounded(socket, self.sound_in(message))
            case "session.close":
                await self.tell(socket, type="session.closed", reason="client_closed")
                await socket.close()

    async def sounded(self, socket: web.WebSocketResponse, sound: Samples) -> None:
        loud = bool(sound.size) and float(np.max(np.abs(sound))) > 0.05
        speaks, self.loud = self.loud and not loud, loud
        if not speaks:
            return
        id_ = f"s1-o1-u{next(self.ids)}"
        where = {"response_id": id_, "item_id": f"{id_}-item", "output_index": 0, "content_index": 0}
        await self.tell(socket, type="response.created", response=described(id_, "in_progress"))
        for text in self.plan.text:
            await self.tell(socket, type="response.output_text.delta", delta=text, **where)
        for piece in self.pieces():
            unit = {"unit_id": "unit_1", "chunk_seq": 0, "media_time": {"t_start_ms": 0, "duration_ms": 80}}
            await self.tell(socket, type="response.output_audio.delta", delta=piece, sglang=unit, **where)
        await self.tell(
            socket, type="response.done",
            response=described(id_, "completed", {"reason": "stop"}),
        )  # fmt: skip
        await self.tell(socket, type="sglang.unit.done", unit_id="unit_1")


class Mlx(Fake):  # type: ignore[misc]
    """mlx-vlm's server: one session, beta names, 16 kHz in and 22.05 kHz out, a frame of sound for every 80 ms; a commit
    or a response.cancel ends the session."""

    input_rate = 16_000
    output_rate = 22_050

    def __init__(self, plan: Plan | None = None, *, key: str = "") -> None:
        super().__init__(plan or Plan(places=1), key=key)

    async def full(self, socket: web.WebSocketResponse) -> None:
        await self.tell(
            socket, type="error", error={"code": "server_busy", "message": "another session is already active"}
        )
        await socket.close(code=1013)

    async def opened(self, socket: web.WebSocketResponse) -> None:
        self.configured, self.heard, self.frames, self.user = False, 0, 0, ""
        await self.tell(
            socket, type="session.created",
            session={
                "id": "sess_1", "state": "configuring",
                "input_audio_format": {"type": "pcm16", "sample_rate": self.input_rate},
                "output_audio_format": {"type": "pcm16", "sample_rate": self.output_rate},
            },
        )  # fmt: skip

    async def hear(self, socket: web.WebSocketResponse, message: JSON) -> None:
        match message["type"]:
            case "session.update":
                if self.configured:
                    self.problem("the active session cannot be reconfigured")
                if not message["session"].get("model"):
                    self.problem("session.update.session.model is required")
                self.configured = True
                await self.tell(
                    socket, type="session.updated",
                    session={
                        "id": "sess_1", "state": "ready", "frame_samples": 1280,
                        "input_audio_format": {"type": "pcm16", "sample_rate": self.input_rate},
                        "output_audio_format": {"type": "pcm16", "sample_rate": self.output_rate},
                    },
                )  # fmt: skip
            case "session.ping":
                await self.tell(socket, type="session.pong")
            case "input_audio_buffer.append" if self.configured:
                self.heard += self.sound_in(message).size
                while self.frames < self.heard // 1280:
                    await self.frame(socket)
            case other:
                self.problem(f"{other}, which ends the session")
                await self.tell(socket, type="response.cancelled", frame_index=self.frames)
                await socket.close()

    async def frame(self, socket: web.WebSocketResponse) -> None:
        index, self.frames = self.frames, self.frames + 1
        if index < len(self.plan.text):
            self.user += "um "
            await self.tell(
                socket, type="conversation.item.input_audio_transcription.delta", frame_index=index, delta="um ",
                transcript=self.user,
            )  # fmt: skip
        elif index - len(self.plan.text) < len(self.plan.text):
            text = self.plan.text[index - len(self.plan.text)]
            await self.tell(socket, type="response.text.delta", frame_index=index, token_id=1, delta=text, text=text)
        sound = base64.b64encode(pcm16(tone(0.08, self.output_rate, 200 + 10 * index))).decode()
        await self.tell(
            socket, type="response.audio.delta", frame_index=index, delta=sound, format="pcm16",
            sample_rate=self.output_rate, channels=1, audio_codes=[1, 2],
        )  # fmt: skip


class Live(Fake):  # type: ignore[misc]
    """OpenAI's Live API: no turns; its clock goes on only while sound comes."""

    path = "/v1/live/sessions"
    append = "session.input_audio.append"

    async def hear(self, socket: web.WebSocketResponse, message: JSON) -> None:
        match message["type"]:
            case "session.start":
                self.heard = 0
                if message["session"]["audio"].get("output", {}).get("voice", "marin") not in self.plan.voices:
                    error = {"type": "invalid_request_error", "code": "invalid_value", "message": "session.audio.voice"}
                    await self.tell(socket, type="error", error=error)
                    return
                if set(message["session"]) - {"model", "audio", "instructions"} or not message["session"].get("model"):
                    self.problem("a session with unknown fields, or without a model")
                if message["session"]["audio"]["format"] != {"type": "audio/pcm", "rate": 24_000}:
                    self.problem("another format")
                session = {"id": "live_1", "expires_at": 1, "status": "active", **message["session"]}
                await self.tell(socket, type="session.started", session=session)
            case "session.input_audio.append":
                sound = self.sound_in(message)
                before, self.heard = self.heard // 2400, self.heard + sound.size
                for number in range(before, self.heard // 2400):
                    at = {"start_ms": number * 100, "end_ms": number * 100 + 100}
                    if number < 2:
                        await self.tell(socket, type="session.input_transcript.delta", delta="hi ", **at)
                    elif number < 4:
                        await self.tell(socket, type="session.output_transcript.delta", delta="yes ", **at)
                    piece = base64.b64encode(pcm16(tone(0.1, 24_000))).decode()
                    await socket.send_str(json.dumps({"type": "session.output_audio.delta", "delta": piece}))
            case "session.close":
                await self.tell(socket, type="session.closed", reason="close_requested", session={}, usage={})
                await socket.close()
            case other:
                self.problem(f"unknown {other}")
