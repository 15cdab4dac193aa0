"""What was measured is kept for each machine, and what is wrong in the file is passed over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from locara.catalog import speeds
from locara.catalog.fitting import Speed
from locara.catalog.machine import Machine

HERE = Machine("linux", "6", "x86_64", "a laptop", 8, 16, 8)


def test_figures_are_added_and_kept_apart_by_machine(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    assert speeds.remembered(HERE, folder) == {}
    speeds.remember(HERE, {"a": {"real_time_factor": 0.2, "first": 0.1}}, folder)
    speeds.remember(HERE, {"b": {"tokens_a_second": 12}}, folder)
    other = replace(HERE, cores=2)
    speeds.remember(other, {"a": {"real_time_factor": 0.9}}, folder)
    assert speeds.remembered(HERE, folder) == {"a": Speed(0.2), "b": Speed(None, 12.0)}
    assert speeds.remembered(other, folder) == {"a": Speed(0.9)}
    assert speeds.remembered(replace(HERE, memory_free=1), folder) == speeds.remembered(HERE, folder)
    assert [one.name for one in folder.iterdir()] == [speeds.NAME]


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"format": 2}', '{"format": 1, "machines": []}', '{"format": 1, "machines": {"X": 3}}', "\x00\xff"],
)
def test_a_file_that_is_wrong_is_as_if_it_were_not_there(tmp_path: Path, text: str) -> None:
    (tmp_path / speeds.NAME).write_text(text.replace("X", HERE.fingerprint), encoding="latin-1")
    assert speeds.remembered(HERE, tmp_path) == {}
    speeds.remember(HERE, {"a": {"real_time_factor": 0.5}}, tmp_path)
    assert speeds.remembered(HERE, tmp_path) == {"a": Speed(0.5)}


@pytest.mark.parametrize("value", ["0.5", None, True, -1, float("nan"), float("inf")])
def test_a_figure_that_is_none_is_not_one(tmp_path: Path, value: object) -> None:
    speeds.remember(HERE, {"a": {"real_time_factor": value}}, tmp_path)
    assert speeds.remembered(HERE, tmp_path) == {"a": Speed(None, None)}


def test_the_cache_is_where_the_rest_of_locaras_is(tmp_path: Path) -> None:
    assert speeds.cache_folder({"LOCARA_CACHE": str(tmp_path)}) == tmp_path
    assert speeds.cache_folder({"HOME": "/h", "XDG_CACHE_HOME": "relative"}, "linux") == Path("/h/.cache/locara")
    assert speeds.cache_folder({"HOME": "/h"}, "darwin") == Path("/h/Library/Caches/locara")
