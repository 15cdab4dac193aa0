"""Every WAV file that programs write can be read; everything else is named for what it is."""

from __future__ import annotations

import struct
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from locara.audio import Samples
from locara.devices.wav import read_wav, write_wav
from locara.errors import AudioError

RAMP = np.linspace(-0.9, 0.9, 201)
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE


def chunk(name: bytes, body: bytes, *, size: int | None = None, pad: bool = True) -> bytes:
    return name + struct.pack("<I", len(body) if size is None else size) + body + (b"\0" * (len(body) % 2) * pad)


def fmt(code: int, bits: int, *, channels: int = 1, rate: int = 16_000, frame: int | None = None) -> bytes:
    frame = channels * ((bits + 7) // 8) if frame is None else frame
    return chunk(b"fmt ", struct.pack("<HHIIHH", code, channels, rate, rate * frame % 2**32, frame, bits))


def extensible(code: int, bits: int, *, channels: int, rate: int = 16_000) -> bytes:
    frame = channels * bits // 8
    guid = struct.pack("<H", code) + bytes.fromhex("000000001000800000aa00389b71")
    head = struct.pack("<HHIIHH", EXTENSIBLE, channels, rate, rate * frame, frame, bits)
    return chunk(b"fmt ", head + struct.pack("<HHI", 22, bits, 3) + guid)


def riff(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def encoded(values: npt.NDArray[np.float64], code: int, bits: int) -> bytes:
    if code == FLOAT:
        return values.astype(f"<f{bits // 8}").tobytes()
    if bits == 8:
        return (np.round(values * 127) + 128).astype(np.uint8).tobytes()
    whole = np.round(values * (2.0 ** (bits - 1) - 1)).astype("<i4")
    if bits == 24:
        return whole.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    return whole.astype(f"<i{bits // 8}").tobytes()


def read(folder: Path, content: bytes) -> tuple[Samples, int]:
    path = folder / "a.wav"
    path.write_bytes(content)
    return read_wav(path)


PLAIN = chunk(b"data", encoded(RAMP, PCM, 16))


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize(
    ("code", "bits"), [(PCM, 8), (PCM, 16), (PCM, 24), (PCM, 32), (FLOAT, 32), (FLOAT, 64)], ids=str
)
@pytest.mark.parametrize("modern", [False, True])
def test_all_widths_and_channels_are_read(tmp_path: Path, code: int, bits: int, channels: int, modern: bool) -> None:
    # The channels differ but their mean is the ramp.
    table = np.stack([RAMP + (0.05 if c % 2 else -0.05) * (channels > 1) for c in range(channels)], axis=1)
    shape = extensible(code, bits, channels=channels) if modern else fmt(code, bits, channels=channels)
    samples, rate = read(tmp_path, riff(shape, chunk(b"data", encoded(table.reshape(-1), code, bits))))
    assert rate == 16_000
    assert samples.dtype == np.float32
    assert samples.shape == RAMP.shape
    assert np.abs(samples - RAMP).max() < 2.0 ** -(min(bits, 23) - 2)


def test_12_bits_in_two_bytes_are_read(tmp_path: Path) -> None:
    samples, _ = read(tmp_path, riff(fmt(PCM, 12, frame=2), PLAIN))
    assert np.abs(samples - RAMP).max() < 1e-3


@pytest.mark.parametrize(
    "content",
    [
        riff(chunk(b"LIST", b"INFOodd"), fmt(PCM, 16), chunk(b"bext", b"x" * 601), PLAIN, chunk(b"id3 ", b"abc")),
        riff(chunk(b"LIST", b"INFOodd", pad=False), fmt(PCM, 16), chunk(b"junk", b"abc", pad=False), PLAIN),
        riff(fmt(PCM, 16), chunk(b"data", encoded(RAMP, PCM, 16), size=0)),
        riff(fmt(PCM, 16), chunk(b"data", encoded(RAMP, PCM, 16), size=0xFFFFFFFF)),
        riff(fmt(PCM, 16), chunk(b"data", encoded(RAMP, PCM, 16), size=0x7FFFF000)),
        riff(fmt(PCM, 16), chunk(b"data", encoded(RAMP, PCM, 16) + b"\x01", size=9999, pad=False)),
        b"RF64\xff\xff\xff\xffWAVE"
        + chunk(b"ds64", struct.pack("<QQQI", 0, 2 * RAMP.size, RAMP.size, 0))
        + fmt(PCM, 16)
        + chunk(b"data", encoded(RAMP, PCM, 16), size=0xFFFFFFFF)
        + chunk(b"LIST", b"not sound"),
    ],
    ids=["odd chunks", "unpadded", "size 0", "size -1", "sox stream", "cut in a sample", "RF64"],
)
def test_odd_headers_are_read(tmp_path: Path, content: bytes) -> None:
    samples, _ = read(tmp_path, content)
    assert samples.size == RAMP.size
    assert np.abs(samples - RAMP).max() < 1e-4


def test_a_file_that_was_cut_off_gives_what_is_there(tmp_path: Path) -> None:
    whole = riff(fmt(PCM, 16, channels=2), chunk(b"data", encoded(np.repeat(RAMP, 2), PCM, 16)))
    samples, _ = read(tmp_path, whole[:-399])
    assert samples.size == RAMP.size - 100
    assert np.abs(samples - RAMP[:-100]).max() < 1e-4


def test_a_recording_without_samples_is_empty_also_when_more_chunks_follow(tmp_path: Path) -> None:
    assert read(tmp_path, riff(fmt(PCM, 16, rate=8000), chunk(b"data", b"")))[0].size == 0
    assert read(tmp_path, riff(fmt(PCM, 16), chunk(b"data", b""), chunk(b"LIST", b"INFOabc")))[0].size == 0


def test_floats_that_are_no_sound_are_given_as_they_are(tmp_path: Path) -> None:
    odd = np.array([0.5, np.nan, np.inf, 3.0, 1e300])
    samples, _ = read(tmp_path, riff(fmt(FLOAT, 64), chunk(b"data", encoded(odd, FLOAT, 64))))
    assert samples[0] == 0.5
    assert np.isnan(samples[1])
    assert samples[3] == 3.0
    assert np.isinf(samples[4])
    both = np.array([np.inf, -np.inf])
    assert np.isnan(read(tmp_path, riff(fmt(FLOAT, 32, channels=2), chunk(b"data", encoded(both, FLOAT, 32))))[0][0])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"fLaC" + b"\0" * 40, "FLAC"),
        (b"ID3\x04" + b"\0" * 40, "MP3"),
        (b"\xff\xfb\x90\x64" + b"\0" * 40, "MP3"),
        (b"OggS" + b"\0" * 40, "Ogg"),
        (b"\0\0\0\x20ftypM4A " + b"\0" * 40, "M4A"),
        (b"RIFF\x10\0\0\0AVI " + b"\0" * 40, "'AVI'"),
        (b"FORM\0\0\0\0AIFF", "AIFF"),
        (b"hello, this is text", "is not a WAV file"),
        (riff(fmt(0x0055, 0, frame=1), PLAIN), "MP3"),
        (riff(fmt(0x0007, 8), PLAIN), "mu-law"),
        (riff(fmt(0x0011, 4), PLAIN), "IMA ADPCM"),
        (riff(fmt(0x4242, 4), PLAIN), "0x4242"),
        (riff(fmt(PCM, 16, channels=0), PLAIN), "0 channels"),
        (riff(fmt(PCM, 16, rate=0), PLAIN), "0 Hz"),
        (riff(fmt(PCM, 16, rate=4_000_000_000), PLAIN), "4000000000 Hz"),
        (riff(fmt(PCM, 64), PLAIN), "integer samples of 64 bits"),
        (riff(fmt(FLOAT, 16), PLAIN), "float samples of 16 bits"),
        (riff(PLAIN, fmt(PCM, 16)), "no format before"),
        (riff(fmt(PCM, 16)), "without samples"),
        (riff(chunk(b"fmt ", b"1234"), PLAIN), "format of 4 bytes"),
        (b"RIFF\x04\0\0\0WAVE", "without samples"),
    ],
)
def test_what_is_no_wav_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(AudioError) as raised:
        read(tmp_path, content)
    assert says in raised.value.message
    assert "a.wav" in raised.value.message
    assert raised.value.hint


