"""Compressed recordings as samples, piece by piece: FLAC, MP3 and Ogg Vorbis by miniaudio, WAV by our own reader.

What may live here: which format some bytes are in, and the way from them to samples. No file names: the bytes decide.

The decoders are native (dr_flac, dr_mp3, stb_vorbis, in miniaudio's wheel). They run in a process of their own, one for
each recording: a damaged Ogg Vorbis made stb_vorbis write where it must not (``munmap_chunk(): invalid pointer``, with
miniaudio 1.71), which ends the process that it happens in. Where there is no wheel (Linux on Arm), WAV alone is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np

from locara.audio import Samples
from locara.devices.wav import parse_wav
from locara.errors import AudioError

READS = "WAV, FLAC, MP3 and Ogg Vorbis"
"""What `decoding` takes, as people read it."""

PIECE_SECONDS = 1.0
"""Decoded at once: a few milliseconds of work."""

DEADLINE = 20.0
"""Seconds in which the decoder has to say something; it starts in 0.2 s and decodes an hour in a few."""

LONGEST_SECONDS = 4 * 3600.0
"""Of one recording. 25 MiB of MP3 can be seven hours, and an engine works at them for one."""

_OTHERS = (
    (b"OpusHead", "Opus"), (b"\x01video", "Ogg video"), (b"\x80theora", "Ogg video"), (b"Speex   ", "Speex"),
    (b"\x7fFLAC", "FLAC in Ogg"),
)  # fmt: skip
_OGG_PAGE = 64  # bytes of the first page in which its codec's name stands


def format_of(data: bytes | bytearray) -> str:
    """``"wav"``, ``"flac"``, ``"mp3"`` or ``"vorbis"``. Raises ``AudioError`` for anything else, and says what it is."""
    head = bytes(data[:_OGG_PAGE])
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"fLaC":
        return "flac"
    if head[:3] == b"ID3" or (len(head) > 2 and head[0] == 0xFF and _mpeg_audio(head[1], head[2])):
        return "mp3"
    if head[:4] == b"OggS" and b"\x01vorbis" in head:
        return "vorbis"
    raise AudioError(f"the recording is {_called(head)}", hint=f"send {READS}, for example: ffmpeg -i IN OUT.wav")


def _mpeg_audio(second: int, third: int) -> bool:
    """Whether the 2nd and 3rd byte are those of an MPEG frame of layer III (ISO 11172-3, 2.4.1.3)."""
    return second & 0xE0 == 0xE0 and second & 0x06 == 0x02 and third & 0xF0 != 0xF0 and third & 0x0C != 0x0C


def _called(head: bytes) -> str:
    if not head:
        return "empty"
    if head[:4] == b"OggS":
        return f"{next((name for mark, name in _OTHERS if mark in head), 'Ogg of an unknown kind')}, which is not read"
    if head[4:8] == b"ftyp":
        return "MP4 or M4A, which is not read"
    if head[:4] == b"\x1aE\xdf\xa3":
        return "WebM or Matroska, which is not read"
    if head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xF6 == 0xF0:
        return "AAC, which is not read"
    return "in no format that is read here"


@asynccontextmanager
async def decoding(data: bytes | bytearray) -> AsyncIterator[tuple[AsyncIterator[Samples], int]]:
    """Pieces of shape ``(n,)``, float32, channels averaged, each of about a second, and their rate in hertz. Raises
    ``AudioError``, the iterator too. What decodes is gone when this ends, however it does."""
    kind = format_of(data)
    if kind == "wav":
        samples, rate = await asyncio.to_thread(parse_wav, data)
        yield _limited(_cut(samples, rate), rate), rate
        return
    if importlib.util.find_spec("miniaudio") is None:
        raise AudioError(
            "only WAV is read here: miniaudio, which decodes the others, is not installed",
            hint="send WAV, or pip install miniaudio; it has no wheel for Linux on Arm",
        )
    async with _worker(kind, data) as process:
        rate = await _rate(process, kind)
        yield _limited(_streamed(process, kind, rate), rate), rate


async def _cut(samples: Samples, rate: int) -> AsyncIterator[Samples]:
    step = round(PIECE_SECONDS * rate)
    for at in range(0, samples.size, step):
        yield samples[at : at + step]


@asynccontextmanager
async def _worker(kind: str, data: bytes | bytearray) -> AsyncIterator[Process]:
    """A process that decodes ``data``, which it is given meanwhile."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "locara.devices.decoding_worker", kind,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    giving = asyncio.create_task(_give(process, data), name="decode-give")
    try:
        yield process
    finally:
        giving.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.gather(giving, return_exceptions=True)
        await process.wait()


async def _give(process: Process, data: bytes | bytearray) -> None:
    assert process.stdin is not None
    with contextlib.suppress(ConnectionError):  # it ended early: what it has said counts
        process.stdin.write(data)
        await process.stdin.drain()
        process.stdin.close()


async def _rate(process: Process, kind: str) -> int:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(DEADLINE):
            said = await process.stdout.readline()
        told = json.loads(said)
        rate, why = int(told["rate"]), str(told["error"])
    except (ValueError, KeyError, TypeError):
        raise _broken(kind, "the decoder broke off") from None
    except TimeoutError:
        raise _broken(kind, f"the decoder said nothing within {DEADLINE:g} s") from None
    if why:
        raise _broken(kind, why)
    if not 4_000 <= rate <= 384_000:
        raise _broken(kind, f"it has a sample rate of {rate} Hz")
    return rate


async def _streamed(process: Process, kind: str, rate: int) -> AsyncIterator[Samples]:
    assert process.stdout is not None
    size = 4 * round(PIECE_SECONDS * rate)
    try:
        while True:
            async with asyncio.timeout(DEADLINE):
                try:
                    piece = await process.stdout.readexactly(size)
                except asyncio.IncompleteReadError as last:
                    piece = last.partial[: len(last.partial) // 4 * 4]
            if piece:
                yield np.frombuffer(piece, dtype="<f4").astype(np.float32)
            if len(piece) < size:
                break
        async with asyncio.timeout(DEADLINE):
            code = await process.wait()
    except TimeoutError:
        raise _broken(kind, f"the decoder stood still for {DEADLINE:g} s") from None
    if code:
        raise _broken(kind, "the decoder broke off")


async def _limited(pieces: AsyncIterator[Samples], rate: int) -> AsyncIterator[Samples]:
    left = round(LONGEST_SECONDS * rate)
    async for piece in pieces:
        left -= piece.size
        if left < 0:
            raise AudioError(f"the recording is longer than {LONGEST_SECONDS / 3600:g} hours", hint="cut it into parts")
        yield piece


def _broken(kind: str, why: str) -> AudioError:
    name = {"vorbis": "Ogg Vorbis"}.get(kind, kind.upper())
    return AudioError(f"the {name} cannot be decoded: {why}", hint="the file is damaged, or not what it says")
