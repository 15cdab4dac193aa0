"""Conversations over the Realtime protocol as stock clients have them, on a real socket, with scripted engines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from locara.audio import pcm16
from locara.engines.contracts import ToolCall
from locara.server import g711
from locara.server.settings import Limits

from .rules import check
from .serving import RATE, TOKEN, Client, connected, omni, question, scripted, server

LONG = "One two three four five six seven. " * 12
PAUSE = np.zeros(RATE * 3, np.float32)


@pytest.fixture(autouse=True)
def own_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's real grants."""
    monkeypatch.setenv("LOCARA_CONSENT", str(tmp_path / "consent"))


def run(work: Coroutine[Any, Any, None]) -> None:
    """With a deadline."""
    asyncio.run(asyncio.wait_for(work, 90))


async def typed(client: Client, text: str) -> None:
    """A message of the user's, and its acknowledgement."""
    content = [{"type": "input_text", "text": text}]
    await client.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
    await client.until("conversation.item.done")


def test_a_text_turn() -> None:
    async def work() -> None:
        async with server(scripted(replies=["Hello you."])) as port, connected(port) as client:
            session = (await client.until("session.created"))["session"]
            assert session["type"] == "realtime"
            assert session["model"] == "m"
            updated = await client.update(output_modalities=["text"], instructions="Be kind.")
            assert updated["output_modalities"] == ["text"]
            await typed(client, "hi")
            await client.send("response.create", response={"metadata": {"a": "b"}})
            done = (await client.until("response.done"))["response"]
            assert done["status"] == "completed"
            assert done["metadata"] == {"a": "b"}
            assert done["output"][0]["content"] == [{"type": "output_text", "text": "Hello you."}]
            assert not client.sound()
            check(client.events)
            assert client.types()[3:] == [
                "conversation.item.done",
                "response.created",
                "response.output_item.added",
                "conversation.item.added",
                "response.content_part.added",
                "response.output_text.delta",
                "response.output_text.done",
                "response.content_part.done",
                "conversation.item.done",
                "response.output_item.done",
                "response.done",
            ]

    run(work())


def test_a_spoken_turn_found_by_the_server() -> None:
    async def work() -> None:
        async with server(scripted()) as port, connected(port) as client:
            await client.update(audio={"input": {"transcription": {"model": "gpt-4o-mini-transcribe"}}})
            talking = asyncio.create_task(client.say(np.concatenate([question(), PAUSE])))
            done = (await client.until("response.done"))["response"]
            talking.cancel()
            assert done["status"] == "completed"
            check(client.events)
            kinds = client.types()
            order = [
                "session.created",
                "session.updated",
                "input_audio_buffer.speech_started",
                "input_audio_buffer.speech_stopped",
                "input_audio_buffer.committed",
                "conversation.item.added",
                "conversation.item.done",
                "conversation.item.input_audio_transcription.delta",
                "conversation.item.input_audio_transcription.completed",
                "response.created",
                "response.output_item.added",
                "conversation.item.added",
                "response.content_part.added",
                "response.output_audio_transcript.delta",
                "response.output_audio.delta",
                "response.output_audio.done",
                "response.output_audio_transcript.done",
                "response.content_part.done",
                "conversation.item.done",
                "response.output_item.done",
                "response.done",
            ]
            assert kinds == order
            heard = client.all("conversation.item.input_audio_transcription.completed")[0]
            assert heard["transcript"] == "what time is it"
            item = client.all("input_audio_buffer.committed")[0]["item_id"]
            await client.send("conversation.item.retrieve", item_id=item)
            item = (await client.until("conversation.item.retrieved"))["item"]
            assert item["content"] == [{"type": "input_audio", "transcript": "what time is it"}]
            # 15 characters at 30 a second: all of its sound, and nothing but it.
            assert abs(len(client.sound()) / 2 / RATE - 0.5) < 0.05

    run(work())


