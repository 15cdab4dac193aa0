"""G.711, the telephone's 8-bit sound: mu-law and A-law of ITU-T Recommendation G.711 (1988), bit exact. Pure.

What may live here: the two tables each way, made once when first needed. Python's own ``audioop`` did this until 3.13.
The steps are those of the reference code that everyone uses (Sun Microsystems' ``g711.c``): mu-law on the upper 14 bits
of a 16-bit sample, A-law on the upper 13.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from locara.audio import Samples, pcm16

RATE = 8_000
"""Hertz: the rate of G.711."""

Law = Literal["pcmu", "pcma"]

_MU_BIAS = 33  # of a 14-bit magnitude: makes every segment's first step a power of two
_MU_CLIP = 8_159  # the largest 14-bit magnitude that still fits after the bias
_SIGN = 0x80
_EVEN_BITS = 0x55  # A-law inverts every second bit on the line


def encode(samples: Samples, law: Law) -> bytes:
    """``samples`` (float32 of shape ``(n,)``, full scale 1.0, at 8 kHz) as ``n`` bytes."""
    linear = np.frombuffer(pcm16(samples), dtype="<i2").astype(np.int32)
    return _encoder(law)[linear + 32_768].tobytes()


def decode(data: bytes, law: Law) -> Samples:
    """``n`` bytes as float32 samples of shape ``(n,)``, at 8 kHz."""
    linear = _decoder(law)[np.frombuffer(data, dtype=np.uint8)]
    return (linear / 32_768.0).astype(np.float32)


@cache
def _decoder(law: Law) -> npt.NDArray[np.int16]:
    """Byte -> 16-bit sample."""
    code = np.arange(256, dtype=np.int32)
    return (_mu_to_linear(code) if law == "pcmu" else _a_to_linear(code)).astype(np.int16)


@cache
def _encoder(law: Law) -> npt.NDArray[np.uint8]:
    """16-bit sample + 32768 -> byte."""
    linear = np.arange(-32_768, 32_768, dtype=np.int32)
    return (_linear_to_mu(linear) if law == "pcmu" else _linear_to_a(linear)).astype(np.uint8)


def _mu_to_linear(code: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    inverted = ~code & 0xFF
    magnitude = ((((inverted & 0x0F) << 3) + (_MU_BIAS << 2)) << ((inverted & 0x70) >> 4)) - (_MU_BIAS << 2)
    return np.where(inverted & _SIGN, -magnitude, magnitude)


def _a_to_linear(code: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    even = code ^ _EVEN_BITS
    segment = (even & 0x70) >> 4
    step = (even & 0x0F) << 4
    magnitude = np.where(segment == 0, step + 0x08, (step + 0x108) << np.maximum(segment - 1, 0))
    return np.where(even & _SIGN, magnitude, -magnitude)


def _linear_to_mu(linear: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    upper = linear >> 2
    magnitude = np.minimum(np.abs(upper), _MU_CLIP) + _MU_BIAS
    segment = np.searchsorted((0x40 << np.arange(8)) - 1, magnitude)
    code: npt.NDArray[np.int32] = np.where(segment >= 8, 0x7F, (segment << 4) | ((magnitude >> (segment + 1)) & 0x0F))
    return code ^ np.where(upper < 0, 0x7F, 0xFF)


def _linear_to_a(linear: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    upper = linear >> 3
    magnitude = np.where(upper >= 0, upper, -upper - 1)
    segment = np.searchsorted((0x20 << np.arange(8)) - 1, magnitude)
    code = (segment << 4) | ((magnitude >> np.maximum(segment, 1)) & 0x0F)
    return code ^ np.where(upper >= 0, 0xD5, _EVEN_BITS)
