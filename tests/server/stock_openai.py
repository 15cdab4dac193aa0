"""A program that uses a server through the stock ``openai`` client, as anybody would, and writes what came as JSON.

    python stock_openai.py BASE_URL KEY RECORDING.wav

It runs in an environment of its own: ``openai`` is no dependency of Locara's.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import openai


def main(url: str, key: str, path: str) -> dict[str, Any]:
    """Everything that REST offers, once."""
    told: dict[str, Any] = {}
    with openai.OpenAI(base_url=url, api_key=key, max_retries=0) as client, open(path, "rb") as file:  # noqa: PTH123
        data = file.read()
        told["models"] = [[model.id, model.kind] for model in client.models.list()]
        told["model"] = client.models.retrieve("pocketsphinx").id
        create: Any = client.audio.transcriptions.create
        recording = ("question.wav", data)
        told["json"] = create(model="whisper-1", file=recording).text
        told["text"] = create(model="whisper-1", file=recording, response_format="text")
        told["srt"] = create(model="whisper-1", file=recording, response_format="srt")
        verbose = create(
            model="pocketsphinx-en-us", file=recording, response_format="verbose_json", language="en",
            timestamp_granularities=["segment"],
        )  # fmt: skip
        told["verbose"] = [verbose.language, verbose.duration, [[one.start, one.end] for one in verbose.segments]]
        stream = create(model="gpt-4o-mini-transcribe", file=recording, stream=True)
        told["stream"] = [[event.type, getattr(event, "delta", "") or event.text] for event in stream]
        spoken = client.audio.speech.create(model="tts-1", voice="alloy", input="It is nine.")
        told["speech"] = [spoken.response.headers["content-type"], len(spoken.content)]
        streaming = client.audio.speech.with_streaming_response.create(
            model="gpt-4o-mini-tts", voice="nova", input="One. Two. Three.", response_format="pcm", speed=1.5
        )
        with streaming as response:
            told["pcm"] = sum(len(piece) for piece in response.iter_bytes(4096))
        told["errors"] = _errors(client, url, recording)
    told["async"] = asyncio.run(_async(url, key))
    return told


def _errors(client: openai.OpenAI, url: str, recording: tuple[str, bytes]) -> dict[str, Any]:
    create: Any = client.audio.transcriptions.create
    tries: dict[str, Any] = {
        "key": openai.OpenAI(base_url=url, api_key="wrong", max_retries=0).models.list,
        "model": lambda: create(model="gpt-9", file=recording),
        "retrieve": lambda: client.models.retrieve("org/none"),
        "file": lambda: create(model="whisper-1", file=("a.wav", b"no sound")),
        "words": lambda: create(
            model="whisper-1", file=recording, response_format="verbose_json", timestamp_granularities=["word"]
        ),
        "translation": lambda: client.audio.translations.create(model="whisper-1", file=recording),
        "mp3": lambda: client.audio.speech.create(model="tts-1", voice="alloy", input="x", response_format="mp3"),
        "large": lambda: create(model="whisper-1", file=("a.wav", bytes(26 << 20))),
    }
    told = {}
    for name, attempt in tries.items():
        try:
            attempt()
        except openai.APIStatusError as error:
            told[name] = [type(error).__name__, error.status_code, error.code]
    return told


async def _async(url: str, key: str) -> int:
    async with openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0) as client:
        spoken = await client.audio.speech.create(model="tts-1", voice="alloy", input="Nine.", response_format="wav")
        return len(spoken.content)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:4])))