def test_a_compressed_file_comes_with_the_command_that_converts_it(tmp_path: Path) -> None:
    with pytest.raises(AudioError) as raised:
        read(tmp_path, riff(fmt(0x0011, 4), PLAIN))
    assert raised.value.hint.startswith("convert it: ffmpeg -i ")


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"there is no file .*nothing\.wav"):
        read_wav(tmp_path / "nothing.wav")
    with pytest.raises(AudioError, match="is a folder"):
        read_wav(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="needs sparse files")
def test_more_than_four_hours_are_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        file.write(riff(fmt(PCM, 8, rate=8_000), chunk(b"data", b"", size=0xFFFFFFFF)))
        file.truncate(5 * 3600 * 8_000)
    with pytest.raises(AudioError, match=r"5\.0 hours"):
        read_wav(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_but_never_crashes(tmp_path: Path, data: Any) -> None:
    content = bytearray(riff(chunk(b"LIST", b"abc"), fmt(PCM, 16, channels=2), chunk(b"fact", b"1234"), PLAIN))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, 90))] = data.draw(st.integers(0, 255))
    try:
        samples, rate = read(tmp_path, bytes(content[: data.draw(st.integers(0, len(content)))]))
    except AudioError as error:
        assert error.hint  # noqa: PT017 - either way is right
    else:
        assert samples.ndim == 1
        assert rate >= 1_000


def test_written_files_are_read_by_others_and_by_us(tmp_path: Path) -> None:
    path = tmp_path / "two.wav"
    left, right = RAMP.astype(np.float32), np.full(50, 0.5, dtype=np.float32)
    write_wav(path, [left, right], 24_000)
    with wave.open(str(path)) as other:
        assert other.getparams()[:4] == (2, 2, 24_000, 201)
        table = np.frombuffer(other.readframes(201), "<i2").reshape(-1, 2) / 32767
    assert np.abs(table[:, 0] - left).max() < 1e-4
    assert np.abs(table[:50, 1] - 0.5).max() < 1e-4
    assert not table[50:, 1].any()
    assert np.abs(read_wav(path)[0] - table.mean(axis=1)).max() < 1e-4
    assert [entry.name for entry in tmp_path.iterdir()] == ["two.wav"]


def test_what_cannot_be_written_is_named_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no folder"):
        write_wav(tmp_path / "no" / "a.wav", [RAMP.astype(np.float32)], 16_000)
    with pytest.raises(AudioError, match="is a folder"):
        write_wav(tmp_path, [RAMP.astype(np.float32)], 16_000)
    with pytest.raises(AudioError, match="no channel"):
        write_wav(tmp_path / "a.wav", [], 16_000)
    assert list(tmp_path.iterdir()) == []
