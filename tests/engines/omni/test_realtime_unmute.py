"""Kyutai's unmute: its sound is Opus, nothing has a name, and it says by a word of its own that it was interrupted."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from realtime_fakes import Fake, Plan, tone  # type: ignore[import-not-found]
from realtime_talking import Talk, backend  # type: ignore[import-not-found]

from locara.audio import silence
from locara.engines.backend import BackendFailed, BackendSettings, Cancel, Ended, ReplyBegan, UserText, UserVoice

pytest.importorskip("sphn", reason="the extra opus is not installed")

from locara.engines.omni.opus import Decoder, Encoder

RATE = 24_000
FRAME = 1920


class Unmute(Fake):  # type: ignore[misc]
    """What its ``main_websocket.py`` and ``openai_realtime_api_events.py`` say: quiet after loud is answered, loud
    interrupts."""

    async def opened(self, socket: web.WebSocketResponse) -> None:
        self.configured, self.loud, self.words = False, False, ["how", "are", "you"]
        self.decoder, self.encoder = Decoder(), Encoder()
        self.task: asyncio.Task[None] | None = None
        self.heard: list[Any] = []
        if socket.ws_protocol != "realtime":
            self.problem("without its subprotocol")

    async def hear(self, socket: web.WebSocketResponse, message: dict[str, Any]) -> None:
        match message["type"]:
            case "session.update":
                session = message["session"]
                if set(session) != {"instructions", "voice", "allow_recording"} or session["allow_recording"]:
                    self.problem("a session of another kind")
                self.configured = True
                await self.tell(socket, type="session.updated", session=session)
            case "input_audio_buffer.append":
                await self.sounded(socket, self.decoder.decode(base64.b64decode(message["audio"])))
            case other:
                self.problem(f"unknown {other}")

    async def sounded(self, socket: web.WebSocketResponse, sound: Any) -> None:
        self.heard.append(sound)
        for at in range(0, sound.size, FRAME):
            loud = float(np.max(np.abs(sound[at : at + FRAME]))) > 0.1
            if loud and not self.loud:
                if self.task is not None and not self.task.done():
                    self.task.cancel()
                    await self.tell(socket, type="unmute.interrupted_by_vad")
                await self.tell(socket, type="input_audio_buffer.speech_started")
            if loud and self.words:
                word = self.words.pop(0)
                await self.tell(
                    socket, type="conversation.item.input_audio_transcription.delta", delta=word, start_time=0.1
                )
            if not loud and self.loud:
                await self.tell(socket, type="input_audio_buffer.speech_stopped")
                self.task = asyncio.create_task(self.answer(socket))
            self.loud = loud

    async def answer(self, socket: web.WebSocketResponse) -> None:
        response = {"object": "realtime.response", "status": "in_progress", "voice": "v", "chat_history": []}
        await self.tell(socket, type="response.created", response=response)
        sound, texts = tone(self.plan.reply_seconds, RATE), list(self.plan.text)
        for at in range(0, sound.size - FRAME + 1, FRAME):
            if texts:
                await self.tell(socket, type="response.text.delta", delta=texts.pop(0))
            pages = self.encoder.encode(sound[at : at + FRAME])
            if pages:
                await self.tell(socket, type="response.audio.delta", delta=base64.b64encode(pages).decode())
            await self.tell(socket, type="unmute.additional_outputs", args={})
            await asyncio.sleep(self.plan.pause)
        await self.tell(socket, type="response.text.done", text="".join(self.plan.text))
        await self.tell(socket, type="response.audio.done")

    async def left(self, socket: web.WebSocketResponse) -> None:
        if self.task is not None:
            self.task.cancel()


def test_a_reply_an_interruption_and_another_reply() -> None:
    async def talk() -> None:
        plan = Plan(reply_seconds=30.0, pause=0.02)
        async with Unmute(plan) as server:
            made = backend(f"realtime:unmute:{server.url}", voice="v")
            await made.load()
            assert (made.capabilities.turn_owner, made.capabilities.input_rate) == ("engine", RATE)
            async with Talk(made, BackendSettings(instructions="Be brief.")) as said:
                await said.push(tone(0.8, RATE))
                await said.push(silence(RATE // 2))
                await said.until(lambda: said.sound(1).size > RATE // 4)
                assert not await said.tell(Cancel(1))
                await said.push(tone(0.8, RATE))
                await said.until(lambda: said.ended(1) == "interrupted")
                plan.reply_seconds = 0.8
                await said.push(silence(RATE // 2))
                await said.until(lambda: said.ended(2) == "finished")
                assert [one.reply for one in said.of(ReplyBegan)] == [1, 2]
                assert said.text(2) == "Hello there."
                assert UserText("how are you", final=True) in said.events
                assert [one.on for one in said.of(UserVoice)] == [True, False, True, False]
                heard = np.concatenate(server.heard)
                assert abs(heard.size - 2.6 * RATE) < RATE // 4, "what was said arrived"
                assert float(np.max(np.abs(said.sound(2)))) > 0.2
                session = server.types("session.update")[0]["session"]
                assert session["instructions"] == {"type": "constant", "text": "Be brief."}
        assert not server.problems

    asyncio.run(talk())


def test_a_stream_that_is_no_opus_ends_the_session() -> None:
    async def broken(server: Any, socket: web.WebSocketResponse, message: dict[str, Any]) -> bool:
        if message["type"] == "input_audio_buffer.append":
            await socket.send_str(json.dumps({"type": "response.created", "response": {"status": "in_progress"}}))
            junk = base64.b64encode(b"junk" * 50).decode()
            await socket.send_str(json.dumps({"type": "response.audio.delta", "delta": junk}))
        return False

    async def talk() -> None:
        async with Unmute(Plan(mischief=broken)) as server, Talk(backend(f"realtime:unmute:{server.url}")) as said:
            await said.push(tone(0.4, RATE))
            await said.until(lambda: bool(said.of(Ended)))
            assert said.of(BackendFailed)[-1].code == "bad-event"

    asyncio.run(talk())


def test_a_server_that_is_not_healthy_says_so() -> None:
    async def ill(server: Any, socket: web.WebSocketResponse) -> bool:
        error = {"type": "fatal", "message": "Too many people are connected to service 'tts'."}
        await server.tell(socket, type="error", error=error)
        await socket.close(code=1011)
        return True

    async def talk() -> None:
        async with Unmute(Plan(first=ill)) as server:
            with pytest.raises(Exception, match="Too many people"):
                await backend(f"realtime:unmute:{server.url}").start_session(BackendSettings())

    asyncio.run(talk())
