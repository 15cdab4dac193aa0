"""Sound as base64 of Ogg/Opus, for the realtime server that speaks it (unmute).

What may live here: the way from samples and base64 to the codec and back. The codec is `locara.engines.omni.opus`.
"""

from __future__ import annotations

import base64

import numpy as np

from locara.audio import Samples, silence
from locara.engines.omni import opus
from locara.engines.omni.moshi_wire import FRAME
from locara.errors import AudioError


def demand(model: str) -> None:
    """Raises ``EngineMissing`` where there is no codec."""
    opus.require("omni", model)


class Codec:
    """One stream out, one stream in, both 24 kHz: the rate of the codec."""

    def __init__(self) -> None:
        self._encoder = opus.Encoder()
        self._decoder = opus.Decoder()
        self._rest = silence(0)
        self._broken = False

    def encode(self, samples: Samples) -> str:
        """The pages that are complete, in base64; empty where there is none yet. A page of a stream is a message of its
        own: what does not fill a frame waits."""
        sound = np.concatenate([self._rest, samples])
        whole = sound.size - sound.size % FRAME
        pages = b"".join(self._encoder.encode(sound[at : at + FRAME]) for at in range(0, whole, FRAME))
        self._rest = sound[whole:]
        return base64.b64encode(pages).decode("ascii")

    def decode(self, data: bytes) -> Samples:
        """The samples of these pages. Raises ``ValueError``, once: nothing can be decoded after that."""
        if self._broken:
            return silence(0)
        try:
            return self._decoder.decode(data)
        except AudioError as error:
            self._broken = True
            raise ValueError(error.message) from None
