"""A model that is not the one that the manifest states does not load."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

import file_voice  # type: ignore[import-not-found]
from locara.errors import ModelHashMismatch
from locara.voice import session

_APP = """
[app]
id = "com.example.pinned"
name = "Pinned"
version = "1.0"

[modalities]
use = ["text-to-speech"]

[models]
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``app(lines)``: a manifest with these models, in a folder of its own, where the catalog has one small voice."""
    for name, value in file_voice.environment(tmp_path, file_voice.row()).items():
        if name != "PYTHONPATH":
            monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(tmp_path / "plugin")

    def write(lines: str) -> Path:
        (tmp_path / "app").mkdir(exist_ok=True)
        path = tmp_path / "app" / "locara.toml"
        path.write_text(_APP + lines, encoding="utf-8")
        return path

    return write


def made(manifest: Path, **tts: Any) -> str:
    """The engine that a session of this app would speak with."""
    plan = session(input="none", output="none", llm="built-in", tts=tts or "tone-voice", manifest=manifest).plan
    return plan["tts"]["engine"]


def test_the_hash_of_the_manifest_is_compared_with_what_was_found_when_it_was_fetched(app: Any, tmp_path: Path) -> None:
    file_voice.put("tone-voice", tmp_path / "here")
    right = hashlib.sha256(file_voice.FILE).hexdigest()
    more = '"built-in" = {}\n'
    assert made(app(f'{more}"tone-voice" = {{ sha256 = "{right}" }}\n')) == "file-voice"
    with pytest.raises(ModelHashMismatch, match=right) as caught:
        made(app(f'{more}"tone-voice" = {{ sha256 = "{"0" * 64}" }}\n'))
    assert "locara models pull tone-voice --again" in caught.value.hint


def test_a_file_of_the_apps_own_is_read_and_compared(app: Any, tmp_path: Path) -> None:
    manifest = app("")
    (tmp_path / "app" / "voice.json").write_bytes(file_voice.FILE)
    right = hashlib.sha256(file_voice.FILE).hexdigest()
    line = '"built-in" = {{}}\n"own-voice" = {{ task = "tts", file = "voice.json", sha256 = "{}" }}\n'
    manifest = app(line.format(right))
    assert made(manifest, model="own-voice", engine="file-voice") == "file-voice"
    (tmp_path / "app" / "voice.json").write_bytes(file_voice.FILE + b" ")
    with pytest.raises(ModelHashMismatch, match="own-voice"):
        made(manifest, model="own-voice", engine="file-voice")
