"""The pieces of a SentencePiece tokenizer, read from its file, and the text of the pieces that a model thinks one by one.

What may live here: pure reading and joining; no package is needed for it. Cutting a text into pieces is left to the
package ``sentencepiece``. Source: ``sentencepiece_model.proto`` of google/sentencepiece (public and stable).
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_SPACE = "▁"
_PIECE_FIELD = 1
"""``ModelProto.pieces``."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""``SentencePiece.Type``."""


class NotSentencePiece(ValueError):
    """The bytes are no tokenizer of SentencePiece, or only a part of one."""


@dataclass(frozen=True, slots=True)
class Piece:
    """``text`` as it stands in the file: a space is ``▁``, and a byte ``<0x0A>``."""

    text: str
    kind: int = NORMAL


def read(data: bytes) -> tuple[Piece, ...]:
    """The pieces, in the order of their tokens. Raises ``NotSentencePiece``."""
    try:
        found = tuple(_piece(one) for number, one in _fields(data) if number == _PIECE_FIELD and isinstance(one, bytes))
    except (IndexError, UnicodeDecodeError, ValueError):
        raise NotSentencePiece(f"it is no SentencePiece model, or not all of one ({len(data)} bytes)") from None
    if not found:
        raise NotSentencePiece(f"it is no SentencePiece model: no pieces in {len(data)} bytes")
    return found


class PieceText:
    """The text of one conversation's tokens, as they come. A word keeps the space before it; what stands for a byte is
    held back until its character is whole."""

    def __init__(self, pieces: Sequence[Piece], silent: Sequence[int] = ()) -> None:
        """``silent``: tokens that are no text (padding)."""
        self._pieces = pieces
        self._silent = frozenset(silent)
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")

    def next(self, token: int) -> str:
        """The text that this token completes; empty for padding, signs of control and unknown tokens."""
        if token in self._silent or not 0 <= token < len(self._pieces):
            return ""
        piece = self._pieces[token]
        if piece.kind == BYTE:
            return self._bytes.decode(bytes([int(piece.text[3:5], 16)]))
        if piece.kind not in (NORMAL, USER_DEFINED):
            return ""
        torn = self._bytes.decode(b"", True)
        self._bytes.reset()
        return torn + piece.text.replace(_SPACE, " ")


def _piece(data: bytes) -> Piece:
    text, kind = "", NORMAL
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            text = value.decode("utf-8")
        elif number == 3 and isinstance(value, int):
            kind = value
    if kind == BYTE:
        int(text[3:5], 16)
    return Piece(text, kind)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The outermost fields of a protobuf message: number and value. Raises ``IndexError`` or ``ValueError``."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(wire, 0)
        if wire == _BYTES:
            size, at = _varint(data, at)
        elif not size:
            raise ValueError("a wire type that is not used")
        if at + size > len(data):
            raise IndexError
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number without an end")
