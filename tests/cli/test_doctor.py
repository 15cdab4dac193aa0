"""``locara doctor`` as people run it: on a machine without a sound card, and with a private sound server."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import file_voice  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from tests.devices.sound_server import SoundServer

pytestmark = pytest.mark.timeout(90)
NOWHERE = {"PULSE_SERVER": "unix:/nowhere/at/all", "ALSA_CONFIG_PATH": os.devnull}


def examined(folder: Path, *arguments: str, extra: dict[str, str]) -> tuple[int, dict[str, Any]]:
    environment = {**file_voice.environment(folder, file_voice.row()), **extra}
    done = file_voice.locara("doctor", "--json", *arguments, environment=environment)
    assert "Traceback" not in done.stderr
    return done.returncode, {one["check"]: one for one in json.loads(done.stdout)["checks"]}


def test_without_a_sound_card_it_says_what_is_missing_and_everything_else_is_looked_at(tmp_path: Path) -> None:
    began = time.monotonic()
    code, checks = examined(tmp_path, extra=NOWHERE)
    assert code == 1
    assert time.monotonic() - began < 30.0
    failed = {name for name, one in checks.items() if one["status"] == "fail"}
    assert failed in ({"microphone listed", "speaker listed"}, {"devices"})
    assert {"machine", "engines", "extras", "models", "disk", "model server", "offline", "latency"} <= set(checks)
    assert all(checks[name]["fix"] for name in failed)


def test_people_read_a_line_for_each_and_a_last_word(tmp_path: Path) -> None:
    environment = {**file_voice.environment(tmp_path, file_voice.row()), **NOWHERE}
    done = file_voice.locara("doctor", environment=environment)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("Not ready: ")
    assert "FAIL  " in done.stdout
    assert "      -> " not in done.stdout.splitlines()[0]


def test_with_a_sound_server_the_tone_is_measured(tmp_path: Path, sound_server: SoundServer) -> None:
    with sound_server.echo(percent=100):
        code, checks = examined(tmp_path, extra=dict(sound_server.variables))
    assert checks["microphone"]["status"] == "ok"
    echo = checks["echo"]
    assert (echo["status"], "after" in echo["found"]) == ("ok", True), echo
    assert 0.0 < echo["facts"]["delay"] < 0.5
    assert -20.0 < echo["facts"]["gain_db"] < 6.0
    assert code == 0


def test_a_speaker_that_no_microphone_hears_is_headphones(tmp_path: Path, sound_server: SoundServer) -> None:
    _, checks = examined(tmp_path, extra=dict(sound_server.variables))
    assert "headphones" in checks["echo"]["found"]
    _, checks = examined(tmp_path, "--no-tone", extra=dict(sound_server.variables))
    assert "echo" not in checks


def test_a_model_that_is_not_whole_is_named_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in file_voice.environment(tmp_path, file_voice.row()).items():
        monkeypatch.setenv(name, value)
    file_voice.put("tone-voice", tmp_path / "here")
    [file] = (tmp_path / "models" / "tone-voice").rglob("voice.json")
    file.chmod(0o644)
    file.write_bytes(b"short")
    code, checks = examined(tmp_path, extra=NOWHERE)
    assert code == 1
    assert (checks["models"]["status"], checks["models"]["fix"]) == ("fail", "locara models pull tone-voice")
