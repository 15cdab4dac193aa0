"""The log: written, rotated, damaged, unwritable, put together."""

from __future__ import annotations

import contextlib
import io
import json
import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.cli import main
from locara.consent import audit
from locara.consent.audit import Audit, Entry, read
from locara.consent.usage import uses

from .made import APP, Clock

MODELS = {"stt": {"model": "pocketsphinx-en-us"}, "llm": {"model": "built-in"}}


def test_a_line_holds_who_what_and_when(tmp_path: Path) -> None:
    log = Audit(tmp_path, now=Clock(5.0))
    log.note("microphone-opened", APP, session="s", device="default", name="")
    assert list(log.entries()) == [Entry(5.0, "microphone-opened", APP, os.getpid(), "s", device="default")]
    assert json.loads(log.path.read_text()) == {
        "at": 5.0, "what": "microphone-opened", "app": APP, "pid": os.getpid(), "session": "s", "device": "default",
    }  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_it_is_private(tmp_path: Path) -> None:
    log = Audit(tmp_path / "c")
    log.note("allowed", APP)
    assert (log.folder.stat().st_mode & 0o777, log.path.stat().st_mode & 0o777) == (0o700, 0o600)


def test_it_is_rotated_and_stays_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MOST_BYTES", 2_000)
    log = Audit(tmp_path, now=Clock())
    for number in range(500):
        log.note("allowed", f"app.n{number}")
    there = sorted(path.name for path in tmp_path.glob("*.jsonl"))
    assert there == ["audit.1.jsonl", "audit.2.jsonl", "audit.3.jsonl", "audit.4.jsonl", "audit.jsonl"]
    assert sum(path.stat().st_size for path in tmp_path.glob("*.jsonl")) < 5 * 2_200
    apps = [one.app for one in log.entries()]
    assert apps[-1] == "app.n499"
    assert apps == [f"app.n{number}" for number in range(500 - len(apps), 500)]


def test_one_that_cannot_be_written_is_told_once_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("a file")
    told: list[str] = []
    log = Audit(tmp_path / "c", complain=told.append)
    for _ in range(3):
        log.note("microphone-opened", APP)
    assert len(told) == 1
    assert "cannot be written" in told[0]


def test_threads_and_long_lines_keep_every_line_whole(tmp_path: Path) -> None:
    log = Audit(tmp_path)
    huge = {f"stage{number}": {"model": "m" * 500} for number in range(50)}

    def write() -> None:
        for _ in range(20):
            log.note("models", APP, models=huge)
            log.note("models", APP, models=MODELS)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(log.entries())) == 160


@given(st.binary(max_size=200))
def test_damaged_lines_hide_nothing(noise: bytes) -> None:
    good = b'{"at":1.0,"what":"allowed","app":"a.b","pid":7}\n'
    found = list(read(good + noise + b"\n" + good))
    assert found[0] == found[-1] == Entry(1.0, "allowed", "a.b", 7)
    assert len(found) >= 2


def test_uses_are_put_together_from_their_lines() -> None:
    def entry(at: float, what: str, pid: int = 1, session: str = "s", **more: object) -> Entry:
        return Entry(at, what, APP, pid, session, **more)  # type: ignore[arg-type]

    found = uses(
        [
            entry(1, "microphone-opened", device="default"),
            entry(2, "speaker-opened", device="Headset"),
            entry(3, "models", models=MODELS),
            entry(4, "denied", pid=2, session="t", capability="device.speaker", reason="capability-denied"),
            entry(5, "microphone-opened", pid=3, session="u"),
            entry(6, "microphone-opened", pid=4, session="v"),
            entry(7, "revoked", reason="was taken back"),
            entry(8, "speaker-closed"),
            entry(9, "microphone-closed"),
        ],
        alive=lambda pid: pid == 4,
    )
    assert [(one.what, one.ended, one.start, one.end, one.device) for one in found] == [
        ("microphone", "revoked", 1, 9, "default"), ("speaker", "revoked", 2, 8, "Headset"),
        ("device.speaker", "refused", 4, 4, ""), ("microphone", "lost", 5, None, ""), ("microphone", "open", 6, None, ""),
    ]  # fmt: skip
    assert found[0].models == found[1].models == MODELS


def _told(*arguments: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["audit", *arguments]) == 0
    return out.getvalue()


def test_the_command_answers_who_used_what_when_with_which_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCARA_CONSENT", str(tmp_path))
    assert "Nothing is noted" in _told()
    for app, at in ((APP, time.time() - 600), ("old.app", time.time() - 86_400 * 30)):
        clock = Clock(at)
        log = Audit(tmp_path, now=clock)
        log.note("microphone-opened", app, session=app, device="default")
        log.note("models", app, session=app, models=MODELS)
        clock.now += 95
        log.note("microphone-closed", app, session=app)
    lines = _told("--since", "7d").splitlines()
    assert len(lines) == 2
    for part in ("microphone", APP, "1 min 35 s", "pocketsphinx-en-us, built-in"):
        assert part in lines[1]
    assert [one["app"] for one in json.loads(_told("--json"))] == [APP, "old.app"]
    assert [one["app"] for one in json.loads(_told("--json", "--app", "old.app"))] == ["old.app"]


def test_following_tells_lines_as_they_come_also_past_a_rotation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_LOOK_SECONDS", 0.01)
    log = Audit(tmp_path)
    log.note("allowed", "before")
    came: list[str] = []
    following = log.follow()

    def follow() -> None:
        for one in following:
            came.append(one.app)
            if one.app == "last":
                return

    thread = threading.Thread(target=follow)
    thread.start()
    time.sleep(0.2)
    log.note("allowed", "first")
    deadline = time.monotonic() + 20
    while "first" not in came and time.monotonic() < deadline:
        time.sleep(0.01)
    log.note("allowed", "second")
    log.path.replace(tmp_path / "audit.1.jsonl")
    log.note("allowed", "last")
    thread.join(20)
    assert came == ["first", "second", "last"]
