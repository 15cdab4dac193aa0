"""WAV files: read them, write them, hear from one, play into one.

What may live here: the file format and nothing about any other. Read is what other programs write, broken headers
included; written is always 16-bit PCM, which everything can play.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import struct
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from locara.audio import BLOCK, RATE, Samples, clean, pcm16, resample, silence
from locara.devices.contracts import Pull
from locara.devices.null import Pace, Pulled, fitted
from locara.errors import AudioError, ConfigError, DeviceError

LONGEST = 4 * 3600
"""Seconds of the longest recording that is read."""

_PCM, _FLOAT, _EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
_UNKNOWN_SIZE = 0xFFFFFFFF  # what a program writes that streams and cannot go back to the header
_PIECE = 1 << 18  # frames that are converted at once: many channels or wide samples must not need gigabytes
_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_COMPRESSED = {
    0x0002: "Microsoft ADPCM", 0x0006: "A-law", 0x0007: "mu-law", 0x0011: "IMA ADPCM", 0x0031: "GSM 6.10",
    0x0050: "MPEG audio", 0x0055: "MP3", 0x00FF: "AAC", 0x0161: "Windows Media Audio", 0x0162: "Windows Media Audio",
    0x1600: "AAC", 0x1610: "AAC", 0x566F: "Vorbis", 0x674F: "Vorbis", 0x704F: "Opus", 0xF1AC: "FLAC",
}  # fmt: skip
_MAGIC = (
    (b"fLaC", "a FLAC file"), (b"ID3", "an MP3 file"), (b"OggS", "an Ogg file (Vorbis or Opus)"),
    (b"FORM", "an AIFF file"), (b".snd", "a Sun audio file"), (b"caff", "a Core Audio file"),
    (b"RIFX", "a big-endian WAV file"), (b"riff", "a Sony Wave64 file"), (b"#!AMR", "an AMR file"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM file"), (b"wvpk", "a WavPack file"), (b"MThd", "a MIDI file"),
)  # fmt: skip


# --- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a ``fmt `` chunk says. ``width`` is in bytes for one sample of one channel."""

    floating: bool
    channels: int
    rate: int
    width: int


def read_wav(path: str | os.PathLike[str]) -> tuple[Samples, int]:
    """The recording as float32 samples of shape ``(n,)``, channels averaged, and its rate in hertz.

    8, 16, 24 and 32-bit PCM, 32 and 64-bit float, with any number of channels, also in a file that was cut off or whose
    writer never filled in the sizes. Float samples are given as they are, not limited to full scale. Raises
    ``AudioError`` for anything else; the message names the file and what it is instead.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            return _parse(file, size, path)
    except FileNotFoundError:
        raise AudioError(f"there is no file {path}", hint="check the path; it is relative to where you are") from None
    except IsADirectoryError:
        raise _not_a_file(path) from None
    except PermissionError as error:  # what Windows says of a folder, too
        if path.is_dir():
            raise _not_a_file(path) from None
        raise AudioError(f"{path} may not be read: {error.strerror}", hint="check its permissions") from error
    except OSError as error:
        raise AudioError(f"{path} cannot be read: {error.strerror or error}", hint="check the disk and path") from error


def parse_wav(data: bytes | bytearray, name: str = "the recording") -> tuple[Samples, int]:
    """As `read_wav`, of a file's bytes. ``name``: how errors call it."""
    return _parse(io.BytesIO(data), len(data), Path(name))


def _not_a_file(path: Path) -> AudioError:
    return AudioError(f"{path} is a folder, not a recording", hint="name a .wav file in it")