def test_a_turn_by_hand() -> None:
    async def work() -> None:
        async with server(scripted()) as port, connected(port) as client:
            none = {"input": {"turn_detection": None, "transcription": {"model": "x"}}}
            assert (await client.update(audio=none))["audio"]["input"]["turn_detection"] is None
            await client.send("input_audio_buffer.commit", event_id="e1")
            error = (await client.until("error"))["error"]
            assert (error["code"], error["event_id"]) == ("input_audio_buffer_commit_empty", "e1")
            await client.say(question(), pace=4)
            await client.send("input_audio_buffer.commit")
            await client.send("response.create")
            done = (await client.until("response.done"))["response"]
            assert done["status"] == "completed"
            if not client.all("conversation.item.input_audio_transcription.completed"):
                await client.until("conversation.item.input_audio_transcription.completed")
            check(client.events)
            kinds = client.types()
            assert "input_audio_buffer.speech_started" not in kinds
            assert kinds.index("input_audio_buffer.committed") < kinds.index("response.created")
            assert client.all("conversation.item.input_audio_transcription.completed")[0]["transcript"]
            await client.say(question(), pace=8)
            await client.send("input_audio_buffer.clear")
            await client.until("input_audio_buffer.cleared")
            await client.send("input_audio_buffer.commit", event_id="e2")
            assert (await client.until("error"))["error"]["event_id"] == "e2"

    run(work())


def test_a_voice_that_interrupts() -> None:
    async def work() -> None:
        engines = scripted(["tell me something long", "stop that please"], [LONG, "Yes."], chars_per_second=15)
        async with server(engines) as port, connected(port) as client:
            await client.until("session.created")
            await typed(client, "go on")
            await client.send("response.create")
            await client.until("response.output_audio.delta")
            await asyncio.sleep(0.7)
            talking = asyncio.create_task(client.say(np.concatenate([question(), PAUSE])))
            started = await client.until("input_audio_buffer.speech_started")
            cut = (await client.until("response.done"))["response"]
            assert (cut["status"], cut["status_details"]["reason"]) == ("cancelled", "turn_detected")
            assert cut["output"][0]["status"] == "incomplete"
            assert client.types().count("response.done") == 1
            # What was shown as said is about what was said.
            assert len(cut["output"][0]["content"][0]["transcript"]) < len(LONG) / 2
            await client.send(
                "conversation.item.truncate", item_id=cut["output"][0]["id"], content_index=0, audio_end_ms=500
            )
            assert (await client.until("conversation.item.truncated"))["audio_end_ms"] == 500
            await client.send("conversation.item.retrieve", item_id=cut["output"][0]["id"])
            left = (await client.until("conversation.item.retrieved"))["item"]["content"][0]["transcript"]
            assert left
            assert LONG.startswith(left)
            assert len(left) < 15
            committed = await client.until("input_audio_buffer.committed")
            assert committed["item_id"] == started["item_id"]
            answer = (await client.until("response.done"))["response"]
            assert answer["status"] == "completed"
            talking.cancel()
            check(client.events)

    run(work())


def test_a_response_is_cancelled() -> None:
    async def work() -> None:
        async with server(scripted(replies=[LONG, "Short."])) as port, connected(port) as client:
            await client.until("session.created")
            await client.send("response.cancel", event_id="none")
            assert (await client.until("error"))["error"]["code"] == "response_cancel_not_active"
            await typed(client, "go on")
            for first in ("response.created", "response.output_audio.delta"):
                await client.send("response.create")
                await client.until(first)
                await client.send("response.create", event_id="second")
                error = (await client.until("error"))["error"]
                assert error["code"] == "conversation_already_has_active_response"
                assert error["event_id"] == "second"
                await client.send("response.cancel")
                done = (await client.until("response.done"))["response"]
                assert (done["status"], done["status_details"]["reason"]) == ("cancelled", "client_cancelled")
            await typed(client, "and now short")
            await client.send("response.create", response={"input": []})
            assert (await client.until("response.done"))["response"]["status"] == "completed"
            check(client.events)

    run(work())


def test_g711_both_ways() -> None:
    async def work() -> None:
        async with server(scripted()) as port, connected(port) as client:
            ulaw, alaw = {"type": "audio/pcmu"}, {"type": "audio/pcma"}
            await client.update(audio={"input": {"format": alaw}, "output": {"format": ulaw}})
            sound = np.concatenate([question(), PAUSE])[::3]  # speech of that recording lies below 4 kHz
            data = g711.encode(sound, "pcma")

            async def talk() -> None:
                for at in range(0, len(data), 320):
                    await client.append(data[at : at + 320])
                    await asyncio.sleep(0.04)

            talking = asyncio.create_task(talk())
            assert (await client.until("response.done"))["response"]["status"] == "completed"
            talking.cancel()
            heard = g711.decode(client.sound(), "pcmu")
            assert abs(heard.size / g711.RATE - 0.5) < 0.05
            assert float(np.abs(heard).max()) > 0.05
            check(client.events)

    run(work())


