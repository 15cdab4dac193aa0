"""What a client is told of the server's disk: names of files, never folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.errors import ModelMissing, StageError
from locara.server import ipc_wire as wire
from locara.server.places import without_places
from locara.server.rest_errors import refusal_of

HOME = str(Path.home())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{HOME}/.local/share/locara/models/x.gguf is damaged", ".../x.gguf is damaged"),
        ("'/home/somebody/models/a.onnx': no such file", "'.../a.onnx': no such file"),
        ("put it at ~/.cache/locara/y.", "put it at .../y"),
        (r"C:\Users\somebody\x.gguf is too short", ".../x.gguf is too short"),
        ("(/etc/locara/config.toml)", "(.../config.toml)"),
    ],
)
def test_folders_are_left_out(text: str, told: str) -> None:
    assert without_places(text) == told


@pytest.mark.parametrize(
    "text",
    [
        "there is nothing at /v1/models; /openapi.json says what there is",
        "http://127.0.0.1:11434/v1#m and https://example.com/home/x",
        "and/or, 1/2, see docs/ipc.md",
        "locara serve --llm http://127.0.0.1:8080/v1",
        "the /homeless and /userspace of it",
    ],
)
def test_what_is_no_path_of_this_machine_stays(text: str) -> None:
    assert without_places(text) == text


@given(st.text())
def test_any_text_comes_through(text: str) -> None:
    assert HOME + "/" not in without_places(f"{text} {HOME}/secret/{text[:3]}") or HOME == "/"


def test_no_door_tells_a_folder() -> None:
    error = StageError(f"{HOME}/secret/a.gguf cannot be loaded", stage="llm", hint=f"look at {HOME}/secret")
    missing = ModelMissing(f"no {HOME}/secret/b.gguf", stage="llm", hint=f"ls {HOME}/secret")
    for one in (error, missing):
        assert HOME not in str(wire.failure_of(one))
        assert HOME not in str(refusal_of(one).body())
