"""The curl examples of docs/rest.md, run as they stand, against the engines that come with the installation."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from tests.cli.talking import QUESTION, SENTENCES
from tests.server.rest_server import TOKEN, app

from locara.devices.wav import read_wav

PAGE = Path(__file__).parents[2] / "docs" / "rest.md"
EXAMPLES = re.findall(r"^```sh\n(curl .*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)

for tool in ("curl", "sh"):
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed", allow_module_level=True)


async def ran(example: str, url: str, folder: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", example, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={"PATH": str(Path(shutil.which("curl") or "").parent), "LOCARA_URL": url, "LOCARA_TOKEN": TOKEN},
    )  # fmt: skip
    try:
        out, err = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, (out + err).decode()
    return out.decode()


def test_the_examples_do_what_they_say(tmp_path: Path) -> None:
    shutil.copy(QUESTION, tmp_path / "question.wav")

    async def go() -> list[str]:
        async with TestServer(app({})) as server:
            url = str(server.make_url("")).rstrip("/")
            return [await ran(example, url, tmp_path) for example in EXAMPLES]

    models, words, stream, nothing = asyncio.run(go())
    assert {model["kind"] for model in json.loads(models)["data"]} >= {"stt", "tts"}
    text = json.loads(words)["text"]
    assert any(sentence in text for sentence in SENTENCES)
    events: list[Any] = [json.loads(line.removeprefix("data: ")) for line in stream.splitlines() if line]
    assert events[-1] == {"type": "transcript.text.done", "text": text}
    assert nothing == ""
    samples, rate = read_wav(tmp_path / "said.wav")
    assert samples.size > rate


def test_a_large_upload_that_waits_to_be_asked_for_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    (tmp_path / "question.wav").write_bytes(bytes(40 << 20))

    async def go() -> str:
        async with TestServer(app({})) as server:
            example = EXAMPLES[1].replace(
                "--fail-with-body", '-w "%{http_code}" -o /dev/null -H "Expect: 100-continue"'
            )
            return await ran(example, str(server.make_url("")).rstrip("/"), tmp_path)

    assert asyncio.run(go()) == "413"