def _parse(file: BinaryIO, size: int, path: Path) -> tuple[Samples, int]:
    head = file.read(12)
    if head[:4] not in (b"RIFF", b"RF64", b"BW64") or head[8:12] != b"WAVE":
        raise _not_wav(head, path)
    shape: _Shape | None = None
    long_size: int | None = None
    while len(header := file.read(8)) == 8:
        name, length = struct.unpack("<4sI", header)
        at = file.tell()
        if name == b"data":
            if shape is None:
                raise AudioError(f"{path} has samples but no format before them", hint="the file is damaged")
            return _samples(file, at, _data_length(file, length, long_size, size), shape, path)
        if name == b"fmt ":
            shape = _shape(file.read(min(length, 64)), path)
        elif name == b"ds64":  # sizes beyond 4 GiB stand here
            body = file.read(min(length, 16))
            long_size = struct.unpack("<Q", body[8:16])[0] if len(body) == 16 else None
        _next_chunk(file, at + length, odd=bool(length % 2))
    raise AudioError(f"{path} is a WAV file without samples: it ends before its data", hint="record it again")


def _next_chunk(file: BinaryIO, end: int, *, odd: bool) -> None:
    """Goes to the chunk after ``end``. An odd chunk is followed by a zero byte, which some writers forget."""
    file.seek(end)
    if odd and file.read(1) != b"\0":
        file.seek(end)


def _data_length(file: BinaryIO, length: int, long_size: int | None, size: int) -> int:
    """Bytes of samples that really follow; the file stands at the first."""
    at = file.tell()
    rest = size - at
    if length == _UNKNOWN_SIZE and long_size is not None:
        return min(long_size, rest)
    if length == 0 and rest > 0:
        name, follows = struct.unpack("<4sI", file.read(8).ljust(8, b"\0"))
        file.seek(at)
        # Either a recording without samples and another chunk after it, or a stream whose size was never filled in.
        another = name.isascii() and name.strip().isalnum() and 8 + follows + follows % 2 <= rest
        return 0 if another else rest
    return min(length, rest)


def _shape(body: bytes, path: Path) -> _Shape:
    if len(body) < 16:
        raise AudioError(f"{path} has a format of {len(body)} bytes; 16 are the least", hint="the file is damaged")
    code, channels, rate, _, frame, bits = struct.unpack("<HHIIHH", body[:16])
    if code == _EXTENSIBLE and len(body) >= 26:
        code = struct.unpack("<H", body[24:26])[0]
    if code not in (_PCM, _FLOAT):
        name = _COMPRESSED.get(code, "an unknown format")
        raise AudioError(f"{path} is compressed: {name} (format {code:#06x})", hint=_convert(path))
    if channels == 0 or channels > 255:
        raise AudioError(f"{path} says it has {channels} channels", hint="the file is damaged; record it again")
    if not 1_000 <= rate <= 768_000:
        raise AudioError(f"{path} says its sample rate is {rate} Hz", hint="the file is damaged; record it again")
    width = frame // channels or (bits + 7) // 8  # the room a sample takes; 12 bits, say, stand in two bytes
    if width not in ((4, 8) if code == _FLOAT else (1, 2, 3, 4)):
        kind = "float" if code == _FLOAT else "integer"
        raise AudioError(f"{path} has {kind} samples of {width * 8} bits, which are not known", hint=_convert(path))
    return _Shape(code == _FLOAT, channels, rate, width)


def _samples(file: BinaryIO, at: int, length: int, shape: _Shape, path: Path) -> tuple[Samples, int]:
    frame = shape.width * shape.channels
    frames = length // frame
    if frames > LONGEST * shape.rate:
        hours = frames / shape.rate / 3600
        raise AudioError(f"{path} is {hours:.1f} hours long; 4 hours are the most", hint="cut it into shorter files")
    file.seek(at)
    out = np.empty(frames, dtype=np.float32)
    done = 0
    while done < frames:
        got = np.frombuffer(file.read(min(_PIECE, frames - done) * frame), dtype=np.uint8)
        count = got.size // frame
        if count == 0:  # the file has become shorter while we read it
            return out[:done].copy(), shape.rate
        table = _floats(got[: count * frame], shape).reshape(count, shape.channels)
        with np.errstate(invalid="ignore", over="ignore"):  # infinity in one channel, minus infinity in the other
            out[done : done + count] = table[:, 0] if shape.channels == 1 else table.mean(axis=1)
        done += count
    return out, shape.rate


