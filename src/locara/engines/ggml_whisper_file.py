"""Whether a file is a whole ggml whisper model, found out before the C library opens it.

What may live here: the walk through this one file format (``whisper.cpp``, ``convert-pt-to-ggml.py``). The library itself
gives back a broken pointer for a broken file, and believes the lengths that stand in it.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAGIC = 0x67676D6C  # "ggml"
_LONGEST_TOKEN = 1024  # bytes
_LONGEST_NAME = 256  # bytes
_SANE = {"n_vocab": 200_000, "n_audio_ctx": 10_000, "n_audio_state": 8192, "n_mels": 1024}
_FIELDS = (
    "n_vocab", "n_audio_ctx", "n_audio_state", "n_audio_head", "n_audio_layer", "n_text_ctx", "n_text_state", "n_text_head",
    "n_text_layer", "n_mels", "ftype",
)  # fmt: skip
_BLOCKS = {
    0: (4, 1), 1: (2, 1), 2: (18, 32), 3: (20, 32), 6: (22, 32), 7: (24, 32), 8: (34, 32), 9: (36, 32), 10: (84, 256),
    11: (110, 256), 12: (144, 256), 13: (176, 256), 14: (210, 256), 15: (292, 256), 30: (2, 1),
}  # fmt: skip
"""Bytes and weights of one block of each of ggml's types (``ggml.h``: F32, F16, Q4_0, ... Q8_K, BF16)."""


@dataclass(frozen=True, slots=True)
class GgmlWhisper:
    """What stands at the file's beginning."""

    vocabulary: int
    audio_layers: int
    bands: int

    @property
    def english(self) -> bool:
        """Whether it only knows English: whisper.cpp tells by the size of the vocabulary."""
        return self.vocabulary < 51865


def read(path: Path) -> GgmlWhisper:
    """Reads the headers, skips the weights. Raises ``ValueError`` that says what is wrong, or ``OSError``."""
    size = path.stat().st_size
    with path.open("rb") as file:
        magic = file.read(4)
        if magic == b"GGUF":
            raise ValueError("it is a GGUF file, whisper.cpp reads ggml-*.bin")
        if magic != struct.pack("<I", MAGIC):
            raise ValueError("it does not begin as a ggml file does")
        if size == 0:
            raise ValueError("it is empty")
        fields = dict(zip(_FIELDS, _ints(file, len(_FIELDS)), strict=True))
        for name, most in _SANE.items():
            if not 0 < fields[name] <= most:
                raise ValueError(f"its {name} is {fields[name]}")
        bands, bins = _ints(file, 2)
        if not (0 < bands <= _SANE["n_mels"] and 0 < bins <= 10_000):
            raise ValueError(f"its mel filters have the shape {bands} x {bins}")
        _skip(file, 4 * bands * bins, size)
        (tokens,) = _ints(file, 1)
        if not 0 < tokens <= fields["n_vocab"]:
            raise ValueError(f"it has {tokens} tokens of {fields['n_vocab']}")
        for _ in range(tokens):
            (length,) = _ints(file, 1)
            if not 0 <= length <= _LONGEST_TOKEN:
                raise ValueError(f"one of its tokens has {length} bytes")
            _skip(file, length, size)
        found = _tensors(file, size)
        wanted = _tensor_count(fields["n_audio_layer"], fields["n_text_layer"])
        if found not in (None, wanted):
            raise ValueError(f"it is cut off: it has {found} of {wanted} tensors")
    return GgmlWhisper(fields["n_vocab"], fields["n_audio_layer"], fields["n_mels"])


def _tensors(file: BinaryIO, size: int) -> int | None:
    """How many whole tensors follow; None if one has a type that is not known here, and only the library can tell."""
    count = 0
    while file.tell() < size:
        dims, length, kind = _ints(file, 3)
        if not (0 < dims <= 4 and 0 < length <= _LONGEST_NAME):
            raise ValueError(f"after {count} tensors comes something else")
        shape = _ints(file, dims)
        _skip(file, length, size)
        if kind not in _BLOCKS:
            return None
        number = 1
        for side in shape:
            if side <= 0:
                raise ValueError(f"a tensor has the shape {shape}")
            number *= side
        block, weights = _BLOCKS[kind]
        _skip(file, number // weights * block, size)
        count += 1
    return count


def _tensor_count(audio_layers: int, text_layers: int) -> int:
    """Of a whisper: 7 and 15 for each layer on the side that hears, 4 and 24 on the side that writes."""
    return 7 + 15 * audio_layers + 4 + 24 * text_layers


def _ints(file: BinaryIO, count: int) -> tuple[int, ...]:
    raw = file.read(4 * count)
    if len(raw) < 4 * count:
        raise ValueError("it is cut off")
    return struct.unpack(f"<{count}i", raw)


def _skip(file: BinaryIO, length: int, size: int) -> None:
    if file.tell() + length > size:
        raise ValueError(f"it is cut off: {size} bytes, and more than {file.tell() + length} are needed")
    file.seek(length, os.SEEK_CUR)
