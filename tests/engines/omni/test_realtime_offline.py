"""A realtime server on this machine, talked with by a process that has promised offline; and one elsewhere, refused."""

from __future__ import annotations

import asyncio
import sys

import pytest
from realtime_fakes import OpenAI  # type: ignore[import-not-found]

CODE = """
import asyncio, sys
import numpy as np
from locara import offline
print(offline.forbid_network().kernel or "python")
from locara.engines.backend import BackendSettings, ReplyAudio, ReplyEnded, TurnEnd
from locara.engines.omni.realtime import create
from locara.errors import LocaraError

async def main(url):
    made = create("realtime:" + url, {})
    try:
        await made.load()
        name = await made.start_session(BackendSettings())
    except LocaraError as error:
        print(type(error).__name__, error.explain())
        return
    await made.push_audio(name, np.zeros(4800, np.float32))
    await made.signal(name, TurnEnd(1))
    samples = 0
    async for event in made.event_stream(name):
        if isinstance(event, ReplyAudio):
            samples += event.samples.size
        if isinstance(event, ReplyEnded):
            print(event.reason, samples)
            break
    await made.close()

asyncio.run(main(sys.argv[1]))
"""


def said_by_child(url: str = "") -> str:
    async def main() -> str:
        async with OpenAI() as server:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                CODE,
                url or server.url,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            async with asyncio.timeout(60):
                out, _ = await child.communicate()
            assert not server.problems
            return out.decode()

    return asyncio.run(main())


def test_a_server_on_this_machine_is_reached() -> None:
    lines = said_by_child().split("\n")
    assert lines[0] in ("no-internet", "tcp-only", "python")
    assert lines[1] == "finished 9600"


@pytest.mark.parametrize("url", ["wss://192.0.2.1/v1/realtime", "ws://example.com/v1/realtime"])
def test_one_elsewhere_is_refused_with_what_to_do(url: str) -> None:
    told = said_by_child(url)
    assert "EngineFailed omni: offline was promised" in told
    assert "-> use a server on this machine" in told
