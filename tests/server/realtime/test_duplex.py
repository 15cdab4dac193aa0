"""A model that leads the conversation, through the same door as every other form."""

from __future__ import annotations

import asyncio
from typing import Any

from locara.testing import ScriptedDuplex

from .rules import check
from .serving import WITHIN, Client, Engines, connected, question, server

LONG = "It is noon now and the sun is high up in the sky and there it stays for a while and then some more."


def _engines(model: ScriptedDuplex) -> Engines:
    return Engines(lambda _kind: model)


def test_a_stock_conversation_with_a_model_that_leads() -> None:
    async def main() -> None:
        model = ScriptedDuplex(["It is noon."])
        async with server(_engines(model), omni="scripted") as port, connected(port) as client:
            await client.say(question(0))
            await client.until("input_audio_buffer.speech_started")
            await client.until("input_audio_buffer.speech_stopped")
            await client.until("response.created")
            done = await client.until("response.done")
            assert done["response"]["status"] == "completed"
            item = done["response"]["output"][0]
            assert item["content"][0]["transcript"] == "It is noon."
            check(client.events)

    asyncio.run(main())


def test_cancelling_its_response_silences_it() -> None:
    async def main() -> None:
        model = ScriptedDuplex([LONG])
        async with server(_engines(model), omni="scripted") as port, connected(port) as client:
            await client.say(question(0))
            await client.until("response.created")
            await client.until("response.output_audio.delta")
            await client.send("response.cancel")
            done = await client.until("response.done")
            assert done["response"]["status"] == "cancelled"
            check(client.events)

    asyncio.run(main())


async def _error(client: Client, kind: str, **fields: Any) -> dict[str, Any]:
    await client.send(kind, **fields)
    return dict((await client.until("error"))["error"])


def test_what_only_a_model_that_takes_turns_can_do_is_refused_and_the_conversation_goes_on() -> None:
    async def main() -> None:
        model = ScriptedDuplex(["It is noon."])
        async with server(_engines(model), omni="scripted") as port, connected(port) as client:
            await client.until("session.created")
            for name in ("create_response", "interrupt_response"):
                detection = {"type": "server_vad", name: False}
                session = {"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
                error = await _error(client, "session.update", session=session)
                assert error["code"] == "unsupported_by_model"
                assert name in error["param"]
            tool = {"type": "function", "name": "lamp", "parameters": {}}
            error = await _error(client, "session.update", session={"type": "realtime", "tools": [tool]})
            assert error["code"] == "unsupported_tool"
            error = await _error(client, "response.create", response={"instructions": "Be brief."})
            assert error["code"] == "unsupported_by_model"
            error = await _error(client, "response.create")
            assert error["code"] == "not-possible"
            done = await client.until("response.done")
            assert done["response"]["status"] != "completed"
            await client.say(question(0))
            await client.until("response.created")
            await client.until("response.done")
            check(client.events)

    asyncio.run(main())


def test_with_turns_by_hand_it_hears_what_was_committed_and_answers_by_itself() -> None:
    async def main() -> None:
        model = ScriptedDuplex(["It is noon."])
        async with server(_engines(model), omni="scripted") as port, connected(port) as client:
            await client.update(audio={"input": {"turn_detection": None}})
            await client.say(question(0))
            await client.send("input_audio_buffer.commit")
            await client.until("input_audio_buffer.committed")
            await client.until("response.created")
            done = await client.until("response.done")
            assert done["response"]["output"][0]["content"][0]["transcript"] == "It is noon."

    asyncio.run(main())


def test_when_its_places_are_taken_the_server_is_busy_and_one_that_goes_frees_its_place() -> None:
    async def main() -> None:
        model = ScriptedDuplex(["It is noon."], max_sessions=1)
        async with server(_engines(model), omni="scripted") as port:
            async with connected(port) as client:
                await client.until("session.created")
                async with connected(port) as other:
                    error = (await other.until("error"))["error"]
                    assert error["code"] == "busy"
                    assert "try again in" in error["message"]
                    message = await asyncio.wait_for(other.socket.receive(), WITHIN)
                    assert other.socket.close_code == 1013, message
                await client.say(question(0))
                await client.until("response.created")
                connection = client.socket._response.connection
                assert connection is not None
                assert connection.transport is not None
                connection.transport.abort()  # as a machine that is switched off, in the middle of a reply
            for _ in range(100):
                async with connected(port) as next_one:
                    if (await next_one.next())["type"] == "session.created":
                        return
                await asyncio.sleep(0.05)
            raise AssertionError("its place stayed taken")

    asyncio.run(main())
