"""Conversations with the servers of inference engines: vLLM-Omni's two, SGLang-Omni's, mlx-vlm's, and OpenAI's Live API."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from realtime_engine_fakes import (  # type: ignore[import-not-found]
    Live,
    Mlx,
    PersonaPlexOnVllm,
    Sglang,
    VllmDuplex,
    VllmTurn,
)
from realtime_fakes import Plan, tone  # type: ignore[import-not-found]
from realtime_talking import Talk, backend  # type: ignore[import-not-found]

from locara.audio import silence
from locara.engines.backend import (
    BackendFailed,
    BackendSettings,
    Cancel,
    Disregard,
    Ended,
    Frame,
    Played,
    ReplyBegan,
    TurnEnd,
    UserText,
)
from locara.errors import ConfigError, EngineBusy

SPEAKS = tone(0.4, 16_000)
QUIET = silence(6_400)


def test_vllm_turn_by_turn_answers_what_was_said_in_the_turn() -> None:
    async def talk() -> None:
        async with VllmTurn() as server, Talk(backend(f"realtime:vllm-omni:{server.url}#qwen3-omni")) as said:
            await said.push(tone(0.7, 16_000))
            await said.tell(Disregard())  # the server cannot forget: so it was not told
            await said.push(SPEAKS)
            await said.tell(TurnEnd(1))
            await said.until(lambda: said.ended(1) == "finished")
            assert np.allclose(server.turns[0], SPEAKS, atol=1e-3)
            assert said.text(1) == "Hello there."
            assert said.sound(1).size == round(0.4 * 24_000)
            await said.push(SPEAKS[:3200])
            await said.tell(TurnEnd(2))
            await said.until(lambda: said.ended(2) == "finished")
            assert server.turns[1].size == 3200
            assert server.connections == 1
            assert server.queries[0] == {"duplex": "0", "model": "qwen3-omni"}
        assert not server.problems

    asyncio.run(talk())


def test_vllm_turn_by_turn_is_stopped_by_a_new_connection() -> None:
    async def talk() -> None:
        plan = Plan(reply_seconds=20.0, pause=0.01)
        async with VllmTurn(plan) as server, Talk(backend(f"realtime:vllm-omni:{server.url}#q")) as said:
            await said.push(SPEAKS)
            await said.tell(TurnEnd(1))
            await said.until(lambda: said.sound(1).size > 0)
            assert await said.tell(Cancel(1, revoke=True))
            await said.push(SPEAKS[:1600])
            plan.reply_seconds = 0.2
            await said.tell(TurnEnd(2))
            await said.until(lambda: said.ended(2) == "finished")
            assert server.turns[1].size == SPEAKS.size + 1600
            assert (server.connections, said.ended(1)) == (2, "cancelled")
            assert said.sound(2).size == round(0.2 * 24_000)
        assert not server.problems

    asyncio.run(talk())


def test_what_waits_to_be_sent_for_a_stopped_reply_is_not_sent_to_the_new_connection() -> None:
    async def talk() -> None:
        async with VllmTurn() as server, Talk(backend(f"realtime:vllm-omni:{server.url}#q")) as said:
            await said.push(SPEAKS)
            for number in (1, 2, 3):
                await said.tell(TurnEnd(number))
                if number < 3:
                    await said.tell(Cancel(number, revoke=True))
            await said.until(lambda: said.ended(3) == "finished")
            assert said.text(3) == "Hello there."
            assert np.allclose(server.turns[-1], SPEAKS, atol=1e-3)
        assert not server.problems

    asyncio.run(talk())


@pytest.mark.parametrize(("dialect", "make"), [("vllm-omni-duplex", VllmDuplex), ("sglang-omni", Sglang)])
def test_a_model_that_leads_says_when_it_speaks(dialect: str, make: Any) -> None:
    async def talk() -> None:
        async with make() as server, Talk(backend(f"realtime:{dialect}:{server.url}#minicpm-o")) as said:
            for number in (1, 2):
                await said.push(SPEAKS)
                await said.push(QUIET)
                await said.until(lambda number=number: said.ended(number) == "finished")
                assert said.text(number) == "Hello there."
                assert said.sound(number).size == round(0.4 * 24_000)
            assert [one.reply for one in said.of(ReplyBegan)] == [1, 2]
            assert not await said.tell(TurnEnd(1))
        assert not server.problems
        assert server.types("session.close")

    asyncio.run(talk())


def test_a_duplex_reply_that_the_model_breaks_off_is_interrupted() -> None:
    async def talk() -> None:
        plan = Plan(reply_seconds=20.0, pause=0.01)
        async with VllmDuplex(plan) as server, Talk(backend(f"realtime:vllm-omni-duplex:{server.url}#minicpm")) as said:
            await said.push(SPEAKS)
            await said.push(QUIET)
            await said.until(lambda: said.sound(1).size > 0)
            assert await said.tell(Played(1, 0.08))
            await said.push(SPEAKS)
            await said.until(lambda: said.ended(1) == "interrupted")
            assert server.types("playback.ack")[0]["played_ms"] == 80
            assert server.types("session.event_ack")
        assert not server.problems

    asyncio.run(talk())


def test_a_lost_duplex_connection_is_resumed_and_nothing_comes_twice() -> None:
    async def talk() -> None:
        plan = Plan(reply_seconds=2.0, piece=0.1, pause=0.02)
        async with VllmDuplex(plan) as server, Talk(backend(f"realtime:vllm-omni-duplex:{server.url}#minicpm")) as said:
            await said.push(SPEAKS)
            await said.push(QUIET)
            await said.until(lambda: said.sound(1).size > 0)
            assert server.socket is not None
            server.socket._req.transport.abort()
            await said.until(lambda: said.ended(1) == "finished")
            assert server.resumed == 1
            assert np.allclose(said.sound(1), tone(2.0, 24_000), atol=1e-3), "every piece once, in order"
        assert not server.problems
        assert server.closed.is_set(), "the place is free again"

    asyncio.run(talk())


def test_personaplex_at_vllm_gives_frames_and_takes_a_voice_and_a_role() -> None:
    async def talk() -> None:
        async with PersonaPlexOnVllm() as server:
            made = backend(f"realtime:vllm-omni-duplex:{server.url}#nvidia/personaplex-7b-v1")
            can = made.capabilities
            assert (can.marks_replies, can.input_rate, can.max_session_seconds) == (False, 24_000, 240.0)
            async with Talk(made, BackendSettings(instructions="You sell tea.", voice="NATM1.pt")) as said:
                await said.push(tone(0.84, 24_000))
                await said.until(lambda: len(said.of(Frame)) == 10)
                frames = said.of(Frame)
                assert {one.samples.size for one in frames} == {1920}
                assert [one.text for one in frames] == ["la ", "", "", "", ""] * 2
                assert not said.of(ReplyBegan)
            session = server.types("session.update")[0]["session"]
            assert (session["instructions"], session["voice"]) == ("You sell tea.", "NATM1.pt")
            assert server.queries[0]["autostart"] == "0"
        assert not server.problems

    asyncio.run(talk())


def test_mlx_vlm_gives_frames_that_say_how_far_it_had_heard() -> None:
    async def talk() -> None:
        async with Mlx() as server:
            made = backend(f"realtime:mlx-vlm:{server.url}#nemotron-voicechat")
            await made.load()
            async with Talk(made, BackendSettings(instructions="Be brief.")) as said:
                await said.push(tone(0.8, 16_000))
                await said.until(lambda: len(said.of(Frame)) == 10)
                frames = said.of(Frame)
                assert {one.samples.size for one in frames} == {1764}
                assert [one.heard for one in frames] == [1280 * (n + 1) for n in range(10)]
                assert "".join(one.text for one in frames) == "Hello there."
                assert UserText("um um um ", final=True) in said.events
                assert not await said.tell(Cancel(1)), "it would end the session"
                assert not await said.tell(Disregard())
                with pytest.raises(EngineBusy):
                    await made.start_session(BackendSettings())
            assert server.types("session.update")[0]["session"]["system_prompt"] == "Be brief."
        assert not server.problems

    asyncio.run(talk())


def test_mlx_vlm_that_is_taken_is_busy() -> None:
    async def talk() -> None:
        async with Mlx(Plan(places=0)) as server:
            made = backend(f"realtime:mlx-vlm:{server.url}#m")
            with pytest.raises(EngineBusy, match="no place"):
                await made.load()
            with pytest.raises(EngineBusy, match="no place"):
                await made.start_session(BackendSettings())

    asyncio.run(talk())


def test_the_rates_of_an_mlx_server_are_those_it_tells() -> None:
    class Other(Mlx):  # type: ignore[misc]
        output_rate = 24_000

    async def talk() -> None:
        async with Other() as server:
            made = backend(f"realtime:mlx-vlm:{server.url}#m")
            await made.load()
            assert made.capabilities.output_rate == 24_000
            async with Talk(made) as said:
                await said.push(tone(0.2, 16_000))
                await said.until(lambda: len(said.of(Frame)) == 2)
                assert said.of(Frame)[0].samples.size == 1920

    asyncio.run(talk())


def test_the_live_api_is_frames_and_its_farewell_is_said() -> None:
    async def talk() -> None:
        async with (
            Live() as server,
            Talk(backend(f"realtime:openai-live:{server.url}#gpt-live-1", voice="marin")) as said,
        ):
            await said.push(tone(1.0, 24_000))
            await said.until(lambda: len(said.of(Frame)) == 12)
            assert "".join(one.text for one in said.of(Frame)).startswith("yes yes")
            assert UserText("hi hi ", final=True) in said.events
        assert not server.problems
        assert server.types("session.close")

    asyncio.run(talk())


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("realtime:sglang-omni:ws://127.0.0.1:9#nemotron", BackendSettings(instructions="Be brief.")),
        ("realtime:sglang-omni:ws://127.0.0.1:9#minicpm", BackendSettings(voice="x")),
        ("realtime:vllm-omni:ws://127.0.0.1:9#qwen", BackendSettings(instructions="Be brief.")),
    ],
)
def test_what_a_server_cannot_be_given_is_refused_before_it_is_asked(name: str, settings: BackendSettings) -> None:
    with pytest.raises(ConfigError, match="cannot be given"):
        asyncio.run(backend(name).start_session(settings))


def test_a_session_that_expires_reaches_its_limit() -> None:
    async def expire(server: Any, socket: Any, message: Any) -> bool:
        if message["type"] == "input_audio_buffer.append":
            await server.keep(type="session.expired", session_id="dup_1", reason="expired")
        return False

    async def talk() -> None:
        name = "realtime:vllm-omni-duplex:{}#minicpm"
        async with VllmDuplex(Plan(mischief=expire)) as server, Talk(backend(name.format(server.url))) as said:
            await said.push(SPEAKS)
            await said.until(lambda: bool(said.of(Ended)))
            assert said.of(Ended) == [Ended("limit")]
            assert not said.of(BackendFailed)

    asyncio.run(talk())
