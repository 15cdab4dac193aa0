"""Tensors of PyTorch's archives, read without it: what is in them, and what is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from locara.engines.omni import torch_archive
from locara.engines.omni.torch_archive import NotTensors

_MOST = 10_000  # bytes


def _tensor(dtype: str, count: int, shape: bytes, strides: bytes, start: int = 0, key: str = "0") -> bytes:
    """The pickle of ``{"x": tensor}`` as torch.save writes it, in the oldest protocol, which can be read."""
    storage = f"(S'storage'\nctorch\n{dtype}\nS'{key}'\nS'cpu'\nI{count}\ntQ".encode()
    whole = b"(" + storage + f"I{start}\n".encode() + b"(" + shape + b"t(" + strides + b"tI00\nNt"
    return b"(dS'x'\nctorch._utils\n_rebuild_tensor_v2\n" + whole + b"Rs."


def _archive(path: Path, told: bytes, data: bytes = b"") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("voice/data.pkl", told)
        archive.writestr("voice/data/0", data)
    return path


def test_a_tensor_is_read_as_it_lies_in_its_storage(tmp_path: Path) -> None:
    numbers = np.arange(6, dtype="<f4")
    rows = _archive(tmp_path / "rows.pt", _tensor("FloatStorage", 6, b"I2\nI3\n", b"I3\nI1\n"), numbers.tobytes())
    assert torch_archive.read(rows, _MOST)["x"].tolist() == [[0, 1, 2], [3, 4, 5]]
    turned = _archive(
        tmp_path / "turned.pt", _tensor("FloatStorage", 6, b"I2\nI2\n", b"I1\nI3\n", 1), numbers.tobytes()
    )
    assert torch_archive.read(turned, _MOST)["x"].tolist() == [[1, 4], [2, 5]]


def test_bf16_becomes_float32_and_whole_numbers_stay_whole(tmp_path: Path) -> None:
    halves = (np.array([1.5, -2.0], np.float32).view(np.uint32) >> 16).astype("<u2")
    brain = _archive(tmp_path / "brain.pt", _tensor("BFloat16Storage", 2, b"I2\n", b"I1\n"), halves.tobytes())
    read = torch_archive.read(brain, _MOST)["x"]
    assert (read.dtype, read.tolist()) == (np.dtype(np.float32), [1.5, -2.0])
    whole = _archive(tmp_path / "whole.pt", _tensor("LongStorage", 1, b"I1\n", b"I1\n"), np.array([7], "<i8").tobytes())
    assert torch_archive.read(whole, _MOST)["x"].tolist() == [7]


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (b"cos\nsystem\n(S'false'\ntR.", "os.system"),
        (b"cbuiltins\neval\n(S'1'\ntR.", "builtins.eval"),
        (b"ctorch\nload\n(S'x'\ntR.", "torch.load"),
        (b"(dS'x'", "cannot be read"),
        (b"S'no table'\n.", "no table of tensors"),
        (_tensor("FloatStorage", 6, b"I2\nI3\n", b"I3\nI1\n", 4), "outside of its storage"),
        (_tensor("FloatStorage", 6, b"I2\nI3\n", b"I-3\nI1\n"), "outside of its storage"),
        (_tensor("FloatStorage", 6, b"I99999999\nI1\n", b"I0\nI1\n"), "outside of its storage"),
        (_tensor("FloatStorage", 60, b"I2\nI3\n", b"I3\nI1\n"), "cannot be read"),
        (_tensor("FloatStorage", 6, b"I2\nI3\n", b"I3\nI1\n", key="../../secret"), "cannot be read"),
    ],
)
def test_what_is_more_or_less_than_tensors_is_refused(tmp_path: Path, told: bytes, why: str) -> None:
    path = _archive(tmp_path / "voice.pt", told, np.arange(6, dtype="<f4").tobytes())
    with pytest.raises(NotTensors, match=why):
        torch_archive.read(path, _MOST)


def test_other_files_and_archives_that_are_too_large_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.pt"
    other.write_bytes(b"\x80\x02old pickle")
    with pytest.raises(NotTensors):
        torch_archive.read(other, _MOST)
    bomb = tmp_path / "bomb.pt"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("voice/data.pkl", b"N.")
        archive.writestr("voice/data/0", bytes(1_000_000))
    with pytest.raises(NotTensors, match="unpacks to more than"):
        torch_archive.read(bomb, _MOST)
