"""``locara models probe``: real engines measured here, and the figures used by what is proposed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import file_voice  # type: ignore[import-not-found]
from locara.catalog import index, speeds
from locara.catalog.machine import this_machine
from locara.cli import main, models_probe


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in file_voice.environment(tmp_path, file_voice.row()).items():
        if name != "PYTHONPATH":
            monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(tmp_path / "plugin")


def test_a_voice_is_measured_and_remembered_and_its_reason_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file_voice.put("tone-voice", tmp_path / "here")
    assert main(["models", "probe", "espeak-ng", "tone-voice", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["models"]) == {"espeak-ng", "tone-voice"}
    assert 0 < told["models"]["espeak-ng"]["real_time_factor"] < 5
    assert Path(told["file"]) == tmp_path / "cache" / speeds.NAME
    assert set(speeds.remembered(this_machine())) == {"espeak-ng", "tone-voice"}
    assert main(["models", "recommend", "--ready"]) == 0
    assert "measured here" in capsys.readouterr().out


def test_what_is_too_slow_here_is_not_proposed_any_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file_voice.put("tone-voice", tmp_path / "here")
    speeds.remember(this_machine(), {"tone-voice": {"real_time_factor": 1.4}})
    assert main(["models", "recommend", "--ready", "--all"]) == 0
    told = capsys.readouterr().out
    assert "tts       espeak-ng: embedded" in told
    assert "tone-voice: measured here: 1.40 s of work for a second of sound" in told


def test_what_is_ready_is_what_could_be_measured(tmp_path: Path) -> None:
    assert {row.id for row in models_probe.ready(index.rows())} >= {"espeak-ng", "pocketsphinx-en-us"}
    assert "tone-voice" not in {row.id for row in models_probe.ready(index.rows())}
    file_voice.put("tone-voice", tmp_path / "here")
    assert models_probe.ready(index.rows())[0].id == "tone-voice"


def test_a_damaged_model_and_an_unknown_one_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file_voice.put("tone-voice", tmp_path / "here")
    [file] = (tmp_path / "models" / "tone-voice").rglob("voice.json")
    file.chmod(0o644)
    file.write_bytes(b"x" * len(file_voice.FILE))
    assert main(["models", "probe", "tone-voice"]) == 1
    told = capsys.readouterr()
    assert "tts: " in told.err
    assert str(file.parent) in told.err
    assert main(["models", "probe", "nobody"]) == 1
    assert "there is no model 'nobody'" in capsys.readouterr().err
