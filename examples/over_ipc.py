"""A program that talks through a runtime server: it sends a recording, and writes what it hears back to a file.

Start the server with ``locara serve --no-browser``; it says its address and where its token is. Then:

    python examples/over_ipc.py http://127.0.0.1:7777 TOKEN question.wav answer.wav
"""

from __future__ import annotations

import argparse
import asyncio
import wave
from collections.abc import Sequence

import numpy as np

from locara import client, voice
from locara.audio import Samples, pcm16
from locara.devices.wav import read_wav
from locara.voice.events import BargeIn, Error, FinalTranscript, TurnEnd


async def converse(
    url: str, token: str, recording: str, manifest: str | None
) -> tuple[list[Samples], list[voice.Said]]:
    """What was played, and what each side said."""
    samples, rate = read_wav(recording)
    played: list[Samples] = []
    async with await client.connect(url, token) as server:
        session = server.session(manifest=manifest)
        events, output = session.events(), session.raw_output()

        async def listen() -> None:
            async for block in output:
                played.append(block)

        async def speak() -> None:
            """As a microphone does: a tenth of a second at a time."""
            for at in range(0, samples.size, rate // 10):
                await session.push_audio(samples[at : at + rate // 10], rate)
                await asyncio.sleep(0.1)

        async with session:
            listening, speaking = asyncio.create_task(listen()), asyncio.create_task(speak())
            async for event in events:
                match event:
                    case FinalTranscript(text=text):
                        print(f"you:    {text}")
                    case BargeIn(heard_text=text):
                        print(f"server: {text} ... (you cut in)")
                    case Error(message=text, hint=hint):
                        print(f"error:  {text}\n  -> {hint}")
                    case TurnEnd(who="assistant", reason="finished"):
                        break
            speaking.cancel()
            said = [one for one in await session.history() if isinstance(one, voice.Said)]
        await listening
    print(f"server: {said[-1].text}")
    return played, said


def main(argv: Sequence[str] | None = None) -> list[voice.Said]:
    """Runs one exchange."""
    parser = argparse.ArgumentParser(description="Talks through a runtime server.")
    parser.add_argument("url", help="as `locara serve` says it")
    parser.add_argument("token")
    parser.add_argument("recording", help="a WAV file with a question")
    parser.add_argument("answer", help="the WAV file to write")
    parser.add_argument("--manifest", help="the locara.toml of your app; without one you are the server's own page")
    options = parser.parse_args(argv)
    played, said = asyncio.run(converse(options.url, options.token, options.recording, options.manifest))
    with wave.open(options.answer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(24_000)
        file.writeframes(pcm16(np.concatenate(played)) if played else b"")
    return said


if __name__ == "__main__":
    main()
