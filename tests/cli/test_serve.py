"""``locara serve`` as a program of its own: ready when it says so, stopped by signals, its token private."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from locara.cli import serve
from locara.errors import ConfigError

from .talking import Running, running

pytestmark = pytest.mark.timeout(90)
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
ROOT = Path(__file__).parents[2]
TOKEN = "a-token-of-the-tests-0123456789"  # noqa: S105  opens nothing but a test


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    serve.arguments(parser)
    return parser.parse_args(arguments)


@dataclass(frozen=True)
class Served:
    """A server that has said it is ready."""

    run: Running
    ready: dict[str, Any]

    def ask(self, path: str, token: str | None = None) -> httpx.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.get(f"{self.ready['url']}{path}", headers=headers, trust_env=False)

    @property
    def token(self) -> str:
        return Path(self.ready["token_file"]).read_text(encoding="ascii").strip()


@contextlib.contextmanager
def served(folder: Path, *arguments: str, **environment: str) -> Iterator[Served]:
    pipe = subprocess.PIPE
    extra = {"LOCARA_RUNTIME": str(folder / "run"), **environment}
    command = ("serve", "--port", "0", "--no-browser", "--json", *arguments)
    with running(folder, *command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, extra=extra) as run:
        assert run.process.stdout is not None
        line = run.process.stdout.readline()
        assert line, run.process.stderr and run.process.stderr.read().decode()
        yield Served(run, json.loads(line))


def ended(one: Served, within: float = 30) -> tuple[int, str, str]:
    out, err = one.run.process.communicate(timeout=within)
    return one.run.process.returncode, out.decode(), err.decode()


def test_it_is_ready_when_it_says_so_and_its_token_is_where_it_says(tmp_path: Path) -> None:
    with served(tmp_path) as one:
        health = one.ask("/healthz", one.token)
        assert (health.status_code, health.json()["status"]) == (200, "ready")
        assert one.ask("/healthz").status_code == 401
        assert one.ready["url"] == f"http://127.0.0.1:{one.ready['port']}"
        assert set(one.ready["models"]) == {"stt", "llm", "tts"}
        if os.name == "posix":
            assert stat.S_IMODE(Path(one.ready["token_file"]).stat().st_mode) == 0o600
        if sys.platform.startswith("linux"):
            inside = [Path(f"/proc/{one.run.process.pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
            assert one.token.encode() not in b"".join(inside)


@POSIX
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_ends_it_with_the_documented_code_and_nothing_is_left(tmp_path: Path, name: str, code: int) -> None:
    with served(tmp_path) as one:
        file = Path(one.ready["token_file"])
        assert file.exists()
        one.run.process.send_signal(getattr(signal, name))
        left, out, err = ended(one)
        assert left == code
        assert json.loads(out.splitlines()[-1]) == {"event": "stopped", "code": code}
        assert "Traceback" not in err
        assert not file.exists()
        assert one.run.all_gone(5) == []


@POSIX
def test_a_signal_while_it_loads_ends_it_too(tmp_path: Path) -> None:
    quiet = subprocess.DEVNULL
    extra = {"LOCARA_RUNTIME": str(tmp_path / "run")}
    command = ("serve", "--port", "0", "--no-browser", "--json")
    with running(tmp_path, *command, stdin=quiet, stdout=subprocess.PIPE, stderr=subprocess.PIPE, extra=extra) as run:
        time.sleep(1.0)
        run.process.send_signal(signal.SIGTERM)
        _, err = run.process.communicate(timeout=30)
        assert run.process.returncode in (143, -signal.SIGTERM)  # the latter: before Python had begun to listen
        assert b"Traceback" not in err
        assert run.all_gone(5) == []


def test_a_token_of_ones_own_opens_it_and_is_not_handed_to_the_engines(tmp_path: Path) -> None:
    with served(tmp_path, LOCARA_TOKEN=TOKEN) as one:
        assert one.token == TOKEN
        assert one.ask("/healthz", TOKEN).status_code == 200
        if sys.platform.startswith("linux"):
            for child in Path("/proc").glob("[0-9]*/stat"):
                with contextlib.suppress(OSError):
                    if int(child.read_text().rpartition(")")[2].split()[1]) == one.run.process.pid:
                        assert TOKEN.encode() not in (child.parent / "environ").read_bytes()


def test_the_page_is_opened_again_with_a_new_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOCARA_RUNTIME", str(tmp_path / "run"))
    with served(tmp_path) as one:
        again = ["--open", "--no-browser", "--port", str(one.ready["port"])]
        assert serve.run(options(*again)) == 0
        url = capsys.readouterr().out.strip()
        code = url.partition("#code=")[2]
        assert url.startswith(one.ready["url"])
        traded = httpx.post(f"{one.ready['url']}/code", json={"code": code}, trust_env=False)
        assert traded.json() == {"token": one.token}
    with pytest.raises(ConfigError, match="no locara server of yours"):
        serve.run(options(*again))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_nothing_but_loopback_is_listened_on(tmp_path: Path) -> None:
    with served(tmp_path) as one:
        port = f"{one.ready['port']:04X}"
        found = [
            line.split()[1]
            for name in ("tcp", "tcp6")
            for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
            if line.split()[3] == "0A" and line.split()[1].endswith(f":{port}")
        ]
        assert found == [f"0100007F:{port}"]


def test_a_port_in_use_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "locara", "serve", "--no-browser", "--port", str(taken.getsockname()[1])]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "LOCARA_RUNTIME": str(tmp_path)},
        )
    assert done.returncode == 1
    assert "in use" in done.stderr
    assert "--port 0" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--host", "0.0.0.0"], "--allow-network"),  # noqa: S104  refused
        (["--host", "0.0.0.0", "--allow-network"], "--allow-host"),  # noqa: S104
        (["--host", "192.168.1.2"], "unencrypted"),
        (["--host", "192.168.1.2", "--allow-network", "--offline"], "exclude each other"),
        (["--port", "70000"], "no port"),
        (["--wyoming-port", "-1"], "--wyoming-port"),
        (["--wyoming-port", "0", "--wyoming-host", "0.0.0.0"], "no password"),  # noqa: S104
        (["--sessions", "0"], "--sessions"),
        (["--model", "kokoro-82"], "kokoro-82m"),
        (["--model", "silero-vad"], "cannot be chosen|no such model|no stage"),
        (["--tts", "a", "--model", "kokoro-82m"], "named already"),
        (["--omni", "moshi-7b", "--llm", "x"], "instead of"),
    ],
)
def test_what_cannot_work_is_said_with_the_next_step(arguments: list[str], told: str) -> None:
    with pytest.raises(ConfigError) as error:
        serve._settings(options(*arguments), TOKEN)
    assert re.search(told, error.value.explain())
    assert error.value.hint


def test_an_origin_that_is_none_is_said(tmp_path: Path) -> None:
    from locara.server import serving

    settings = serve._settings(options("--origin", "localhost:5173"), TOKEN)
    with pytest.raises(ConfigError, match="is no origin"):
        serving.runtime(settings, seats=None, questions=None)


def test_options_become_the_stages_of_sessions_that_name_none() -> None:
    told = options("--llm", "qwen2.5-3b-instruct-q4", "--model", "kokoro-82m", "--system", "Be brief.")
    assert serve._stages(told) == {
        "llm": {"model": "qwen2.5-3b-instruct-q4", "system": "Be brief."},
        "tts": "kokoro-82m",
    }
    assert serve._stages(options()) == {}
    assert serve._stages(options("--omni", "moshi-7b", "--stt", "moonshine", "--system", "Be brief.")) == {
        "omni": {"model": "moshi-7b", "instructions": "Be brief."},
        "stt": "moonshine",
    }


def test_only_a_signal_or_the_end_of_loading_ends_the_wait_for_it() -> None:
    from locara.server.serving import Stopping

    async def go() -> None:
        stopping = Stopping()
        assert await serve._unless_stopped(asyncio.sleep(0.0, "loaded"), stopping) == "loaded"
        stopping.take(signal.SIGTERM)
        assert await serve._unless_stopped(asyncio.sleep(60, "loaded"), stopping) is None

    asyncio.run(go())


def test_every_option_is_documented() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    serve.arguments(parser)
    told = set(re.findall(r"`(--[a-z-]+)", (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")))
    assert {option for action in parser._actions for option in action.option_strings} <= told
