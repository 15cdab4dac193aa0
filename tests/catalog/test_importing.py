"""Models from files that are here."""

from __future__ import annotations

import dataclasses
import io
import pickle
import tarfile
from pathlib import Path

import pytest

from locara.catalog import importing, index, manifest, verifying
from locara.errors import ConfigError, ModelError

from .made import BODY, environment, file, row, sha, store

URL = "https://example.org/a"


@pytest.mark.parametrize("link", [False, True])
def test_a_file_under_any_name_is_the_one_file_of_the_row(tmp_path: Path, link: bool) -> None:
    source = tmp_path / "download (3).tmp"
    source.write_bytes(BODY)
    one = row(file(URL))

    folder = importing.import_files(one, [source], store(tmp_path), link=link)

    assert folder == store(tmp_path).present(one)
    assert (folder / "model.onnx").read_bytes() == BODY
    assert source.samefile(folder / "model.onnx") is link
    found = manifest.read(folder)
    assert found is not None
    assert (found.source, found.compared) == ("imported", True)


def test_a_folder_is_searched_by_path_and_by_name(tmp_path: Path) -> None:
    (tmp_path / "stick" / "onnx").mkdir(parents=True)
    (tmp_path / "stick" / "onnx" / "a.onnx").write_bytes(BODY)
    (tmp_path / "stick" / "tokens-v2.txt").write_bytes(b"a b")
    one = row(file(URL, path="onnx/a.onnx"), file("https://e.org/x/tokens-v2.txt?d=1", b"a b", "tokens.txt"))

    folder = importing.import_files(one, [tmp_path / "stick"], store(tmp_path))

    assert (folder / "onnx" / "a.onnx").read_bytes() == BODY
    assert (folder / "tokens.txt").read_bytes() == b"a b"


def test_an_archive_is_imported_as_it_would_be_pulled(tmp_path: Path) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        info = tarfile.TarInfo("top/model.onnx")
        info.size = len(BODY)
        archive.addfile(info, io.BytesIO(BODY))
    (tmp_path / "a.tar.gz").write_bytes(made.getvalue())
    one = row(file(URL, made.getvalue(), "a.tar.gz", unpack="tar.gz", strip=1))

    assert (importing.import_files(one, [tmp_path / "a.tar.gz"], store(tmp_path)) / "model.onnx").read_bytes() == BODY


def test_a_folder_that_another_machine_published_is_carried_here(tmp_path: Path) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        info = tarfile.TarInfo("top/sub/model.onnx")
        info.size = len(BODY)
        archive.addfile(info, io.BytesIO(BODY))
    (tmp_path / "a.tar.gz").write_bytes(made.getvalue())
    one = row(file(URL, made.getvalue(), "a.tar.gz", unpack="tar.gz", strip=1))
    there = importing.import_files(one, [tmp_path / "a.tar.gz"], store(tmp_path))
    here = store(tmp_path / "here")

    assert importing.import_files(one, [there], here) == here.present(one)

    (there / "sub" / "model.onnx").write_bytes(BODY[::-1])
    with pytest.raises(ModelError, match="has changed since"):
        importing.import_files(one, [there], store(tmp_path / "third"))
    assert store(tmp_path / "third").installed() == ()


@pytest.mark.parametrize("name", ["../../evil", "/evil", "a.pkl", "locara-model.json"])
def test_a_carried_manifest_cannot_name_files_elsewhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "x").write_bytes(BODY)
    one = row(file(URL))
    there = importing.import_files(one, [tmp_path / "x"], store(tmp_path))
    beside = there / manifest.NAME
    text = beside.read_text()
    beside.write_text(text[: text.index('"files"')] + text[text.index('"files"') :].replace("model.onnx", name))

    with pytest.raises(ModelError, match=r"in locara-model\.json"):
        importing.import_files(one, [there], store(tmp_path / "here"))

    assert not list(tmp_path.rglob("evil*"))


