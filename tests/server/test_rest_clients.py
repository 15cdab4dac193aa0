"""Clients as they are, in an environment of their own, against the engines that come with the installation.

``python3 scripts/stock_clients.py`` installs them beside the project, ``LOCARA_CLIENTS`` names another folder.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from tests.cli.talking import QUESTION, SENTENCES
from tests.server.rest_server import TOKEN, Telling, app

from locara.server import wyoming
from locara.server.runtime import Runtime
from locara.server.seats import Seats
from locara.server.settings import Settings
from locara.testing import EnergyDetector, ScriptedVoice

HOME = Path(os.environ.get("LOCARA_CLIENTS", Path(__file__).parents[2] / ".clients"))
PYTHON = str(HOME / "python" / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
DEADLINE = 110.0


def has(module: str) -> bool:
    return Path(PYTHON).exists() and subprocess.run([PYTHON, "-c", f"import {module}"], check=False).returncode == 0


def against(*command: str, stages: Any = None) -> str:
    """What ``command`` writes; ``{url}`` in it is the server's address."""

    async def go() -> str:
        async with TestServer(app(stages or {})) as server:
            url = str(server.make_url("")).rstrip("/")
            return await ran(*(part.replace("{url}", url) for part in command))

    return asyncio.run(go())


async def ran(*command: str) -> str:
    """What ``command`` writes. It must exit with 0."""
    with tempfile.TemporaryDirectory() as folder:  # schemathesis leaves a folder where it runs
        return await _ran(*command, within=folder)


async def _ran(*command: str, within: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=within
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), DEADLINE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, (out + err).decode()[-4000:]
    return out.decode()


def test_the_stock_openai_client_works_by_changing_address_and_key() -> None:
    if not has("openai"):
        pytest.skip("no openai in .clients: python3 scripts/stock_clients.py installs it")
    program = Path(__file__).with_name("stock_openai.py")
    told = json.loads(against(PYTHON, str(program), "{url}/v1", TOKEN, str(QUESTION)))
    assert ["pocketsphinx-en-us", "stt"] in told["models"]
    assert told["model"] == "pocketsphinx-en-us"
    assert any(sentence in told["json"] for sentence in SENTENCES)
    assert told["text"].strip() == told["json"]
    assert told["srt"].startswith("1\n00:00:0")
    language, duration, segments = told["verbose"]
    assert language == "en"
    assert all(0 <= start < end <= duration + 1 for start, end in segments)
    *deltas, done = told["stream"]
    assert done == ["transcript.text.done", told["json"]]
    assert "".join(text for _, text in deltas) == told["json"]
    assert told["speech"][0] == "audio/wav"
    assert told["speech"][1] > 24_000  # half a second
    assert told["pcm"] > 24_000
    assert told["async"] > 10_000
    assert told["errors"] == {
        "key": ["AuthenticationError", 401, "invalid_api_key"],
        "model": ["NotFoundError", 404, "model_not_found"],
        "retrieve": ["NotFoundError", 404, "model_not_found"],
        "file": ["BadRequestError", 400, "bad-audio"],
        "words": ["BadRequestError", 400, None],
        "translation": ["BadRequestError", 400, "unsupported_endpoint"],
        "mp3": ["BadRequestError", 400, None],
        "large": ["APIStatusError", 413, None],
    }


def test_the_stock_wyoming_client_hears_and_speaks_with_it() -> None:
    if not has("wyoming"):
        pytest.skip("no wyoming in .clients: python3 scripts/stock_clients.py installs it")

    async def go() -> Any:
        settings = Settings(token=TOKEN, wyoming_port=0)
        seats = Seats(settings)
        nobody: Any = None
        services = await wyoming.start(Runtime(settings, seats, nobody, nobody, nobody))
        try:
            return json.loads(
                await ran(PYTHON, str(Path(__file__).with_name("stock_wyoming.py")), str(services.port), str(QUESTION))
            )
        finally:
            await services.close()
            await seats.close()

    told = asyncio.run(go())
    assert told["asr"][0] == "pocketsphinx-en-us"
    assert told["tts"][0] == "espeak-ng"
    assert told["streams"] == [True, True]
    assert told["pong"] == "here?"
    types, chunks, text = told["heard"]
    assert [types[0], *types[-2:]] == ["transcript-start", "transcript", "transcript-stop"]
    assert chunks == text
    assert any(sentence in text for sentence in SENTENCES)
    assert told["spoken"][0] == ["audio-start", "audio-chunk", "audio-stop"]
    assert told["streamed"][0] == ["audio-start", "audio-chunk", "audio-stop", "synthesize-stopped"]
    assert 0.5 < told["spoken"][1] < told["streamed"][1] < 6.0  # not twice
    assert told["error"] == "model_not_found"


def test_schemathesis_finds_no_answer_that_the_document_does_not_promise() -> None:
    if not has("schemathesis"):
        pytest.skip("no schemathesis in .clients: python3 scripts/stock_clients.py installs it")
    program = Path(PYTHON).with_name("st")
    against(
        str(program), "run", "{url}/openapi.json", "--url", "{url}", "-H", f"Authorization: Bearer {TOKEN}",
        "--exclude-checks", "positive_data_acceptance",  # a random string is no recording, and no model
        "--max-examples", "25", "--seed", "1", "--no-color", "--generation-database", "none",
        stages={"stt": Telling(), "tts": ScriptedVoice(first_chunk=0.0, speed=1e6), "vad": EnergyDetector()},
    )  # fmt: skip
