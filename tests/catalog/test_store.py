"""The folder of models: where it is, what is in it, what is taken away and what never is."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import pytest

from locara.catalog import importing, manifest, pickled, pruning, space
from locara.catalog.locking import Lock
from locara.catalog.row import Row
from locara.catalog.store import Store, default_folder
from locara.errors import ModelError

from .made import BODY, file, row, store

URL = "https://example.org/a"


def put(tmp_path: Path, one: Row, body: bytes = BODY, *, pulled: bool = False) -> Path:
    """Imports it; ``pulled``: as if it had been fetched."""
    source = tmp_path / "source"
    source.write_bytes(body)
    folder = importing.import_files(one, [source], store(tmp_path))
    if pulled:
        beside = folder / manifest.NAME
        beside.write_text(beside.read_text().replace('"imported"', '"pulled"'))
    return folder


@pytest.mark.parametrize(
    ("environment", "platform", "expected"),
    [
        ({"LOCARA_MODELS": "/m", "HOME": "/h"}, "linux", "/m"),
        ({"XDG_DATA_HOME": "/d", "HOME": "/h"}, "linux", "/d/locara/models"),
        ({"XDG_DATA_HOME": "relative", "HOME": "/h"}, "linux", "/h/.local/share/locara/models"),
        ({"HOME": "/h"}, "linux", "/h/.local/share/locara/models"),
        ({"HOME": "/h", "XDG_DATA_HOME": "/d"}, "darwin", "/h/Library/Application Support/locara/models"),
        ({"LOCALAPPDATA": "/l", "USERPROFILE": "/u"}, "win32", "/l/locara/models"),
        ({"USERPROFILE": "/u"}, "win32", "/u/AppData/Local/locara/models"),
    ],
)
def test_the_folder_is_where_the_platform_keeps_data(environment: dict[str, str], platform: str, expected: str) -> None:
    assert default_folder(environment, platform) == Path(expected)


def test_looking_makes_no_folder(tmp_path: Path) -> None:
    one = row(file(URL))

    assert store(tmp_path).present(one) is None
    assert store(tmp_path).installed() == ()
    assert store(tmp_path).folder(one).parent == tmp_path / "models" / "small"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../up", "/abs", ".parts", "a/b", "con", "a\\b", "", "x" * 200])
def test_an_impossible_id_never_becomes_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="cannot be the name of a model"):
        store(tmp_path).folder(row(file(URL), id=name))


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "{", '{"layout": 2}', "\x00", '{"layout": 1, "files": 7}'])
def test_a_manifest_that_is_damaged_is_none(tmp_path: Path, text: str) -> None:
    one = row(file(URL))
    folder = put(tmp_path, one)
    (folder / manifest.NAME).write_text(text)

    assert store(tmp_path).present(one) is None


def test_installed_tells_size_and_when_it_was_last_read(tmp_path: Path) -> None:
    folder = put(tmp_path, row(file(URL)))

    (found,) = store(tmp_path).installed()

    assert (found.id, found.folder) == ("small", folder)
    assert found.disk == len(BODY) + (folder / manifest.NAME).stat().st_size
    assert found.last_read >= (folder / manifest.NAME).stat().st_mtime


def test_remove_takes_the_model_and_nothing_else(tmp_path: Path) -> None:
    one, other = row(file(URL)), row(file(URL), id="other")
    folder, kept = put(tmp_path, one), put(tmp_path, other)

    assert store(tmp_path).remove(folder) > len(BODY)

    assert not folder.parent.exists()
    assert kept.exists()


def test_remove_refuses_what_is_not_a_models_folder_of_this_store(tmp_path: Path) -> None:
    folder = put(tmp_path, row(file(URL)))
    outside = tmp_path / "outside" / "deep"
    outside.mkdir(parents=True)
    (outside / manifest.NAME).write_text("{}")
    linked = tmp_path / "models" / "small" / "linked"
    linked.symlink_to(outside)
    (tmp_path / "models" / "loose" / "x").mkdir(parents=True)

    for wrong in (outside, linked, folder.parent, tmp_path / "models", folder / "..", tmp_path / "models/loose/x"):
        with pytest.raises(ModelError):
            store(tmp_path).remove(wrong)

    assert (outside / manifest.NAME).exists()
    assert folder.exists()


def test_prune_finds_parts_old_revisions_unknown_models_and_locks_and_nothing_in_use(tmp_path: Path) -> None:
    where = store(tmp_path)
    old, new = row(file(URL)), row(file(URL, BODY[::-1]))
    put(tmp_path, old, pulled=True)
    used = put(tmp_path, new, BODY[::-1], pulled=True)
    imported = put(tmp_path, row(file(URL), id="imported"))
    put(tmp_path, row(file(URL), id="unknown"), pulled=True)
    (where.home / ".parts" / "half" / "abc").mkdir(parents=True)
    (where.home / ".parts" / "half" / "abc" / "0.part").write_bytes(BODY)
    (where.home / ".parts" / "busy" / "abc").mkdir(parents=True)
    (where.home / "small" / "broken").mkdir()

    with Lock(where.lock("busy")):
        found = pruning.leftovers(where, {"small": new}.get)
        assert sorted(one.why for one in found if not one.path.name.endswith(".lock")) == [
            "a folder without a manifest: nothing uses it",
            "another revision of it is here and is used",
            "no row of the catalog names it",
            "part of an unfinished pull",
        ]
        for one in found:
            pruning.prune(where, one)

    assert used.exists()
    assert imported.exists()
    assert [one.id for one in where.installed()] == ["imported", "small"]
    assert (where.home / ".parts" / "busy" / "abc").exists()
    assert [path.name for path in (where.home / ".locks").iterdir()] == ["busy.lock"]


def test_prune_never_takes_what_is_reached_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"x")
    (tmp_path / "models" / ".parts" / "half").mkdir(parents=True)
    (tmp_path / "models" / ".parts" / "half" / "abc").symlink_to(outside)

    assert pruning.leftovers(store(tmp_path), lambda _: None) == ()
    assert (outside / "precious").exists()


def test_a_lock_that_is_held_is_not_had_and_a_lost_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.lock"
    first, second = Lock(path), Lock(path, limit=0.3)
    assert first.take()
    assert not second.take()
    with pytest.raises(ModelError, match=r"holds .* for longer than"):
        second.__enter__()
    first.give_back(remove=True)
    assert not path.exists()
    assert second.take()
    second.give_back()


@pytest.mark.skipif(os.name == "nt", reason="Windows does not delete an open file")
def test_a_lock_on_a_file_that_was_taken_away_meanwhile_counts_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "b.lock"
    path.touch()
    waiting = os.open(path, os.O_RDWR)  # as a process that waits has it open
    try:
        path.unlink()
        path.touch()
        assert not Lock(path)._is_still(waiting)
    finally:
        os.close(waiting)


def test_pickles_are_told_from_weights(tmp_path: Path) -> None:
    class Evil:
        pass

    assert pickled.begins(pickle.dumps({"a": 1}, protocol=0))
    for protocol in range(2, 6):
        for value in ({"a": 1}, [1], (), "text", 7, None, Evil):
            if value is not Evil:
                assert pickled.begins(pickle.dumps(value, protocol=protocol)), (protocol, value)
    assert pickled.begins(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.")  # torch before 1.6
    for weights in (
        b"lmgg\x05\x00\x00\x00",  # whisper.cpp's ggml .bin
        b"GGUF\x03\x00\x00\x00",
        b"\x08\x07\x12\x07pytorch",  # ONNX
        (640).to_bytes(8, "little") + b'{"__metadata__":',  # safetensors
        (0x280280).to_bytes(8, "little") + b'{"a":',
        b"\x06\x00\x00\x00\x0c\x00WhisperSpec\x00",  # ctranslate2
        b"",
        b"\x80",
        bytes(300),
    ):
        assert not pickled.begins(weights), weights
    arrays, torch = tmp_path / "voices.bin", tmp_path / "model.bin"
    for path, name in ((arrays, "af.npy"), (torch, "archive/data.pkl")):
        with zipfile.ZipFile(path, "w") as made:
            made.writestr(name, b"x")
    assert not pickled.held_by(arrays)
    assert pickled.held_by(torch)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (99_400, "99.4 kB"),
        (1_540_000_000, "1.5 GB"),
        (5 * 10**12, "5.0 TB"),
    ],
)
def test_bytes_are_said_as_people_read_them(count: int, text: str) -> None:
    assert space.words(count) == text


def test_free_space_is_that_of_the_nearest_folder_there_is(tmp_path: Path) -> None:
    assert space.free(tmp_path / "not" / "yet") > 0
    assert Store(tmp_path).free(tmp_path) > 0
