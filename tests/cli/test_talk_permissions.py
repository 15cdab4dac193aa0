"""``locara talk`` and permissions: asked at a real terminal, taken back while it talks, noted in the log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from locara.consent import Ledger
from locara.consent.audit import Audit
from locara.manifest.values import Capability

from .talking import environment, running

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals of this kind", allow_module_level=True)

from .terminal import talking_in

if TYPE_CHECKING:
    from tests.devices.sound_server import SoundServer

pytestmark = pytest.mark.timeout(90)

CLI = "dev.locara.cli"


def _locara(folder: Path, *arguments: str, extra: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "locara", *arguments], cwd=folder, env=environment(folder, "x", extra),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def _uses(folder: Path, extra: dict[str, str]) -> list[dict[str, Any]]:
    done = _locara(folder, "audit", "--json", extra=extra)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_the_first_talk_asks_and_the_log_answers_who_used_what_with_which_models(
    tmp_path: Path, sound_server: SoundServer
) -> None:
    pytest.importorskip("miniaudio")
    extra = {**sound_server.variables, "LOCARA_CONSENT": str(tmp_path / "consent")}
    with talking_in(tmp_path, "--headphones", extra=extra) as (terminal, _):
        terminal.wait_for("Locara (dev.locara.cli) 1 wants to listen to your microphone")
        terminal.press("o\n")
        terminal.wait_for("wants to speak through your speaker")
        terminal.press("a\n")
        terminal.wait_for("The microphone is on")
        terminal.wait_for("listening")
        (microphone, speaker) = _uses(tmp_path, extra)
        assert (microphone["what"], microphone["ended"], speaker["what"], speaker["ended"]) == (
            "microphone", "open", "speaker", "open",
        )  # fmt: skip
        terminal.press("q")
        assert terminal.ended() == 0
    found = _uses(tmp_path, extra)
    assert [(one["what"], one["app"], one["ended"], one["pid"]) for one in found] == [
        (what, CLI, "closed", terminal.run.process.pid) for what in ("microphone", "speaker")
    ]
    assert found[0]["models"]["stt"]["model"] == "pocketsphinx-en-us"
    assert 0.0 < found[0]["end"] - found[0]["start"] < 60.0
    ledger = Ledger(tmp_path / "consent")
    assert ledger.state(CLI, "device.speaker") == "granted"
    assert ledger.state(CLI, "device.microphone") == "unasked"  # that was once


def test_no_at_the_terminal_opens_nothing_and_says_what_to_do(tmp_path: Path, sound_server: SoundServer) -> None:
    pytest.importorskip("miniaudio")
    extra = {**sound_server.variables, "LOCARA_CONSENT": str(tmp_path / "consent")}
    with talking_in(tmp_path, extra=extra) as (terminal, before):
        terminal.wait_for("Enter is no")
        terminal.press("\n")
        assert terminal.ended() == 1
        assert f"locara grants allow {CLI} device.microphone" in terminal.seen
        assert "Traceback" not in terminal.raw
        assert terminal.settings() == before
    (refused,) = _uses(tmp_path, extra)
    assert (refused["what"], refused["ended"]) == ("device.microphone", "refused")


def test_a_grant_taken_back_by_another_process_ends_the_conversation(
    tmp_path: Path, sound_server: SoundServer, granted: Path
) -> None:
    pytest.importorskip("miniaudio")
    folder = tmp_path / "consent"
    extra = {**sound_server.variables, "LOCARA_CONSENT": str(folder)}
    for capability in ("device.microphone", "device.speaker"):
        assert _locara(tmp_path, "grants", "allow", CLI, capability, extra=extra).returncode == 0
    with talking_in(tmp_path, "--headphones", extra=extra) as (terminal, before):
        terminal.wait_for("listening")
        assert _locara(tmp_path, "grants", "revoke", CLI, "device.microphone", extra=extra).returncode == 0
        assert terminal.ended() == 1
        assert "capability-denied" in terminal.seen
        assert terminal.settings() == before
        assert terminal.run.all_gone(5) == []
    assert [one["ended"] for one in _uses(tmp_path, extra)] == ["revoked", "revoked"]


def test_without_a_terminal_and_a_grant_the_recording_is_played_to_nobody_and_it_says_why(
    tmp_path: Path, sound_server: SoundServer
) -> None:
    pytest.importorskip("miniaudio")
    extra = {**sound_server.variables, "LOCARA_CONSENT": str(tmp_path / "consent"), "COLUMNS": str(200)}
    done = _locara(tmp_path, "talk", extra=extra)
    assert done.returncode == 0, done.stderr
    assert "no terminal to talk at" in done.stdout
    assert "The reply is not played: Locara (dev.locara.cli) may not use device.speaker" in done.stdout
    assert "conversation.wav" in done.stdout
    assert {one["ended"] for one in _uses(tmp_path, extra)} == {"refused"}


def test_a_speaker_named_by_hand_that_is_not_granted_is_an_error(tmp_path: Path, sound_server: SoundServer) -> None:
    pytest.importorskip("miniaudio")
    extra = {**sound_server.variables, "LOCARA_CONSENT": str(tmp_path / "consent")}
    for arguments in (("say", "hello"), ("transcribe", "--microphone"), ("talk", "--demo", "--output", "default")):
        done = _locara(tmp_path, *arguments, extra=extra)
        assert done.returncode == 1, arguments
        assert f"locara grants allow {CLI}" in done.stderr, arguments
        assert "Traceback" not in done.stderr


def test_files_need_no_grant(tmp_path: Path) -> None:
    extra = {"LOCARA_CONSENT": os.devnull}  # nothing can be read or written there
    done = _locara(tmp_path, "say", "--output", "a.wav", "hello", extra=extra)
    assert done.returncode == 0, done.stderr
    done = _locara(tmp_path, "transcribe", "a.wav", extra=extra)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "capability"),
    [(("transcribe", "--microphone"), "device.microphone"), (("say", "word " * 200), "device.speaker")],
    ids=["transcribe", "say"],
)
def test_a_grant_taken_back_ends_the_one_shot_commands_too(
    tmp_path: Path, sound_server: SoundServer, arguments: tuple[str, ...], capability: Capability
) -> None:
    pytest.importorskip("miniaudio")
    folder = tmp_path / "consent"
    extra = {**sound_server.variables, "LOCARA_CONSENT": str(folder)}
    ledger = Ledger(folder)
    ledger.decide("grant", CLI, capability, by="cli")
    with running(tmp_path, *arguments, extra=extra, stderr=subprocess.PIPE) as run:
        deadline = time.monotonic() + 30
        while not any(one.what.endswith("-opened") for one in Audit(folder).entries()) and time.monotonic() < deadline:
            time.sleep(0.1)
        ledger.decide("revoke", CLI, capability, by="cli")
        assert run.process.wait(15) == 1
        assert run.process.stderr is not None
        told = run.process.stderr.read().decode()
    assert capability in told
    assert "Traceback" not in told
    assert [one["ended"] for one in _uses(tmp_path, extra)] == ["revoked"]
