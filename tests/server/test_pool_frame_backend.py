"""A model with many places, lent by a server: one copy of its weights, whatever happens in a session."""

from __future__ import annotations

import asyncio
import sys

from locara.engines.backend import BackendSettings
from locara.engines.contracts import EngineInfo
from locara.engines.frame_backend import FrameBackend
from locara.engines.frame_model import FrameFacts
from locara.engines.isolated import Environment
from locara.server.pool import Pool


def test_a_session_that_failed_does_not_make_a_second_copy_of_the_weights() -> None:
    backend = FrameBackend(
        EngineInfo("parrot", "parrot", "Apache-2.0"),
        Environment("parrot", "numpy", "numpy", "locara.engines.omni.parrot_worker"),
        {"slots": 2},
        expected=FrameFacts(24_000, 1920, slots=2),
        python=sys.executable,
    )

    async def go() -> None:
        pool = Pool()
        try:
            first, second = await pool.take("omni", backend), await pool.take("omni", backend)
            assert first.engine is second.engine is backend
            talking = await backend.start_session(BackendSettings())
            pid = backend.pid
            await pool.give_back(first, broken=True)
            third = await pool.take("omni", backend)
            assert third.engine is backend
            assert sum(pool.loaded.values()) == 1
            assert backend.pid == pid, "whoever talks goes on with the same process"
            await backend.stop_session(talking)
            await pool.give_back(second)
            await pool.give_back(third, broken=True)
            assert backend.pid == pid, "it stays warm"
        finally:
            await pool.close()
        assert backend.pid is None

    asyncio.run(go())
