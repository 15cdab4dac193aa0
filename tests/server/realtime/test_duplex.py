"""A model that leads the conversation, through the same door as every other form."""

from __future__ import annotations

import asyncio

from locara.testing import ScriptedDuplex

from .rules import check
from .serving import Engines, connected, question, server

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