def _floats(raw: npt.NDArray[np.uint8], shape: _Shape) -> npt.NDArray[np.floating[Any]]:
    if shape.floating:
        with np.errstate(over="ignore", invalid="ignore"):  # what is beyond float32, or no number, is cleaned later
            return raw.view(f"<f{shape.width}").astype(np.float32)
    if shape.width == 1:  # the only width without a sign
        return (raw.astype(np.float32) - 128.0) / 128.0
    if shape.width == 3:
        wide = np.zeros((raw.size // 3, 4), dtype=np.uint8)
        wide[:, 1:] = raw.reshape(-1, 3)
        raw = wide.reshape(-1)
    values = raw.view({2: "<i2", 3: "<i4", 4: "<i4"}[shape.width])
    return values.astype(np.float32) / np.float32(-float(np.iinfo(values.dtype).min))


def _not_wav(head: bytes, path: Path) -> AudioError:
    if not head:
        return AudioError(f"{path} is empty", hint="record it again")
    looks = next((name for magic, name in _MAGIC if head.startswith(magic)), "")
    if not looks and head[4:8] == b"ftyp":
        looks = "an MP4 or M4A file"
    if not looks and len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        looks = "an MP3 or AAC file"
    if not looks and head[:4] == b"RIFF":
        looks = f"a RIFF file of kind {head[8:12].decode('ascii', 'replace').strip()!r}"
    return AudioError(f"{path} is not a WAV file" + (f" but {looks}" if looks else ""), hint=_convert(path))


def _convert(path: Path) -> str:
    return f'convert it: ffmpeg -i "{path}" -ar 16000 -ac 1 -c:a pcm_s16le "{path.with_suffix("")}-16k.wav"'


# --- writing ----------------------------------------------------------------------------------------------------------


def write_wav(path: str | os.PathLike[str], channels: Sequence[Samples], rate: int) -> None:
    """Writes a 16-bit PCM file with one channel for each array of shape ``(n,)``; shorter ones are followed by silence.

    The file appears whole or not at all. Raises ``AudioError`` where it cannot be written.
    """
    path = Path(path)
    if not channels:
        raise AudioError(f"nothing to write to {path}: no channel was given", hint="pass one array for each channel")
    frames = max(channel.size for channel in channels)
    table = np.stack([fitted(np.nan_to_num(channel), frames) for channel in channels], axis=1)
    data = pcm16(table.reshape(-1))
    if len(data) > _UNKNOWN_SIZE - _HEADER.size:
        raise AudioError(f"{path} would be larger than 4 GiB, which WAV cannot be", hint="write shorter files")
    try:
        part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
        try:
            with part.open("wb") as file:
                file.write(_header(len(data), len(channels), rate))
                file.write(data)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _header(size: int, channels: int, rate: int) -> bytes:
    """The first 44 bytes of a 16-bit file with ``size`` bytes of samples."""
    size = min(size, _UNKNOWN_SIZE - _HEADER.size)
    fmt = (16, _PCM, channels, rate, rate * channels * 2, channels * 2, 16)
    return _HEADER.pack(b"RIFF", size + _HEADER.size - 8, b"WAVE", b"fmt ", *fmt, b"data", size)


def _cannot_write(path: Path, error: OSError) -> AudioError:
    if path.is_dir():
        return AudioError(f"{path} is a folder; sound is written to a file", hint="add a file name, such as out.wav")
    if not path.parent.is_dir():
        return AudioError(f"there is no folder {path.parent} to write {path.name} to", hint="make the folder first")
    return AudioError(f"{path} cannot be written: {error.strerror or error}", hint="check permissions and free space")


# --- devices ----------------------------------------------------------------------------------------------------------


class WavSource:
    """A recording instead of a microphone: heard at the pace of the event loop's time, then silence until closed.

    Only the pace ``"realtime"`` exists; to go faster, run it on a virtual clock. ``mended`` counts the samples that were
    no number or beyond full scale.
    """

    def __init__(self, path: str | os.PathLike[str], pace: Literal["realtime"] = "realtime") -> None:
        if pace != "realtime":
            raise ConfigError(
                f"a recording has no pace {pace!r}", hint='use "realtime", on a virtual clock to go faster'
            )
        self.mended = 0
        self._path = Path(path)
        self._samples: Samples | None = None
        self._at = 0
        self._closed = False

    @property
    def name(self) -> str:
        return str(self._path)

    @property
    def exhausted(self) -> bool:
        return self._samples is not None and self._at >= self._samples.size

    @property
    def overruns(self) -> int:
        return 0

    async def open(self) -> None:
        """Reads the whole file. Raises ``AudioError``."""
        if hasattr(asyncio.get_running_loop(), "charge"):  # a virtual clock would run on while a thread reads
            self._samples, self.mended = _heard(self._path)
        else:
            self._samples, self.mended = await asyncio.to_thread(_heard, self._path)
        self._at = 0
        self._closed = False

    async def blocks(self) -> AsyncIterator[Samples]:
        """Block ``k`` comes ``(k + 1) * 20`` ms after the first was asked for; the last is filled up with silence."""
        if self._samples is None:
            raise DeviceError(f"{self.name} was used before it was opened", hint="await open() first")
        pace, block = Pace(), 0
        while not self._closed:
            await pace.until(block)
            if self._closed:
                return
            piece = self._samples[self._at : self._at + BLOCK]
            self._at += piece.size
            yield fitted(piece, BLOCK).copy() if piece.size else silence(BLOCK)
            block += 1

    async def close(self) -> None:
        self._closed = True


def _heard(path: Path) -> tuple[Samples, int]:
    samples, rate = read_wav(path)
    # Before the resampler, which would smear one bad sample over its neighbours.
    samples, mended = clean(samples)
    if rate != RATE and samples.size:
        samples = np.clip(resample(samples, rate, RATE), -1.0, 1.0)
    return samples, mended


class WavSink:
    """A file instead of a speaker: 16-bit PCM, one channel, at ``rate`` hertz.

    The header is brought up to date once a second, so that the file can be played even if the process dies.
    """

    def __init__(self, path: str | os.PathLike[str], rate: int = 24_000) -> None:
        self._path = Path(path)
        self._pulled = Pulled(rate)
        self._pull: Pull | None = None
        self._file: BinaryIO | None = None
        self._size = 0
        self._in_header = 0

    @property
    def name(self) -> str:
        return str(self._path)

    @property
    def rate(self) -> int:
        return self._pulled.rate

    @property
    def own_clock(self) -> bool:
        return False

    @property
    def delay(self) -> float:
        return 0.0

    @property
    def underruns(self) -> int:
        return self._pulled.underruns

    async def open(self, pull: Pull) -> None:
        """Makes the file, or empties it. Raises ``AudioError`` where it cannot be written."""
        if self._file is not None:
            raise DeviceError(f"{self.name} is already open", hint="close it first")
        self._size = 0
        try:
            with contextlib.ExitStack() as unless_ready:
                file = unless_ready.enter_context(self._path.open("wb"))
                self._write_header(file)
                unless_ready.pop_all()
        except OSError as error:
            raise _cannot_write(self._path, error) from error
        self._file, self._pull = file, pull

    def advance(self, blocks: int = 1) -> None:
        """Pulls the samples of ``blocks`` blocks and appends them; nothing once it is closed. Raises ``AudioError``."""
        if self._pull is None:
            raise DeviceError(f"{self.name} was used before it was opened", hint="await open(pull) first")
        if self._file is None:
            return
        data = pcm16(np.nan_to_num(self._pulled.take(self._pull, blocks)))
        try:
            self._file.write(data)
            self._size += len(data)
            if self._size - self._in_header >= 2 * self.rate:
                self._write_header(self._file)
        except OSError as error:
            raise _cannot_write(self._path, error) from error

    async def close(self) -> None:
        """Completes the file. May be called twice."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            with contextlib.closing(file):
                self._write_header(file)
        except OSError as error:
            raise _cannot_write(self._path, error) from error

    def _write_header(self, file: BinaryIO) -> None:
        file.seek(0)
        file.write(_header(self._size, 1, self.rate))
        file.seek(0, os.SEEK_END)
        file.flush()
        self._in_header = self._size
