"""Catalog rows for tests: text and hypothesis strategies."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from locara.catalog.row import ModelFile, Needs, Row

PLAIN = """
kind = "stt"

[[model]]
id = "mine"
title = "Mine"
licence = "MIT"
status = "experimental"
engine = "sherpa-onnx"
"""
"""The least that a catalog file says about a model."""

texts = st.text(max_size=8)
said = texts.map(lambda text: f"x{text}")
ids = st.text("abxyz019._-", max_size=6).map(lambda text: f"a{text}x")
hashes = st.just("") | st.integers(0, 2**256 - 1).map(lambda number: f"{number:064x}")
sizes = st.none() | st.integers(0, 2**50)
numbers = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False)
options: st.SearchStrategy[dict[str, Any]] = st.dictionaries(said, texts | st.booleans() | numbers, max_size=2)
files = st.builds(
    ModelFile,
    path=ids.map(lambda name: f"a/{name}"),
    url=st.sampled_from(["", "https://example.org/a b".replace(" ", "%20"), "http://127.0.0.1:8000/x"]),
    sha256=hashes,
    size=sizes,
    unpack=st.sampled_from(["tar.bz2", "zip"]),
    strip=st.integers(0, 3),
)
rows = st.builds(
    Row,
    id=ids,
    kind=st.sampled_from(["stt", "tts", "llm", "vad"]),
    title=said,
    licence=said,
    status=st.sampled_from(["works", "experimental"]),
    engine=said,
    aliases=st.lists(ids, max_size=2, unique=True).map(tuple),
    flags=st.lists(st.sampled_from(["gpl", "gated"]), max_size=2, unique=True).map(tuple),
    languages=st.lists(st.sampled_from(["de", "pt-BR", "zh-Hans-CN"]), max_size=2).map(tuple),
    streaming=st.booleans(),
    params=sizes,
    disk=sizes,
    memory=sizes,
    needs=st.just(Needs()) | st.just(Needs(os=("macos",), os_version="26", accelerator=("mlx", "metal"))),
    hub=st.just("some/thing"),
    revision=texts,
    files=st.lists(files, max_size=2, unique_by=lambda file: file.path).map(tuple),
    options=options,
    extra=texts,
    note=texts,
)
