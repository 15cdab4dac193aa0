"""Pulls from a server on this machine that does everything wrong."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from locara.catalog import manifest, space
from locara.catalog.pulling import Progress, pull
from locara.catalog.row import Row
from locara.errors import ModelError, Offline, PullStopped

from .hostile import Hostile, Served
from .made import BODY, HASTY, environment, file, row, sha, store


@pytest.fixture
def server() -> Iterator[Hostile]:
    with Hostile({"/m": Served(BODY)}) as running:
        yield running


def pulled(one: Row, tmp_path: Path, told: list[Progress] | None = None, **more: Any) -> Path:
    env = more.pop("environment", environment(tmp_path))
    heard = None if told is None else told.append
    where = more.pop("store", None) or store(tmp_path, env)
    return pull(one, where, environment=env, patience=more.pop("patience", HASTY), progress=heard, **more)


def notes(told: list[Progress]) -> str:
    return " | ".join(one.note for one in told if one.note)


def part(tmp_path: Path) -> Path:
    return next((tmp_path / "models" / ".parts").rglob("*.part"))


def nothing_published(tmp_path: Path) -> bool:
    return store(tmp_path).installed() == ()


def test_a_model_is_fetched_compared_and_published_with_a_manifest(server: Hostile, tmp_path: Path) -> None:
    one = row(file(f"{server.url}/m"), file(f"{server.url}/m", path="voices/a.bin"))
    told: list[Progress] = []

    folder = pulled(one, tmp_path, told)

    assert folder == store(tmp_path).present(one) == store(tmp_path).folder(one)
    assert (folder / "model.onnx").read_bytes() == (folder / "voices" / "a.bin").read_bytes() == BODY
    found = manifest.read(folder)
    assert found is not None
    assert (found.source, found.compared, found.files[0].sha256) == ("pulled", True, sha(BODY))
    assert [one.stage for one in told][-1] == "done"
    assert told[-2].total == 2 * len(BODY)
    assert not list((tmp_path / "models" / ".parts").rglob("*.part"))
    assert (tmp_path / "models" / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")


def test_what_is_here_costs_no_request(server: Hostile, tmp_path: Path) -> None:
    one = row(file(f"{server.url}/m"))
    pulled(one, tmp_path)
    before = len(server.seen)

    assert pulled(one, tmp_path, offline=True) == pulled(one, tmp_path)

    assert len(server.seen) == before == 1


def test_a_broken_connection_is_gone_on_from_where_it_broke(server: Hostile, tmp_path: Path) -> None:
    server.serve["/m"] = Served(BODY, cut=100_000, cuts=2)
    told: list[Progress] = []

    folder = pulled(row(file(f"{server.url}/m")), tmp_path, told)

    assert (folder / "model.onnx").read_bytes() == BODY
    assert server.ranges("/m") == ["", "bytes=100000-", "bytes=200000-"]
    assert server.seen[1].headers["if-range"] == '"one"'
    assert "attempt 2 of 4" in notes(told)


def test_giving_up_keeps_the_part_and_the_next_pull_goes_on(server: Hostile, tmp_path: Path) -> None:
    server.serve["/m"] = Served(BODY, cut=1000)
    one = row(file(f"{server.url}/m"))

    with pytest.raises(ModelError, match="given up after 4 attempts") as caught:
        pulled(one, tmp_path)

    assert "what was fetched is kept" in caught.value.hint
    assert part(tmp_path).stat().st_size == 4000
    assert nothing_published(tmp_path)
    server.serve["/m"] = Served(BODY)
    assert (pulled(one, tmp_path) / "model.onnx").read_bytes() == BODY
    assert server.ranges("/m")[-1] == "bytes=4000-"


def test_a_server_without_ranges_starts_anew_and_it_is_said(server: Hostile, tmp_path: Path) -> None:
    server.serve["/m"] = Served(BODY, cut=100_000, cuts=1, ranges=False)
    told: list[Progress] = []

    folder = pulled(row(file(f"{server.url}/m")), tmp_path, told)

    assert (folder / "model.onnx").read_bytes() == BODY
    assert "no ranges" in notes(told)
    assert "starts anew" in notes(told)


def test_a_server_without_ranges_that_always_breaks_off_is_given_up(server: Hostile, tmp_path: Path) -> None:
    server.serve["/m"] = Served(BODY, cut=200_000, ranges=False)
    patience = dataclasses.replace(HASTY, progress_bytes=1000)

    with pytest.raises(ModelError, match="given up"):
        pulled(row(file(f"{server.url}/m")), tmp_path, patience=patience)

    assert len(server.seen) <= 6


def test_a_file_that_changed_on_the_server_starts_anew(server: Hostile, tmp_path: Path) -> None:
    new = BODY[::-1]
    server.serve["/m"] = Served(BODY, cut=1000)
    one = row(dataclasses.replace(file(f"{server.url}/m"), sha256="", size=None))
    with pytest.raises(ModelError):
        pulled(one, tmp_path, agreed=True)

    server.serve["/m"] = Served(new, etag='"two"')
    folder = pulled(one, tmp_path, agreed=True)

    assert (folder / "model.onnx").read_bytes() == new
    assert server.seen[-1].headers["if-range"] == '"one"'


def test_without_a_validator_and_a_hash_nothing_is_resumed(server: Hostile, tmp_path: Path) -> None:
    server.serve["/m"] = Served(BODY, etag="", cut=1000, cuts=1)
    one = row(dataclasses.replace(file(f"{server.url}/m"), sha256=""))

    assert (pulled(one, tmp_path, agreed=True) / "model.onnx").read_bytes() == BODY
    assert server.ranges("/m") == ["", ""]


def test_a_part_that_was_changed_on_disk_costs_one_fresh_attempt(server: Hostile, tmp_path: Path) -> None:
    server.serve["/m"] = Served(BODY, cut=50_000)
    one = row(file(f"{server.url}/m"))
    with pytest.raises(ModelError):
        pulled(one, tmp_path)
    with part(tmp_path).open("r+b") as opened:
        opened.write(b"damaged")
    server.serve["/m"] = Served(BODY)
    told: list[Progress] = []

    assert (pulled(one, tmp_path, told) / "model.onnx").read_bytes() == BODY
    assert "does not have the expected hash" in notes(told)


def test_a_wrong_body_is_refused_with_both_hashes_and_not_kept(server: Hostile, tmp_path: Path) -> None:
    wrong = BODY[::-1]
    server.serve["/m"] = Served(wrong)

    with pytest.raises(ModelError) as caught:
        pulled(row(file(f"{server.url}/m")), tmp_path)

    assert sha(wrong) in caught.value.message
    assert sha(BODY) in caught.value.message
    assert nothing_published(tmp_path)
    assert not list((tmp_path / "models").rglob("*.part"))


@pytest.mark.parametrize("length", [10, 400_000])
def test_another_length_than_the_catalogs_is_refused_before_it_is_fetched(
    server: Hostile, tmp_path: Path, length: int
) -> None:
    server.serve["/m"] = Served(bytes(length))

    with pytest.raises(ModelError, match=f"a file of {length} bytes, the catalog says 300000"):
        pulled(row(file(f"{server.url}/m")), tmp_path)

    assert len(server.seen) == 1


def test_a_body_longer_than_the_file_is_cut_off(server: Hostile, tmp_path: Path) -> None:
    server.serve["/m"] = Served(BODY * 3, no_length=True)

    with pytest.raises(ModelError, match="sends more than the 300000 bytes"):
        pulled(row(file(f"{server.url}/m")), tmp_path)

    assert not list((tmp_path / "models").rglob("*.part"))


def test_a_body_shorter_than_announced_is_asked_for_again(server: Hostile, tmp_path: Path) -> None:
    server.serve["/m"] = Served(BODY[:1000], length=len(BODY), ranges=False)

    with pytest.raises(ModelError, match="given up"):
        pulled(row(file(f"{server.url}/m")), tmp_path)

    assert len(server.seen) == 4


def test_a_server_whose_file_is_shorter_than_the_part_should_become_is_not_believed(
    server: Hostile, tmp_path: Path
) -> None:
    server.serve["/m"] = Served(BODY[:1000], length=len(BODY))

    with pytest.raises(ModelError, match="a file of 1000 bytes, the catalog says 300000"):
        pulled(row(file(f"{server.url}/m")), tmp_path)


def test_unpinned_without_any_length_is_refused(server: Hostile, tmp_path: Path) -> None:
    server.serve["/m"] = Served(BODY, no_length=True)

    with pytest.raises(ModelError, match="does not say how long"):
        pulled(row(dataclasses.replace(file(f"{server.url}/m"), sha256="", size=None)), tmp_path, agreed=True)


def test_a_server_that_stands_still_is_left_and_asked_again(server: Hostile, tmp_path: Path) -> None:
    server.serve["/m"] = Served(BODY, stall=5000)
    told: list[Progress] = []

    with pytest.raises(ModelError, match="sent nothing for"):
        pulled(row(file(f"{server.url}/m")), tmp_path, told, patience=dataclasses.replace(HASTY, read=0.2, retries=1))

    assert part(tmp_path).stat().st_size >= 5000


def test_a_server_that_trickles_is_as_good_as_silent(server: Hostile, tmp_path: Path) -> None:
    server.serve["/m"] = Served(BODY, slow=0.1)

    with pytest.raises(ModelError, match="sent only"):
        pulled(row(file(f"{server.url}/m")), tmp_path, patience=dataclasses.replace(HASTY, retries=0))


def test_a_wrong_range_is_not_believed(server: Hostile, tmp_path: Path) -> None:
    server.serve["/m"] = Served(BODY, cut=1000, cuts=1, wrong_range=True)

    folder = pulled(row(file(f"{server.url}/m")), tmp_path)

    assert (folder / "model.onnx").read_bytes() == BODY
    assert server.ranges("/m") == ["", "bytes=1000-", ""]


def test_416_means_whole_or_anew(server: Hostile, tmp_path: Path) -> None:
    one = row(dataclasses.replace(file(f"{server.url}/m"), size=None))
    server.serve["/m"] = Served(BODY, cut=1000)
    with pytest.raises(ModelError):
        pulled(one, tmp_path)
    held = part(tmp_path)
    held.write_bytes(BODY)  # whole, but nobody noted it
    note = held.with_name(held.name + ".json")
    note.write_text(json.dumps({**json.loads(note.read_text()), "total": None}))
    server.serve["/m"] = Served(BODY)

    assert (pulled(one, tmp_path) / "model.onnx").read_bytes() == BODY
    assert server.ranges("/m")[-1] == "bytes=300000-"


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_passing_trouble_is_waited_out_and_told(server: Hostile, tmp_path: Path, status: int) -> None:
    server.serve["/m"] = Served(BODY, fail=(status, status), extra={"Retry-After": "0"})
    told: list[Progress] = []

    assert (pulled(row(file(f"{server.url}/m")), tmp_path, told) / "model.onnx").read_bytes() == BODY

    assert str(status) in notes(told)
    assert len(server.seen) == 3


def test_a_server_that_wants_to_be_left_alone_for_long_is_not_waited_for(server: Hostile, tmp_path: Path) -> None:
    server.serve["/m"] = Served(BODY, fail=(429,), extra={"Retry-After": "3600"})

    with pytest.raises(ModelError, match="left alone for 3600 s"):
        pulled(row(file(f"{server.url}/m")), tmp_path)

    assert len(server.seen) == 1


def test_404_is_not_asked_twice(server: Hostile, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="it is not there"):
        pulled(row(file(f"{server.url}/gone")), tmp_path)

    assert len(server.seen) == 1


def test_a_login_page_instead_of_the_file_keeps_the_part(server: Hostile, tmp_path: Path) -> None:
    one = row(file(f"{server.url}/m"))
    server.serve["/m"] = Served(BODY, cut=1000)
    with pytest.raises(ModelError):
        pulled(one, tmp_path)
    page = b"\n<!DOCTYPE html><html><body>Welcome to our hotel" + bytes(300_000)
    for plan in (
        Served(page, extra={"Content-Type": "text/html; charset=utf-8"}, etag='"x"'),
        Served(page[: len(BODY)], etag='"x"'),
    ):
        server.serve["/m"] = plan
        with pytest.raises(ModelError, match="a web page came") as caught:
            pulled(one, tmp_path)
        assert "login" in caught.value.hint

    assert part(tmp_path).stat().st_size == 4000


def test_a_compressed_answer_is_refused(server: Hostile, tmp_path: Path) -> None:
    server.serve["/m"] = Served(BODY, extra={"Content-Encoding": "gzip"})

    with pytest.raises(ModelError, match=r"compressed \(gzip\)"):
        pulled(row(file(f"{server.url}/m")), tmp_path)

    assert server.seen[0].headers["accept-encoding"] == "identity"


def test_no_server_at_all_is_told_with_the_way_without_a_network(tmp_path: Path) -> None:
    with Hostile({}) as gone:
        url = gone.url

    with pytest.raises(ModelError, match=r"no connection to 127\.0\.0\.1") as caught:
        pulled(row(file(f"{url}/m")), tmp_path)

    assert "locara models import small PATH" in caught.value.hint


def test_redirects_are_followed_and_endless_ones_are_not(server: Hostile, tmp_path: Path) -> None:
    server.serve["/old"] = Served(b"", redirect="/m")
    server.serve["/loop"] = Served(b"", redirect="/loop")

    assert (pulled(row(file(f"{server.url}/old")), tmp_path) / "model.onnx").read_bytes() == BODY
    with pytest.raises(ModelError, match="more than 8 times"):
        pulled(row(file(f"{server.url}/loop"), id="looping"), tmp_path)


@pytest.mark.parametrize(
    "url", ["http://example.org/m", "ftp://127.0.0.1/m", "file:///etc/passwd", "https://me:secret@example.org/m", "m"]
)
def test_only_https_and_this_machine_are_asked(tmp_path: Path, url: str) -> None:
    with pytest.raises(ModelError, match="is not an address that models are fetched from") as caught:
        pulled(row(file(url)), tmp_path)

    assert "secret" not in caught.value.message


def test_a_redirect_to_plain_http_elsewhere_is_refused(server: Hostile, tmp_path: Path) -> None:
    server.serve["/m"] = Served(b"", redirect="http://example.org/m?signature=secret")

    with pytest.raises(ModelError, match="is not an address") as caught:
        pulled(row(file(f"{server.url}/m")), tmp_path)

    assert "secret" not in caught.value.message


def test_stop_ends_a_read_that_hangs_and_leaves_the_part(server: Hostile, tmp_path: Path) -> None:
    server.serve["/m"] = Served(BODY, stall=5000)
    stop = threading.Event()

    def heard(progress: Progress) -> None:
        if progress.stage == "downloading":  # soon after, the server stands still
            threading.Timer(0.3, stop.set).start()

    env = environment(tmp_path)
    with pytest.raises(PullStopped, match="what was fetched is kept"):
        pull(
            row(file(f"{server.url}/m")),
            store(tmp_path),
            environment=env,
            stop=stop,
            progress=heard,
            patience=dataclasses.replace(HASTY, read=60.0),
        )

    assert 1000 <= part(tmp_path).stat().st_size <= 5000
    assert len(server.seen) == 1
    assert not [one for one in threading.enumerate() if one.name == "locara-pull-stop"]


def test_an_unpinned_row_asks_first_and_notes_what_it_found(server: Hostile, tmp_path: Path) -> None:
    one = row(dataclasses.replace(file(f"{server.url}/m"), sha256="", size=None))

    with pytest.raises(ModelError, match="is unpinned") as caught:
        pulled(one, tmp_path)
    assert f"{server.url}/m" in caught.value.message
    assert not server.seen

    found = manifest.read(pulled(one, tmp_path, agreed=True))
    assert found is not None
    assert not found.compared
    assert (found.files[0].sha256, found.files[0].size) == (sha(BODY), len(BODY))


@pytest.mark.parametrize(
    ("more", "env", "named"),
    [
        ({"offline": True}, {}, "offline was asked for"),
        ({}, {"LOCARA_OFFLINE": "1"}, "LOCARA_OFFLINE is set"),
        ({}, {"HF_HUB_OFFLINE": "true"}, "HF_HUB_OFFLINE is set"),
    ],
)
def test_offline_names_the_way_to_import(
    server: Hostile, tmp_path: Path, more: dict[str, Any], env: dict[str, str], named: str
) -> None:
    with pytest.raises(Offline, match=named) as caught:
        pulled(row(file(f"{server.url}/m")), tmp_path, environment=environment(tmp_path, **env), **more)

    assert "locara models import small PATH" in caught.value.hint
    assert not server.seen


def test_the_disk_is_asked_before_the_server(server: Hostile, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        pulled(row(file(f"{server.url}/m")), tmp_path, store=store(tmp_path, free=400_000_000))

    assert caught.value.message == (
        f"small does not fit on the disk: 300 kB are still needed and 500 MB should stay free, but 400 MB are available "
        f"in {tmp_path / 'models'}"
    )
    assert not server.seen


def test_only_what_is_still_missing_needs_room(server: Hostile, tmp_path: Path) -> None:
    server.serve["/m"] = Served(BODY, cut=60_000)
    one = row(file(f"{server.url}/m"))
    with pytest.raises(ModelError):
        pulled(one, tmp_path)
    server.serve["/m"] = Served(BODY)
    room = space.MARGIN_BYTES + len(BODY) - part(tmp_path).stat().st_size

    with pytest.raises(ModelError, match="does not fit"):
        pulled(one, tmp_path, store=store(tmp_path, free=room - 1))
    assert pulled(one, tmp_path, store=store(tmp_path, free=room))


def test_an_unknown_size_is_compared_with_the_disk_once_the_server_says_it(server: Hostile, tmp_path: Path) -> None:
    one = row(dataclasses.replace(file(f"{server.url}/m"), size=None))

    with pytest.raises(ModelError, match="does not fit on the disk: 300 kB"):
        pulled(one, tmp_path, store=store(tmp_path, free=space.MARGIN_BYTES + 1000))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root, and Windows, write everywhere")
def test_a_read_only_folder_is_told(server: Hostile, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir(mode=0o500)

    with pytest.raises(ModelError, match="cannot be written") as caught:
        pulled(row(file(f"{server.url}/m")), tmp_path)

    assert "LOCARA_MODELS" in caught.value.hint


def test_a_folder_that_cannot_be_made_is_told(server: Hostile, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file lies where the folder should be")

    with pytest.raises(ModelError, match="cannot be written") as caught:
        pulled(row(file(f"{server.url}/m")), tmp_path)

    assert "LOCARA_MODELS" in caught.value.hint


@pytest.mark.parametrize("name", ["weights.pt", "model.ckpt", "a/b.pkl", "m.pth"])
def test_a_pickle_is_refused_by_its_name(server: Hostile, tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="is a pickle"):
        pulled(row(file(f"{server.url}/m", path=name)), tmp_path)

    assert not server.seen


def test_a_pickle_is_refused_by_what_is_in_it(server: Hostile, tmp_path: Path) -> None:
    import pickle

    body = pickle.dumps({"a": list(range(1000))})
    server.serve["/p"] = Served(body)

    with pytest.raises(ModelError, match="is a pickle"):
        pulled(row(file(f"{server.url}/p", body, "model.bin")), tmp_path)

    assert nothing_published(tmp_path)


def test_a_damaged_model_is_mended_and_only_the_damaged_file_is_fetched(server: Hostile, tmp_path: Path) -> None:
    other = BODY[::-1]
    server.serve["/other"] = Served(other)
    one = row(file(f"{server.url}/m"), file(f"{server.url}/other", other, "other.onnx"))
    folder = pulled(one, tmp_path)
    (folder / "model.onnx").write_bytes(bytes(len(BODY)))
    server.seen.clear()

    assert pulled(one, tmp_path, again=True) == folder

    assert (folder / "model.onnx").read_bytes() == BODY
    assert (folder / "other.onnx").read_bytes() == other
    assert [seen.path for seen in server.seen] == ["/m"]


def test_a_file_that_is_gone_makes_the_model_absent(server: Hostile, tmp_path: Path) -> None:
    one = row(file(f"{server.url}/m"))
    folder = pulled(one, tmp_path)
    (folder / "model.onnx").unlink()

    assert store(tmp_path).present(one) is None
    assert pulled(one, tmp_path) == folder


def test_a_new_revision_lies_beside_the_old_one_and_shares_what_has_not_changed(
    server: Hostile, tmp_path: Path
) -> None:
    old = row(file(f"{server.url}/m"))
    first = pulled(old, tmp_path)
    tokens = b"a b c"
    server.serve["/tokens"] = Served(tokens)
    new = row(file(f"{server.url}/m"), file(f"{server.url}/tokens", tokens, "tokens.txt"))
    server.seen.clear()

    second = pulled(new, tmp_path)

    assert first != second
    assert store(tmp_path).present(old) == first
    assert [seen.path for seen in server.seen] == ["/tokens"]


def test_pinning_what_was_found_fetches_nothing_again(server: Hostile, tmp_path: Path) -> None:
    url = f"{server.url}/m"
    folder = pulled(row(dataclasses.replace(file(url), sha256="", size=None)), tmp_path, agreed=True)

    assert store(tmp_path).present(row(file(url))) == folder
    assert store(tmp_path).present(row(file(url, BODY[::-1]))) is None


def test_an_archive_is_unpacked_into_the_models_folder(server: Hostile, tmp_path: Path) -> None:
    import io
    import tarfile

    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:bz2") as archive:
        for name, body in {"release-1/model.onnx": BODY, "release-1/sub/tokens.txt": b"a"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    server.serve["/a"] = Served(made.getvalue())
    one = row(file(f"{server.url}/a", made.getvalue(), "a.tar.bz2", unpack="tar.bz2", strip=1))

    folder = pulled(one, tmp_path)

    assert sorted(str(path.relative_to(folder).as_posix()) for path in folder.rglob("*") if path.is_file()) == [
        "locara-model.json",
        "model.onnx",
        "sub/tokens.txt",
    ]
    assert store(tmp_path).present(one) == folder


def test_stopping_while_it_unpacks_keeps_the_archive(server: Hostile, tmp_path: Path) -> None:
    import io
    import tarfile

    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        info = tarfile.TarInfo("model.onnx")
        info.size = len(BODY)
        archive.addfile(info, io.BytesIO(BODY))
    server.serve["/a"] = Served(made.getvalue())
    one = row(file(f"{server.url}/a", made.getvalue(), "a.tar", unpack="tar"))
    stop = threading.Event()

    def heard(progress: Progress) -> None:
        if progress.stage == "unpacking":
            stop.set()

    env = environment(tmp_path)
    with pytest.raises(PullStopped):
        # The first telling of this stage sets it, the second block of the file notices.
        pull(one, store(tmp_path), environment=env, stop=stop, progress=heard, patience=HASTY)

    assert part(tmp_path).stat().st_size == len(made.getvalue())
    assert not list((tmp_path / "models" / ".parts").rglob("tree"))
    assert (pulled(one, tmp_path) / "model.onnx").read_bytes() == BODY
    assert len(server.seen) == 1


def test_a_damaged_archive_is_told_and_not_gone_on_from(server: Hostile, tmp_path: Path) -> None:
    server.serve["/a"] = Served(BODY)

    with pytest.raises(ModelError, match="cannot be unpacked"):
        pulled(row(file(f"{server.url}/a", path="a.tar.gz", unpack="tar.gz")), tmp_path)

    assert nothing_published(tmp_path)
    assert not list((tmp_path / "models").rglob("*.part"))


def test_an_empty_file_is_a_file(server: Hostile, tmp_path: Path) -> None:
    server.serve["/e"] = Served(b"")

    folder = pulled(row(file(f"{server.url}/e", b"", "empty.txt")), tmp_path)

    assert (folder / "empty.txt").read_bytes() == b""


def test_a_bundled_row_and_one_without_files_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="comes with a package"):
        pulled(row(bundled=True), tmp_path)
    with pytest.raises(ModelError, match="does not know its files") as caught:
        pulled(row(note="get it from its shop"), tmp_path)
    assert caught.value.hint == "get it from its shop"


def test_a_full_disk_in_the_middle_is_told_in_words(tmp_path: Path) -> None:
    error = space.full("small", tmp_path, OSError(errno.ENOSPC, "No space left on device"))

    assert "No space left on device" in error.message
    assert "what was fetched is kept" in error.message
