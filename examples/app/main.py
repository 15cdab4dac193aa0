"""A small app with a manifest: it says what it uses, and `locara check` holds it to that.

    python examples/app/main.py [--input QUESTION.wav] [--output ANSWER.wav] [--server] [--simulated]

By default it hears a recording and writes its answers to a file, so that it runs everywhere. With ``--talk`` it uses the
microphone and the speaker, or the output named by ``--headset``.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import settings

from locara import testing, voice
from locara.voice.events import Error, FinalTranscript

QUESTION = str(files("locara.cli") / "question.wav")


async def talk(options: argparse.Namespace) -> tuple[voice.Said | voice.Used, ...]:
    """Talks until the recording has ended; returns what each side said."""
    heard = "default" if options.talk else options.input
    played = (options.headset or "default") if options.talk else options.output
    session = voice.session(
        stt=settings.STT,
        llm=settings.SERVER if options.server else settings.BUILT_IN,
        tts=settings.VOICE,
        input=heard,
        output=played,
        end_with_input=not options.talk,
    )
    events = session.events()  # subscribed before the start, so that nothing is missed
    async with session:
        async for event in events:
            match event:
                case FinalTranscript(text=text):
                    print(f"you said: {text}")
                case Error(message=message, hint=hint):
                    print(f"{message}\n  -> {hint}")
    return session.history


def main(argv: Sequence[str] | None = None) -> tuple[voice.Said | voice.Used, ...]:
    """Runs it in real time, or with ``--simulated`` on a virtual clock."""
    parser = argparse.ArgumentParser(description="A small app with a manifest.")
    parser.add_argument("--input", default=QUESTION, help="a recording to hear")
    parser.add_argument("--output", default="answer.wav", help="where the answers are written")
    parser.add_argument("--talk", action="store_true", help="microphone and speaker instead")
    parser.add_argument("--headset", default="", help="with --talk: the output to use")
    parser.add_argument("--server", action="store_true", help="the model of an Ollama on this machine")
    parser.add_argument("--simulated", action="store_true", help="on a virtual clock")
    options = parser.parse_args(argv)
    run = testing.run if options.simulated else asyncio.run
    history = run(talk(options))
    for said in history:
        if isinstance(said, voice.Said):
            print(f"{said.role:>9}: {said.text}")
    return history


if __name__ == "__main__":
    main()
