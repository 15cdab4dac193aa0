"""A program that uses the Wyoming services through the stock ``wyoming`` client and writes what came as JSON.

python stock_wyoming.py PORT RECORDING.wav
"""

from __future__ import annotations

import asyncio
import json
import sys
import wave
from typing import Any

from wyoming.asr import Transcribe, Transcript, TranscriptChunk
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeVoice,
)


async def main(port: int, path: str) -> dict[str, Any]:
    """Both services, once each way."""
    told: dict[str, Any] = {}
    async with AsyncTcpClient("127.0.0.1", port, read_timeout=60) as client:
        await client.write_event(Describe().event())
        info = Info.from_event(await client.read_event())
        told["asr"] = [model.name for model in info.asr[0].models]
        told["tts"] = [voice.name for voice in info.tts[0].voices]
        told["streams"] = [info.asr[0].supports_transcript_streaming, info.tts[0].supports_synthesize_streaming]
        await client.write_event(Ping(text="here?").event())
        told["pong"] = Pong.from_event(await client.read_event()).text
    async with AsyncTcpClient("127.0.0.1", port, read_timeout=60) as client:
        told["heard"] = await _heard(client, path)
    async with AsyncTcpClient("127.0.0.1", port, read_timeout=60) as client:
        await client.write_event(Synthesize(text="It is nine.", voice=SynthesizeVoice(name="espeak-ng")).event())
        told["spoken"] = await _spoken(client, AudioStop)
        await client.write_event(SynthesizeStart().event())
        for piece in ("It is ", "nine. And ", "soon ten."):
            await client.write_event(SynthesizeChunk(text=piece).event())
        await client.write_event(Synthesize(text="It is nine. And soon ten.").event())
        await client.write_event(SynthesizeStop().event())
        told["streamed"] = await _spoken(client, SynthesizeStopped)
        await client.write_event(Synthesize(text="x", voice=SynthesizeVoice(name="nobody")).event())
        told["error"] = Error.from_event(await client.read_event()).code
    return told


async def _heard(client: Any, path: str) -> list[Any]:
    with wave.open(path) as file:
        rate, width, channels = file.getframerate(), file.getsampwidth(), file.getnchannels()
        sound = file.readframes(file.getnframes())
    await client.write_event(Transcribe(language="en").event())
    await client.write_event(AudioStart(rate, width, channels).event())
    for at in range(0, len(sound), 2048):
        await client.write_event(AudioChunk(rate, width, channels, sound[at : at + 2048]).event())
    await client.write_event(AudioStop().event())
    chunks, types = [], []
    while True:
        event = await client.read_event()
        types.append(event.type)
        if TranscriptChunk.is_type(event.type):
            chunks.append(TranscriptChunk.from_event(event).text)
        elif Transcript.is_type(event.type):
            text = Transcript.from_event(event).text
        elif event.type in ("transcript-stop", "error"):
            return [types, "".join(chunks), text]


async def _spoken(client: Any, last: Any) -> list[Any]:
    """(types of events without repeats, seconds of sound)."""
    types: list[str] = []
    seconds = 0.0
    while True:
        event = await client.read_event()
        if not types or types[-1] != event.type:
            types.append(event.type)
        if AudioChunk.is_type(event.type):
            seconds += AudioChunk.from_event(event).seconds
        if last.is_type(event.type) or event.type == "error":
            return [types, seconds]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(int(sys.argv[1]), sys.argv[2]))))
