"""Binary frames of the IPC protocol: sound of both directions, with its place in its stream.

What may live here: the frame as a value, to bytes and back. Pure. The server's side reads the same file.

A frame is a header of 16 bytes, little endian, and 16-bit PCM, mono: u8 kind, u8 flags (0), u16 zero, i32 turn (-1: none),
u64 at (samples of this stream before it).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from locara.audio import Samples, from_pcm16, pcm16
from locara.errors import MessageError

MICROPHONE: Literal[1] = 1
"""From the client to the server."""
SPEAKER: Literal[2] = 2
"""From the server to the client."""

HEADER = struct.Struct("<BBHiQ")
FURTHEST = 2**53
"""Samples: where JavaScript's numbers end. At 48 kHz six thousand years."""


@dataclass(frozen=True, slots=True)
class Frame:
    """``pcm``: 16-bit little-endian PCM, mono. ``at``: samples of the stream before it. ``turn``: -1 for none."""

    kind: int
    at: int
    pcm: bytes
    turn: int = -1

    @property
    def samples(self) -> Samples:
        """float32 of shape ``(n,)``."""
        return from_pcm16(self.pcm)

    @property
    def end(self) -> int:
        """Where the stream is after it, in samples."""
        return self.at + len(self.pcm) // 2


def packed(frame: Frame) -> bytes:
    """The frame's bytes."""
    return HEADER.pack(frame.kind, 0, 0, frame.turn, frame.at) + frame.pcm


def sounding(kind: int, at: int, samples: Samples, turn: int = -1) -> Frame:
    """A frame of float32 samples."""
    return Frame(kind, at, pcm16(samples), turn)


def unpacked(data: bytes, kind: int) -> Frame:
    """The frame in ``data``, which must be of this kind. Raises ``MessageError``."""
    if len(data) < HEADER.size:
        raise MessageError(f"a binary frame of {len(data)} bytes", hint=f"its header has {HEADER.size}")
    found, flags, zero, turn, at = HEADER.unpack_from(data)
    if found != kind:
        meant = "sound of a microphone has 1" if kind == MICROPHONE else "sound for a speaker has 2"
        raise MessageError(f"a binary frame of kind {found}", hint=meant)
    if flags or zero:
        raise MessageError("a binary frame with flags that this protocol does not have", hint="send zeros there")
    if (len(data) - HEADER.size) % 2:
        raise MessageError("a binary frame with half a sample at its end", hint="16-bit PCM, mono, little endian")
    if at > FURTHEST:
        raise MessageError("a binary frame further on than any stream", hint="`at` counts samples from its beginning")
    return Frame(found, at, data[HEADER.size :], turn)


def after(frame: Frame, at: int) -> Frame | None:
    """What of it lies at ``at`` or behind; None where nothing does."""
    if frame.at >= at:
        return frame
    return None if frame.end <= at else Frame(frame.kind, at, frame.pcm[2 * (at - frame.at) :], frame.turn)
