"""``locara models recommend``: what fits here, why, what was refused, and the commands to have it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import file_voice  # type: ignore[import-not-found]
from locara.catalog import index
from locara.catalog.fitting import GB, Facts
from locara.catalog.machine import Machine
from locara.catalog.picks import WORTH
from locara.catalog.proposing import propose
from locara.cli import main
from locara.cli.models_recommend import commands


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in file_voice.environment(tmp_path, file_voice.row()).items():
        if name != "PYTHONPATH":
            monkeypatch.setenv(name, value)


def recommended(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["models", "recommend", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_it_proposes_a_model_for_each_stage_with_its_reason_and_what_to_type(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = recommended(capsys)
    assert [one["stage"] for one in told["choices"]] == ["stt", "llm", "tts"]
    assert all(one["why"] and one["licence"] for one in told["choices"])
    assert told["memory"] <= told["budget"]
    assert told["commands"][-1].startswith("locara talk")
    assert len(told["machine"]["fingerprint"]) == 12


def test_what_is_ready_on_a_fresh_machine_is_what_is_embedded(capsys: pytest.CaptureFixture[str]) -> None:
    told = recommended(capsys, "--ready")
    assert [one["model"] for one in told["choices"]] == ["pocketsphinx-en-us", "built-in", "espeak-ng"]
    assert told["commands"] == ["locara talk"]


def test_one_stage_can_be_chosen_and_the_others_follow(capsys: pytest.CaptureFixture[str]) -> None:
    told = recommended(capsys, "--stt", "whisper-base.en")
    assert told["choices"][0]["model"] == "whisper-base.en"
    assert "--stt whisper-base.en" in told["commands"][-1]


def test_wrong_names_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "recommend", "--stt", "wisper-base"]) == 1
    assert "did you mean whisper-base" in capsys.readouterr().err
    assert main(["models", "recommend", "--stt", "kokoro-82m"]) == 1
    assert "of the kind tts" in capsys.readouterr().err


def test_people_read_the_machine_the_budget_and_the_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "recommend", "--language", "de"]) == 0
    told = capsys.readouterr().out
    for word in ("machine   ", "budget    ", "stt       ", "llm       ", "tts       ", "to have it", "locara talk"):
        assert word in told
    assert max(map(len, told.splitlines())) < 200


def test_every_pick_names_a_row() -> None:
    known = {name for row in index.rows() for name in (row.id, *row.aliases)}
    assert set(WORTH) <= known


@pytest.mark.parametrize(("gigabytes", "cores"), [(2, 2), (4, 4), (8, 4), (16, 8), (32, 16), (128, 32)])
@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_machines_of_every_size_get_a_whole_set_that_nobody_has_to_agree_to(
    gigabytes: int, cores: int, language: str
) -> None:
    here = Machine("linux", "6", "x86_64", "any", cores, gigabytes * GB, round(0.75 * gigabytes * GB), 500 * GB)
    got = propose(index.rows(), Facts(here, language=language, reach="install"))
    assert [one.stage for one in got.choices] == ["stt", "llm", "tts"]
    assert got.budget is not None
    assert got.memory <= got.budget
    assert not any({"non-commercial", "gated"} & set(one.flags) for one in got.choices)
    assert commands(got)
