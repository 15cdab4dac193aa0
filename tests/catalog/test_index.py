"""Finding models by name, and a person's own rows beside Locara's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.catalog.rows import PLAIN

from locara.catalog import index, places
from locara.errors import ConfigError

NOWHERE = {"HOME": os.devnull, "XDG_CONFIG_HOME": os.devnull}
"""An environment without rows of one's own."""


def catalog(path: Path) -> dict[str, str]:
    return {**NOWHERE, places.VARIABLE: str(path)}


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("whisper-large-v3-turbo", "whisper-large-v3-turbo"),
        ("Systran/faster-whisper-tiny", "faster-whisper-tiny"),
        (" KOKORO-82M ", "kokoro-82m"),
        ("moshi-7b-mlx-int4", "moshiko-mlx-q4"),
        ("qwen2.5:3b", "qwen2.5-3b-instruct-q4"),
        ("smart-turn", "smart-turn-v3.2"),
    ],
)
def test_a_model_is_found_by_its_id_and_by_its_aliases_in_any_case(name: str, id_: str) -> None:
    row = index.find(name, NOWHERE)
    assert row is not None
    assert row.id == id_


@pytest.mark.parametrize("name", ["", "no-such-model", "whisper"])
def test_a_name_that_no_model_has_finds_none(name: str) -> None:
    assert index.find(name, NOWHERE) is None


@pytest.mark.parametrize(
    ("typed", "kind", "meant"),
    [
        ("kokro-82m", None, "kokoro-82m"),
        ("wisper-tiny", None, "whisper-tiny"),
        ("turbo", "stt", "whisper-large-v3-turbo"),
        ("parakeet", "stt", "parakeet-tdt-0.6b-v3"),
        ("silero-v", None, "silero"),
    ],
)
def test_what_was_meant_is_near(typed: str, kind: str | None, meant: str) -> None:
    near = index.near(typed, kind, NOWHERE)  # type: ignore[arg-type]
    assert meant in near
    assert len(near) <= 3


def test_near_keeps_to_the_kind() -> None:
    for id_ in index.near("kokoro", "stt", NOWHERE):
        row = index.find(id_, NOWHERE)
        assert row is not None
        assert row.kind == "stt"


def test_nothing_is_near_what_resembles_nothing() -> None:
    assert index.near("qqqqqqqqqq", None, NOWHERE) == ()


def test_rows_of_ones_own_stand_beside_ours(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(PLAIN, encoding="utf-8")
    found = index.find("mine", catalog(tmp_path))
    assert found is not None
    assert index.rows(catalog(tmp_path)) == (*index.ours(), found)
    assert index.find("mine", NOWHERE) is None


def test_one_file_can_be_named_instead_of_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "anything"
    file.write_text(PLAIN, encoding="utf-8")
    assert index.find("mine", catalog(file)) is not None


def test_a_file_that_is_written_again_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(PLAIN, encoding="utf-8")
    assert index.find("other-one", catalog(tmp_path)) is None
    file.write_text(PLAIN.replace('id = "mine"', 'id = "other-one"'), encoding="utf-8")
    assert index.find("other-one", catalog(tmp_path)) is not None
    assert index.find("mine", catalog(tmp_path)) is None


@pytest.mark.parametrize("taken", ["kokoro-82m", "Kokoro", "whisper-turbo"])
def test_a_row_of_ones_own_cannot_take_a_name_of_ours(tmp_path: Path, taken: str) -> None:
    (tmp_path / "mine.toml").write_text(f'{PLAIN}aliases = ["{taken}"]\n', encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        index.rows(catalog(tmp_path))
    assert "mine.toml" in caught.value.message
    assert repr(taken) in caught.value.message
    assert "Locara's own catalog" in caught.value.message


def test_two_files_of_ones_own_cannot_share_a_name(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(PLAIN, encoding="utf-8")
    (tmp_path / "b.toml").write_text(PLAIN, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"taken by model 'mine' of .*a\.toml"):
        index.rows(catalog(tmp_path))


def test_what_was_named_and_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        index.rows(catalog(tmp_path / "gone.toml"))
    assert places.VARIABLE in caught.value.hint


def test_a_file_that_is_no_text_is_said(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"mine\.toml cannot be read"):
        index.rows(catalog(tmp_path))


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"#" * 1_000_001)
    with pytest.raises(ConfigError, match="1000001 bytes"):
        index.rows(catalog(tmp_path))


def test_where_rows_of_ones_own_lie(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert places.user_folder(home, "linux") == tmp_path / ".config" / "locara" / "models"
    assert places.user_folder({**home, "XDG_CONFIG_HOME": str(tmp_path / "x")}, "linux") == tmp_path / "x/locara/models"
    assert places.user_folder({**home, "XDG_CONFIG_HOME": "relative"}, "linux") == tmp_path / ".config/locara/models"
    assert places.user_folder(home, "darwin") == tmp_path / "Library/Application Support/locara/catalog"
    assert places.user_folder({**home, "APPDATA": str(tmp_path / "r")}, "win32") == tmp_path / "r/locara/catalog"
    assert places.user_files(home, "linux") == ()
