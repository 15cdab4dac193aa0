"""What a GGUF file says of itself, read without a library, and what is wrong with one that cannot be used.

What may live here: reading the header (format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and
3, little-endian) and plain figures that follow from it. No weights are read. llama.cpp aborts or says little when a file
is cut off or is something else; here that becomes a sentence with the file's name and the next step.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_MAGIC: Final = b"GGUF"
_ENTRIES = 1 << 16  # metadata entries or tensors; the largest published models have some thousands
_STRING = 1 << 24  # bytes of one text; a chat template has some thousands
_KEPT = 64  # items of an array that are kept; vocabularies are walked over
_SIZES: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9

_BLOCKS: Final[Mapping[int, tuple[str, int, int]]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
}  # fmt: skip
"""Type -> name, weights in a block, bytes of a block (ggml.h, ggml-common.h)."""

_OTHERS: Final = (
    (b"version https://git-lfs", "it is a pointer of Git LFS, not the file itself: fetch it with `git lfs pull`"),
    (b"lmgg", "it is in the old GGML format of whisper.cpp, and no language model"),
    (b"tjgg", "it is in the GGJT format from before GGUF: get the model as GGUF"),
    (b"PK\x03\x04", "it is a ZIP archive or a PyTorch checkpoint: get the model as GGUF"),
    (b"<!DOCTYPE", "it is a web page: the download answered with a page instead of the file"),
    (b"<html", "it is a web page: the download answered with a page instead of the file"),
    (b"{", "it is JSON: the download answered with an error, or a file of settings was named"),
    (b"FUGG", "it is a big-endian GGUF: this machine needs the little-endian one"),
)


class GgufError(ValueError):
    """A file that is no usable GGUF. The sentence says what is wrong, without the file's name."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the file says of itself. ``parameters``: weights in it; ``bytes_needed``: how long the file must be."""

    path: Path
    metadata: Mapping[str, Any] = field(repr=False)
    parameters: int
    size: int
    bytes_needed: int
    quantisation: str
    """The type most weights have, as ggml names it (``Q4_0``, ``Q4_K``, ``F16``)."""

    @property
    def architecture(self) -> str:
        """The family of models, as llama.cpp names it (``llama``, ``qwen2``); ``clip`` projects images or sound."""
        return str(self.metadata.get("general.architecture", ""))

    @property
    def context(self) -> int:
        """Tokens the model was trained to keep in mind; 0 if the file does not say."""
        return self._number("context_length")

    @property
    def licence(self) -> str:
        """As the file names it (``apache-2.0``); empty if it does not."""
        return str(self.metadata.get("general.license", ""))

    @property
    def has_template(self) -> bool:
        """Whether it says how a conversation is written for this model."""
        return bool(self.metadata.get("tokenizer.chat_template"))

    @property
    def hears(self) -> bool:
        """For a projector: whether it is one for sound."""
        return bool(self.metadata.get("clip.has_audio_encoder"))

    @property
    def parts(self) -> int:
        """Into how many files the model is split."""
        return int(self.metadata.get("split.count", 1) or 1)

    def cache_bytes(self, context: int) -> int:
        """Bytes of the key and value cache for ``context`` tokens, two bytes a number, all layers with full attention."""
        heads = self._number("attention.head_count") or 1
        head = self._number("embedding_length") // heads
        per_head = (self._number("attention.key_length") or head) + (self._number("attention.value_length") or head)
        kv_heads = self._number("attention.head_count_kv") or heads
        return 2 * context * self._number("block_count") * kv_heads * per_head

    def compute_bytes(self, batch: int) -> int:
        """Bytes of the working memory for a batch of so many tokens: mostly one row of probabilities for each."""
        vocabulary = self._number("vocab_size") or int(self.metadata.get("tokenizer.ggml.tokens", 0) or 0)
        widest = max(vocabulary, 4 * self._number("embedding_length"), 2 * self._number("feed_forward_length"))
        return 4 * batch * widest

    def _number(self, name: str) -> int:
        value = self.metadata.get(f"{self.architecture}.{name}", 0)
        if isinstance(value, tuple):  # one number a layer: the largest is the safe one
            value = max((one for one in value if isinstance(one, int)), default=0)
        return int(value) if isinstance(value, int | float) else 0


def read(path: Path) -> Header:
    """The header of the file at ``path``. Arrays longer than 64 items (vocabularies) are given as their length.

    Raises ``GgufError`` when it is something else, damaged or cut off, ``OSError`` when it cannot be read.
    """
    size = path.stat().st_size
    if size < 24:
        raise GgufError(f"it has only {size} bytes: the download broke off, or it is no model")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _header(path, data, size)


