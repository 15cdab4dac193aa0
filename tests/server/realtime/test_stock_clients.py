"""The stock clients, unmodified: ``openai``, ``openai-agents`` and npm's ``@openai/agents-realtime``, each in a process of
its own and an environment that ``scripts/stock_clients.py`` makes. Only the base URL and the key are ours.

``LOCARA_CLIENTS`` names the folder with the environments; without it, ``.clients`` beside the project.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from locara.audio import pcm16
from locara.engines.contracts import ToolCall

from .serving import TOKEN, question, scripted, server

PROJECT = Path(__file__).parents[3]
SCRIPTS = PROJECT / "tests" / "clients"
HOME = Path(os.environ.get("LOCARA_CLIENTS", PROJECT / ".clients"))
LONG = "One two three four five six seven. " * 12
CALL = [ToolCall("x", "get_weather", {"city": "Oslo"})]


@pytest.fixture(autouse=True)
def own_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's real grants."""
    monkeypatch.setenv("LOCARA_CONSENT", str(tmp_path / "consent"))


def python() -> str:
    """The Python of the clients' environment."""
    found = HOME / "python" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not found.exists():
        pytest.skip(f"no stock clients in {HOME}: python3 scripts/stock_clients.py installs them")
    return str(found)


def node() -> tuple[str, str]:
    """Node, and the version of the client that it finds."""
    package = HOME / "npm" / "node_modules" / "@openai" / "agents-realtime" / "package.json"
    found = shutil.which("node")
    if found is None or not package.exists():
        pytest.skip(f"no node, or no @openai/agents-realtime in {HOME}: python3 scripts/stock_clients.py installs it")
    return found, str(json.loads(package.read_text("utf-8"))["version"])


async def told_by(*command: str, **environment: str) -> dict[str, Any]:
    """What a client's program printed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "OPENAI_AGENTS_DISABLE_TRACING": "1", **environment},
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 75)
    except TimeoutError:
        process.kill()
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode(errors="replace")[-4000:]
    told: dict[str, Any] = json.loads(out.decode().splitlines()[-1])
    return told


def speech(folder: Path) -> str:
    """A question, as raw PCM."""
    path = folder / "question.pcm"
    path.write_bytes(pcm16(question()))
    return str(path)


def test_openai(tmp_path: Path) -> None:
    async def work() -> dict[str, Any]:
        async with server(scripted(["what time is it"], ["Hello you.", "It is noon now."])) as port:
            script = str(SCRIPTS / "realtime_openai.py")
            return await told_by(python(), script, f"http://127.0.0.1:{port}/v1", TOKEN, speech(tmp_path))

    told = asyncio.run(work())
    assert told["text"] == ["completed", "Hello you."]
    assert told["heard"] == "what time is it"
    assert told["spoken"][:2] == ["completed", "It is noon now."]
    assert abs(told["spoken"][2] - 0.5) < 0.05
    assert told["left"] == ""
    assert told["turn_detection"] == "auto"
    assert told["error"] == "response_cancel_not_active"


def test_openai_with_a_wrong_key(tmp_path: Path) -> None:
    async def work() -> None:
        async with server(scripted()) as port:
            script = str(SCRIPTS / "realtime_openai.py")
            await told_by(python(), script, f"http://127.0.0.1:{port}/v1", "wrong_key_0123456789", speech(tmp_path))

    with pytest.raises(AssertionError, match="401"):
        asyncio.run(work())


def agents(told: dict[str, Any]) -> None:
    """What both agents' libraries have to have seen."""
    assert told["errors"] == []
    assert told["tool"] == "In Oslo it rains."
    assert told["interrupted"] is True
    said = [words for who, words in told["history"] if who == "user"]
    assert "tell me a story" in said
    assert "stop" in said


def test_openai_agents(tmp_path: Path) -> None:
    async def work() -> dict[str, Any]:
        engines = scripted(["tell me a story", "stop"], [CALL, "It rains.", LONG, "Good."], chars_per_second=15)
        async with server(engines) as port:
            script = str(SCRIPTS / "realtime_agents.py")
            url = f"ws://127.0.0.1:{port}/v1/realtime?model=gpt-realtime"
            return await told_by(python(), script, url, TOKEN, speech(tmp_path))

    agents(asyncio.run(work()))


def test_openai_agents_of_npm(tmp_path: Path) -> None:
    async def work() -> dict[str, Any]:
        engines = scripted(["tell me a story", "stop"], [CALL, "It rains.", LONG, "Good."], chars_per_second=15)
        async with server(engines) as port:
            found, version = node()
            script = str(SCRIPTS / "realtime_agents.mjs")
            url = f"ws://127.0.0.1:{port}/v1/realtime?model=gpt-realtime"
            more = {"NODE_MODULES": str(HOME / "npm" / "node_modules"), "CLIENT_VERSION": version}
            return await told_by(found, script, url, TOKEN, speech(tmp_path), **more)

    told = asyncio.run(work())
    agents(told)
    assert told["types"]["conversation.item.truncated"] >= 1  # also of what it only believes to play