def test_a_function_of_the_client() -> None:
    async def work() -> None:
        call = ["Let me look. ", ToolCall("x", "get_weather", {"city": "Oslo"})]
        async with server(scripted(replies=[call, "It rains."])) as port, connected(port) as client:
            tool = {"type": "function", "name": "get_weather", "description": "The weather.", "parameters": {}}
            await client.update(tools=[tool], tool_choice="required")
            await typed(client, "weather?")
            await client.send("response.create")
            called = await client.until("response.function_call_arguments.done")
            assert (called["name"], json.loads(called["arguments"])) == ("get_weather", {"city": "Oslo"})
            item = await client.until("response.output_item.done")
            assert (item["item"]["type"], item["item"]["status"]) == ("function_call", "completed")
            first = (await client.until("response.done"))["response"]
            assert [one["type"] for one in first["output"]] == ["message", "function_call"]
            assert first["output"][0]["content"][0]["transcript"].strip() == "Let me look."
            await client.send("response.cancel")
            await client.until("error")
            output = {"type": "function_call_output", "call_id": called["call_id"], "output": '{"rain": true}'}
            await client.send("conversation.item.create", item=output)
            await client.until("conversation.item.done")
            await client.send("response.create")
            second = (await client.until("response.done"))["response"]
            assert second["status"] == "completed"
            assert second["output"][0]["content"][0]["transcript"].strip() == "It rains."
            await client.send("conversation.item.create", item={**output, "call_id": "nobody"}, event_id="e")
            assert (await client.until("error"))["error"]["code"] == "invalid_tool_call_id"
            check(client.events)

    run(work())


def test_out_of_band_and_with_messages_of_its_own() -> None:
    seen: list[list[tuple[str, str]]] = []

    def answer(messages: Any) -> str:
        seen.append([(one.role, one.content) for one in messages])
        return "Fine."

    async def work() -> None:
        async with server(scripted(replies=answer)) as port, connected(port) as client:
            await client.update(output_modalities=["text"], instructions="")
            await typed(client, "one")
            item = client.all("conversation.item.done")[0]["item"]["id"]
            wish = {
                "conversation": "none",
                "instructions": "Classify.",
                "metadata": {"topic": "x"},
                "input": [
                    {"type": "item_reference", "id": item},
                    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "two"}]},
                ],
            }
            await client.send("response.create", response=wish)
            done = (await client.until("response.done"))["response"]
            assert done["conversation_id"] is None
            assert seen[-1] == [("system", "Classify."), ("user", "one"), ("user", "two")]
            assert client.types().count("conversation.item.added") == 1
            await client.send("conversation.item.delete", item_id=item)
            await client.until("conversation.item.deleted")
            await typed(client, "three")
            await client.send("response.create")
            await client.until("response.done")
            assert seen[-1] == [("user", "three")]
            where = {"previous_item_id": "root"}
            content = [{"type": "input_text", "text": "zero"}]
            await client.send(
                "conversation.item.create", item={"type": "message", "role": "system", "content": content}, **where
            )
            await client.until("conversation.item.done")
            await typed(client, "four")
            await client.send("response.create")
            await client.until("response.done")
            assert [text for _, text in seen[-1]] == ["zero", "three", "Fine.", "four"]
            check(client.events)

    run(work())


def test_a_session_that_only_transcribes() -> None:
    async def work() -> None:
        async with (
            server(scripted(["hello there"])) as port,
            connected(port, path="/realtime?intent=transcription") as client,
        ):
            session = (await client.until("session.created"))["session"]
            assert session["type"] == "transcription"
            await client.send("session.update", session={"type": "transcription", "audio": {"input": {}}})
            await client.until("session.updated")
            talking = asyncio.create_task(client.say(np.concatenate([question(), PAUSE])))
            done = await client.until("conversation.item.input_audio_transcription.completed")
            talking.cancel()
            assert done["transcript"] == "hello there"
            await client.send("response.create", event_id="no")
            assert (await client.until("error"))["error"]["event_id"] == "no"
            assert "response.created" not in client.types()
            check(client.events)

    run(work())


