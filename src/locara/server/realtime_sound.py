"""Sound on the Realtime wire: base64 of 16-bit PCM at 24 kHz, or of G.711 at 8 kHz.

What may live here: bytes to samples and back, and the change of rates between.
"""

from __future__ import annotations

import base64
from typing import Literal

import numpy as np

from locara.audio import Resampler, Samples, from_pcm16, pcm16, silence
from locara.server import g711
from locara.server.realtime_effects import SendSound
from locara.server.realtime_machine import Machine
from locara.server.realtime_response import RATE
from locara.server.realtime_session import output_format
from locara.server.realtime_wire import JSON

_LAWS: dict[str, Literal["pcmu", "pcma"]] = {"audio/pcmu": "pcmu", "audio/pcma": "pcma"}


def heard(data: bytes, kind: str) -> tuple[Samples, int]:
    """What a client appended, in the format ``kind``: float32 samples of shape ``(n,)`` and their rate in hertz."""
    law = _LAWS.get(kind)
    return (from_pcm16(data), RATE) if law is None else (g711.decode(data, law), g711.RATE)


class SoundOut:
    """Deltas in the output format of ``machine``'s session."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._resampler: Resampler | None = None

    def delta(self, sound: SendSound) -> JSON | None:
        """The event with this sound; None where there is nothing to send."""
        law = _LAWS.get(output_format(self._machine.session))
        samples = sound.samples if law is None else self._at_8_khz(sound.samples, last=sound.last)
        data = pcm16(samples) if law is None else g711.encode(samples, law)
        return {**sound.head, "delta": base64.b64encode(data).decode("ascii")} if data else None

    def _at_8_khz(self, samples: Samples, *, last: bool) -> Samples:
        if last and self._resampler is None:
            return silence(0)
        resampler = self._resampler = self._resampler or Resampler(RATE, g711.RATE)
        out = resampler.push(samples) if samples.size else silence(0)
        if last:
            out = np.concatenate([out, resampler.push(silence(0), last=True)])
            self._resampler = None
        return out
