"""Ogg/Opus at 24 kHz, one channel, as Moshi's servers speak it: by the package ``sphn``, the extra ``opus``.

What may live here: this codec, and what is said where it is missing. A stream is one direction of one conversation.

``sphn`` 0.2 returns what it has encoded or decoded; 0.1 keeps it until it is asked for by calls that 0.2 has not. Measured
here: 0.4 ms to encode 80 ms of sound, 0.07 ms to decode it, so both are done on the event loop. Its decoder checks no
checksums, needs no header, and never finds back into a stream that was broken once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from locara.audio import Samples
from locara.engines.omni.moshi_wire import FRAME, RATE
from locara.errors import AudioError, EngineMissing

_NEED = 'pip install "locara[opus]"'


def require(stage: str, model: str) -> None:
    """Raises ``EngineMissing`` where the codec is not installed, or is one of another kind."""
    try:
        import sphn
    except ImportError as error:
        raise EngineMissing(
            f"{stage}: {model}: its server speaks Ogg/Opus, and no codec for that can be imported: {error}",
            stage=stage,
            model=model,
            hint=f"{_NEED}; there are wheels for Linux x86-64, Windows x64 and Macs with Apple silicon",
        ) from None
    if not hasattr(sphn, "OpusStreamWriter") or hasattr(sphn.OpusStreamWriter, "read_bytes"):
        raise EngineMissing(
            f"{stage}: {model}: the package sphn is too old: from 0.2 on it returns what it encodes",
            stage=stage,
            model=model,
            hint=f"{_NEED} (sphn >=0.2,<0.3)",
        )


class Encoder:
    """Frames to an Ogg/Opus stream."""

    def __init__(self) -> None:
        import sphn

        self._writer: Any = sphn.OpusStreamWriter(RATE)

    def encode(self, frame: Samples) -> bytes:
        """The pages of the next frame, shape ``(1920,)``; the first brings the stream's headers. Raises ``ValueError`` for
        another length: the codec would take it for a frame of the length that it knows."""
        if frame.shape != (FRAME,):
            raise ValueError(f"a frame has {FRAME} samples, this one {frame.shape}")
        clean = np.clip(np.nan_to_num(frame, nan=0.0), -1.0, 1.0).astype(np.float32, copy=False)
        return bytes(self._writer.append_pcm(np.ascontiguousarray(clean)))


class Decoder:
    """An Ogg/Opus stream to samples."""

    def __init__(self) -> None:
        import sphn

        self._reader: Any = sphn.OpusStreamReader(RATE)

    def decode(self, data: bytes) -> Samples:
        """The samples that are whole by now, shape ``(n,)``; ``n`` may be 0. Raises ``AudioError`` for what is no Ogg/Opus;
        nothing can be decoded after that."""
        try:
            samples = self._reader.append_bytes(data)
        except Exception as error:  # ValueError for what is torn; whatever else native code says of it
            raise AudioError(
                f"this is no Ogg/Opus: {error}", hint="is it Moshi's own server? See the option flavour"
            ) from None
        return np.asarray(samples, dtype=np.float32).reshape(-1)
