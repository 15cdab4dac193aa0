"""The ledger on disk: asked and answered, damaged, unwritable, and shared by processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from locara.consent import Ledger, Question, chain, files
from locara.errors import CapabilityDenied, CapabilityPending, ConsentError
from locara.manifest.values import Capability, Manifest

from .made import APP, Clock, ledger, manifest, nobody_may_be_asked, says

DAY = 86_400.0
MIC: Capability = "device.microphone"
SPEAKER: Capability = "device.speaker"


def test_always_is_asked_once_and_remembered_by_others(tmp_path: Path) -> None:
    asked: list[Question] = []
    assert ledger(tmp_path).demand(manifest(), MIC, says("always", asked=asked)) == "granted"
    assert asked == [Question(APP, "Talk", "1.0", MIC, "follows from voice-to-voice", False)]
    assert ledger(tmp_path).demand(manifest(), MIC, nobody_may_be_asked) == "granted"
    assert ledger(tmp_path).state(APP, SPEAKER) == "unasked"


def test_deny_is_remembered_and_says_how_to_grant(tmp_path: Path) -> None:
    for ask in (says("deny"), nobody_may_be_asked):
        with pytest.raises(CapabilityDenied) as caught:
            ledger(tmp_path).demand(manifest(), MIC, ask)
        assert caught.value.hint == f"locara grants allow {APP} {MIC}"
    assert ledger(tmp_path).state(APP, MIC) == "denied"


def test_nobody_to_ask_is_no_and_nothing_is_decided(tmp_path: Path) -> None:
    with pytest.raises(CapabilityDenied, match="nobody can be asked"):
        ledger(tmp_path).demand(manifest(), MIC, None)
    assert ledger(tmp_path).state(APP, MIC) == "unasked"


def test_no_answer_is_no_and_is_not_asked_again_by_this_process(tmp_path: Path) -> None:
    with pytest.raises(CapabilityDenied):
        ledger(tmp_path).demand(manifest(), MIC, says("dismissed"))
    with pytest.raises(CapabilityDenied, match="asked for already"):
        ledger(tmp_path).demand(manifest(), MIC, nobody_may_be_asked)
    assert ledger(tmp_path).state(APP, MIC) == "unasked"


def test_a_capability_that_the_manifest_does_not_declare_is_not_even_asked_for(tmp_path: Path) -> None:
    with pytest.raises(CapabilityDenied, match="does not declare") as caught:
        ledger(tmp_path).demand(manifest("text-to-speech"), MIC, nobody_may_be_asked)
    assert "speech-to-text" in caught.value.hint
    assert not (tmp_path / "grants.jsonl").exists()


def test_once_holds_in_this_process_and_in_no_other(tmp_path: Path) -> None:
    it = ledger(tmp_path)
    assert it.demand(manifest(), MIC, says("once")) == "once"
    assert it.demand(manifest(), MIC, nobody_may_be_asked) == "once"
    assert _elsewhere(tmp_path, f"print(it.state({APP!r}, {MIC!r}))") == "unasked"
    _elsewhere(tmp_path, f"it.decide('revoke', {APP!r}, {MIC!r}, by='cli')")
    assert it.state(APP, MIC) == "unasked"


def test_once_of_one_process_is_not_ended_by_once_of_another(tmp_path: Path) -> None:
    it = ledger(tmp_path)
    it.demand(manifest(), MIC, says("once"))
    _elsewhere(tmp_path, f"it.decide('once', {APP!r}, {MIC!r}, by='cli')")
    assert it.state(APP, MIC) == "once"


def test_an_update_waits_and_says_until_when_and_the_way_around_is_logged(tmp_path: Path) -> None:
    clock = Clock()
    it = ledger(tmp_path, clock)
    it.demand(manifest("speech-to-text"), MIC, says("always"))
    clock.now += 30 * DAY
    update = manifest(version="2.0")
    with pytest.raises(CapabilityPending, match="7 days") as caught:
        it.demand(update, SPEAKER, nobody_may_be_asked)
    assert f"locara grants allow {APP} {SPEAKER} --now" in caught.value.hint
    assert it.demand(update, MIC, nobody_may_be_asked) == "granted"
    with pytest.raises(CapabilityPending):
        it.decide("grant", APP, SPEAKER, by="cli")
    it.decide("grant", APP, SPEAKER, by="cli", now=True)
    assert it.demand(update, SPEAKER, nobody_may_be_asked) == "granted"
    assert '"now":true' in it.path.read_text()


def test_after_the_wait_it_is_asked_as_an_update(tmp_path: Path) -> None:
    clock = Clock()
    it = ledger(tmp_path, clock)
    it.demand(manifest("speech-to-text"), MIC, says("always"))
    with pytest.raises(CapabilityPending):
        it.demand(manifest(version="2.0"), SPEAKER, nobody_may_be_asked)
    clock.now += 7 * DAY + 1
    asked: list[Question] = []
    assert it.demand(manifest(version="2.0"), SPEAKER, says("always", asked=asked)) == "granted"
    assert asked[0].update


def test_a_clock_set_back_shortens_nothing(tmp_path: Path) -> None:
    clock = Clock(100 * DAY)
    it = ledger(tmp_path, clock)
    it.demand(manifest("speech-to-text"), MIC, says("always"))
    clock.now = 80 * DAY  # set back before the update is first seen, and right again afterwards
    with pytest.raises(CapabilityPending):
        it.demand(manifest(version="2.0"), SPEAKER, nobody_may_be_asked)
    clock.now = 100 * DAY + 6 * DAY
    with pytest.raises(CapabilityPending):
        it.demand(manifest(version="2.0"), SPEAKER, nobody_may_be_asked)
    clock.now = 107 * DAY + 1
    assert it.demand(manifest(version="2.0"), SPEAKER, says("always")) == "granted"


def test_a_program_without_a_manifest_is_asked_for_each_and_never_waits(tmp_path: Path) -> None:
    anonymous = Manifest("local.main-12345678", "main.py", "")
    it = ledger(tmp_path)
    assert it.demand(anonymous, MIC, says("always")) == "granted"
    assert it.demand(anonymous, SPEAKER, says("always")) == "granted"


def test_forgetting_an_app_makes_it_fresh(tmp_path: Path) -> None:
    it = ledger(tmp_path)
    it.demand(manifest(), MIC, says("always"))
    it.forget(APP)
    assert it.demand(manifest(), MIC, says("once")) == "once"


# --- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_it_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "consent"
    folder.mkdir(parents=True, mode=0o755)
    ledger(folder).demand(manifest(), MIC, says("always"))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "grants.jsonl").stat().st_mode & 0o777 == 0o600


def _damaged(kind: str, good: bytes) -> bytes:
    lines = good.splitlines(keepends=True)
    return {
        "empty": b"",
        "cut in a line": good[:-20],
        "a line less": b"".join(lines[:-1]),
        "edited": good.replace(b'"do":"deny"', b'"do":"grant"'),
        "edited head": good.replace(b'"lines":', b'"lines": '),
        "newer": good.replace(b'"locara-grants":1', b'"locara-grants":7'),
        "schema as text": good.replace(b'"locara-grants":1', b'"locara-grants":"1"'),
        "not text": b"\xff\xfe" + good,
        "zeros": bytes(len(good)),
        "too large": good + b" " * chain.MOST_BYTES,
        "deep": b"[" * 100_000,
        "other json": b'{"a": 1}\n',
    }[kind]


KINDS = "empty|cut in a line|a line less|edited|newer|schema as text|not text|zeros|too large|deep|other json".split(
    "|"
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_ledger_grants_nothing_and_says_how_to_mend_it(tmp_path: Path, kind: str) -> None:
    it = ledger(tmp_path)
    it.decide("grant", APP, SPEAKER, by="cli")
    it.decide("deny", APP, MIC, by="cli")
    it.path.write_bytes(_damaged(kind, it.path.read_bytes()))
    before = it.path.read_bytes()
    for use in (
        lambda: it.state(APP, SPEAKER),
        lambda: it.demand(manifest(), SPEAKER, says("always")),
        lambda: it.decide("grant", APP, MIC, by="cli"),
    ):
        with pytest.raises(ConsentError) as caught:
            use()
        assert "locara grants reset" in caught.value.hint
    assert it.path.read_bytes() == before
    kept = it.reset()
    assert kept is not None
    assert kept.read_bytes() == before
    assert it.state(APP, SPEAKER) == "unasked"
    assert it.demand(manifest(), SPEAKER, says("always")) == "granted"


def test_a_folder_where_the_ledger_should_be_grants_nothing(tmp_path: Path) -> None:
    (tmp_path / "grants.jsonl").mkdir()
    with pytest.raises(ConsentError, match="nothing is granted"):
        ledger(tmp_path).demand(manifest(), MIC, says("always"))


def test_a_file_where_the_folder_should_be_grants_nothing(tmp_path: Path) -> None:
    (tmp_path / "consent").write_text("")
    with pytest.raises(ConsentError, match="nothing is granted"):
        ledger(tmp_path / "consent").demand(manifest(), MIC, says("always"))


_FULL = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="uses a limit on the size of files")
def test_on_a_disk_that_takes_nothing_what_was_granted_holds_and_nothing_new_is(tmp_path: Path) -> None:
    ledger(tmp_path).demand(manifest(), MIC, says("always"))
    before = (tmp_path / "grants.jsonl").read_bytes()
    told = _elsewhere(
        tmp_path,
        _FULL
        + f"""