def _header(path: Path, data: mmap.mmap, size: int) -> Header:
    start = bytes(data[:32])
    if start[:4] != _MAGIC:
        raise GgufError(_not_gguf(start))
    cursor = _Cursor(data, size, 4)
    version = cursor.number("I")
    if version not in (2, 3):
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        if swapped in (2, 3):
            raise GgufError(dict(_OTHERS)[b"FUGG"])
        raise GgufError(f"it is GGUF of version {version}, and 2 and 3 are known: get the model as GGUF 3")
    tensors, entries = cursor.number("Q"), cursor.number("Q")
    if tensors > _ENTRIES or entries > _ENTRIES:
        raise GgufError(f"its header is damaged (it claims {tensors} tensors and {entries} entries): fetch it again")
    metadata: dict[str, Any] = {}
    for _ in range(entries):
        key = cursor.text()
        metadata[key] = cursor.value(cursor.number("I"))
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20:
        raise GgufError("its header is damaged (an alignment that cannot be): fetch it again")
    parameters, furthest, by_type = _tensors(cursor, tensors)
    begin = -(-cursor.at // alignment) * alignment
    return Header(
        path=path,
        metadata=metadata,
        parameters=parameters,
        size=size,
        bytes_needed=begin + furthest,
        quantisation=max(by_type, key=lambda name: by_type[name], default=""),
    )


def check_whole(header: Header) -> None:
    """Raises ``GgufError`` when the file is shorter than its header says."""
    if header.size < header.bytes_needed:
        raise GgufError(
            f"it is cut off: it has {header.size:,} bytes and needs {header.bytes_needed:,}; the download broke off"
        )


def _tensors(cursor: _Cursor, count: int) -> tuple[int, int, dict[str, int]]:
    """(weights in all, where the furthest tensor ends, weights by type)."""
    parameters = furthest = 0
    by_type: dict[str, int] = {}
    for _ in range(count):
        cursor.text()
        dimensions = cursor.number("I")
        if dimensions > 8:
            raise GgufError(f"its header is damaged (a tensor of {dimensions} dimensions): fetch it again")
        weights = 1
        for _ in range(dimensions):
            weights *= cursor.number("Q")
        kind, offset = cursor.number("I"), cursor.number("Q")
        name, block, size = _BLOCKS.get(kind, (f"type {kind}", 1, 0))  # a type we do not know: its size is not checked
        parameters += weights
        by_type[name] = by_type.get(name, 0) + weights
        furthest = max(furthest, offset + weights // block * size)
    return parameters, furthest, by_type


class _Cursor:
    """Reads one thing after the other. Whatever lies past the end is a file that was cut off."""

    def __init__(self, data: mmap.mmap, size: int, at: int) -> None:
        self._data = data
        self._size = size
        self.at = at

    def number(self, code: str) -> Any:
        length = struct.calcsize(f"<{code}")
        self._need(length)
        (value,) = struct.unpack_from(f"<{code}", self._data, self.at)
        self.at += length
        return value

    def text(self) -> str:
        length = self.number("Q")
        if length > _STRING:
            raise GgufError(f"its header is damaged (a text of {length} bytes): fetch it again")
        self._need(length)
        data = self._data[self.at : self.at + length]
        self.at += length
        return data.decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind == _TEXT:
            return self.text()
        if kind == _ARRAY:
            return self._array(self.number("I"), self.number("Q"))
        if kind not in _SIZES:
            raise GgufError(f"its header is damaged (a value of type {kind}): fetch it again")
        return self.number(_SIZES[kind])

    def _array(self, kind: int, count: int) -> Any:
        if kind in _SIZES:
            length = struct.calcsize(f"<{_SIZES[kind]}")
            self._need(length * count)
            if count > _KEPT:
                self.at += length * count
                return count
            return tuple(self.number(_SIZES[kind]) for _ in range(count))
        if kind != _TEXT:
            raise GgufError(f"its header is damaged (an array of type {kind}): fetch it again")
        if count <= _KEPT:
            return tuple(self.text() for _ in range(count))
        for _ in range(count):
            length = self.number("Q")
            self._need(length)
            self.at += length
        return count

    def _need(self, length: int) -> None:
        if self.at + length > self._size:
            raise GgufError(f"it is cut off inside its header, at {self._size:,} bytes; the download broke off")


def _not_gguf(start: bytes) -> str:
    for beginning, why in _OTHERS:
        if start.lower().startswith(beginning.lower()):
            return why
    if start[8:9] == b"{":
        return "it is a safetensors file: get the model as GGUF"
    return f"it is no GGUF (it begins with {start[:4]!r}): get the model as GGUF"
