"""Conversations over OpenAI's Realtime protocol, with a server that refuses what OpenAI's refuses."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from realtime_fakes import KEY, Fake, OpenAI, Plan, SpeechToSpeech, tone  # type: ignore[import-not-found]
from realtime_talking import Talk, backend  # type: ignore[import-not-found]

from locara.audio import silence
from locara.engines.backend import (
    BackendFailed,
    BackendSettings,
    Cancel,
    Disregard,
    Ended,
    Played,
    ReplyBegan,
    ReplyEnded,
    ToolResult,
    ToolWanted,
    TurnEnd,
    UserText,
    UserTyped,
    UserVoice,
)
from locara.engines.contracts import Tool

RATE = 24_000
TOOL = Tool("clock", "The time.", {"type": "object", "properties": {}}, lambda: "noon")


def test_a_turn_is_what_was_pushed_and_its_reply_is_heard_and_read() -> None:
    async def talk() -> None:
        async with OpenAI() as server, Talk(backend(f"realtime:{server.url}")) as said:
            question = tone(0.5, RATE, 300)
            await said.push(question)
            assert await said.tell(TurnEnd(1))
            await said.until(lambda: said.ended(1) != "")
            assert said.ended(1) == "finished"
            assert said.text(1) == "Hello there."
            assert np.allclose(said.sound(1), tone(0.4, RATE), atol=1e-3)
            assert np.allclose(server.turns[0], question, atol=1e-3)
            await said.push(tone(0.3, RATE, 350))
            assert await said.tell(TurnEnd(2))
            await said.until(lambda: said.ended(2) == "finished")
            assert server.turns[1].size == round(0.3 * RATE)
        assert not server.problems
        assert server.session["audio"]["input"]["turn_detection"] is None

    asyncio.run(talk())


@pytest.mark.parametrize("late", [False, True])
def test_an_interrupted_reply_ends_at_once_and_its_unheard_part_is_forgotten(late: bool) -> None:
    async def talk() -> None:
        plan = Plan(reply_seconds=10.0, pause=0.01, late=late)
        async with OpenAI(plan) as server, Talk(backend(f"realtime:{server.url}")) as said:
            await said.push(tone(0.5, RATE))
            await said.tell(TurnEnd(1))
            await said.until(lambda: said.sound(1).size > 0.3 * RATE)
            assert await said.tell(Cancel(1))
            assert await said.tell(Played(1, 0.25, ended=True))
            await said.until(lambda: said.ended(1) == "cancelled")
            plan.reply_seconds, plan.pause = 0.2, 0.0
            await said.push(tone(0.5, RATE))
            await said.tell(TurnEnd(2))
            await said.until(lambda: said.ended(2) == "finished")
            assert said.sound(2).size == round(0.2 * RATE)
            assert list(server.truncated.values()) == [250]
        assert not server.problems

    asyncio.run(talk())


def test_a_reply_that_is_heard_to_its_end_is_not_truncated() -> None:
    async def talk() -> None:
        async with OpenAI() as server, Talk(backend(f"realtime:{server.url}")) as said:
            await said.push(tone(0.5, RATE))
            await said.tell(TurnEnd(1))
            await said.until(lambda: said.ended(1) == "finished")
            await said.tell(Played(1, 0.4, ended=True))
            await said.tell(Disregard())
            await said.until(lambda: bool(server.types("input_audio_buffer.clear")))
            assert not server.types("conversation.item.truncate")

    asyncio.run(talk())


@pytest.mark.parametrize("slow", [False, True])
def test_a_turn_that_was_ended_too_early_goes_on_and_no_sound_is_lost(slow: bool) -> None:
    async def talk() -> None:
        plan = Plan(reply_seconds=5.0 if slow else 0.1, pause=0.02 if slow else 0.0)
        async with OpenAI(plan) as server, Talk(backend(f"realtime:{server.url}")) as said:
            first, second = tone(0.5, RATE, 300), tone(0.4, RATE, 500)
            await said.push(first)
            await said.tell(TurnEnd(1))
            await said.until(lambda: bool(said.of(ReplyEnded)) if not slow else said.sound(1).size > 0)
            await said.push(second[: RATE // 10])
            assert await said.tell(Cancel(1, revoke=True))
            await said.push(second[RATE // 10 :])
            await said.tell(TurnEnd(2))
            await said.until(lambda: len(server.turns) == 2)
            assert np.allclose(server.turns[1], np.concatenate([first, second]), atol=1e-3)
            kinds = [type(one).__name__ for one in server.items.values()]
            assert kinds.count("ndarray") == 1, "the turn is in the conversation once"
            assert len(server.deleted) == 2
            await said.tell(Cancel(2))
        assert not server.problems

    asyncio.run(talk())


def test_what_was_no_turn_is_not_in_the_next_one() -> None:
    async def talk() -> None:
        async with OpenAI() as server, Talk(backend(f"realtime:{server.url}")) as said:
            await said.push(tone(1.0, RATE))
            assert await said.tell(Disregard())
            await said.push(tone(0.5, RATE))
            await said.tell(TurnEnd(1))
            await said.until(lambda: said.ended(1) == "finished")
            assert server.turns[0].size == round(0.5 * RATE)
        assert not server.problems

    asyncio.run(talk())


def test_a_turn_shorter_than_the_server_takes_is_filled_with_silence() -> None:
    async def talk() -> None:
        async with OpenAI() as server, Talk(backend(f"realtime:{server.url}")) as said:
            await said.push(tone(0.05, RATE))
            await said.tell(TurnEnd(1))
            await said.until(lambda: said.ended(1) == "finished")
            assert server.turns[0].size == round(0.1 * RATE)
        assert not server.problems

    asyncio.run(talk())


def test_sound_that_is_no_number_is_silence_and_too_loud_is_full_scale() -> None:
    async def talk() -> None:
        async with OpenAI() as server, Talk(backend(f"realtime:{server.url}")) as said:
            await said.push(np.array([np.nan, np.inf, 4.0, -4.0] * 1200, np.float32))
            await said.tell(TurnEnd(1))
            await said.until(lambda: said.ended(1) == "finished")
            assert np.allclose(server.turns[0][:4], [0.0, 0.0, 1.0, -1.0], atol=1e-3)

    asyncio.run(talk())


def test_what_is_typed_is_answered() -> None:
    async def talk() -> None:
        async with OpenAI() as server, Talk(backend(f"realtime:{server.url}")) as said:
            assert await said.tell(UserTyped("good morning"))
            await said.tell(TurnEnd(1))
            await said.until(lambda: said.ended(1) == "finished")
            content = server.types("conversation.item.create")[0]["item"]["content"]
            assert content == [{"type": "input_text", "text": "good morning"}]
            assert not server.types("input_audio_buffer.commit")
        assert not server.problems

    asyncio.run(talk())


@pytest.mark.parametrize("make", [OpenAI, SpeechToSpeech])
def test_a_tool_is_wanted_once_and_the_same_reply_goes_on_with_its_result(make: Any) -> None:
    async def talk() -> None:
        plan = Plan(tool={"name": "clock", "arguments": {"zone": "utc"}})
        dialect = "openai" if make is OpenAI else "speech-to-speech"
        async with make(plan) as server:
            made = backend(f"realtime:{dialect}:{server.url}")
            async with Talk(made, BackendSettings(tools=(TOOL,))) as said:
                rate = made.capabilities.input_rate
                await said.push(tone(0.5, rate))
                if make is OpenAI:
                    await said.tell(TurnEnd(1))
                else:
                    await said.push(silence(rate // 2))
                await said.until(lambda: bool(said.of(ToolWanted)))
                [wanted] = said.of(ToolWanted)
                assert (wanted.reply, wanted.call.name, wanted.call.arguments) == (1, "clock", {"zone": "utc"})
                assert not said.of(ReplyEnded)
                assert await said.tell(ToolResult(1, wanted.call, "noon"))
                await said.until(lambda: said.ended(1) == "finished")
                assert said.text(1) == "Hello there."
                output = server.types("conversation.item.create")[0]["item"]
                assert output == {"type": "function_call_output", "call_id": "call_1", "output": "noon"}
                assert server.session["tools"][0]["name"] == "clock"
        assert not server.problems

    asyncio.run(talk())


def test_the_result_of_a_tool_is_recorded_for_a_reply_that_was_cancelled() -> None:
    async def talk() -> None:
        plan = Plan(tool={"name": "clock", "arguments": {}})
        async with OpenAI(plan) as server, Talk(backend(f"realtime:{server.url}")) as said:
            await said.push(tone(0.5, RATE))
            await said.tell(TurnEnd(1))
            await said.until(lambda: bool(said.of(ToolWanted)))
            await said.tell(Cancel(1))
            assert await said.tell(ToolResult(1, said.of(ToolWanted)[0].call, "noon"))
            await said.until(lambda: bool(server.types("conversation.item.create")))
            assert len(server.types("response.create")) == 1

    asyncio.run(talk())


def test_a_second_question_waits_for_the_end_of_the_cancelled_reply() -> None:
    """OpenAI refuses a response while another is active: asked for too early, it would never come."""

    async def keep_quiet(server: Fake, socket: Any, message: dict[str, Any]) -> bool:
        if message["type"] != "response.cancel":
            return False
        await asyncio.sleep(0.1)
        return False

    async def talk() -> None:
        plan = Plan(reply_seconds=20.0, pause=0.01, mischief=keep_quiet)
        async with OpenAI(plan) as server, Talk(backend(f"realtime:{server.url}")) as said:
            for number in (1, 2, 3):
                await said.push(tone(0.2, RATE))
                await said.tell(TurnEnd(number))
                if number < 3:
                    await said.tell(Cancel(number))
            await said.until(lambda: said.sound(3).size > 0)
        assert not server.problems

    asyncio.run(talk())


def test_instructions_voice_and_key_reach_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", KEY)

    async def talk() -> None:
        async with OpenAI(key=KEY) as server:
            made = backend(f"realtime:{server.url}#gpt-x", api_key_env="SOME_KEY", voice="cedar", transcription="t")
            await made.load()
            async with Talk(made, BackendSettings(instructions="Be brief.")) as said:
                await said.push(tone(0.2, RATE))
                await said.tell(TurnEnd(1))
                await said.until(lambda: said.ended(1) == "finished")
            assert server.session["instructions"] == "Be brief."
            assert server.session["audio"]["output"]["voice"] == "cedar"
            assert server.session["audio"]["input"]["transcription"] == {"model": "t"}
            assert server.queries[-1]["model"] == "gpt-x"
        assert not server.problems

    asyncio.run(talk())


def test_several_sessions_of_one_backend_are_apart() -> None:
    async def talk() -> None:
        async with OpenAI() as server:
            made = backend(f"realtime:{server.url}")
            one, two = Talk(made), Talk(made)
            async with one, two:
                await one.push(tone(0.2, RATE))
                await one.tell(TurnEnd(1))
                await one.until(lambda: one.ended(1) == "finished")
                assert not two.events
            assert server.connections == 2

    asyncio.run(talk())


def test_a_server_that_decides_turns_begins_and_ends_replies_itself() -> None:
    """Hugging Face's speech-to-speech: its voice activity ends the turn, and the user's voice the reply."""

    async def talk() -> None:
        plan = Plan(reply_seconds=20.0, pause=0.01)
        async with SpeechToSpeech(plan) as server:
            made = backend(f"realtime:speech-to-speech:{server.url}")
            assert made.capabilities.turn_owner == "engine"
            async with Talk(made) as said:
                await said.push(tone(0.5, 16_000))
                await said.push(silence(8_000))
                await said.until(lambda: said.sound(1).size > 1000)
                assert not await said.tell(TurnEnd(1))
                assert [one.reply for one in said.of(ReplyBegan)] == [1]
                assert UserText("how are you", final=True) in said.events
                await said.push(tone(0.5, 16_000))
                await said.until(lambda: said.ended(1) == "interrupted")
                plan.reply_seconds = 0.2
                await said.push(silence(8_000))
                await said.until(lambda: said.ended(2) == "finished")
                assert said.sound(2).size == round(0.2 * 16_000)
                voices = [one.on for one in said.of(UserVoice)]
                assert voices == [True, False, True, False]
        assert not server.problems

    asyncio.run(talk())


def test_what_a_server_has_made_already_is_interrupted_while_it_plays() -> None:
    async def talk() -> None:
        plan = Plan(reply_seconds=30.0)
        async with SpeechToSpeech(plan) as server, Talk(backend(f"realtime:speech-to-speech:{server.url}")) as said:
            await said.push(tone(0.5, 16_000))
            await said.push(silence(8_000))
            await said.until(lambda: said.sound(1).size == 30 * 16_000)
            assert said.ended(1) == "", "it is made, and not heard"
            await said.push(tone(0.5, 16_000))
            await said.until(lambda: said.ended(1) == "interrupted")
        assert not server.problems

    asyncio.run(talk())


def test_a_server_that_answers_unasked_is_told_of_once() -> None:
    async def talk() -> None:
        async with (
            SpeechToSpeech() as server,
            Talk(backend(f"realtime:openai:{server.url}", input_rate=16_000, output_rate=16_000)) as said,
        ):
            for _ in range(2):
                await said.push(tone(0.5, 16_000))
                await said.push(silence(8_000))
                await said.until(lambda: bool(said.of(BackendFailed)))
            [told] = said.of(BackendFailed)
            assert told.code == "unasked-reply"
            assert not said.of(ReplyBegan)

    asyncio.run(talk())


def test_stopping_tells_the_end_and_takes_the_connection_away() -> None:
    async def talk() -> None:
        plan = Plan(reply_seconds=20.0, pause=0.01)
        async with OpenAI(plan) as server, Talk(backend(f"realtime:{server.url}")) as said:
            await said.push(tone(0.2, RATE))
            await said.tell(TurnEnd(1))
            await said.until(lambda: said.sound(1).size > 0)
            await said.backend.stop_session(said.name)
            await said.backend.stop_session(said.name)
            await said.until(lambda: bool(said.of(Ended)))
            assert said.of(Ended) == [Ended("stopped")]
            await said.backend.push_audio(said.name, tone(0.1, RATE))
            assert not await said.tell(TurnEnd(2))
            await said.until(lambda: server.open == 0)

    asyncio.run(talk())
