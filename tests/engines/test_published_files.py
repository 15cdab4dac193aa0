"""The small files of a model's folder: read whole, or refused with what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from locara.engines import kyutai_files
from locara.engines.isolated_worker import Trouble
from locara.engines.published_files import file_in, json_object, tensors_of

_EMPTY = b"\x02\0\0\0\0\0\0\0{}"
"""A safetensors file without tensors."""


def test_an_object_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"dim": 4}', encoding="utf-8")
    assert json_object(tmp_path / "config.json") == {"dim": 4}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "config.json is missing in"),
        (b"{", "cannot be read"),
        (b"[]", "it is no object"),
        (b"\xff\xfe", "cannot be read"),
        (b"[" * 200_000, "cannot be read"),
    ],
)
def test_what_is_no_object_is_refused(tmp_path: Path, content: bytes | None, told: str) -> None:
    path = tmp_path / "config.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Trouble, match=told) as caught:
        json_object(path)
    assert "download" in caught.value.hint


@pytest.mark.parametrize("name", ["a.model", "../a.model", "/etc/a.model", "hf://org/repo/a.model", "..\\a.model"])
def test_a_named_file_lies_in_the_folder_whatever_the_name_says(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.model").write_bytes(b"")
    assert file_in(tmp_path, name) == tmp_path / "a.model"
    with pytest.raises(Trouble, match=r"b\.model is missing in"):
        file_in(tmp_path, name.replace("a.model", "b.model"))


def test_weights_in_another_format_are_refused_with_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(_EMPTY)
    assert not tensors_of(tmp_path / "a.safetensors")
    for name, hint in (("b.safetensors", "download"), ("b.bin", "never pickles")):
        (tmp_path / name).write_bytes(b"\x80\x04pickle")
        with pytest.raises(Trouble, match="not in the format safetensors: it is a pickle") as caught:
            tensors_of(tmp_path / name)
        assert hint in caught.value.hint
    with pytest.raises(Trouble, match="cannot be read"):
        tensors_of(tmp_path / "nowhere.safetensors")


_USUAL = {"moshi_name": "model.safetensors", "mimi_name": "mimi.safetensors"}


def _kyutai(folder: Path) -> None:
    for name in _USUAL.values():
        (folder / name).write_bytes(_EMPTY)
    (folder / "text.model").write_bytes(b"")


def test_kyutais_files_are_those_it_names_else_the_usual_ones(tmp_path: Path) -> None:
    _kyutai(tmp_path)
    (tmp_path / "other.safetensors").write_bytes(_EMPTY)
    config = {"tokenizer_name": "hf://x/text.model", "mimi_name": "other.safetensors"}
    assert kyutai_files.find(tmp_path, config, _USUAL) == {
        "moshi_name": tmp_path / "model.safetensors",
        "mimi_name": tmp_path / "other.safetensors",
        "tokenizer_name": tmp_path / "text.model",
    }
    (tmp_path / "mimi.json").write_text("{}")
    found = kyutai_files.find(tmp_path, {**config, "mimi_config_name": "mimi.json"}, _USUAL)
    assert found["mimi_config_name"] == tmp_path / "mimi.json"


@pytest.mark.parametrize(
    ("harm", "config", "told"),
    [
        (lambda _: None, {}, "names no tokenizer"),
        (lambda _: None, {"tokenizer_name": "t", "mimi_config_name": "m.json"}, "t is missing"),
        (lambda _: None, {"tokenizer_name": "text.model", "mimi_config_name": "m.json"}, r"m\.json is missing"),
        (
            lambda f: (f / "mimi.safetensors").unlink(),
            {"tokenizer_name": "text.model"},
            r"mimi\.safetensors is missing",
        ),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x80\x04"), {}, "is not whole"),
    ],
)
def test_kyutais_files_that_are_missing_or_torn_are_told(
    tmp_path: Path, harm: Callable[[Path], object], config: dict[str, str], told: str
) -> None:
    _kyutai(tmp_path)
    harm(tmp_path)
    with pytest.raises(Trouble, match=told) as caught:
        kyutai_files.find(tmp_path, config, _USUAL)
    assert caught.value.hint
