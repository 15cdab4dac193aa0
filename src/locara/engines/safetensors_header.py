"""What a safetensors file says of itself, read without a library: its tensors, and whether it is whole.

What may live here: reading the header, and saying what a file is instead when it is not one. No weights are read, so that
a file of 15 GB takes milliseconds. Source: the format's description, https://github.com/huggingface/safetensors
(8 bytes with the header's length, little-endian; the header as JSON; the tensors).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PREFIX = 8  # bytes
_LARGEST_HEADER = 100_000_000
"""Bytes: the limit that the library itself keeps."""
_BYTES_EACH = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8,
}  # fmt: skip
_INSTEAD = (
    (b"PK\x03\x04", "a file of torch.save or a ZIP archive"),
    (b"\x80", "a pickle"),
    (b"version https://git-lfs", "a pointer of Git LFS: the weights themselves were not downloaded"),
    (b"<", "a web page"),
    (b"GGUF", "a GGUF file"),
)


class NotSafetensors(ValueError):
    """The file is no safetensors file, or only a part of one. The message says what it is instead."""


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """``dtype`` as the format names it: ``F32``, ``BF16``, ``I8``."""

    dtype: str
    shape: tuple[int, ...]


def read(path: Path) -> Mapping[str, TensorFacts]:
    """The tensors of the file by their names. Raises ``NotSafetensors`` for anything else, a file that ends too early too,
    and ``OSError``."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(_PREFIX + 16)
        length = int.from_bytes(start[:_PREFIX], "little")
        if len(start) < _PREFIX + 2 or not 2 <= length <= _LARGEST_HEADER or start[_PREFIX : _PREFIX + 1] != b"{":
            # Asked only now: a header of 128 bytes (or 384, 640, ...) begins with the byte of a pickle.
            for magic, what in _INSTEAD:
                if start.startswith(magic):
                    raise NotSafetensors(f"it is {what}")
            raise NotSafetensors(f"it does not begin like one ({size} bytes)")
        if _PREFIX + length > size:
            raise NotSafetensors(f"it ends inside its header: {size} bytes of more than {_PREFIX + length}")
        file.seek(_PREFIX)
        head = file.read(length)
    try:
        told = json.loads(head)
    except ValueError as error:
        raise NotSafetensors(f"its header is no JSON: {error}") from None
    if not isinstance(told, dict):
        raise NotSafetensors("its header is no table of tensors")
    told.pop("__metadata__", None)
    whole = _PREFIX + length + max((_end(name, one) for name, one in told.items()), default=0)
    if whole > size:
        raise NotSafetensors(f"a part of it is missing: {size} bytes of {whole}")
    return {name: TensorFacts(str(one["dtype"]), tuple(one["shape"])) for name, one in told.items()}


def _end(name: str, told: Any) -> int:
    """Where the tensor's bytes end, counted from the header's end. Raises where the entry contradicts itself."""
    try:
        begin, end = told["data_offsets"]
        count = _BYTES_EACH.get(told["dtype"])
        for one in told["shape"]:
            if not isinstance(one, int) or one < 0:
                raise TypeError
            count = count * one if count is not None else None
        if not 0 <= begin <= end or (count is not None and count != end - begin):
            raise ValueError
        return int(end)
    except (TypeError, ValueError, KeyError):
        raise NotSafetensors(f"its header is damaged at {name!r}") from None
