"""Pulls in processes of their own: killed, two at once, on a full disk, without a network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .hostile import Hostile, Served
from .made import BODY, environment, file, row, store

SECONDS = 60.0
PROGRAM = """
import json, os, socket, sys
from pathlib import Path
from locara.catalog.row import ModelFile, Row
from locara.catalog.store import Store
from locara.errors import LocaraError

plan = json.loads(sys.argv[1])
exec(plan["before"])
from locara.catalog.pulling import pull
file = ModelFile("model.onnx", url=plan["url"], sha256=plan["sha256"], size=plan["size"])
row = Row(id="small", kind="stt", title="Small", licence="MIT", status="listed", engine="none", files=(file,))
def told(progress):
    print(progress.stage, progress.done, progress.note, flush=True)
try:
    env = plan["environment"]
    store = Store(plan["home"], environment=env, free=lambda _: 10**12)
    print("folder", pull(row, store, environment=env, progress=told, **plan["more"]), flush=True)
except LocaraError as error:
    print("error", type(error).__name__, error.explain(), flush=True)
    sys.exit(1)
"""
NO_SOCKETS = """
import socket as _socket
def _forbidden(*args, **kwargs):
    raise AssertionError("a socket was opened")
class _Forbidden(_socket.socket):
    __init__ = _forbidden
_socket.socket = _Forbidden
_socket.create_connection = _socket.getaddrinfo = _forbidden
"""


@pytest.fixture
def server() -> Iterator[Hostile]:
    with Hostile({"/m": Served(BODY)}) as running:
        yield running


def start(url: str, tmp_path: Path, before: str = "", **more: object) -> subprocess.Popen[str]:
    one = file(f"{url}/m")
    plan = {
        "before": before,
        "url": one.url,
        "sha256": one.sha256,
        "size": one.size,
        "home": str(tmp_path / "models"),
        "environment": environment(tmp_path),
        "more": more,
    }
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, json.dumps(plan)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=SECONDS)
    assert "Traceback" not in err, err
    return process.returncode, out


def until(condition: object, seconds: float = SECONDS) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


def size_of_part(tmp_path: Path) -> int:
    return sum(path.stat().st_size for path in (tmp_path / "models" / ".parts").rglob("*.part"))


def test_what_kill_leaves_is_no_model_and_is_gone_on_from(server: Hostile, tmp_path: Path) -> None:
    server.serve["/m"] = Served(BODY, stall=100_000)
    process = start(server.url, tmp_path)
    until(lambda: size_of_part(tmp_path) >= 90_000)
    process.kill()
    process.communicate(timeout=SECONDS)

    assert store(tmp_path).present(row(file(f"{server.url}/m"))) is None
    assert store(tmp_path).installed() == ()
    kept = size_of_part(tmp_path)
    server.serve["/m"] = Served(BODY)
    code, out = ended(start(server.url, tmp_path))

    assert code == 0, out
    assert server.ranges("/m") == ["", f"bytes={kept}-"]
    folder = store(tmp_path).present(row(file(f"{server.url}/m")))
    assert folder is not None
    assert (folder / "model.onnx").read_bytes() == BODY


def test_the_second_process_waits_and_finds_it_there(server: Hostile, tmp_path: Path) -> None:
    server.serve["/m"] = Served(BODY, slow=0.003)
    first = start(server.url, tmp_path)
    until(lambda: size_of_part(tmp_path) > 0)
    code, out = ended(start(server.url, tmp_path))

    assert code == 0, out
    assert f"waiting 0 another process (process {first.pid}) is at small" in out
    assert ended(first)[0] == 0
    assert len(server.seen) == 1


def test_the_second_process_takes_over_when_the_first_is_killed(server: Hostile, tmp_path: Path) -> None:
    server.serve["/m"] = Served(BODY, stall=50_000)
    first = start(server.url, tmp_path)
    until(lambda: size_of_part(tmp_path) >= 40_000)
    second = start(server.url, tmp_path)
    assert second.stdout is not None
    assert second.stdout.readline().startswith("waiting")
    server.serve["/m"] = Served(BODY)
    first.kill()
    first.communicate(timeout=SECONDS)

    code, out = ended(second)

    assert code == 0, out
    assert server.ranges("/m")[-1].startswith("bytes=")


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C of a child is another matter on Windows")
def test_ctrl_c_leaves_a_part(server: Hostile, tmp_path: Path) -> None:
    server.serve["/m"] = Served(BODY, stall=50_000)
    process = start(server.url, tmp_path)
    until(lambda: size_of_part(tmp_path) >= 40_000)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=SECONDS)

    assert size_of_part(tmp_path) >= 40_000
    server.serve["/m"] = Served(BODY)
    assert ended(start(server.url, tmp_path))[0] == 0


@pytest.mark.skipif(os.name == "nt", reason="no limit for the size of files on Windows")
def test_a_disk_that_takes_no_more_is_told_and_the_part_is_kept(server: Hostile, tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, 120_000))"
    code, out = ended(start(server.url, tmp_path, before=limit))

    assert code == 1
    assert "nothing more can be written" in out
    assert "what was fetched is kept" in out
    assert size_of_part(tmp_path) == 120_000
    assert ended(start(server.url, tmp_path))[0] == 0
    assert server.ranges("/m")[-1] == "bytes=120000-"


def test_what_is_here_is_found_with_all_sockets_blocked(server: Hostile, tmp_path: Path) -> None:
    assert ended(start(server.url, tmp_path))[0] == 0
    before = len(server.seen)

    for more in ({}, {"offline": True}):
        code, out = ended(start(server.url, tmp_path, before=NO_SOCKETS, **more))
        assert code == 0, out
        assert out.startswith("folder ")
    assert len(server.seen) == before


def test_offline_opens_no_socket_and_names_the_way_to_import(server: Hostile, tmp_path: Path) -> None:
    code, out = ended(start(server.url, tmp_path, before=NO_SOCKETS, offline=True))

    assert code == 1
    assert "Offline" in out
    assert "locara models import small PATH" in out


def test_the_block_on_sockets_would_be_noticed(server: Hostile, tmp_path: Path) -> None:
    process = start(server.url, tmp_path, before=NO_SOCKETS)
    _, err = process.communicate(timeout=SECONDS)

    assert process.returncode == 1
    assert "a socket was opened" in err
