"""A language model alone: text, thinking text, tools, deadlines."""

from __future__ import annotations

import asyncio

import pytest

from locara import llm, testing
from locara.engines.contracts import Message, ToolCall
from locara.errors import ConfigError, EngineFailed, EngineTimeout
from locara.testing import Fault, ScriptedModel
from locara.voice.brain import Deadlines


def test_the_built_in_responder_answers_and_uses_its_own_tools() -> None:
    got = asyncio.run(llm.chat("what is twelve times seven", llm="built-in"))
    assert "84" in got.text
    assert got.engine.engine == "built-in"


def test_a_reply_comes_piece_by_piece_without_its_thinking() -> None:
    async def talk() -> list[str]:
        model = ScriptedModel([["<think>hm, a greeting", "</think>", "Hello", " there."]])
        return [piece async for piece in llm.chat_stream("hi", llm=model)]

    assert [piece.strip() for piece in testing.run(talk())] == ["Hello", "there."]


def test_a_conversation_and_a_system_prompt_reach_the_model_as_they_are() -> None:
    async def talk() -> tuple[tuple[Message, ...], ...]:
        model = ScriptedModel(["Yes."])
        await llm.chat(
            [("user", "hi"), ("assistant", "Hello."), Message("user", "really?")], llm=model, system="Be brief."
        )
        return tuple(model.asked)

    (asked,) = testing.run(talk())
    assert [(one.role, one.content) for one in asked] == [
        ("system", "Be brief."),
        ("user", "hi"),
        ("assistant", "Hello."),
        ("user", "really?"),
    ]


def test_tools_run_and_their_results_go_back_to_the_model() -> None:
    def add(a: int, b: int) -> int:
        """Adds."""
        return a + b

    async def talk() -> tuple[llm.Reply, list[tuple[Message, ...]]]:
        model = ScriptedModel([["Let me see.", ToolCall("1", "add", {"a": 2, "b": 3})], "It is 5."])
        return await llm.chat("2 + 3?", llm=model, tools=[add]), model.asked

    reply, asked = testing.run(talk())
    assert reply.text == "Let me see.It is 5."
    assert [call.name for call in reply.tools] == ["add"]
    assert (asked[1][-1].role, asked[1][-1].content) == ("tool", "5")


def test_an_unknown_tool_is_told_to_the_model_and_a_model_that_never_stops_asking_is_stopped() -> None:
    async def talk() -> list[tuple[Message, ...]]:
        model = ScriptedModel([[ToolCall("1", "fly", {})]])
        with pytest.raises(EngineFailed, match="asked for tools 8 times"):
            await llm.chat("go", llm=model)
        return model.asked

    asked = testing.run(talk())
    assert "there is no tool 'fly'" in asked[1][-1].content


def test_closing_stops_the_model_and_one_that_hangs_is_told() -> None:
    async def talk() -> None:
        model = ScriptedModel(["one two three four"])
        async with llm.chatter(llm=model) as one:
            stream = one.chat_stream("count")
            await anext(stream)
            await stream.aclose()
            assert model.cancelled == 1
        hanging = ScriptedModel(["no"], fault=Fault("hangs", "reply"))
        with pytest.raises(EngineTimeout, match="no token in time"):
            async with llm.chatter(llm=hanging, deadlines=Deadlines(first_token=2.0)) as one:
                await one.chat("hello")

    testing.run(talk())


def test_bad_input_says_what_is_wrong() -> None:
    with pytest.raises(ConfigError, match="a message by 'robot'"):
        asyncio.run(llm.chat([("robot", "beep")], llm=ScriptedModel()))
    with pytest.raises(ConfigError, match="there are no messages"):
        asyncio.run(llm.chat([], llm=ScriptedModel()))
