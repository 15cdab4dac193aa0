"""An OpenAI-compatible server as the language model of a spoken conversation: streaming, and hanging up on a barge-in."""

from __future__ import annotations

import asyncio
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from locara import voice
from locara.audio import RATE
from locara.devices.wav import read_wav
from locara.testing import clock
from locara.voice import events as on

from .whole import QUESTION, SENTENCES, ends, errors, finals, followed, nothing_left

if TYPE_CHECKING:
    from tests.engines.chat_server import Answer, Request

pytestmark = pytest.mark.timeout(60)

TALE = "Once upon a time there was a little house, and in it there lived a very old cat. "


@pytest.fixture
def server_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The chat server of the engines' tests; their folder is no package."""
    monkeypatch.setenv("LOCARA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[1] / "engines"), *sys.path])
    return importlib.import_module("chat_server")


def asked(server: Any) -> list[str]:
    """The user's newest words in each chat request but the warm-up."""
    chats = [request.body["messages"] for request in server.requests if request.path.endswith("/chat/completions")]
    return [messages[-1]["content"] for messages in chats if messages[-1]["content"] in SENTENCES]


def test_a_spoken_question_is_answered_by_the_server_as_it_writes(server_module: Any, tmp_path: Path) -> None:
    pieces = ("It is ", "late", ". ", 0.3, "Go ", "to ", "bed", ".")

    async def main() -> tuple[list[on.Event], Any]:
        async with server_module.ChatServer(server_module.says(*pieces)) as server:
            session = voice.session(
                llm={"model": "test-model", "url": server.url, "system": "You are a nurse."},
                input=QUESTION, output=tmp_path / "out.wav", end_with_input=True,
            )  # fmt: skip
            events = await followed(session)
            assert session.plan["llm"]["model"].endswith("test-model")
            return events, server

    with nothing_left():
        events, server = asyncio.run(main())
    assert not errors(events)
    assert finals(events) == SENTENCES
    assert [end[1:] for end in ends(events)] == [("user", "complete"), ("assistant", "finished")] * 2
    for turn in (0, 1):
        tokens = [event for event in events if isinstance(event, on.LlmToken) and event.turn == turn]
        assert "".join(token.text for token in tokens) == "It is late. Go to bed."
        first_sound = next(event.t for event in events if isinstance(event, on.AudioChunk) and event.turn == turn)
        assert first_sound <= tokens[-1].t  # it began to speak before the server had finished
    assert set(asked(server)) == set(SENTENCES)
    messages = server.requests[-1].body["messages"]
    assert (messages[0]["role"], messages[0]["content"]) == ("system", "You are a nurse.")
    assert [message["role"] for message in messages[1:]] == ["user", "assistant", "user"]
    assert messages[2]["content"].strip() == "It is late. Go to bed."
    sound, rate = read_wav(tmp_path / "out.wav")
    assert rate != RATE
    assert float(np.abs(sound).max()) > 0.05


def test_a_barge_in_hangs_up_on_the_server(server_module: Any, tmp_path: Path) -> None:
    """The second question comes while the first answer is spoken and the server still writes."""

    def chat(request: Request) -> Answer:
        first = request.body["messages"][-1]["content"] == SENTENCES[0]
        tale = [TALE, *[part for _ in range(40) for part in (0.5, TALE)]]  # 20 s, unless somebody hangs up
        answer: Answer = server_module.says(*tale) if first else server_module.says("It is eighty four.")
        return answer

    async def main() -> tuple[list[on.Event], Any, voice.Session]:
        async with server_module.ChatServer(chat) as server:
            session = voice.session(
                llm={"model": "test-model", "url": server.url}, input=QUESTION, output=tmp_path / "out.wav",
                echo="headphones", end_with_input=True,
            )  # fmt: skip
            events = await followed(session)
            async with asyncio.timeout(3):
                await server.left.wait()
            return events, server, session

    with nothing_left():
        events, _, session = asyncio.run(main())
    assert not errors(events)
    assert finals(events) == SENTENCES
    [barge_in] = [event for event in events if isinstance(event, on.BargeIn)]
    assert TALE.startswith(barge_in.heard_text.strip()[:20])
    assert 1_000 < barge_in.heard_ms < 6_000
    assert barge_in.unheard_text
    assert [end for end in ends(events) if end[1] == "assistant"] == [
        (0, "assistant", "interrupted"),
        (1, "assistant", "finished"),
    ]
    said = [one for one in session.history if isinstance(one, voice.Said) and one.role == "assistant"]
    assert said[0].interrupted
    assert said[0].text.strip() == barge_in.heard_text.strip()
    # The speaker fell silent when the user spoke: ducked within a block, stopped when the floor was taken.
    sound, rate = read_wav(tmp_path / "out.wav")
    silent = sound[round((barge_in.t + 0.06) * rate) : round((barge_in.t + 0.3) * rate)]
    assert float(np.abs(silent).max()) < 0.001


def test_a_server_that_goes_away_costs_one_reply(server_module: Any) -> None:
    def chat(request: Request) -> Answer:
        last = request.body["messages"][-1]["content"]
        answer: Answer = (
            server_module.streams(server_module.event({"content": "It is "}), cut=True)
            if last == SENTENCES[0]
            else server_module.says("It is eighty four.")
        )
        return answer

    async def main() -> list[on.Event]:
        async with server_module.ChatServer(chat) as server:
            session = voice.session(
                llm={"model": "test-model", "url": server.url}, input=QUESTION, output="none",
                end_with_input=True,
            )  # fmt: skip
            return await followed(session)

    with nothing_left():
        events = clock.run(main())  # on a virtual clock: time passes only while the server is asked
    assert [error.stage for error in errors(events)] == ["llm"]
    assert all(error.hint and not error.fatal for error in errors(events))
    assert finals(events)[-1] == SENTENCES[1]
    assert ends(events)[-1] == (1, "assistant", "finished")
