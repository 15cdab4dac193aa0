"""Catalog files are read strictly, and every error says where and what to do."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from importlib import resources
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.catalog.rows import PLAIN, rows

from locara.catalog.reading import read
from locara.catalog.row import ModelFile, Needs, Row
from locara.catalog.writing import toml
from locara.errors import ConfigError


def failure(text: str, **more: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(text, "some.toml", **more)
    assert "some.toml" in caught.value.message
    assert caught.value.hint
    return caught.value


def test_the_least_row_has_the_defaults() -> None:
    wanted = Row(id="mine", kind="stt", title="Mine", licence="MIT", status="experimental", engine="sherpa-onnx")
    assert read(PLAIN, "some.toml") == (wanted,)


def test_files_needs_and_options_become_values() -> None:
    more = """
hub = "me/mine"
needs = { os = ["macos"], os_version = "26" }
options = { family = "whisper", threads = 2 }
files = [
  { path = "a/model.onnx", size = 3 },
  { path = "x.zip", url = "https://example.org/x.zip", unpack = "zip", strip = 1 },
]
"""
    (row,) = read(PLAIN + more, "some.toml")
    assert row.needs == Needs(os=("macos",), os_version="26")
    assert row.options == {"family": "whisper", "threads": 2}
    assert row.files[0] == ModelFile("a/model.onnx", size=3)
    assert row.files[1] == ModelFile("x.zip", url="https://example.org/x.zip", unpack="zip", strip=1)


@pytest.mark.parametrize(
    ("line", "says", "advises"),
    [
        ('licens = "MIT"', "'licens'", "did you mean 'licence'?"),
        ('status2 = "works"', "'status2'", "did you mean 'status'?"),
        ("disk = -1", "disk must be a whole number that is not negative", ""),
        ("disk = 1.5", "disk must be a whole number", ""),
        ("disk = true", "disk must be a whole number", ""),
        ("streaming = 1", "streaming must be true or false", ""),
        ('languages = "de"', "languages must be a list", ""),
        ("languages = [1]", "languages must be a text", ""),
        ('languages = ["German"]', "languages 'German' is not well formed", ""),
        ("note = 1", "note must be a text", ""),
        ('flags = ["noncommercial"]', "flags is 'noncommercial'", "did you mean 'non-commercial'?"),
        ('aliases = ["a b"]', "aliases 'a b' is not well formed", ""),
        ('options = "fast"', "options must be a table", ""),
        ('needs = { system = ["macos"] }', "'system'", "Known: os"),
        ('hub = "nobody"', "hub 'nobody' is not well formed", ""),
        ('files = ["model.onnx"]', "files must be a table", ""),
        ("files = [{ size = 3 }]", "files has no 'path'", ""),
        ('files = [{ path = "m", sha = "" }]', "'sha'", "did you mean 'sha256'?"),
        ('files = [{ path = "m", sha256 = "AB" }]', "sha256 'AB' is not well formed", ""),
        ('files = [{ path = "m", url = "http://example.org/m" }]', "url 'http://example.org/m' is not", ""),
        ('files = [{ path = "m" }]', "'m' comes from nowhere", "hub"),
        ('hub = "a/b"\nfiles = [{ path = "../m" }]', "does not stay in the model's folder", ""),
        ('hub = "a/b"\nfiles = [{ path = "/m" }]', "does not stay in the model's folder", ""),
        ('hub = "a/b"\nfiles = [{ path = "C:m" }]', "does not stay in the model's folder", ""),
        ('hub = "a/b"\nfiles = [{ path = "x/nul.bin" }]', "does not stay in the model's folder", ""),
        ('hub = "a/b"\nfiles = [{ path = "" }]', "does not stay in the model's folder", ""),
        ('hub = "a/b"\nfiles = [{ path = "m" }, { path = "M" }]', "two files lie at 'M'", ""),
        ('hub = "a/b"\nfiles = [{ path = "m", strip = 1 }]', "without unpack", ""),
        ("bundled = true", "only Locara's own", ""),
    ],
)
def test_what_is_wrong_is_refused_with_where_and_what_to_do(line: str, says: str, advises: str) -> None:
    error = failure(f"{PLAIN}{line}\n")
    assert "model 'mine'" in error.message
    assert says in error.message
    assert advises in error.hint


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('id = "mine"\n', "", "model number 1: the model has no 'id'"),
        ('id = "mine"', 'id = "Mine"', "id 'Mine' is not well formed"),
        ('id = "mine"', 'id = "aux"', "cannot be a folder's name on Windows"),
        ('kind = "stt"\n', "", "has no 'kind'"),
        ('kind = "stt"', 'kind = "sst"', "kind is 'sst'"),
        ('title = "Mine"', 'title = " "', "title is empty"),
        ('status = "experimental"', 'status = "listed"', "has no note"),
        ('engine = "sherpa-onnx"\n', "", "it has no engine"),
        ("[[model]]", "[model]", "not a list of tables"),
        ("[[model]]", "x = 1\n[[model]]", "no key is called 'x'"),
        ('"Mine"', '"Mine', "is not TOML"),
    ],
)
def test_a_row_that_is_not_whole_is_refused(old: str, new: str, says: str) -> None:
    assert says in failure(PLAIN.replace(old, new, 1)).message


def test_a_bundled_row_of_ours_has_nothing_to_download() -> None:
    assert read(f"{PLAIN}bundled = true\n", "some.toml", ours=True)[0].bundled
    error = failure(f'{PLAIN}bundled = true\nhub = "a/b"\n', ours=True)
    assert "nothing to download" in error.message


@settings(max_examples=40, deadline=None)
@given(rows)
def test_a_row_that_is_written_is_read_as_it_was(row: Row) -> None:
    assert read(toml(row), "some.toml") == (row,)


@settings(max_examples=40, deadline=None)
@given(rows, st.sampled_from(["licence", "status", "title"]), rows)
def test_several_rows_stand_in_one_file(first: Row, field: str, second: Row) -> None:
    other = replace(second, **{field: getattr(first, field)})
    assert read(toml(first) + "\n" + toml(other), "some.toml") == (first, other)


SCHEMA: Any = json.loads((resources.files("locara.catalog") / "schema.json").read_text(encoding="utf-8"))


@settings(max_examples=40, deadline=None)
@given(row=rows)
def test_the_schema_takes_what_is_written(row: Row) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(tomllib.loads(toml(row)), SCHEMA)


@pytest.mark.parametrize(
    "wrong",
    ['kind = "stt"\nfoo = 1\n', PLAIN + "disk = -1\n", PLAIN + 'licens = "MIT"\n', PLAIN + 'flags = ["nc"]\n'],
)
def test_the_schema_refuses_what_the_reader_refuses(wrong: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    failure(wrong)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(wrong), SCHEMA)
