"""What an ONNX file says of itself, read without a runtime: its metadata, and the names and shapes of what goes in and out.

What may live here: reading the outermost fields of the protobuf ``ModelProto`` (onnx/onnx.proto, public and stable), and
saying what a file is instead when it is not one. Nothing is executed and the weights are skipped, so that a file of a
gigabyte takes milliseconds. Some libraries end the whole process when a model lacks what they need; this is how we
look before they do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

_LARGEST_FIELD = 64 * 2**20
"""Bytes of one field that is read whole: metadata may hold a table of some hundred kilobytes. Weights are skipped."""
_METADATA, _GRAPH = 14, 7  # fields of ModelProto
_INPUT, _OUTPUT = 11, 12  # fields of GraphProto
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types


class NotOnnx(ValueError):
    """The file is not an ONNX model, or only a part of one. The message says what it is instead."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output. ``shape``: numbers where fixed, names (perhaps empty) where not."""

    name: str
    shape: tuple[int | str, ...] = ()


@dataclass(frozen=True, slots=True)
class Header:
    """``format`` is ``onnx``, or ``ort`` for ONNX Runtime's own format, of which no more than that is read."""

    metadata: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    format: str = "onnx"


def read(path: Path) -> Header:
    """The header of the file. Raises ``NotOnnx`` for anything else, a file that ends too early too, and ``OSError``."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(16)
        if start[4:8] == b"ORTM":  # a flatbuffer's file identifier
            return Header(format="ort")
        if what := _instead(start, size):
            raise NotOnnx(what)
        file.seek(0)
        return _model(file, size)


def _instead(start: bytes, size: int) -> str:
    """What the first bytes are, where it is known; empty if they may be ONNX."""
    if size == 0:
        return "it is empty"
    text = start.lstrip().lower()
    if start.startswith(b"version https:"):
        return "it is a Git LFS pointer: the note of where the file lies, not the file"
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "it is a web page, probably the message of a failed download"
    known = {
        b"GGUF": "a GGUF file (llama.cpp)", b"lmgg": "a ggml file (whisper.cpp)", b"PK\x03\x04": "a zip archive",
        b"BZh": "a bzip2 archive, still packed", b"\x1f\x8b": "a gzip archive, still packed", b"RIFF": "a WAV file",
    }  # fmt: skip
    for magic, what in known.items():
        if start.startswith(magic):
            return f"it is {what}"
    return "it is JSON" if text.startswith(b"{") else ""


def _model(file: BinaryIO, size: int) -> Header:
    metadata: dict[str, str] = {}
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []
    graphs = 0
    for number, end in _fields(file, size):
        if number == _METADATA:
            key, value = _entry(file, end)
            metadata[key] = value
        elif number == _GRAPH:
            graphs += 1
            for inner, stop in _fields(file, end):
                if inner in (_INPUT, _OUTPUT):
                    (inputs if inner == _INPUT else outputs).append(_tensor(_whole(file, stop)))
                file.seek(stop)
        file.seek(end)
    if not graphs:
        raise NotOnnx("it is no ONNX model: there is no graph in it")
    return Header(metadata, tuple(inputs), tuple(outputs))


def _fields(file: BinaryIO, end: int) -> Iterator[tuple[int, int]]:
    """The fields up to ``end``: number, and where it ends. The file stands at the field's content."""
    while file.tell() < end:
        key = _varint(file)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            _varint(file)
            stop = file.tell()
        elif kind in (_FIXED64, _FIXED32):
            stop = file.tell() + (8 if kind == _FIXED64 else 4)
        elif kind == _BYTES:
            length = _varint(file)
            stop = file.tell() + length
        else:
            raise NotOnnx("it is no ONNX model, or it is damaged")
        if stop > end or number == 0:
            # The first field of a model is its version: what already breaks there was never ONNX.
            raise NotOnnx("it ends too early, or is damaged: the download was probably cut off")
        yield number, stop
        file.seek(stop)


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise NotOnnx("it ends too early: the download was probably cut off")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise NotOnnx("it is no ONNX model, or it is damaged")


def _whole(file: BinaryIO, end: int) -> bytes:
    length = end - file.tell()
    if length > _LARGEST_FIELD:
        raise NotOnnx(f"a field of {length} bytes stands where a name should be")
    return file.read(length)


def _parts(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """The fields of a small message that is in memory."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            if at >= len(data) or shift > 63:
                raise NotOnnx("it is damaged")
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        kind = key & 7
        if kind == _VARINT:
            yield key >> 3, varint()
        elif kind in (_BYTES, _FIXED64, _FIXED32):
            length = varint() if kind == _BYTES else (8 if kind == _FIXED64 else 4)
            if at + length > len(data):
                raise NotOnnx("it is damaged")
            yield key >> 3, data[at : at + length]
            at += length
        else:
            raise NotOnnx("it is damaged")


def _text(value: bytes | int) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _inner(data: bytes, wanted: int) -> Iterator[bytes]:
    for number, value in _parts(data):
        if number == wanted and isinstance(value, bytes):
            yield value


def _entry(file: BinaryIO, end: int) -> tuple[str, str]:
    fields = dict(_parts(_whole(file, end)))
    return _text(fields.get(1, b"")), _text(fields.get(2, b""))


def _tensor(data: bytes) -> Tensor:
    """``ValueInfoProto``: name 1, type 2 > tensor_type 1 > shape 2 > dim 1 > dim_value 1 or dim_param 2."""
    name = ""
    shape: list[int | str] = []
    for number, value in _parts(data):
        if number == 1:
            name = _text(value)
        elif number == 2 and isinstance(value, bytes):
            for tensor in _inner(value, 1):
                for dims in _inner(tensor, 2):
                    for dim in _inner(dims, 1):
                        fields = dict(_parts(dim))
                        size = fields.get(1)
                        shape.append(size if isinstance(size, int) else _text(fields.get(2, b"")))
    return Tensor(name, tuple(shape))
