"""Engines in a process of their own keep the promise, too: the model's code there can open no internet socket."""

from __future__ import annotations

from pathlib import Path

import pytest

from .promising import AWAY, FULL, STRICT, held_by_kernel, run

pytestmark = held_by_kernel

MODEL = """
import dataclasses, socket
from locara.engines.frame_worker import serve_model
from locara.engines.omni.parrot_worker import Parrot

class Curious(Parrot):
    def load(self, options, report):
        try:
            socket.create_connection((options["away"], 443), timeout=5).close()
            said = "connected"
        except PermissionError:
            said = "refused"
        except OSError as error:
            said = repr(error)
        return dataclasses.replace(super().load(options, report), note=said)

serve_model(Curious())
"""

CODE = """
    import asyncio
    from locara.engines.backend import BackendSettings
    from locara.engines.contracts import EngineInfo
    from locara.engines.frame_backend import FrameBackend
    from locara.engines.frame_model import FrameFacts
    from locara.engines.isolated import Environment
    async def main():
        backend = FrameBackend(
            EngineInfo("curious", "curious", "Apache-2.0"),
            Environment("curious", "numpy", "numpy", "curious_worker"),
            {"away": sys.argv[1]},
            expected=FrameFacts(24_000, 1920, slots=1),
            python=sys.executable,
            realtime="ignore",
        )
        try:
            await backend.load()
            await backend.start_session(BackendSettings())
            print(backend.info.note)
        finally:
            await backend.close()
    asyncio.run(main())
"""


@pytest.mark.parametrize("promise", [FULL, STRICT])
def test_a_model_in_its_own_process_reaches_nothing(tmp_path: Path, promise: str) -> None:
    (tmp_path / "curious_worker.py").write_text(MODEL)
    assert run(CODE, AWAY, promise=promise, environment={"PYTHONPATH": str(tmp_path)}) == "refused"
