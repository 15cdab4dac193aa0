"""G.711 against the values that ITU-T G.711 prints, and against Python's own code where that still exists."""

from __future__ import annotations

import sys
import warnings
from typing import get_args

import numpy as np
import pytest

from locara.server import g711

# ITU-T G.711, tables 2a and 1a (positive values): a decision value at which a segment begins, as the 14- or 13-bit number
# that the table prints, and the character signal of the interval above it, as it goes over the line.
MU_TABLE = [
    (7903, 0x80),
    (4063, 0x8F),
    (2015, 0x9F),
    (991, 0xAF),
    (479, 0xBF),
    (223, 0xCF),
    (95, 0xDF),
    (31, 0xEF),
    (1, 0xFE),
]
A_TABLE = [(3968, 0xAA), (2048, 0xA5), (1024, 0xB5), (512, 0x85), (256, 0x95), (128, 0xE5), (64, 0xF5), (0, 0xD5)]


def test_code_words_of_the_itu_tables() -> None:
    for value, word in MU_TABLE:
        assert g711.encode(np.array([(value * 4 + 2) / 32768], np.float32), "pcmu")[0] == word
    for value, word in A_TABLE:
        assert g711.encode(np.array([(value * 8 + 4) / 32768], np.float32), "pcma")[0] == word


def test_silence_and_full_scale() -> None:
    assert g711.encode(np.zeros(3, np.float32), "pcmu") == b"\xff\xff\xff"
    assert g711.encode(np.zeros(3, np.float32), "pcma") == b"\xd5\xd5\xd5"
    assert round(float(g711.decode(b"\x80", "pcmu")[0]) * 32768) == 32124
    assert round(float(g711.decode(b"\x00", "pcmu")[0]) * 32768) == -32124
    assert round(float(g711.decode(b"\xaa", "pcma")[0]) * 32768) == 32256
    assert round(float(g711.decode(b"\x2a", "pcma")[0]) * 32768) == -32256
    assert g711.decode(b"", "pcmu").shape == (0,)


@pytest.mark.parametrize("law", get_args(g711.Law))
def test_every_code_survives_a_round_trip(law: g711.Law) -> None:
    every = bytes(range(256))
    back = g711.encode(g711.decode(every, law), law)
    # mu-law has two zeros; both are decoded as 0, which is encoded as the positive one.
    assert [a for a, b in zip(every, back, strict=True) if a != b] == ([0x7F] if law == "pcmu" else [])


@pytest.mark.parametrize("law", get_args(g711.Law))
def test_the_error_is_within_half_a_step(law: g711.Law) -> None:
    linear = np.arange(-32768, 32768)
    decoded = np.round(g711.decode(g711.encode((linear / 32768).astype(np.float32), law), law) * 32768)
    bound = np.maximum(8, np.abs(linear) / 16 + 8)
    inside = np.abs(linear) < 32124  # beyond it is clipped
    assert (np.abs(decoded - linear) <= bound)[inside].all()


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="audioop left Python with 3.13")
def test_bit_for_bit_what_audioop_gives() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import audioop
    linear = np.arange(-32768, 32768, dtype=np.int32)
    as_bytes = linear.astype("<i2").tobytes()
    every = bytes(range(256))
    for law, encode, decode in (
        ("pcmu", audioop.lin2ulaw, audioop.ulaw2lin),
        ("pcma", audioop.lin2alaw, audioop.alaw2lin),
    ):
        mine = g711._encoder(law)[linear + 32768].tobytes()
        assert mine == encode(as_bytes, 2)
        assert g711._decoder(law)[np.arange(256)].astype("<i2").tobytes() == decode(every, 2)