from locara.consent import Answer
from locara.errors import ConsentError
from locara.manifest.values import Capability, Manifest
app = Manifest({APP!r}, "Talk", "1.0", modalities=("voice-to-voice",), digest="1.0")
print(it.demand(app, {MIC!r}, None))
try:
    it.demand(app, {SPEAKER!r}, lambda question: Answer("always"))
except ConsentError as error:
    print(error.code, it.state(app.id, {SPEAKER!r}))
later = Manifest({APP!r}, "Talk", "1.1", modalities=("voice-to-voice",), digest="1.1")
print(it.demand(later, {MIC!r}, None))
""",
    )
    assert told.split() == ["granted", "consent-broken", "unasked", "granted"]
    assert (tmp_path / "grants.jsonl").read_bytes() == before
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the administrator writes everywhere")
def test_in_a_folder_that_cannot_be_written_nothing_is_granted(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConsentError, match="nothing is granted"):
        ledger(tmp_path).demand(manifest(), MIC, says("always"))


def test_two_processes_that_grant_at_once_lose_nothing(tmp_path: Path) -> None:
    code = "for n in range(15): it.decide('grant', f'app.{sys.argv[1]}{n}', 'device.speaker', by='cli')"
    runs = [_start(tmp_path, code, name) for name in "ab"]
    for run in runs:
        out, err = run.communicate(timeout=60)
        assert run.returncode == 0, (out, err)
    apps = Ledger(tmp_path).book().apps
    assert set(apps) == {f"app.{name}{number}" for name in "ab" for number in range(15)}


def test_a_reader_never_sees_half_of_a_change(tmp_path: Path) -> None:
    it = ledger(tmp_path)
    it.decide("grant", APP, MIC, by="cli")
    run = _start(tmp_path, "for n in range(25): it.decide('deny', f'app.n{n}', 'device.speaker', by='cli')")
    looks = 0
    while run.poll() is None:
        assert it.state(APP, MIC) == "granted"
        looks += 1
    run.communicate(timeout=30)
    assert run.returncode == 0
    assert looks > 10


def test_where_it_lies() -> None:
    home = {"HOME": os.sep + "h"}
    linux = files.folder({**home, "XDG_DATA_HOME": "relative"}, "linux")
    assert linux.as_posix().endswith("/h/.local/share/locara/consent")
    assert files.folder(home, "darwin").as_posix().endswith("/h/Library/Application Support/locara/consent")
    assert files.folder(home, "win32").as_posix().endswith("/h/AppData/Local/locara/consent")
    assert files.folder({**home, "LOCARA_CONSENT": "x"}, "linux") == Path("x").absolute()


def test_what_is_on_disk_is_text_that_a_person_can_read(tmp_path: Path) -> None:
    it = ledger(tmp_path)
    it.demand(manifest(), MIC, says("always"))
    lines = [json.loads(line) for line in it.path.read_text().splitlines()]
    assert [line.get("do") for line in lines] == [None, "seen", "grant"]


def _start(folder: Path, code: str, *arguments: str) -> subprocess.Popen[str]:
    begin = (
        f"import sys\nfrom pathlib import Path\nfrom locara.consent import Ledger\nit = Ledger(Path({str(folder)!r}))\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", begin + code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _elsewhere(folder: Path, code: str) -> str:
    run = _start(folder, code)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    return out.strip()
