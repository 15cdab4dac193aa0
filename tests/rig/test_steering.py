"""Leading a conversation turn by turn: replies when asked for, other rules, words into and out of the history."""

from __future__ import annotations

from typing import Any

import pytest

from locara.engines.contracts import Message, Tool, ToolCall
from locara.errors import ConfigError
from locara.testing import Conversation, Line, play
from locara.voice import Session
from locara.voice.endings import Patience
from locara.voice.events import LlmToken, ToolCalled, TurnEnd
from locara.voice.history import Said

from .scenes import LONG


def said(result: Any) -> list[tuple[str, str]]:
    """(who, words) of the history."""
    return [(one.role, one.text) for one in result.history if isinstance(one, Said)]


def test_a_turn_that_is_not_to_be_answered_ends_with_its_words_and_nobody_speaks() -> None:
    async def act(session: Session) -> None:
        session.configure(answers="asked")

    result = play(Conversation([Line(1.0, "what time is it")], ["Noon."], more=4.0), acts=act)

    assert said(result) == [("user", "what time is it")]
    assert [one.reason for one in result.of("turn-end")] == ["complete"]
    assert [one.text for one in result.of("final-transcript")] == ["what time is it"]
    assert not result.of("audio-chunk")


def test_a_reply_comes_when_it_is_asked_for_and_knows_what_was_said() -> None:
    async def act(session: Session) -> None:
        session.configure(answers="asked")
        async for event in session.events():
            if isinstance(event, TurnEnd) and event.who == "user":
                await session.respond()
                return

    seen: list[list[Message]] = []

    def answer(messages: Any) -> str:
        seen.append(list(messages))
        return "It is noon."

    result = play(Conversation([Line(1.0, "what time is it")], answer, more=6.0), acts=act)

    assert [(one.role, one.content) for one in seen[-1] if one.role != "system"] == [("user", "what time is it")]
    assert said(result) == [("user", "what time is it"), ("assistant", "It is noon.")]


def test_what_the_app_remembers_is_told_to_the_model_and_can_be_forgotten() -> None:
    seen: list[list[str]] = []

    def answer(messages: Any) -> str:
        seen.append([one.content for one in messages if one.role != "system" or "Paris" in one.content])
        return "Yes."

    async def act(session: Session) -> None:
        session.remember("user", "I live in Paris.", key="one")
        session.remember("system", "Paris is sunny today.", key="two")
        session.remember("user", "This is wrong.", key="three")
        assert session.forget(key="three")
        assert not session.forget(key="three")
        await session.respond()

    play(Conversation([], answer, more=3.0), acts=act)

    assert seen == [["I live in Paris.", "Paris is sunny today."]]


def test_a_reply_of_its_own_way_is_text_only_and_is_not_remembered() -> None:
    seen: list[list[Message]] = []

    def answer(messages: Any) -> str:
        seen.append(list(messages))
        return "A haiku about rain."

    async def act(session: Session) -> None:
        wish = [Message("user", "write a haiku")]
        await session.respond(system="Be brief.", speaks=False, messages=wish, record=False)

    result = play(Conversation([], answer, more=2.0), acts=act)

    assert [(one.role, one.content) for one in seen[0]] == [("system", "Be brief."), ("user", "write a haiku")]
    assert "".join(one.text for one in result.of("llm-token")) == "A haiku about rain."
    assert not result.of("audio-chunk")
    assert [one.reason for one in result.of("turn-end")] == ["finished"]
    assert said(result) == []


def test_a_session_that_does_not_speak_still_remembers_what_it_wrote() -> None:
    async def act(session: Session) -> None:
        session.configure(speaks=False)

    result = play(Conversation([Line(1.0, "what time is it")], ["It is noon."], more=4.0), acts=act)

    assert said(result) == [("user", "what time is it"), ("assistant", "It is noon.")]
    assert not result.of("audio-chunk")


def test_a_reply_that_may_not_be_interrupted_is_not_and_the_turn_is_answered_after_it() -> None:
    async def act(session: Session) -> None:
        session.configure(interruptible=False)

    lines = [Line(1.0, "tell me a story"), Line(5.0, "stop that please now")]
    result = play(Conversation(lines, [LONG, "All right."]), acts=act)

    assert not result.of("barge-in")
    assert [who for who, _ in said(result)] == ["user", "assistant", "user", "assistant"]
    assert said(result)[1][1] == LONG
    assert not result.of("resume")


def test_what_is_disregarded_is_no_turn() -> None:
    async def act(session: Session) -> None:
        async for event in session.events():
            if event.type == "partial-transcript":
                session.disregard()
                return

    result = play(Conversation([Line(1.0, "never mind all that i said just now")], ["What?"], more=2.0), acts=act)

    ends = [(one.turn, one.reason) for one in result.of("turn-end") if one.who == "user"]
    assert ends == [(0, "cancelled"), (1, "complete")], "the voice goes on, and what it says from there is another turn"
    assert [one.turn for one in result.of("final-transcript")] == [1]


def test_less_was_heard_than_left_the_gate() -> None:
    heard: list[str] = []

    async def act(session: Session) -> None:
        async for event in session.events():
            if isinstance(event, TurnEnd) and event.who == "assistant":
                assert event.turn is not None
                heard.append(session.truncate(event.turn, 1.5))
                heard.append(session.truncate(event.turn, 60.0))
                heard.append(session.truncate(99, 1.0))
                return

    result = play(Conversation([Line(1.0, "tell me a story")], [LONG]), acts=act)

    assert heard[0]
    assert LONG.startswith(heard[0])
    assert len(heard[0]) < len(LONG) / 2
    assert heard[1] == heard[0], "what was taken away does not come back"
    assert heard[2] == ""
    entry = result.history[-1]
    assert isinstance(entry, Said)
    assert entry.interrupted
    assert entry.unheard
    assert LONG.split() == (entry.text + " " + entry.unheard).split()


def test_patience_of_ones_own_is_a_fixed_silence() -> None:
    async def act(session: Session) -> None:
        session.configure(patience=Patience(1.0, 1.0, 1.0))

    result = play(Conversation([Line(1.0, "what time is it")], ["Noon."]), acts=act)
    end = result.of("turn-end")[0]

    assert 0.98 <= end.latency.endpoint <= 1.06


def test_other_tools_for_one_reply() -> None:
    ran: list[str] = []

    async def run(city: str) -> str:
        ran.append(city)
        return "sunny"

    tool = Tool("weather", "the weather", {"type": "object", "properties": {"city": {"type": "string"}}}, run)

    async def act(session: Session) -> None:
        session.remember("user", "how is the weather in Oslo")
        await session.respond(tools=[tool])

    replies: list[list[str | ToolCall]] = [[ToolCall("1", "weather", {"city": "Oslo"})], ["It is sunny."]]
    result = play(Conversation([], replies, more=3.0), acts=act)

    assert ran == ["Oslo"]
    assert [one.name for one in result.events if isinstance(one, ToolCalled)] == ["weather"]
    assert [one.text for one in result.events if isinstance(one, LlmToken)][-1].strip() == "It is sunny."


@pytest.mark.parametrize(
    "wrong",
    [{"patience": "eager"}, {"attention": "wake-word"}, {"answers": "never"}, {"tail": -1.0}, {"tail": 60.0}],
)
def test_settings_that_are_none_are_told(wrong: dict[str, Any]) -> None:
    refused: list[ConfigError] = []

    async def act(session: Session) -> None:
        try:
            session.configure(**wrong)
        except ConfigError as error:
            refused.append(error)

    play(Conversation([], [], more=0.2), acts=act)

    assert len(refused) == 1
    assert refused[0].hint
