"""The hub: its cache, its mirrors, who gets the token, gated models. Against a server on this machine."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from locara.catalog import hub, manifest
from locara.catalog.pulling import pull
from locara.catalog.row import ModelFile, Row
from locara.errors import ModelError

from .hostile import Hostile, Served
from .made import BODY, HASTY, environment, row, sha, store

TOKEN = "hf_mine"  # noqa: S105 - made up
REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def server() -> Iterator[Hostile]:
    with Hostile({}) as running:
        yield running


def hub_row(**more: Any) -> Row:
    files = more.pop("files", (ModelFile("model.onnx", sha256=sha(BODY), size=len(BODY)),))
    return row(*files, **{"hub": "owner/name", "revision": REVISION, **more})


def pulled(one: Row, tmp_path: Path, server: Hostile, *, agreed: bool = False, token: str = "") -> Path:
    variables = environment(tmp_path, HF_ENDPOINT=server.url, **({"HF_TOKEN": token} if token else {}))
    return pull(one, store(tmp_path, variables), agreed=agreed, environment=variables, patience=HASTY)


def cached(tmp_path: Path, body: bytes = BODY, name: str = "model.onnx", revision: str = REVISION) -> Path:
    """The file as the hub's own client lays it down: a blob by its hash, and a link to it."""
    home = tmp_path / "hf" / "hub" / "models--owner--name"
    blob = home / "blobs" / sha(body)
    link = home / "snapshots" / revision / name
    blob.parent.mkdir(parents=True, exist_ok=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(body)
    link.symlink_to(os.path.relpath(blob, link.parent))
    return link


def test_a_file_is_asked_for_at_the_rows_revision_of_the_mirror(server: Hostile, tmp_path: Path) -> None:
    path = f"/owner/name/resolve/{REVISION}/onnx/a%20b.onnx"
    server.serve[path] = Served(BODY)
    one = hub_row(files=(ModelFile("onnx/a b.onnx", sha256=sha(BODY), size=len(BODY)),))

    folder = pulled(one, tmp_path, server, token=TOKEN)

    assert (folder / "onnx" / "a b.onnx").read_bytes() == BODY
    assert "authorization" not in server.seen[0].headers  # nobody asked for it


def test_addresses_of_the_hub_go_to_the_mirror_too() -> None:
    env = {"HF_ENDPOINT": "https://mirror.example/"}
    named = ModelFile("a", url="https://huggingface.co/o/n/resolve/main/a")
    other = ModelFile("a", url="https://github.com/o/n/a")

    assert hub.address(row(named), named, env) == "https://mirror.example/o/n/resolve/main/a"
    assert hub.address(row(other), other, env) == "https://github.com/o/n/a"


def test_an_unpinned_row_takes_all_files_from_the_revision_of_the_first(server: Hostile, tmp_path: Path) -> None:
    one = hub_row(revision="", files=(ModelFile("a.onnx"), ModelFile("b.onnx")))
    server.serve["/owner/name/resolve/main/a.onnx"] = Served(BODY, extra={"X-Repo-Commit": REVISION})
    server.serve[f"/owner/name/resolve/{REVISION}/b.onnx"] = Served(BODY[::-1], cut=1000)

    with pytest.raises(ModelError, match="given up"):
        pulled(one, tmp_path, server, agreed=True)
    server.serve["/owner/name/resolve/main/a.onnx"] = Served(b"newer", extra={"X-Repo-Commit": "f" * 40})
    server.serve[f"/owner/name/resolve/{REVISION}/b.onnx"] = Served(BODY[::-1])
    server.seen.clear()
    folder = pulled(one, tmp_path, server, agreed=True)

    assert [seen.path for seen in server.seen] == [f"/owner/name/resolve/{REVISION}/b.onnx"]
    assert (folder / "a.onnx").read_bytes() == BODY
    found = manifest.read(folder)
    assert found is not None
    assert found.revision == REVISION


def test_what_the_hub_says_of_a_file_is_compared_where_the_row_has_no_hash(server: Hostile, tmp_path: Path) -> None:
    one = hub_row(revision="", files=(ModelFile("a.onnx"),))
    server.serve["/owner/name/resolve/main/a.onnx"] = Served(
        b"", redirect="/cdn", extra={"X-Linked-Etag": f'"{sha(BODY)}"', "X-Repo-Commit": REVISION}
    )
    server.serve["/cdn"] = Served(BODY[::-1])

    with pytest.raises(ModelError, match="the hub says"):
        pulled(one, tmp_path, server, agreed=True)
    server.serve["/cdn"] = Served(BODY)
    assert pulled(one, tmp_path, server, agreed=True)


def test_the_token_goes_to_the_hub_and_never_to_another_host(server: Hostile, tmp_path: Path) -> None:
    path = f"/owner/name/resolve/{REVISION}/model.onnx"
    server.serve[path] = Served(b"", redirect=f"{server.other_url}/cdn/file?signature=1")
    server.serve["/cdn/file?signature=1"] = Served(BODY)

    pulled(hub_row(flags=("gated",)), tmp_path, server, token=TOKEN)

    assert [(seen.path, seen.headers.get("authorization")) for seen in server.seen] == [
        (path, f"Bearer {TOKEN}"),
        ("/cdn/file?signature=1", None),
    ]


def test_a_file_from_elsewhere_never_gets_the_token(server: Hostile, tmp_path: Path) -> None:
    server.serve["/m"] = Served(BODY, wants=TOKEN)
    one = row(ModelFile("m.onnx", url=f"{server.other_url}/m", sha256=sha(BODY)), flags=("gated",))

    with pytest.raises(ModelError, match="answered 401"):
        pulled(one, tmp_path, server, token=TOKEN)

    assert "authorization" not in server.seen[0].headers


def test_a_gated_model_without_a_token_is_explained(server: Hostile, tmp_path: Path) -> None:
    server.serve[f"/owner/name/resolve/{REVISION}/model.onnx"] = Served(BODY, wants="hf_good")

    with pytest.raises(ModelError, match=r"gated.*\(401\)") as caught:
        pulled(hub_row(flags=("gated",)), tmp_path, server)

    assert f"accept them at {server.url}/owner/name" in caught.value.hint
    assert "set HF_TOKEN" in caught.value.hint


def test_a_token_without_access_is_explained_and_not_shown(server: Hostile, tmp_path: Path) -> None:
    server.serve[f"/owner/name/resolve/{REVISION}/model.onnx"] = Served(BODY, wants="hf_good")

    with pytest.raises(ModelError, match=r"your token has no access to it \(403\)") as caught:
        pulled(hub_row(flags=("gated",)), tmp_path, server, token=TOKEN)

    assert TOKEN not in caught.value.explain()


def test_a_token_that_the_hub_does_not_take_is_explained(server: Hostile, tmp_path: Path) -> None:
    server.serve[f"/owner/name/resolve/{REVISION}/model.onnx"] = Served(b"", status=401)

    with pytest.raises(ModelError, match="wrong or has expired"):
        pulled(hub_row(), tmp_path, server, token=TOKEN)


def test_a_row_that_became_gated_is_asked_again_with_the_token_that_is_here(server: Hostile, tmp_path: Path) -> None:
    server.serve[f"/owner/name/resolve/{REVISION}/model.onnx"] = Served(BODY, wants="hf_good")
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text("hf_good\n")

    assert pulled(hub_row(), tmp_path, server)

    assert [seen.headers.get("authorization") for seen in server.seen] == [None, "Bearer hf_good"]


def test_a_private_or_missing_repository_is_explained(server: Hostile, tmp_path: Path) -> None:
    server.serve[f"/owner/name/resolve/{REVISION}/model.onnx"] = Served(b"", status=401)

    with pytest.raises(ModelError, match="private, gated or not there"):
        pulled(hub_row(), tmp_path, server)


def test_what_the_server_says_itself_is_passed_on(server: Hostile, tmp_path: Path) -> None:
    server.serve[f"/owner/name/resolve/{REVISION}/model.onnx"] = Served(
        b"", status=404, extra={"X-Error-Message": "Entry not found"}
    )

    with pytest.raises(ModelError, match="the server says: Entry not found"):
        pulled(hub_row(), tmp_path, server)


def test_the_hubs_own_cache_is_used_where_it_lies(server: Hostile, tmp_path: Path) -> None:
    link = cached(tmp_path)

    assert pulled(hub_row(), tmp_path, server) == link.parent
    assert not server.seen
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    "other",
    [
        {"revision": "f" * 40},
        {"revision": ""},
        {"files": (ModelFile("model.onnx", sha256=sha(b"x"), size=len(BODY)),)},
        {"files": (ModelFile("model.onnx", size=7),)},
        {"files": (ModelFile("model.onnx"), ModelFile("tokens.txt"))},
    ],
)
def test_another_revision_hash_size_or_a_missing_file_is_not_taken_from_the_cache(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    cached(tmp_path)

    assert store(tmp_path).present(hub_row(**other)) is None


def test_what_the_cache_has_of_a_model_is_not_fetched_again(server: Hostile, tmp_path: Path) -> None:
    cached(tmp_path)
    tokens = b"a b"
    path = f"/owner/name/resolve/{REVISION}/tokens.txt"
    server.serve[path] = Served(tokens)
    both = (*hub_row().files, ModelFile("tokens.txt", sha256=sha(tokens)))

    folder = pulled(hub_row(files=both), tmp_path, server)

    assert [seen.path for seen in server.seen] == [path]
    assert (folder / "model.onnx").read_bytes() == BODY


def test_the_variables_of_the_hubs_client_are_honoured(tmp_path: Path) -> None:
    assert hub.cache({"HF_HUB_CACHE": "/c", "HF_HOME": "/h"}) == Path("/c")
    assert hub.cache({"HF_HOME": "/h", "XDG_CACHE_HOME": "/x"}) == Path("/h/hub")
    assert hub.cache({"XDG_CACHE_HOME": "/x"}) == Path("/x/huggingface/hub")
    assert hub.cache({}) == Path.home() / ".cache" / "huggingface" / "hub"
    assert hub.token({"HF_TOKEN": " a ", "HUGGING_FACE_HUB_TOKEN": "b"}) == "a"
    (tmp_path / "t").write_text("from a file\nX-Evil: header")
    assert hub.token({"HF_TOKEN_PATH": str(tmp_path / "t")}) == ""
    assert hub.offline({"HF_HUB_OFFLINE": "0", "LOCARA_OFFLINE": "ON"}) == "LOCARA_OFFLINE"
    assert hub.offline({"HF_HUB_OFFLINE": "0"}) == ""


def test_two_threads_at_once_fetch_one_model_once(server: Hostile, tmp_path: Path) -> None:
    one = hub_row(files=(ModelFile("model.onnx"),))  # without a hash nothing could be taken over instead
    server.serve[f"/owner/name/resolve/{REVISION}/model.onnx"] = Served(BODY, slow=0.001)
    folders: list[Path] = []
    both = [
        threading.Thread(target=lambda: folders.append(pulled(one, tmp_path, server, agreed=True))) for _ in range(2)
    ]
    for each in both:
        each.start()
    for each in both:
        each.join()

    assert len(folders) == 2
    assert folders[0] == folders[1]
    assert len(server.seen) == 1


def test_sizes_that_were_learnt_later_change_nothing(tmp_path: Path) -> None:
    one = hub_row()
    bare = dataclasses.replace(one, files=(dataclasses.replace(one.files[0], size=None),))

    assert store(tmp_path).place(one) == store(tmp_path).place(bare)
