"""A voice given as a WAV file, made ready for a model: one channel, the model's rate, an even loudness.

What may live here: pure arithmetic on such a recording. It is read whole and long before it is used, so that resampling
and weighting are done on its spectrum. Loudness: ITU-R BS.1770-5, integrated, one channel.
"""

from __future__ import annotations

import math
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

from locara.engines.isolated_worker import Trouble

Sound = npt.NDArray[np.float32]

LONGEST = 60.0
"""Seconds of a voice: PersonaPlex's own have some ten; each costs 12.5 steps of the model."""
_SHORTEST = 0.4  # seconds: a block of BS.1770
_OFFSET = -0.691  # dB, BS.1770
_BLOCK, _HOP = 0.4, 0.1  # seconds
_SILENT, _RELATIVE = -70.0, -10.0  # LUFS; LU below the mean
_PEAK = 1.0
_HINT = "give a WAV file of a second to a minute of one person's speech (16-bit PCM)"


def read(path: Path, rate: int, level: float) -> Sound:
    """The recording at ``rate`` hertz, brought to ``level`` LUFS. Raises ``Trouble`` for what is no such recording."""
    try:
        with wave.open(str(path), "rb") as file:
            given, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            if file.getnframes() > LONGEST * given:
                raise Trouble(f"{path} is longer than {LONGEST:g} seconds", hint=_HINT)
            data = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        raise Trouble(f"{path} cannot be read as WAV: {error}", hint=_HINT) from None
    if width not in (2, 4) or not 8_000 <= given <= 192_000:
        raise Trouble(f"{path} has {8 * width} bits at {given} Hz", hint=_HINT)
    whole = np.frombuffer(data[: len(data) // (width * channels) * width * channels], f"<i{width}")
    sound = (whole.reshape(-1, channels).mean(axis=1) / 2.0 ** (8 * width - 1)).astype(np.float32)
    if sound.size < _SHORTEST * given:
        raise Trouble(f"{path} has only {sound.size / given:.2f} seconds of sound", hint=_HINT)
    sound = resampled(sound, given, rate)
    loud = loudness(sound, rate)
    if loud < _SILENT:
        raise Trouble(f"{path} is silent", hint=_HINT)
    louder: Sound = np.clip(sound * np.float32(10.0 ** ((level - loud) / 20.0)), -_PEAK, _PEAK)
    return louder


def resampled(sound: Sound, rate: int, wanted: int) -> Sound:
    """The whole recording at another rate, in hertz: its spectrum, cut or lengthened."""
    if rate == wanted:
        return sound
    size = round(sound.size * wanted / rate)
    spectrum = np.fft.rfft(sound)[: size // 2 + 1]
    return (np.fft.irfft(spectrum, size) * (size / sound.size)).astype(np.float32)


def loudness(sound: Sound, rate: int) -> float:
    """Integrated loudness in LUFS, -120 for silence. ``sound`` has a block (0.4 s) or more."""
    size = 1 << (sound.size + rate - 1).bit_length()  # room for the filters' ringing: it must not come in at the start
    hertz = np.minimum(np.fft.rfftfreq(size, 1.0 / rate), 23_999.0)
    z = np.exp(-2j * np.pi * hertz / 48_000.0)  # the standard gives the filters for 48 kHz
    shelf = (1.53512485958697 - 2.69169618940638 * z + 1.19839281085285 * z**2) / (
        1.0 - 1.69065929318241 * z + 0.73248077421585 * z**2
    )
    highpass = (1.0 - 2.0 * z + z**2) / (1.0 - 1.99004745483398 * z + 0.99007225036621 * z**2)
    weighted = np.fft.irfft(np.fft.rfft(sound, size) * shelf * highpass, size)[: sound.size]
    block, hop = round(_BLOCK * rate), round(_HOP * rate)
    sums = np.concatenate([[0.0], np.cumsum(np.square(weighted))])
    starts = np.arange(0, max(sound.size - block, 0) + 1, hop)
    power = (sums[np.minimum(starts + block, sound.size)] - sums[starts]) / block
    loud = power[power > _power(_SILENT)]
    if not loud.size:
        return -120.0
    loud = loud[loud > _power(_lufs(float(loud.mean())) + _RELATIVE)]
    return _lufs(float(loud.mean()))


def _lufs(power: float) -> float:
    return _OFFSET + 10.0 * math.log10(power)


def _power(lufs: float) -> float:
    return float(10.0 ** ((lufs - _OFFSET) / 10.0))
