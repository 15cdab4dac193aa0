"""``locara grants``, as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from locara.cli import main
from locara.consent import Ledger
from locara.manifest.values import Capability

from .made import APP, ledger, manifest, says

MIC: Capability = "device.microphone"
SPEAKER: Capability = "device.speaker"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCARA_CONSENT", str(tmp_path))


def test_allow_deny_revoke_and_reset_in_turn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    it = Ledger(tmp_path)
    assert main(["grants"]) == 0
    assert "Nothing was granted" in capsys.readouterr().out
    for words, state in (
        (["allow", APP, MIC], "granted"),
        (["deny", APP, MIC], "denied"),
        (["allow", APP, MIC], "granted"),
        (["revoke", APP, MIC], "unasked"),
        (["allow", APP, MIC], "granted"),
        (["revoke", APP], "unasked"),
        (["allow", APP, MIC], "granted"),
        (["reset", APP], "unasked"),
        (["allow", APP, MIC], "granted"),
        (["reset"], "unasked"),
    ):
        assert main(["grants", *words]) == 0
        assert it.state(APP, MIC) == state, words


def test_the_list_as_text_and_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger(tmp_path).demand(manifest(), MIC, says("always"))
    assert main(["grants", "list"]) == 0
    out = capsys.readouterr().out
    for part in (APP, "Talk 1.0", MIC, "granted", "at the terminal"):
        assert part in out
    assert main(["grants", "list", "--json"]) == 0
    (app,) = json.loads(capsys.readouterr().out)
    assert app["app"] == APP
    assert [(one["capability"], one["state"], one["by"]) for one in app["grants"]] == [(MIC, "granted", "terminal")]


def test_an_update_needs_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    it = Ledger(tmp_path)
    it.demand(manifest("speech-to-text"), MIC, says("always"))
    with pytest.raises(Exception, match="7 days"):
        it.demand(manifest(version="2"), SPEAKER, None)
    assert main(["grants", "allow", APP, SPEAKER]) == 1
    assert "--now" in capsys.readouterr().err
    assert main(["grants", "list"]) == 0
    assert "pending until" in capsys.readouterr().out
    assert main(["grants", "allow", APP, SPEAKER, "--now"]) == 0
    assert it.state(APP, SPEAKER) == "granted"


def test_a_broken_ledger_is_explained_and_mended_by_reset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "grants.jsonl").write_text("x\n")
    for words in (["list"], ["allow", APP, MIC], ["revoke", APP]):
        assert main(["grants", *words]) == 1
        assert "locara grants reset" in capsys.readouterr().err
    assert main(["grants", "reset"]) == 0
    assert "is kept in" in capsys.readouterr().out
    assert main(["grants", "list"]) == 0


def test_what_an_app_calls_itself_cannot_paint_the_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import dataclasses

    hostile = dataclasses.replace(manifest(), name="Talk\x1b[2J\nother.app\n  device.speaker granted")
    ledger(tmp_path).demand(hostile, MIC, says("always"))
    assert main(["grants", "list"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert len(out.splitlines()) == 2