def test_one_model_that_hears_and_speaks() -> None:
    async def work() -> None:
        async with server(omni(), omni="scripted") as port, connected(port) as client:
            await client.update(audio={"input": {"transcription": {"model": "x"}}})
            await client.send("session.update", session={"type": "realtime", "output_modalities": ["text"]})
            assert (await client.until("error"))["error"]["param"] == "session.output_modalities"
            talking = asyncio.create_task(client.say(np.concatenate([question(), PAUSE])))
            done = (await client.until("response.done"))["response"]
            talking.cancel()
            assert done["status"] == "completed"
            assert done["output"][0]["content"][0]["transcript"].strip() == "Hello there."
            assert client.sound()
            kinds = client.types()
            assert kinds.index("input_audio_buffer.committed") < kinds.index("response.created")
            assert "conversation.item.input_audio_transcription.failed" in kinds
            check(client.events)

    run(work())


@pytest.mark.parametrize("path", ["/v1/realtime", "/realtime"])
def test_who_may_come_in(path: str) -> None:
    async def work() -> None:
        async with server(scripted(), limits=Limits(sessions=1)) as port:
            for headers in ({}, {"Authorization": "Bearer wrong-key-0123456789"}):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    async with connected(port, path=path, headers=headers):
                        pass
                assert refused.value.status == 401
            offered = ["realtime", f"openai-insecure-api-key.{TOKEN}", "openai-agents-sdk.0.20.0"]
            async with connected(port, path=path, headers={}, protocols=offered) as browser:
                assert browser.socket.protocol == "realtime"
                await browser.until("session.created")
                async with connected(port, path=path) as second:
                    assert (await second.until("error"))["error"]["code"] == "busy"
                    with pytest.raises(ConnectionError):
                        await second.next()
                    assert second.socket.close_code == 1013
            headers = {"Authorization": f"Bearer {TOKEN}", "OpenAI-Beta": "realtime=v1"}
            async with connected(port, path=path, headers=headers) as old:
                assert (await old.until("error"))["error"]["code"] == "beta_api_shape_disabled"
                with pytest.raises(ConnectionError):
                    await old.next()
                assert old.socket.close_code == 4000

    run(work())


def test_what_is_wrong_is_said_and_harms_nobody() -> None:
    async def work() -> None:
        async with server(scripted(replies=["Still here."])) as port, connected(port) as client:
            await client.until("session.created")
            wrong: list[tuple[dict[str, Any], str | None]] = [
                ({"type": "no.such.event"}, "type"),
                ({"type": "session.update"}, "session"),
                ({"type": "session.update", "session": {"audio": {"input": {"format": "mp3"}}}}, None),
                ({"type": "session.update", "session": {"type": "realtime", "tools": [{"type": "mcp"}]}}, None),
                ({"type": "input_audio_buffer.append", "audio": "%%%"}, "audio"),
                ({"type": "input_audio_buffer.append", "audio": "AAAA"}, "audio"),
                ({"type": "conversation.item.retrieve", "item_id": "nobody"}, "item_id"),
                ({"type": "conversation.item.truncate", "item_id": "x", "content_index": 0}, "audio_end_ms"),
                ({"type": "conversation.item.create", "item": {"type": "message", "role": "user"}}, "item.content"),
                ({"type": "response.create", "response": {"output_modalities": ["audio", "text"]}}, None),
            ]
            for number, (event, param) in enumerate(wrong):
                await client.socket.send_str(json.dumps({**event, "event_id": f"e{number}"}))
                error = (await client.until("error"))["error"]
                assert error["event_id"] == f"e{number}"
                assert error["type"] == "invalid_request_error"
                assert error["message"]
                assert param is None or error["param"] == param
            for frame in ("", "[]", "{", "null", '{"type": 1e999}', "[" * 5000, '{"type": "\\ud800"}'):
                await client.socket.send_str(frame)
                assert (await client.until("error"))["error"]["message"]
            await client.socket.send_bytes(pcm16(question()[:100]))
            await client.until("error")
            await typed(client, "still there?")
            await client.send("response.create")
            assert (await client.until("response.done"))["response"]["status"] == "completed"
            check(client.events)
            await client.socket.send_str("x" * ((1 << 20) + 1))
            with pytest.raises(ConnectionError):
                await client.until("never")
            assert client.socket.close_code == 1009

    run(work())
