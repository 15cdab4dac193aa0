"""`locara check` and `locara manifest`: what they print, their forms for machines, and their exit codes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.check.apps import checked, manifest
from tests.manifest.corpus import APP

from locara.check import CODES, check
from locara.check.findings import Finding
from locara.check.report import Report
from locara.check.sarif import sarif
from locara.cli import main
from locara.manifest import reading

EXAMPLE = Path(__file__).parents[2] / "examples" / "app"

SARIF: dict[str, Any] = {
    "type": "object",
    "required": ["version", "runs", "$schema"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "properties": {
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name"],
                                "properties": {
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {
                                            "type": "object",
                                            "required": ["id"],
                                            "properties": {
                                                "shortDescription": {"type": "object", "required": ["text"]}
                                            },
                                        },
                                    }
                                },
                            }
                        },
                    },
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["message", "ruleId", "locations"],
                            "properties": {
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "ruleIndex": {"type": "integer", "minimum": -1},
                                "message": {"type": "object", "required": ["text"]},
                                "locations": {
                                    "type": "array",
                                    "minItems": 1,
                                    "items": {
                                        "type": "object",
                                        "required": ["physicalLocation"],
                                        "properties": {
                                            "physicalLocation": {
                                                "type": "object",
                                                "required": ["artifactLocation"],
                                                "properties": {
                                                    "artifactLocation": {
                                                        "type": "object",
                                                        "required": ["uri"],
                                                        "properties": {
                                                            "uri": {"type": "string", "format": "uri-reference"}
                                                        },
                                                    },
                                                    "region": {
                                                        "type": "object",
                                                        "properties": {
                                                            "startLine": {"type": "integer", "minimum": 1},
                                                            "startColumn": {"type": "integer", "minimum": 1},
                                                        },
                                                    },
                                                },
                                            }
                                        },
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}
"""The parts of OASIS' sarif-schema-2.1.0.json that it requires, and of what is optional what is written here."""


def app(folder: Path, source: str, text: str = "") -> Path:
    checked(folder, source, text or manifest())
    return folder


GOOD = "from locara import voice\nvoice.session(stt='pocketsphinx', llm='built-in', tts='espeak-ng', vad='silero',\n" \
    "  turn_detection='prosody', attention={'mode': 'wake-word', 'word': 'hey jarvis'})\n" \
    "voice.session(llm='ollama')\n"  # fmt: skip
BAD = "from locara import voice\nvoice.session(stt='nope')\n"


def test_a_clean_app_is_clean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(app(tmp_path, GOOD)), "--strict"]) == 0
    assert capsys.readouterr().out == "com.example.talk 1.0: 2 calls of Locara in 1 file: clean\n"


def test_a_finding_has_its_place_its_code_and_its_fix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(app(tmp_path, BAD))]) == 1
    out = capsys.readouterr().out
    assert "main.py:2:19: LV001 error: the model 'nope' is not declared in the manifest\n  -> " in out


def test_warnings_count_only_when_they_are_asked_to(tmp_path: Path) -> None:
    folder = str(app(tmp_path, "from locara import voice\nvoice.session(stt=x)\n"))
    assert main(["check", folder]) == 0
    assert main(["check", folder, "--strict"]) == 1


def test_json_has_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--json", str(app(tmp_path, BAD))]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["app"], told["errors"], told["files"], told["calls"]) == ("com.example.talk", 1, 1, 1)
    (one,) = (finding for finding in told["findings"] if finding["severity"] == "error")
    assert (one["path"], one["line"], one["column"], one["code"]) == ("main.py", 2, 19, "LV001")


@pytest.mark.parametrize("source", [GOOD, BAD])
def test_sarif_has_what_its_schema_requires(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    assert main(["check", "--sarif", str(app(tmp_path, source))]) == (source == BAD)
    told = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(SARIF).validate(told)
    rules = told["runs"][0]["tool"]["driver"]["rules"]
    for result in told["runs"][0]["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]


def test_sarif_names_files_as_uris_and_leaves_out_a_place_that_is_not_known() -> None:
    report = Report(".", (Finding("a b/größe.py", 0, 0, "LV008", "it cannot be read", ""),))
    (result,) = sarif(report, "1")["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "a%20b/gr%C3%B6%C3%9Fe.py"}}


def test_what_cannot_be_checked_is_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "nothing")]) == 2
    assert "is no folder" in capsys.readouterr().err
    assert main(["check", str(tmp_path)]) == 2
    assert "there is no locara.toml" in capsys.readouterr().err
    assert main(["check", str(app(tmp_path, GOOD, APP.replace("[app]", "[ap]")))]) == 2
    assert "locara.toml:1:1: LV000 error: a manifest has no key 'ap'" in capsys.readouterr().out
    assert main(["check", "--json", str(tmp_path)]) == 2
    assert json.loads(capsys.readouterr().out)["findings"][0]["code"] == "LV000"


def test_the_manifest_itself_is_checked_too(tmp_path: Path) -> None:
    hash_ = "0" * 64
    text = manifest(
        app='entry = "gone.py"',
        models=f'whisper-tiny = {{ sha256 = "{hash_}" }}\nmine = {{ task = "stt", file = "m.onnx", sha256 = "{hash_}" }}',
    )
    report = checked(tmp_path, GOOD, text)
    places = {(one.code, one.line) for one in report.findings}
    lines = text.split("\n")
    assert ("LV010", lines.index('entry = "gone.py"') + 1) in places
    mine = next(number for number, line in enumerate(lines, 1) if line.startswith("mine"))
    assert {("LV010", mine), ("LV102", mine)} <= places
    assert {one.code for one in report.findings if "whisper-tiny" in one.what} <= {"LV002", "LV102", "LV104"}


