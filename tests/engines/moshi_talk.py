"""What the tests of Moshi's servers do on our side: a backend for one, sound to tell frames apart by, a conversation.

What may live here: that, and how its events are read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import numpy as np

from locara.audio import Samples
from locara.engines import registry
from locara.engines.backend import BackendEvent, BackendFailed, BackendSettings, Ended, Frame, VoiceBackend

FRAME, RATE = 1920, 24_000
NOTHING = BackendSettings()
PLEX = {"flavour": "personaplex"}


def make(url: str, options: Mapping[str, Any] = {}) -> VoiceBackend:
    return cast(VoiceBackend, registry.create("omni", "moshi-server", {"url": url, **options}))


@asynccontextmanager
async def using(url: str, options: Mapping[str, Any] = {}) -> AsyncIterator[VoiceBackend]:
    backend = make(url, options)
    try:
        yield backend
    finally:
        await backend.close()
    await asyncio.sleep(0)
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("moshi-")] == []


def tones(seconds: float) -> Samples:
    """A new tone each frame, so that every frame can be told from every other."""
    frames = round(seconds * RATE / FRAME)
    at = np.arange(FRAME) / RATE
    rise = np.minimum(1, np.minimum(np.arange(FRAME), np.arange(FRAME)[::-1]) / 200)
    return np.concatenate([0.4 * rise * np.sin(2 * np.pi * (300 + 150 * (n % 11)) * at) for n in range(frames)]).astype(
        np.float32
    )


async def talk(
    backend: VoiceBackend,
    session: str,
    sound: Samples,
    *,
    cut: int = 700,
    pace: float = 0.0,
    wanted: int = 1 << 30,
) -> list[BackendEvent]:
    """Pushes sound in pieces, and returns what comes of it until ``wanted`` frames have, or the session ends."""
    events: list[BackendEvent] = []
    frames = 0

    async def push() -> None:
        for at in range(0, sound.size, cut):
            await backend.push_audio(session, sound[at : at + cut])
            await asyncio.sleep(pace)

    pushing = asyncio.create_task(push())
    try:
        async with asyncio.timeout(30):
            async for event in backend.event_stream(session):
                events.append(event)
                frames += isinstance(event, Frame)
                if frames >= wanted:
                    break
    finally:
        pushing.cancel()
        await asyncio.gather(pushing, return_exceptions=True)
    return events


def frames_of(events: list[BackendEvent]) -> list[Frame]:
    return [event for event in events if isinstance(event, Frame)]


def failure(events: list[BackendEvent], reason: str) -> BackendFailed:
    """The session has ended once, for this reason, and says why."""
    assert isinstance(events[-1], Ended)
    assert events[-1].reason == reason
    told = events[-2]
    assert isinstance(told, BackendFailed)
    assert told.fatal
    assert told.hint
    assert sum(isinstance(event, Ended) for event in events) == 1
    return told
