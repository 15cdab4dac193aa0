"""The header of a WAV file that comes through a pipe: where its sound begins, and at which rate. Its length may be a lie.

What may live here: this one reading, from bytes. Source: the RIFF/WAVE format, Microsoft and IBM, 1991.
"""

from __future__ import annotations

from dataclasses import dataclass

_HEADER_LIMIT = 4_096  # bytes of a WAV file before its sound


@dataclass(frozen=True, slots=True)
class Format:
    """Of the sound that follows a WAV header. ``size``: bytes of that header."""

    rate: int
    size: int


def wav_format(data: bytes) -> Format | None:
    """What the header says, None while more bytes are needed. Raises ``ValueError`` for anything but 16-bit mono PCM."""
    if len(data) < 12:
        return None
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError(f"it is no WAV file: it begins with {data[:12]!r}")
    at, rate = 12, 0
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name == b"data":  # whatever length it gives: it did not know it yet
            if not rate:
                raise ValueError("its header does not say which sound it has")
            return Format(rate, at + 8)
        if name == b"fmt ":
            if len(data) < at + 24:
                return None
            kind, channels = int.from_bytes(data[at + 8 : at + 10], "little"), data[at + 10]
            rate, bits = int.from_bytes(data[at + 12 : at + 16], "little"), data[at + 22]
            if (kind, channels, bits) != (1, 1, 16) or not 8_000 <= rate <= 48_000:
                raise ValueError(f"it has format {kind}, {channels} channels, {bits} bits, {rate} Hz")
        at += 8 + size + size % 2
        if at > _HEADER_LIMIT:
            raise ValueError("its header has no end")
    return None
