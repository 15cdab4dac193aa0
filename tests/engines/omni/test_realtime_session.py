"""A whole ``voice.session(omni="realtime:...")`` with a realtime server, in the rig: the same events as from every form."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from realtime_engine_fakes import Mlx, VllmDuplex  # type: ignore[import-not-found]
from realtime_fakes import OpenAI, Plan, SpeechToSpeech  # type: ignore[import-not-found]

from locara import voice
from locara.testing import EnergyDetector, Room, Spoken, run
from locara.testing.scripted import speech_like
from locara.voice import Deadlines

LINES = (Spoken(0.5, 2.0, ""), Spoken(6.0, 7.5, ""))
SECONDS = 12.0


def play(
    make: Any, dialect: str, plan: Plan, lines: tuple[Spoken, ...] = LINES, seconds: float = SECONDS
) -> tuple[list[Any], Any, Any]:
    """The events of a conversation, its server, and the session after it."""

    async def main() -> tuple[list[Any], Any, Any]:
        async with make(plan) as server:
            room = Room(speech_like(list(lines), seconds))
            session = voice.session(
                omni=f"realtime:{dialect}:{server.url}#minicpm", vad=EnergyDetector(), input=room.microphone,
                output=room.speaker, deadlines=Deadlines(),
            )  # fmt: skip
            events: list[Any] = []

            async def collect() -> None:
                async for event in session.events():
                    events.append(event)

            task = asyncio.create_task(collect())
            async with session:
                await asyncio.wait([asyncio.create_task(session.wait_ended())], timeout=seconds + 5)
            await task
            return events, server, session

    return run(main())


def of(events: list[Any], kind: str) -> list[Any]:
    return [one for one in events if one.type == kind]


def test_a_server_that_is_asked_has_two_turns() -> None:
    events, server, session = play(OpenAI, "openai", Plan(reply_seconds=1.5))
    ends = [(one.who, one.reason) for one in of(events, "turn-end")]
    assert ends == [("user", "complete"), ("assistant", "finished")] * 2
    assert [turn.size > 24_000 for turn in server.turns][-2:] == [True, True]
    assert "".join(one.text for one in of(events, "llm-token")).count("Hello there.") == 2
    assert sum(one.samples.size for one in of(events, "audio-chunk")) > 2 * session.output_rate
    assert not of(events, "error")
    assert not server.problems


def test_a_server_that_is_interrupted_is_told_how_much_was_heard() -> None:
    lines = (Spoken(0.5, 2.0, ""), Spoken(5.0, 7.0, ""))
    events, server, _ = play(OpenAI, "openai", Plan(reply_seconds=8.0), lines)
    assert of(events, "barge-in")
    [(_, end), *_] = server.truncated.items()
    assert 500 < end < 5000
    assert not server.problems


@pytest.mark.parametrize(
    ("make", "dialect"), [(SpeechToSpeech, "speech-to-speech"), (VllmDuplex, "vllm-omni-duplex"), (Mlx, "mlx-vlm")]
)
def test_a_server_that_leads_has_a_conversation(make: Any, dialect: str) -> None:
    """In real time: the clock of such a server is the sound."""
    events, server, _ = play(make, dialect, Plan(reply_seconds=0.5), (Spoken(0.3, 1.0, ""),), 2.5)
    assert of(events, "audio-chunk")
    assert "Hello there." in "".join(one.text for one in of(events, "llm-token"))
    assert ("assistant", "finished") in [
        (one.who, one.reason) for one in of(events, "turn-end")
    ] or dialect == "mlx-vlm"
    assert not [one for one in of(events, "error") if one.fatal]
    assert not server.problems
