"""Servers of models that hear and speak, on this machine, talked with by a process that may open no internet socket."""

from __future__ import annotations

import asyncio
import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from .promising import FULL, PYTHON_ONLY, STRICT, held_by_kernel, run

pytest.importorskip("sphn", reason="the extra opus is not installed")
pytestmark = [held_by_kernel, pytest.mark.timeout(90)]

CODE = """
    import asyncio
    import numpy as np
    from locara.engines import registry
    from locara.engines.backend import BackendSettings, Frame
    from locara.errors import LocaraError
    async def main():
        backend = registry.create("omni", "moshi-server", {"url": sys.argv[1]})
        try:
            await backend.load()
            session = await backend.start_session(BackendSettings())
            await backend.push_audio(session, np.zeros(8 * 1920, np.float32))
            frames = 0
            async for event in backend.event_stream(session):
                frames += isinstance(event, Frame)
                if frames == 7:
                    break
            print(frames, "frames")
        except LocaraError as error:
            print(type(error).__name__, error.explain())
        finally:
            await backend.close()
    asyncio.run(main())
"""


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of the engines' tests, whose folder is no package."""
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[1] / "engines"), *sys.path])
    return importlib.import_module("moshi_servers")


@pytest.mark.parametrize("promise", [FULL, PYTHON_ONLY])
def test_a_server_on_this_machine_is_talked_with(servers: Any, promise: str) -> None:
    async def talk() -> str:
        async with servers.serving(servers.speaking("python")) as (url, _):
            return await asyncio.to_thread(run, CODE, url, promise=promise)

    assert asyncio.run(talk()) == "7 frames"


@pytest.mark.parametrize("promise", [FULL, PYTHON_ONLY])
def test_one_elsewhere_is_refused_and_nothing_waits(promise: str) -> None:
    told = run(CODE, "ws://192.0.2.1:8998/api/chat", promise=promise)
    assert told.startswith("EngineFailed omni: ws://192.0.2.1:8998/api/chat cannot be reached")
    assert "use a server on this machine" in told


def test_without_loopback_not_even_one_here_is_reached(servers: Any) -> None:
    async def talk() -> str:
        async with servers.serving(servers.speaking("python")) as (url, _):
            return await asyncio.to_thread(run, CODE, url, promise=STRICT)

    assert asyncio.run(talk()).startswith("EngineFailed")
