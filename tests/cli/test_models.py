"""``locara models list`` and ``show``: the command line, what it prints, and what it says about a wrong one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locara.catalog import index
from locara.catalog.row import ModelFile, Needs, Row
from locara.cli import main, models, models_list
from locara.cli import models_words as words

PLAIN = """
kind = "stt"

[[model]]
id = "mine"
aliases = ["my-own"]
title = "Mine\\u001b[31m"
licence = "LicenseRef-Mine"
status = "listed"
note = "Nothing runs it."
languages = ["gsw"]
"""


@pytest.fixture(autouse=True)
def _no_rows_and_no_models_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("LOCARA_CATALOG", str(empty))
    monkeypatch.setenv("LOCARA_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["models", *arguments]) == 0
    return capsys.readouterr().out


def test_the_list_has_every_model_and_counts_them(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "list").splitlines()
    assert lines[0].split() == ["id", "kind", "size", "memory", "licence", "languages", "status", "on", "disk"]
    assert [line.split()[0] for line in lines[1:-1]] == [row.id for row in index.ours()]
    assert lines[-1].startswith(f"{len(index.ours())} of {len(index.ours())} models: ")


@pytest.mark.parametrize(
    ("arguments", "has", "has_not"),
    [
        (("--kind", "tts"), "kokoro-82m", "whisper-tiny"),
        (("--kind", "tts", "--kind", "vad"), "silero", "whisper-tiny"),
        (("--status", "works"), "espeak-ng", "kokoro-82m"),
        (("--language", "de"), "parakeet-tdt-0.6b-v3", "parakeet-tdt-0.6b-v2"),
        (("--language", "de-AT"), "piper-de_de-thorsten-medium", "kitten-nano-0.8"),
        (("--language", "xh"), "qwen3.5-4b-q4", "whisper-tiny.en"),
        (("--licence", "gpl"), "espeak-ng", "kokoro-82m"),
        (("--free",), "qwen2.5-1.5b-instruct-q4", "qwen2.5-3b-instruct-q4"),
        (("--free", "--kind", "tts"), "kokoro-82m", "piper-en_us-lessac-medium"),
        (("--installed",), "silero", "whisper-tiny"),
    ],
)
def test_the_filters_leave_out_the_others(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], has: str, has_not: str
) -> None:
    ids = {line.split()[0] for line in printed(capsys, "list", *arguments).splitlines()[1:-1]}
    assert has in ids
    assert has_not not in ids


def test_filters_that_nothing_fits_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert "fits these filters" in printed(capsys, "list", "--kind", "vad", "--licence", "no such licence")


def test_the_list_as_json_has_all_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(capsys, "list", "--json", "--kind", "stt"))
    (tiny,) = [row for row in found if row["id"] == "whisper-tiny"]
    assert tiny["files"][0]["sha256"] == "be07e048e1e599ad46341c8d2a135645097a538221678b7acdd1b1919c6e1b21"
    assert tiny["size"] == 77_691_713
    assert tiny["pinned"] is True
    assert tiny["on_disk"] == "not here"
    assert tiny["folder"] is None


@pytest.mark.parametrize("name", [row.id for row in index.ours()])
def test_every_model_can_be_shown(capsys: pytest.CaptureFixture[str], name: str) -> None:
    text = printed(capsys, "show", name)
    assert text.startswith(f"model       {name}: ")
    assert ("locara talk --" in text or "voice.session(" in text) == ("no engine of Locara" not in text)


def test_a_model_is_shown_with_its_pins_and_a_call(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "show", "Whisper-Turbo")
    assert "model       whisper-large-v3-turbo: " in text
    assert "ggml-large-v3-turbo.bin (1.6 GB, sha256 1fc70f774d38eb16..)" in text
    assert "ggerganov/whisper.cpp at 5359861c739e955e79d9a303bcbc70fb988958b1" in text
    assert "locara models pull whisper-large-v3-turbo" in text
    assert "locara talk --stt whisper-large-v3-turbo" in text
    assert 'voice.session(stt="whisper-large-v3-turbo")' in text


def test_what_is_not_pinned_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "show", "moonshine-tiny-streaming")
    assert "7 of 7 files have no published hash: a pull asks first." in text


def test_a_model_is_shown_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(capsys, "show", "silero", "--json"))
    assert found["id"] == "silero"
    assert found["on_disk"] == "with a package"
    assert "fits" in found


def test_an_unknown_name_says_what_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "show", "kokro-82m"]) == 1
    error = capsys.readouterr().err
    assert "there is no model 'kokro-82m' in the catalog" in error
    assert "did you mean kokoro-82m" in error


def test_a_catalog_file_that_is_wrong_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(PLAIN + "disc = 3\n", encoding="utf-8")
    monkeypatch.setenv("LOCARA_CATALOG", str(file))
    assert main(["models", "list"]) == 1
    error = capsys.readouterr().err
    assert "mine.toml: model 'mine': no key is called 'disc'" in error
    assert "did you mean 'disk'?" in error


def test_rows_of_ones_own_are_listed_and_shown_without_control_characters(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(PLAIN, encoding="utf-8")
    monkeypatch.setenv("LOCARA_CATALOG", str(file))
    assert "mine" in printed(capsys, "list", "--language", "gsw")
    text = printed(capsys, "show", "my-own")
    assert "\x1b" not in text
    assert "model       mine: Mine" in text
    assert "Nothing runs it." in text


@pytest.mark.parametrize(
    "arguments", [("models",), ("models", "lst"), ("models", "show"), ("models", "list", "--kind", "x")]
)
def test_a_wrong_command_line_is_2(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "usage: locara models" in capsys.readouterr().err


def test_help_names_every_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["models", "--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    assert all(name in text for name in models.SUBCOMMANDS)


def test_the_help_of_a_subcommand_has_its_own_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["models", "list", "--help"])
    assert left.value.code == 0
    assert "--language CODE" in capsys.readouterr().out


def loaded_after(*arguments: str) -> set[str]:
    program = (
        "import sys\nfrom locara.cli import main\n"
        f"try: main({list(arguments)!r})\nexcept SystemExit: pass\n"
        "print('\\n' + ' '.join(name for name in sys.modules if name.startswith('locara')))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env={**os.environ}, capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_help_reads_no_catalog_and_only_the_subcommand_that_is_asked_for_is_imported() -> None:
    assert not {name for name in loaded_after("--help") if "catalog" in name or "models" in name}
    loaded = loaded_after("models", "show", "silero")
    assert "locara.cli.models_show" in loaded
    assert "locara.cli.models_list" not in loaded
    assert not {name for name in loaded if name.startswith(("locara.voice", "locara.engines", "locara.devices"))}


@settings(max_examples=60, deadline=None)
@given(st.integers(30, 200), st.lists(st.tuples(*[st.text("ab ", max_size=40)] * 8), max_size=5))
def test_the_table_fits_the_terminal_and_never_cuts_an_id(width: int, rows: list[tuple[str, ...]]) -> None:
    lines = models_list.table([tuple(cell.strip() for cell in row) for row in rows], width)
    ids = max(len("id"), *(len(row[0].strip()) for row in rows), 0) if rows else 2
    disk = max(len("on disk"), *(len(row[7].strip()) for row in rows), 0) if rows else 7
    assert all(len(line) <= max(width, ids + disk + 2) for line in lines)
    assert all(line.startswith(row[0].strip()) for line, row in zip(lines[1:], rows, strict=True))


def test_sizes_are_told_in_decimal_units() -> None:
    sizes = [None, 0, 999, 1000, 999_499, 999_500, 77_691_713, 999_499_999, 999_500_000, 1_624_555_275]
    assert [words.amount(size) for size in sizes] == [
        "-", "0 B", "999 B", "1 kB", "999 kB", "1 MB", "78 MB", "999 MB", "1.0 GB", "1.6 GB"
    ]  # fmt: skip
    assert [words.count(one) for one in (None, 8_000_000, 82_000_000, 7_690_000_000)] == ["-", "8M", "82M", "7.69B"]


def row(**more: object) -> Row:
    known: dict[str, object] = {"id": "x", "kind": "stt", "title": "X", "licence": "MIT", "status": "experimental"}
    return Row(**{**known, **more})  # type: ignore[arg-type]


def test_a_size_that_is_known_in_part_is_not_told() -> None:
    assert words.size_of(row(disk=5, files=(ModelFile("a", size=1),))) == 5
    assert words.size_of(row(files=(ModelFile("a", size=1), ModelFile("b", size=2)))) == 3
    assert words.size_of(row(files=(ModelFile("a", size=1), ModelFile("b")))) is None
    assert words.size_of(row()) is None


def test_languages_are_cut_and_counted() -> None:
    assert words.languages(row(languages=("de", "en"))) == "de en"
    assert words.languages(row(languages=("a1", "b", "c", "d", "e", "f"))) == "a1 b c d +2"
    assert words.languages(row(languages=("mul",))) == "many"
    assert words.languages(row()) == "-"


def test_where_a_model_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert words.where(row(), tmp_path, ()) == "here"
    assert words.where(row(), None, ("e",)) == "not here"
    assert words.where(row(bundled=True, engine="e"), None, ("e",)) == "with a package"
    assert words.where(row(bundled=True, engine="e"), None, ()) == "not here"
    assert words.where(row(bundled=True, engine="e", needs=Needs(os=("macos",))), None, ("e",)) == "not here"
