"""``locara say``: text to speech, to a speaker or to a file."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from locara.speech import Speaker

_EXAMPLES = """examples:
  locara say "The kettle is on."
  locara say --output kettle.wav "The kettle is on."
  tail -f log.txt | locara say -                     each line as it comes
  locara say --tts espeak-ng:de "Guten Morgen."

exit codes: 0 done, 1 failed, 2 wrong command line, 130 Ctrl-C
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``locara say``."""
    parser.epilog = _EXAMPLES
    parser.add_argument("text", nargs="+", metavar="TEXT", help="what to say; - reads standard input while it comes")
    parser.add_argument("--tts", metavar="MODEL", help="the voice; left out: what works from the installation alone")
    parser.add_argument("--output", metavar="WHAT", default="default", help="a speaker by name, or FILE.wav")
    parser.add_argument("--json", action="store_true", help="one object at the end: engine, model, seconds, output")


def run(options: argparse.Namespace) -> int:
    """Says it; returns the exit code."""
    asyncio.run(_say(options))
    return 0


async def _say(options: argparse.Namespace) -> None:
    from locara import speech
    from locara.cli import consenting

    consenting.demand(*consenting.for_speaker(options.output))  # before a voice is loaded for nothing
    text = _lines() if options.text == ["-"] else " ".join(options.text)
    async with speech.speaker(tts=options.tts, manifest=consenting.embedded()) as one:
        played = await one.say(text, output=options.output)
        if options.json:
            sys.stdout.write(json.dumps(_told(one, played, options.output), ensure_ascii=False) + "\n")


def _told(one: Speaker, played: float, output: str) -> dict[str, object]:
    return {
        "engine": one.engine.engine,
        "model": one.engine.model,
        "seconds": round(played, 3),
        "output": output,
    }


async def _lines() -> AsyncGenerator[str]:
    """Standard input, line by line, each as soon as it is there."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield line
