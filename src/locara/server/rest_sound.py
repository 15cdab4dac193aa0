"""Speech on its way into a response: through the gate's limiter, as 16-bit samples, with a WAV header or without.

What may live here: bytes of sound. What is spoken is `locara.speech`'s affair.
"""

from __future__ import annotations

import struct

from locara.audio import Samples, pcm16, silence
from locara.gate.limiter import Limiter

RATE = 24_000
"""Hertz of all that REST sends: OpenAI's ``pcm`` has this rate and nothing that says so."""

_UNKNOWN = 0xFFFFFFFF
"""A size in the header of a stream, whose end is not known when it begins; what ffmpeg and OpenAI write there."""

WAV_HEADER = struct.pack(
    "<4sI4s4sIHHIIHH4sI", b"RIFF", _UNKNOWN, b"WAVE", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16, b"data", _UNKNOWN
)


class Leaving:
    """One text's speech at `RATE`, no louder than the gate lets anything leave. What comes is held back by 15 ms: the
    limiter looks ahead."""

    def __init__(self) -> None:
        self._limiter = Limiter(RATE)
        self._waiting = silence(0)
        self.samples = 0
        """So many have left."""

    def push(self, samples: Samples) -> bytes:
        """The next bytes, little-endian 16-bit mono; may be none yet."""
        import numpy as np

        known = np.concatenate((self._waiting, samples)) if self._waiting.size else samples
        ready = max(0, known.size - self._limiter.look)
        self._waiting = known[ready:]
        return self._leave(known[:ready], self._waiting)

    def finish(self) -> bytes:
        """The last bytes."""
        last, self._waiting = self._waiting, silence(0)
        return self._leave(last, silence(0))

    def _leave(self, samples: Samples, ahead: Samples) -> bytes:
        self.samples += samples.size
        return pcm16(self._limiter.push(samples, ahead)) if samples.size else b""
