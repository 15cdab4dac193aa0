"""What an ONNX file says of itself, read without a runtime, and what is said of a file that is something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from locara.engines import onnx_header
from locara.engines.onnx_header import NotOnnx

onnx_graph = pytest.importorskip("onnx_graph", reason="pip install onnx")


def _model(path: Path) -> Path:
    pytest.importorskip("onnx", reason="pip install onnx")
    graph = onnx_graph.Graph()
    x = graph.input("x", ("N", 45, 80))
    weights = graph.constant(np.ones((80, 500)))
    graph.output("y", graph.node("MatMul", x, weights), ("N", 45, 500))
    return Path(graph.save(path, {"model_type": "zipformer2", "T": 45}))


def test_metadata_names_and_shapes_are_read(tmp_path: Path) -> None:
    header = onnx_header.read(_model(tmp_path / "m.onnx"))
    assert header.metadata == {"model_type": "zipformer2", "T": "45"}
    assert [(one.name, one.shape) for one in header.inputs] == [("x", ("N", 45, 80))]
    assert [(one.name, one.shape) for one in header.outputs] == [("y", ("N", 45, 500))]


def test_every_truncated_file_is_told_from_a_whole_one(tmp_path: Path) -> None:
    whole = _model(tmp_path / "m.onnx").read_bytes()
    part = tmp_path / "part.onnx"
    # What stands last are the metadata and the version of the operators: without some of those it is still a model.
    for size in (*range(1, 200, 7), *range(1000, len(whole) - 100, 9973)):
        part.write_bytes(whole[:size])
        with pytest.raises(NotOnnx):
            onnx_header.read(part)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"GGUF\x03\x00\x00\x00", "GGUF"),
        (b"PK\x03\x04" + bytes(40), "zip archive"),
        (b"BZh91AY&SY" + bytes(40), "still packed"),
        (b'{"error": "not found"}', "JSON"),
        (b"\x00" * 100, "damaged"),
        (b"\xff" * 100, "damaged"),
        (b"\x08\x08", "no graph"),
        (bytes(range(7, 256)), "it is|ends"),
    ],
)
def test_another_file_is_called_what_it_is(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(NotOnnx, match=said):
        onnx_header.read(path)


def test_the_runtimes_own_format_is_known(tmp_path: Path) -> None:
    path = tmp_path / "m.ort"
    path.write_bytes(b"\x1c\x00\x00\x00ORTM" + bytes(20))
    assert onnx_header.read(path).format == "ort"
