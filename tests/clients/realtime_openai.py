"""The stock ``openai`` client against a server: only base URL and key are ours. Needs ``openai[realtime]``.

``python realtime_openai.py URL KEY SPEECH``: ``SPEECH`` is raw 16-bit PCM at 24 kHz. Every server event is held against the
client's own pydantic models, strictly. Prints one JSON object.
"""

# This file is run by another environment's Python, and imports nothing of Locara: here its imports are not to be had.
# mypy: ignore-errors
from __future__ import annotations

import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import Any, get_args

from openai import AsyncOpenAI, __version__
from openai.types.realtime import RealtimeServerEvent


def models() -> dict[str, Any]:
    """Type of event -> the client's model of it."""
    union = get_args(RealtimeServerEvent)[0]
    return {get_args(one.model_fields["type"].annotation)[0]: one for one in get_args(union)}


class Checked:
    """A connection of the client's, every event of which is checked."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.models = models()
        self.events: list[Any] = []
        self.sound = b""

    async def next(self) -> Any:
        raw = await asyncio.wait_for(self.connection.recv_bytes(), 30)
        told = json.loads(raw)
        event = self.models[told["type"]].model_validate(told, strict=True)
        extra = set(told) - set(type(event).model_fields)
        assert not extra, f"{told['type']} has fields that the client does not know: {extra}"
        self.events.append(event)
        if event.type == "response.output_audio.delta":
            self.sound += base64.b64decode(event.delta)
        return event

    async def until(self, kind: str) -> Any:
        while (event := await self.next()).type != kind:
            assert event.type != "error" or kind == "error", event
        return event

    def text(self, kind: str) -> str:
        return "".join(event.delta for event in self.events if event.type == kind)


async def spoken(one: Checked, speech: bytes) -> None:
    """Says it at the pace at which it sounds, and then silence."""
    for at in range(0, len(speech) + 48_000 * 3, 1920):
        piece = speech[at : at + 1920].ljust(1920, b"\0")
        await one.connection.input_audio_buffer.append(audio=base64.b64encode(piece).decode())
        await asyncio.sleep(0.03)  # a little faster than it sounds: a busy machine shall make no gaps


async def main(url: str, key: str, speech: bytes) -> dict[str, Any]:
    client = AsyncOpenAI(api_key=key, base_url=url)
    told: dict[str, Any] = {"client": f"openai {__version__}"}
    async with client.realtime.connect(model="gpt-realtime") as connection:
        one = Checked(connection)
        await one.until("session.created")
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        updated = await one.until("session.updated")
        told["modalities"] = updated.session.output_modalities
        content = [{"type": "input_text", "text": "hello"}]
        await connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
        await connection.response.create()
        done = await one.until("response.done")
        told["text"] = [done.response.status, one.text("response.output_text.delta")]

        transcription = {"model": "gpt-4o-mini-transcribe"}
        audio = {"input": {"transcription": transcription, "turn_detection": {"type": "semantic_vad"}}}
        await connection.session.update(session={"type": "realtime", "output_modalities": ["audio"], "audio": audio})
        told["turn_detection"] = (await one.until("session.updated")).session.audio.input.turn_detection.eagerness
        talking = asyncio.create_task(spoken(one, speech))
        heard = await one.until("conversation.item.input_audio_transcription.completed")
        done = await one.until("response.done")
        talking.cancel()
        told["heard"] = heard.transcript
        said = one.text("response.output_audio_transcript.delta")
        told["spoken"] = [done.response.status, said, round(len(one.sound) / 48_000, 2)]
        item = done.response.output[0].id
        await connection.conversation.item.truncate(item_id=item, content_index=0, audio_end_ms=10)
        await one.until("conversation.item.truncated")
        await connection.conversation.item.retrieve(item_id=item)
        told["left"] = (await one.until("conversation.item.retrieved")).item.content[0].transcript
        await connection.conversation.item.delete(item_id=item)
        await one.until("conversation.item.deleted")

        await connection.input_audio_buffer.clear()
        await one.until("input_audio_buffer.cleared")
        await connection.response.cancel()
        told["error"] = (await one.until("error")).error.code
        told["types"] = sorted({event.type for event in one.events})
    return told


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]).read_bytes()))))
