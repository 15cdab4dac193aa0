"""A whole session with a model at Moshi's own server: the events of every form, from the stock server too."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from locara import voice
from locara.audio import Samples
from locara.testing import EnergyDetector, Room, Spoken
from locara.testing.scripted import speech_like
from locara.voice.events import AudioChunk, Error, Event, LlmToken, TurnEnd

pytest.importorskip("sphn", reason="the extra opus is not installed")

if TYPE_CHECKING:
    from tests.engines import moshi_servers, stock_moshi
else:
    import moshi_servers
    import stock_moshi


def _said() -> Samples:
    """Somebody speaks from 0.5 s to 1.7 s."""
    return speech_like([Spoken(0.5, 1.7, "")], 2.0)


async def _converse(url: str, seconds: float, options: dict[str, Any]) -> tuple[list[Event], Samples, dict[str, float]]:
    """At the pace of the clock: the server is another process, or could be."""
    room = Room(_said())
    session = voice.session(
        omni={"model": "moshi-server", "url": url, **options},
        vad=EnergyDetector(),
        input=room.microphone,
        output=room.speaker,
    )
    events: list[Event] = []
    played: list[Samples] = []

    async def follow() -> None:
        async for event in session.events():
            events.append(event)

    async def listen() -> None:
        async for block in session.raw_output():
            played.append(block)

    taps = [asyncio.create_task(follow()), asyncio.create_task(listen())]
    async with session:
        await asyncio.wait([asyncio.create_task(session.wait_ended())], timeout=seconds)
        metrics = dict(session.metrics())
    await asyncio.gather(*taps)
    return events, np.concatenate(played), metrics


def test_what_the_user_says_comes_back_as_a_reply_with_its_turns_derived() -> None:
    async def main() -> tuple[list[Event], Samples, dict[str, float]]:
        async with moshi_servers.serving(moshi_servers.speaking("moshi-server", words="", later=20)) as (url, seen):
            found = await _converse(url, 12.0, {})
            assert seen.early == 0
            assert seen.samples.size >= 3.0 * 24_000  # silence too
            return found

    events, played, metrics = asyncio.run(main())
    assert [event for event in events if isinstance(event, Error)] == []
    ends = [(event.who, event.reason) for event in events if isinstance(event, TurnEnd)]
    assert ends == [("user", "complete"), ("assistant", "finished")]
    sound = np.concatenate([event.samples for event in events if isinstance(event, AudioChunk)])
    # The echo of 1.2 s of speech, 1.7 s later.
    assert float(np.sqrt(np.mean(sound**2))) > 0.01
    assert float(np.abs(played).max()) > 0.05
    assert 0 <= metrics["omni_delay"] < 1.0  # counted in blocks: 0 is less than 20 ms


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    python = stock_moshi.interpreter()
    folder = stock_moshi.checkpoint(python, tmp_path_factory.mktemp("moshi"))
    with stock_moshi.running(python, folder, folder / "server.log") as url:
        yield url


def test_a_session_with_the_stock_server_has_text_and_sound_and_ends_cleanly(stock: str) -> None:
    with stock_moshi.fast_enough():
        events, played, metrics = asyncio.run(_converse(stock, 4.0, {}))
    assert [event for event in events if isinstance(event, Error) and event.code != "engine-behind"] == []
    assert "".join(event.text for event in events if isinstance(event, LlmToken))
    assert any(isinstance(event, AudioChunk) for event in events)
    assert played.size > 3 * 24_000 // 2
    assert metrics["omni_delay"] >= 0
