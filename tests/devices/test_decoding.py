"""Compressed recordings. Encoders are no dependency: where soundfile is not installed, only what needs none is tested."""

from __future__ import annotations

import asyncio
import io
import os
import random
from typing import Any

import numpy as np
import pytest

from locara.audio import Samples
from locara.devices import decoding
from locara.errors import AudioError

RATE = 44_100
pytest.importorskip("miniaudio", reason="miniaudio is not installed: only WAV is read")


def encoded(form: str, seconds: float = 2.3) -> bytes:
    soundfile: Any = pytest.importorskip("soundfile", reason="soundfile, which encodes, is not installed")
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE)) / RATE)
    out = io.BytesIO()
    kind, _, sub = form.partition(" ")
    soundfile.write(out, np.stack([tone, tone], 1), RATE, format=kind, subtype=sub or None)
    return out.getvalue()


async def pieces(data: bytes) -> tuple[list[Samples], int]:
    async with decoding.decoding(data) as (found, rate):
        return [piece async for piece in found], rate


@pytest.mark.parametrize("form", ["WAV", "FLAC", "MP3", "OGG VORBIS"])
def test_a_recording_comes_in_pieces_of_a_second_and_sounds_as_it_did(form: str) -> None:
    got, rate = asyncio.run(pieces(encoded(form)))
    sound = np.concatenate(got)
    assert rate == RATE
    assert [piece.size for piece in got[:-1]] == [RATE] * (len(got) - 1)
    assert sound.size == pytest.approx(2.3 * RATE, abs=2400)  # MP3 adds a frame or two
    assert np.abs(sound).max() == pytest.approx(0.3, abs=0.02)
    spectrum = np.abs(np.fft.rfft(sound[RATE : 2 * RATE]))
    assert np.argmax(spectrum) == pytest.approx(440, abs=1)


def test_what_decodes_is_gone_when_nobody_reads_on() -> None:
    async def go() -> int:
        data = encoded("FLAC", 30.0)
        async with decoding.decoding(data) as (found, _):
            async for _ in found:
                break
        return sum(1 for task in asyncio.all_tasks() if task is not asyncio.current_task())

    assert asyncio.run(go()) == 0
    if not hasattr(os, "WNOHANG"):
        return  # Windows has no such list of children
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize("form", ["FLAC", "MP3", "OGG VORBIS"])
def test_a_damaged_recording_is_refused_or_read_in_part_and_ends_nothing_here(form: str) -> None:
    whole = encoded(form, 0.5)
    source = random.Random(4)

    async def go() -> list[str]:
        said = []
        for number in range(3):
            data = bytearray(whole[: len(whole) // (1 + number)])
            for _ in range(25):
                data[source.randrange(4, len(data))] = source.randrange(256)
            try:
                await pieces(bytes(data))
            except AudioError as error:
                said.append(error.message)
        return said

    assert all("decoded" in message or "recording" in message for message in asyncio.run(go()))


def test_a_decoder_that_dies_is_an_error_with_a_reason() -> None:
    async def go() -> None:
        async with decoding._worker("flac", encoded("FLAC", 20.0)) as process:
            rate = await decoding._rate(process, "flac")
            found = decoding._streamed(process, "flac", rate)
            await anext(found)
            process.kill()
            with pytest.raises(AudioError, match="broke off"):
                async for _ in found:
                    pass

    asyncio.run(go())


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"RIFF\0\0\0\0WAVE", "wav"),
        (b"fLaC\0\0\0\x22", "flac"),
        (b"ID3\x04\0\0", "mp3"),
        (b"\xff\xfb\x90\x00", "mp3"),
        (b"OggS" + bytes(24) + b"\x01vorbis", "vorbis"),
    ],
)
def test_the_bytes_say_what_it_is(data: bytes, kind: str) -> None:
    assert decoding.format_of(data) == kind


@pytest.mark.parametrize("data", [b"", b"\xff\xf1\x50\x80", b"\xff\xff\xff\xff", b"FORM", b"OggS" + bytes(60)])
def test_what_is_not_read_is_refused(data: bytes) -> None:
    with pytest.raises(AudioError) as refused:
        decoding.format_of(data)
    assert "WAV, FLAC, MP3" in refused.value.hint
