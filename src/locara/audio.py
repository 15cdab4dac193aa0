"""Sound as plain values: arrays of samples, their levels, and the one place where rates are changed.

Everywhere inside Locara sound is ``float32``, one channel, full scale at 1.0. The session's clock counts samples at
``RATE``; a block is what one turn of the loop handles.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from locara.errors import AudioError

Samples = npt.NDArray[np.float32]
"""Shape ``(n,)``, float32, mono, full scale 1.0."""

RATE = 16_000
"""Hertz of the session's clock and of everything that is heard. Speech models want 16 kHz."""

BLOCK = 320
"""Samples at ``RATE`` handled at once: 20 ms, the block of every sound server and of WebRTC."""

_FLUSH = 32
"""Samples of silence that push the last sound out of a resampler."""

FLOOR_DBFS = -120.0
"""What digital silence is called, in dB relative to full scale: the log of zero is of no use to anyone."""


def silence(n: int) -> Samples:
    """``n`` samples of digital silence."""
    return np.zeros(n, dtype=np.float32)


def seconds(samples: int, rate: int = RATE) -> float:
    """Samples as seconds."""
    return samples / rate


def samples_in(duration: float, rate: int = RATE) -> int:
    """Seconds as whole samples."""
    return round(duration * rate)


def dbfs(samples: Samples) -> float:
    """The root-mean-square level in dB relative to full scale, ``FLOOR_DBFS`` for silence."""
    if samples.size == 0:
        return FLOOR_DBFS
    power = float(np.dot(samples, samples)) / samples.size
    return 10.0 * float(np.log10(power)) if power > 1e-12 else FLOOR_DBFS


def gain(decibels: float) -> float:
    """Decibels as a factor on samples."""
    return float(10.0 ** (decibels / 20.0))


def mono(samples: npt.ArrayLike) -> Samples:
    """Anything sample-like as a mono float32 array: integers are scaled, channels averaged.

    ``samples`` has shape ``(n,)`` or ``(n, channels)``. Raises ``AudioError`` for other shapes and types.
    """
    array: npt.NDArray[Any] = np.asarray(samples)
    if array.ndim == 2:
        array = _to_float(array).mean(axis=1, dtype=np.float32)
    elif array.ndim != 1:
        raise AudioError(
            f"samples must have shape (n,) or (n, channels), these have {array.shape}",
            hint="pass one numpy array of float32 or int16 samples",
        )
    return np.ascontiguousarray(_to_float(array))


def _to_float(array: npt.NDArray[Any]) -> Samples:
    if array.dtype == np.float32:
        return array
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    if array.dtype == np.uint8:
        return (array.astype(np.float32) - 128.0) / 128.0
    if array.dtype.kind == "i":
        return array.astype(np.float32) / np.float32(-float(np.iinfo(array.dtype).min))
    raise AudioError(f"samples of type {array.dtype} are not sound", hint="use float32 (full scale 1.0) or int16")


def clean(samples: Samples) -> tuple[Samples, int]:
    """``samples`` with NaN and infinity made silence and the rest kept within full scale, and how many were mended."""
    peak = float(np.max(np.abs(samples))) if samples.size else 0.0
    if peak <= 1.0:  # false for NaN, so the usual block costs one pass
        return samples, 0
    bad = int(np.count_nonzero(~np.isfinite(samples)))
    over = int(np.count_nonzero(np.abs(samples) > 1.0)) - int(np.count_nonzero(np.isinf(samples)))
    mended = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
    return np.clip(mended, -1.0, 1.0), bad + over


def pcm16(samples: Samples) -> bytes:
    """Little-endian 16-bit PCM of ``samples``, rounded and clipped."""
    return (np.clip(samples, -1.0, 1.0) * 32767.0).round().astype("<i2").tobytes()


def from_pcm16(data: bytes) -> Samples:
    """float32 samples of little-endian 16-bit PCM."""
    return np.frombuffer(data, dtype="<i2").astype(np.float32) / 32768.0


class Resampler:
    """Changes the rate of a stream, block after block, with about 1 ms of delay (libsamplerate's fast sinc).

    One instance serves one stream: it remembers the tail of the last block.
    """

    def __init__(self, rate_in: int, rate_out: int, *, elastic: bool = False) -> None:
        """``elastic``: ``stretch`` may be turned while the stream runs, also where the rates are equal."""
        for rate in (rate_in, rate_out):
            if not 1_000 <= rate <= 768_000:
                raise AudioError(f"a sample rate of {rate} Hz is not one", hint="8000 to 192000 Hz is usual")
        self.rate_in = rate_in
        self.rate_out = rate_out
        self.stretch = 1.0
        """How many times longer than its rates say the stream becomes, to follow a clock that is not quite right."""
        self._ratio = rate_out / rate_in
        self._converter: Any = None
        if rate_in != rate_out or elastic:
            import samplerate

            self._converter = samplerate.Resampler("sinc_fastest", channels=1)

    def push(self, samples: Samples, *, last: bool = False) -> Samples:
        """The next block at the new rate; may be shorter or longer than the ratio says, never in sum. ``last`` flushes."""
        if self._converter is None:
            return samples
        if last and samples.size == 0:
            samples = silence(_FLUSH)  # the library flushes nothing after nothing
        out: Samples = self._converter.process(samples, self._ratio * self.stretch, end_of_input=last)
        return np.ascontiguousarray(out, dtype=np.float32)


def resample(samples: Samples, rate_in: int, rate_out: int) -> Samples:
    """A whole recording at another rate, as long to the sample as the ratio says."""
    if rate_in == rate_out:
        return samples
    import samplerate

    wanted = round(samples.size * rate_out / rate_in)
    out = np.asarray(samplerate.resample(samples, rate_out / rate_in, "sinc_medium"), dtype=np.float32)
    return np.ascontiguousarray(np.pad(out, (0, max(0, wanted - out.size)))[:wanted])
