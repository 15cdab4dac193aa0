"""The reader of GGUF headers: what it says of good files, and of every kind of bad one."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_gguf import F32, Q4_0, tiny_model, write  # type: ignore[import-not-found]

from locara.engines.gguf import GgufError, check_whole, read


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tiny_model(tmp_path_factory.mktemp("gguf") / "tiny.gguf")
    return path


def test_the_header_says_what_the_model_is(model: Path) -> None:
    header = read(model)
    check_whole(header)
    assert (header.architecture, header.context, header.quantisation) == ("llama", 2048, "F16")
    assert header.has_template
    assert not header.hears
    assert header.bytes_needed == header.size == model.stat().st_size
    # one layer, one head of 32 for keys and 32 for values, two bytes each
    assert header.cache_bytes(1000) == 1000 * 64 * 2


def test_the_same_weights_are_counted_as_by_the_format_s_own_library(model: Path) -> None:
    gguf = pytest.importorskip("gguf", reason="the package gguf is not installed")
    reader = gguf.GGUFReader(str(model))
    header = read(model)
    assert header.parameters == sum(int(tensor.n_elements) for tensor in reader.tensors)
    assert header.bytes_needed == max(int(tensor.data_offset + tensor.n_bytes) for tensor in reader.tensors)
    assert set(header.metadata) | {"GGUF.version", "GGUF.tensor_count", "GGUF.kv_count"} == set(reader.fields)


def test_quantised_weights_have_their_size(tmp_path: Path) -> None:
    tensors = {"a.weight": (Q4_0, (4, 64), bytes(4 * 64 // 32 * 18)), "b.weight": (F32, (3,), bytes(12))}
    header = read(write(tmp_path / "q.gguf", {"general.architecture": "llama"}, tensors))
    assert header.quantisation == "Q4_0"
    assert header.parameters == 259
    check_whole(header)


@pytest.mark.parametrize("left", [0, 10, 30, 3000, -1000])
def test_a_file_that_was_cut_off_is_told_so(model: Path, tmp_path: Path, left: int) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(model.read_bytes()[:left])
    with pytest.raises(GgufError, match=r"broke off|cut off"):
        check_whole(read(cut))


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:", "Git LFS"),
        (b"<!doctype html><html><head><title>", "web page"),
        (b'{"error": "gated", "more": "......"}', "JSON"),
        (b"PK\x03\x04" + bytes(40), "PyTorch"),
        (b"lmgg" + bytes(40), "whisper"),
        (struct.pack("<Q", 200) + b'{"__metadata__": {"format":', "safetensors"),
        (b"\x08\x07\x12\x07pytorch" + bytes(40), "no GGUF"),
        (b"GGUF" + struct.pack(">IQQ", 3, 1, 1) + bytes(40), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 1, 1, 1) + bytes(40), "version 1"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 40, 1) + bytes(40), "damaged"),
    ],
)
def test_another_kind_of_file_is_told_by_its_name(tmp_path: Path, start: bytes, said: str) -> None:
    path = tmp_path / "other.gguf"
    path.write_bytes(start)
    with pytest.raises(GgufError, match=said):
        read(path)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damage_anywhere_in_the_header_never_does_more_than_raise(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "damaged"
    folder.mkdir(exist_ok=True)
    good = folder / "good.gguf"
    if not good.exists():
        tiny_model(good)
    content = bytearray(good.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, 9000))] = data.draw(st.integers(0, 255))
    damaged = folder / "damaged.gguf"
    damaged.write_bytes(content)
    try:
        header = read(damaged)
        check_whole(header)
        header.cache_bytes(4096)
        header.compute_bytes(256)
    except GgufError:
        pass
