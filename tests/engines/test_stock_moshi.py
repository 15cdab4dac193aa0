"""Kyutai's own server, run for real on random weights: what our side says is what it understands, and the other way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from locara.engines import registry
from locara.engines.backend import BackendEvent, BackendSettings, Ended, Frame, Lag, VoiceBackend
from locara.errors import EngineTimeout

pytest.importorskip("sphn", reason="the extra opus is not installed")

if TYPE_CHECKING:
    from tests.engines import stock_moshi
else:
    import stock_moshi

FRAME, RATE = 1920, 24_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    python = stock_moshi.interpreter()
    folder = stock_moshi.checkpoint(python, tmp_path_factory.mktemp("moshi"))
    with stock_moshi.running(python, folder, folder / "server.log") as url:
        yield url


def _backend(url: str) -> VoiceBackend:
    return cast(VoiceBackend, registry.create("omni", url, {}))


def test_five_seconds_of_sound_at_the_pace_of_the_clock_come_back_frame_by_frame(server: str) -> None:
    async def converse() -> list[BackendEvent]:
        backend = _backend(server)
        events: list[BackendEvent] = []

        async def listen(session: str) -> None:
            async for event in backend.event_stream(session):
                events.append(event)

        try:
            await backend.load()
            session = await backend.start_session(BackendSettings())
            listening = asyncio.create_task(listen(session))
            began = time.monotonic()
            sound = np.random.default_rng(1).normal(0, 0.05, 5 * RATE).astype(np.float32)
            for at in range(0, sound.size, 480):  # 20 ms each
                await backend.push_audio(session, sound[at : at + 480])
                await asyncio.sleep(max(0.0, began + (at + 480) / RATE - time.monotonic()))
            await asyncio.sleep(0.5)
            await backend.stop_session(session)
            await listening
        finally:
            await backend.close()
        return events

    events = asyncio.run(converse())
    assert events[-1] == Ended("stopped")
    frames = [event for event in events if isinstance(event, Frame)]
    lost = sum(event.skipped for event in events if isinstance(event, Lag)) // FRAME  # a busy machine may lose some
    # 62 whole frames were pushed. The model's acoustic delay keeps the first.
    assert 59 - lost <= len(frames) <= 61
    assert all(one.samples.shape == (FRAME,) and np.isfinite(one.samples).all() for one in frames)
    assert any(one.text for one in frames)
    assert all("\N{LOWER ONE EIGHTH BLOCK}" not in one.text for one in frames)  # SentencePiece's space is a space
    heard = np.array([one.heard for one in frames])
    assert heard[0] == 2 * FRAME
    assert (np.diff(heard) >= 0).all()
    assert heard[-1] <= 5 * RATE


def test_its_next_conversation_begins_anew_and_a_second_one_waits_in_vain(server: str) -> None:
    async def two() -> None:
        backend, other = _backend(server), cast(VoiceBackend, registry.create("omni", server, {"deadline": 1.0}))
        try:
            for _ in range(2):
                session = await backend.start_session(BackendSettings())
                await backend.push_audio(session, np.zeros(8 * FRAME, np.float32))
                frames = 0
                async for event in backend.event_stream(session):
                    frames += isinstance(event, Frame)
                    if frames == 7:
                        break
                with pytest.raises(EngineTimeout) as caught:
                    await other.start_session(BackendSettings())
                assert "one conversation at a time" in caught.value.hint
                await backend.stop_session(session)
            session = await other.start_session(BackendSettings())
        finally:
            await backend.close()
            await other.close()

    asyncio.run(asyncio.wait_for(two(), 60))