def test_a_hash_that_is_not_the_catalogs_is_an_error_and_a_missing_one_a_warning(tmp_path: Path) -> None:
    from locara.catalog import index

    pinned = next(row for row in index.ours() if row.pinned and row.files and row.kind == "tts")
    loose = next(row for row in index.ours() if not row.pinned and row.files and row.kind == "tts")
    wrong, right = "0" * 64, pinned.files[0].sha256
    for hash_, code in ((wrong, True), (right, False)):
        text = manifest(models=f'"{pinned.id}" = {{ sha256 = "{hash_}" }}\n"{loose.id}" = {{}}')
        found = checked(tmp_path, GOOD, text).findings
        assert any(one.code == "LV002" for one in found) is code
        assert [one.code for one in found if loose.id in one.what] == ["LV102", "LV104"]


def test_the_example_is_clean() -> None:
    report = check(EXAMPLE)
    assert report.findings == ()
    assert report.calls == 1


SEEDS = [
    ("LV000", "locara.toml", '[models]\n', '[modles]\n'),
    ("LV001", "locara.toml", "espeak-ng = {}\n", ""),
    ("LV001", "settings.py", 'STT = "pocketsphinx"', 'STT = "whisper-tiny"'),
    ("LV001", "settings.py", '"model": "ollama"', '"model": "qwen2.5-3b"'),
    ("LV003", "main.py", "        stt=settings.STT,\n", '        llm={"model": "built-in", "audio_input": True},\n'),
    ("LV004", "settings.py", 'STT = "pocketsphinx"', 'STT = "espeak-ng"'),
    ("LV005", "locara.toml", '"voice-to-voice"]', '"text-to-speech"]'),
    ("LV006", "main.py", "stt=settings.STT", "sst=settings.STT"),
    ("LV007", "main.py", '(options.headset or "default")', '"Headset"'),
    ("LV008", "settings.py", '"""What', 'def"""What'),
    ("LV009", "settings.py", '"model": "ollama"', '"model": "ollama", "url": "https://api.example.com/v1"'),
    ("LV010", "locara.toml", '"main.py"', '"mian.py"'),
    ("LV102", "locara.toml", "[models]\n", "[models]\nsilero = {}\n"),
    ("LV103", "main.py", "    events = session.events()", "    print(voice.session)\n    events = session.events()"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "file", "old", "new"), SEEDS, ids=lambda part: part[:24])
def test_each_fault_that_is_put_into_the_example_is_found(
    code: str, file: str, old: str, new: str, tmp_path: Path
) -> None:
    folder = shutil.copytree(EXAMPLE, tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    text = text.replace(old, new, 1)
    if code == "LV005":  # without the modality its settings are a fault of their own
        text = text.replace('[modality.voice-to-voice]\nvariant = "pipeline"\n', "")
    if code == "LV007":
        granted = (folder / "locara.toml").read_text(encoding="utf-8")
        granted = granted.replace('[capabilities."device.speaker.select"]\nreason =', "# ")
        (folder / "locara.toml").write_text(granted, encoding="utf-8")
    if code == "LV003":
        text = text.replace("        llm=settings.SERVER if options.server else settings.BUILT_IN,\n", "")
    path.write_text(text, encoding="utf-8")
    report = check(folder)
    found = {one.code for one in report.findings}
    assert code in found, report.findings
    # What follows from the fault: a model that is named no more, and a constant that cannot be read any more.
    assert found - {code} <= {"LV102", "LV101"}, report.findings


def test_every_code_that_is_told_is_in_the_table_and_the_other_way_round() -> None:
    source = Path(check.__code__.co_filename).parent
    written = "".join(path.read_text(encoding="utf-8") for path in source.glob("*.py") if path.name != "findings.py")
    assert {code for code in CODES if f'"{code}"' in written} == set(CODES)


def test_the_page_has_the_codes_of_the_table() -> None:
    page = (EXAMPLE.parents[1] / "docs" / "manifest.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| (LV\d+) \| (.*) \|$", page, re.MULTILINE))
    assert told == CODES


def test_the_manifest_of_the_page_is_one() -> None:
    page = (EXAMPLE.parents[1] / "docs" / "manifest.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert reading.parse(text).defaults == {"tts": "espeak-ng"}


def test_expand_says_each_capability_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["manifest", "expand", str(EXAMPLE)]) == 0
    out = capsys.readouterr().out
    assert "device.microphone      follows from voice-to-voice\n" in out
    assert "device.speaker.select  Lets you send" in out
    assert main(["manifest", "expand", str(EXAMPLE), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["id"] == "com.example.kitchen"
    assert told["capabilities"][0] == {"capability": "device.microphone", "why": "follows from voice-to-voice"}
    assert {one["name"]: one["task"] for one in told["models"]}["ollama"] == "llm"


def test_expand_takes_the_nearest_and_says_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(EXAMPLE)
    assert main(["manifest", "expand"]) == 0
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()
    assert main(["manifest", "expand"]) == 1
    assert "locara.toml" in capsys.readouterr().err


def test_schema_prints_the_published_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["manifest", "schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"].startswith("A manifest of Locara")