def test_an_import_leaves_the_parts_of_a_pull_alone(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(BODY[::-1])
    one = row(file(URL))
    half = store(tmp_path).parts(one) / "000-model.onnx.part"
    half.parent.mkdir(parents=True)
    half.write_bytes(BODY[:1000])

    with pytest.raises(ModelError):
        importing.import_files(one, [tmp_path / "x"], store(tmp_path))

    assert half.read_bytes() == BODY[:1000]


def test_a_wrong_file_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    wrong = tmp_path / "model.onnx"
    for body, why in ((BODY[::-1], "its sha256 is"), (BODY[:-1], "it has 299999 bytes, the catalog says 300000")):
        wrong.write_bytes(body)
        with pytest.raises(ModelError, match=why):
            importing.import_files(row(file(URL)), [wrong], store(tmp_path))

    assert store(tmp_path).installed() == ()
    assert not [path for path in (tmp_path / "models" / ".parts").rglob("*") if path.is_file()]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(BODY)
    one = row(file(URL), file(URL, path="tokens.txt"), file(URL, path="voices.bin"))

    with pytest.raises(ModelError, match=r"also needs tokens\.txt, voices\.bin"):
        importing.import_files(one, [tmp_path / "model.onnx"], store(tmp_path))
    with pytest.raises(ModelError, match="there is nothing at"):
        importing.import_files(one, [tmp_path / "gone"], store(tmp_path))


def test_a_pickle_is_not_imported_under_any_name(tmp_path: Path) -> None:
    body = pickle.dumps([1, 2, 3])
    (tmp_path / "model.onnx").write_bytes(body)

    with pytest.raises(ModelError, match="it is a pickle"):
        importing.import_files(row(file(URL, body)), [tmp_path / "model.onnx"], store(tmp_path))


def test_an_unpinned_row_notes_what_it_found_and_verify_compares(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(BODY)
    one = row(dataclasses.replace(file(URL), sha256="", size=None))

    folder = importing.import_files(one, [tmp_path / "x"], store(tmp_path))

    found = manifest.read(folder)
    assert found is not None
    assert not found.compared
    assert found.files[0].sha256 == sha(BODY)
    assert verifying.verify(folder, found).damages == ()
    (folder / "model.onnx").write_bytes(BODY[::-1])
    assert "its contents have changed" in verifying.verify(folder, found).damages[0].what


def test_the_disk_is_asked_first(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(BODY)

    with pytest.raises(ModelError, match="does not fit on the disk"):
        importing.import_files(row(file(URL)), [tmp_path / "x"], store(tmp_path, free=1000))


def test_a_model_of_ones_own_gets_a_row_that_the_catalog_reads(tmp_path: Path) -> None:
    source = tmp_path / "mine"
    (source / "sub").mkdir(parents=True)
    (source / "model.onnx").write_bytes(BODY)
    (source / "sub" / "tokens.txt").write_bytes(b"a")
    (source / "train.ckpt").write_bytes(b"x")
    (source / ".cache").write_bytes(b"x")
    (tmp_path / "rows").mkdir()
    env = environment(tmp_path, LOCARA_CATALOG=str(tmp_path / "rows"))

    own = importing.import_as(
        "my-voice",
        [source],
        store(tmp_path),
        kind="tts",
        engine="sherpa-onnx",
        options={"family": "vits"},
        environment=env,
    )

    assert own.left_out == ("train.ckpt",)
    found = index.find("my-voice", env)
    assert found == own.row
    assert found is not None
    assert store(tmp_path).present(found) == own.folder
    assert sorted(one.path for one in found.files) == ["model.onnx", "sub/tokens.txt"]
    assert importing.forget("my-voice", env)
    assert index.find("my-voice", env) is None


def test_a_row_that_somebody_wrote_by_hand_is_not_deleted(tmp_path: Path) -> None:
    env = environment(tmp_path, LOCARA_CATALOG=str(tmp_path))
    (tmp_path / "mine.toml").write_text("# by hand\n")

    assert not importing.forget("mine", env)
    assert (tmp_path / "mine.toml").exists()


@pytest.mark.parametrize("name", ["Upper", "../up", "a b", "con", ""])
def test_a_name_that_cannot_be_a_models_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "x").write_bytes(BODY)
    (tmp_path / "rows").mkdir()
    env = environment(tmp_path, LOCARA_CATALOG=str(tmp_path / "rows"))

    with pytest.raises((ModelError, ConfigError)):
        importing.import_as(name, [tmp_path / "x"], store(tmp_path), kind="tts", engine="e", environment=env)

    assert sorted(path.name for path in tmp_path.rglob("*")) == ["rows", "x"]


def test_rows_in_a_single_file_take_no_row(tmp_path: Path) -> None:
    (tmp_path / "rows.toml").write_text("")
    env = environment(tmp_path, LOCARA_CATALOG=str(tmp_path / "rows.toml"))
    (tmp_path / "x").write_bytes(BODY)

    with pytest.raises(ConfigError, match="to which no row is added"):
        importing.import_as("mine", [tmp_path / "x"], store(tmp_path), kind="tts", engine="e", environment=env)
