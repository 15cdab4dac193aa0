"""``locara transcribe``: speech to text, from files, from a pipe, or from the microphone while you speak."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import sys
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from locara.audio import Samples
    from locara.transcribe import Segment, Transcriber, Transcription

_EXAMPLES = """examples:
  locara transcribe interview.wav
  locara transcribe --format srt interview.wav > interview.srt
  locara transcribe --stt whisper-base.en a.wav b.wav --json
  locara transcribe --microphone                     until Ctrl-C; text appears while you speak
  ffmpeg -i film.mkv -f s16le -ac 1 -ar 16000 - | locara transcribe --raw 16000 -

exit codes: 0 done, 1 failed, 2 wrong command line, 130 Ctrl-C
"""
_PIPE_SECONDS = 0.1  # of sound that is read from a pipe at once


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``locara transcribe``."""
    parser.epilog = _EXAMPLES
    add = parser.add_argument
    add("files", nargs="*", metavar="FILE", help="WAV files; - with --raw reads standard input while it comes")
    add("--microphone", nargs="?", const="default", metavar="NAME", help="listen to a microphone until Ctrl-C")
    add("--stt", metavar="MODEL", help="the recogniser; left out: what works from the installation alone")
    add("--raw", metavar="HZ", type=int, help="standard input is 16-bit little-endian mono at this rate")
    add("--format", choices=("text", "srt", "vtt"), default="text", help="what is written")
    add("--json", action="store_true", help="an object for each file, or for each segment of a stream")


def run(options: argparse.Namespace) -> int:
    """Transcribes; returns the exit code."""
    from locara.cli import consenting
    from locara.errors import ConfigError

    piped = options.files == ["-"]
    if bool(options.microphone) == bool(options.files):
        raise ConfigError("what to transcribe?", hint="name WAV files, or --microphone, or - with --raw HZ")
    if piped != (options.raw is not None):
        raise ConfigError("--raw HZ and - go together", hint="locara transcribe --raw 16000 -")
    if options.format != "text" and (options.json or len(options.files) != 1 or piped):
        raise ConfigError(f"--format {options.format} is for one file", hint="leave --json out and name one file")
    if options.microphone:
        consenting.demand("device.microphone")  # before a recogniser is loaded for nothing
    asyncio.run(_live(options) if piped or options.microphone else _files(options))
    return 0


async def _files(options: argparse.Namespace) -> None:
    from locara import transcribe
    from locara.cli import consenting

    async with transcribe.transcriber(stt=options.stt, manifest=consenting.embedded()) as one:
        for file in options.files:
            got = await one.from_file(file)
            sys.stdout.write(_written(file, got, options))
            sys.stdout.flush()


def _written(file: str, got: Transcription, options: argparse.Namespace) -> str:
    if options.json:
        told = {"file": file, **dataclasses.asdict(got)}
        return json.dumps(told, ensure_ascii=False) + "\n"
    if options.format == "text":
        return (f"{file}: " if len(options.files) > 1 else "") + got.text + "\n"
    return subtitles(got.segments, web=options.format == "vtt")


def subtitles(segments: tuple[Segment, ...], *, web: bool) -> str:
    """SubRip, or WebVTT (https://www.w3.org/TR/webvtt1/)."""
    blocks = [
        f"{number}\n{_clock(one.start, web=web)} --> {_clock(one.end, web=web)}\n{one.text}\n"
        for number, one in enumerate(segments, 1)
    ]
    return ("WEBVTT\n\n" if web else "") + "\n".join(blocks)


def _clock(seconds: float, *, web: bool) -> str:
    whole = round(seconds * 1000)
    hours, minutes = divmod(whole // 60_000, 60)
    return f"{hours:02}:{minutes:02}:{whole // 1000 % 60:02}{'.' if web else ','}{whole % 1000:03}"


# --- while it comes ---------------------------------------------------------------------------------------------------


async def _live(options: argparse.Namespace) -> None:
    from locara import transcribe
    from locara.cli import consenting

    async with transcribe.transcriber(stt=options.stt, manifest=consenting.embedded()) as one:
        if options.microphone:
            await _show(one, _microphone(options.microphone), 16_000, options)
        else:
            await _show(one, _pipe(options.raw), options.raw, options)


async def _show(one: Transcriber, sound: AsyncGenerator[Samples], rate: int, options: argparse.Namespace) -> None:
    screen = sys.stdout.isatty() and not options.json
    shown = 0
    async with contextlib.aclosing(sound), contextlib.aclosing(one.stream(sound, rate)) as segments:
        async for segment in segments:
            shown = _line(segment, shown, screen=screen, json_lines=options.json)


def _line(segment: Segment, shown: int, *, screen: bool, json_lines: bool) -> int:
    """Writes it; returns how wide the line is that stands unfinished. On a terminal what is not final stands in the same
    line until it is."""
    width = 0
    if json_lines:
        sys.stdout.write(json.dumps(dataclasses.asdict(segment), ensure_ascii=False) + "\n")
    elif not screen:
        sys.stdout.write(segment.text + "\n" if segment.final else "")
    else:
        text = segment.text if segment.final else segment.text[-_columns() + 1 :]
        width = 0 if segment.final else len(text)
        sys.stdout.write("\r" + text.ljust(shown) + ("\n" if segment.final else ""))
    sys.stdout.flush()
    return width


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns


async def _microphone(name: str) -> AsyncGenerator[Samples]:
    """The microphone, through the gate; a dead one is told."""
    from locara.cli import consenting
    from locara.devices.choose import hint_silent
    from locara.errors import CapabilityDenied
    from locara.gate import opening
    from locara.gate.listening import listening

    grant = consenting.access()
    await grant.demand("device.microphone")
    sys.stderr.write("The microphone is on. Ctrl-C ends it.\n")
    source = opening.microphone(name)
    async with contextlib.aclosing(listening(source, grant)) as blocks:
        async for block, dead in blocks:
            if not grant.holds("device.microphone"):
                raise CapabilityDenied(grant.why("device.microphone"), hint="locara grants list shows who may use what")
            if dead:
                sys.stderr.write(f"{source.name} gives nothing but zeros. {hint_silent(sys.platform)}\n")
            yield block


async def _pipe(rate: int) -> AsyncGenerator[Samples]:
    from locara.audio import from_pcm16

    size = max(1, round(rate * _PIPE_SECONDS)) * 2
    while data := await asyncio.to_thread(sys.stdin.buffer.read, size):
        yield from_pcm16(data[: len(data) // 2 * 2])
