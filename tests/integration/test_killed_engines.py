"""An engine's process dies in the middle of its work: an error that names the stage, and the conversation goes on."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from locara import voice
from locara.audio import RATE
from locara.devices.wav import read_wav
from locara.engines.contracts import EngineInfo, Message, Tool, ToolCall
from locara.voice import events as on

from .whole import QUESTION, SENTENCES, ends, errors, finals, followed, nothing_left, on_linux, workers

pytestmark = [pytest.mark.timeout(60), on_linux]

STORY = ("Once there was a house. ", "There lived a cat. ")
PAUSE = 1.0
"""Seconds between two sentences: the first is played before the second is there."""


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOCARA_NO_SERVERS", "1")
    monkeypatch.setenv("LOCARA_CACHE", str(tmp_path / "cache"))


class Storyteller:
    """The app's own language model: a sentence every second, so that the voice is needed again in the middle."""

    info = EngineInfo("the app", "story", "")

    async def load(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """Nothing to close."""

    async def reply(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> AsyncIterator[str | ToolCall]:
        """The story; to everything but the first question one sentence of it."""
        turns = sum(message.role == "user" for message in messages)
        yield STORY[0]
        if turns == 1:
            await asyncio.sleep(PAUSE)
            yield STORY[1]


def kill(name: str) -> int:
    """Kills the one process whose command line holds ``name``."""
    [process] = workers(name)
    os.kill(process, signal.SIGKILL)
    return process


def test_a_recogniser_that_dies_in_a_turn_costs_this_turn_only() -> None:
    killed: list[int] = []

    def act(event: on.Event) -> None:
        if isinstance(event, on.PartialTranscript) and event.turn == 0 and not killed:
            killed.append(kill("sphinx_worker"))

    with nothing_left():
        session = voice.session(input=QUESTION, output="none", end_with_input=True)
        events = asyncio.run(followed(session, act))
    assert killed
    [error] = errors(events)
    assert (error.stage, error.fatal, error.turn) == ("stt", False, 0)
    assert "died" in error.message
    assert error.hint
    # The turn is lost, or understood from its beginning by the process that took over.
    lost = ends(events)[0] == (0, "user", "failed")
    assert lost or ends(events)[0] == (0, "user", "complete")
    assert finals(events) == (SENTENCES[1:] if lost else SENTENCES)
    assert ends(events)[-2:] == [(1, "user", "complete"), (1, "assistant", "finished")]
    assert session.metrics()["errors"] == 1.0


def test_a_voice_that_dies_in_a_clause_costs_this_reply_only() -> None:
    killed: list[int] = []

    def act(event: on.Event) -> None:
        if isinstance(event, on.AudioChunk) and event.turn == 0 and not killed:
            [process] = workers("espeak_worker")
            killed.append(process)
            # It stands still in the middle of its work, and dies over it.
            os.kill(process, signal.SIGSTOP)
            asyncio.get_running_loop().call_later(PAUSE + 0.5, os.kill, process, signal.SIGKILL)

    with nothing_left():
        session = voice.session(input=QUESTION, output="none", llm=Storyteller(), end_with_input=True)
        events = asyncio.run(followed(session, act))
    assert killed
    [error] = errors(events)
    assert (error.stage, error.fatal, error.turn) == ("tts", False, 0)
    assert "died" in error.message
    assert error.hint
    assert finals(events) == SENTENCES
    assert (0, "assistant", "failed") in ends(events)
    assert ends(events)[-2:] == [(1, "user", "complete"), (1, "assistant", "finished")]
    # What was heard stays in the history; what was not is not in it.
    said = [one for one in session.history if isinstance(one, voice.Said) and one.role == "assistant"]
    assert STORY[0].startswith(said[0].text.strip())
    assert "cat" not in " ".join(one.text for one in said)


def test_engines_that_die_while_they_are_not_needed_are_not_missed(tmp_path: Path) -> None:
    killed: list[int] = []

    def act(event: on.Event) -> None:
        if isinstance(event, on.LlmToken) and event.turn == 0 and len(killed) == 1:
            asyncio.get_running_loop().call_later(PAUSE / 2, lambda: killed.append(kill("espeak_worker")))
        if isinstance(event, on.FinalTranscript) and event.turn == 0:
            killed.append(kill("sphinx_worker"))  # nobody listens until the next question begins
        if isinstance(event, on.TurnEnd) and event.who == "assistant" and event.turn == 0:
            killed.append(kill("espeak_worker"))

    with nothing_left():
        output = tmp_path / "out.wav"
        # No melody to wait for: the story must be over before the second question, also on a slow machine.
        session = voice.session(
            input=QUESTION, output=output, llm=Storyteller(), turn_detection="silence", end_with_input=True
        )
        events = asyncio.run(followed(session, act))
    assert len(killed) == 3
    assert finals(events) == SENTENCES
    assert not errors(events)
    spoken = [event for event in events if isinstance(event, on.AudioChunk)]
    assert "lived a cat" in "".join(event.text for event in spoken if event.turn == 0)
    assert [end for end in ends(events) if end[1] == "assistant"] == [
        (turn, "assistant", "finished") for turn in (0, 1)
    ]
    sound, rate = read_wav(tmp_path / "out.wav")
    assert rate != RATE
    last = next(event for event in spoken if event.turn == 1)
    assert float(np.abs(sound[round(last.t * rate) :]).max()) > 0.05
