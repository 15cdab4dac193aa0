"""What is not the usual way: words in passing, functions that nobody answers, silence, broken engines, clients that go."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from locara.engines.contracts import ToolCall
from locara.server.settings import Limits

from .rules import check
from .serving import RATE, connected, question, scripted, server
from .test_conversations import LONG, PAUSE, typed

CALL: Any = ["Let me look. ", ToolCall("x", "get_weather", {"city": "Oslo"})]
TOOL = {"type": "function", "name": "get_weather", "parameters": {}}


@pytest.fixture(autouse=True)
def own_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's real grants."""
    monkeypatch.setenv("LOCARA_CONSENT", str(tmp_path / "consent"))


def run(work: Coroutine[Any, Any, None]) -> None:
    """With a deadline."""
    asyncio.run(asyncio.wait_for(work, 90))


def test_a_word_in_passing_is_not_told_and_the_reply_goes_on() -> None:
    async def work() -> None:
        engines = scripted(["mm-hm"], [LONG[:140]], chars_per_second=20, least=0.0)
        async with server(engines) as port, connected(port) as client:
            await client.until("session.created")
            await typed(client, "go on")
            await client.send("response.create")
            await client.until("response.output_audio.delta")
            passing = question(0)[round(0.5 * RATE) : round(0.85 * RATE)]
            talking = asyncio.create_task(client.say(np.concatenate([passing, PAUSE, PAUSE])))
            done = (await client.until("response.done"))["response"]
            talking.cancel()
            assert done["status"] == "completed"
            assert done["output"][0]["content"][0]["transcript"].strip() == LONG[:140].strip()
            kinds = client.types()
            assert "input_audio_buffer.speech_started" not in kinds
            # The pause in which it stood still is not sent: the client's sound is the reply's.
            assert abs(len(client.sound()) / 2 / RATE - 7.0) < 0.6
            check(client.events)

    run(work())


def test_the_user_speaks_while_a_function_is_waited_for() -> None:
    async def work() -> None:
        engines = scripted(["never mind that please"], [CALL, "All right."])
        async with server(engines) as port, connected(port) as client:
            await client.update(tools=[TOOL])
            await typed(client, "weather?")
            await client.send("response.create")
            called = await client.until("response.function_call_arguments.done")
            await client.until("response.done")
            talking = asyncio.create_task(client.say(np.concatenate([question(), PAUSE])))
            await client.until("input_audio_buffer.speech_started")
            await client.until("response.created")
            answer = (await client.until("response.done"))["response"]
            assert answer["status"] == "completed"
            assert answer["output"][0]["content"][0]["transcript"].strip() == "All right."
            output = {"type": "function_call_output", "call_id": called["call_id"], "output": '"late"'}
            await client.send("conversation.item.create", item=output)
            await client.until("conversation.item.done")
            await client.send("response.create")
            assert (await client.until("response.done"))["response"]["status"] == "completed"
            talking.cancel()
            check(client.events)

    run(work())


def test_a_response_that_is_asked_for_while_the_user_speaks_is_the_answer_to_that() -> None:
    async def work() -> None:
        async with server(scripted(replies=["One answer."])) as port, connected(port) as client:
            await client.until("session.created")
            talking = asyncio.create_task(client.say(np.concatenate([question(), PAUSE])))
            await client.until("input_audio_buffer.speech_started")
            await client.send("response.create")
            created = await client.until("response.created")
            done = await client.until("response.done")
            assert done["response"]["id"] == created["response"]["id"]
            assert done["response"]["status"] == "completed"
            await talking
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await client.until("response.created")
            check(client.events)

    run(work())


def test_a_response_that_is_cancelled_before_its_sound_was_heard_is_never_made() -> None:
    async def work() -> None:
        async with server(scripted()) as port, connected(port) as client:
            await client.update(audio={"input": {"turn_detection": None}})
            await client.say(question(), pace=20)
            await client.send("input_audio_buffer.commit")
            await client.send("response.create")
            await client.send("response.cancel")
            assert (await client.until("response.done"))["response"]["status"] == "cancelled"
            await asyncio.sleep(1.0)
            await typed(client, "again")
            await client.send("response.create")
            done = (await client.until("response.done"))["response"]
            assert done["status"] == "completed"
            assert len(client.all("response.done")) == 2
            check(client.events)

    run(work())


def test_an_output_that_never_comes_stops_nothing() -> None:
    async def work() -> None:
        async with server(scripted(replies=[CALL, "Without it then."])) as port, connected(port) as client:
            await client.update(tools=[TOOL], output_modalities=["text"])
            await typed(client, "weather?")
            await client.send("response.create")
            await client.until("response.done")
            await typed(client, "no weather, thanks")
            await client.send("response.create")
            done = (await client.until("response.done"))["response"]
            assert done["status"] == "completed"
            assert done["output"][0]["content"][0]["text"] == "Without it then."
            check(client.events)

    run(work())


def test_after_a_long_silence_the_assistant_speaks_again() -> None:
    async def work() -> None:
        async with server(scripted(replies=["First.", "Still there?"])) as port, connected(port) as client:
            await client.update(audio={"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 1000}}})
            await typed(client, "hello")
            await client.send("response.create")
            await client.until("response.done")
            told = await client.until("input_audio_buffer.timeout_triggered")
            assert (await client.until("input_audio_buffer.committed"))["item_id"] == told["item_id"]
            assert (await client.until("response.done"))["response"]["status"] == "completed"
            check(client.events)

    run(work())


def test_a_response_of_so_many_tokens_and_no_more() -> None:
    async def work() -> None:
        async with server(scripted(replies=[LONG])) as port, connected(port) as client:
            await client.update(output_modalities=["text"])
            await typed(client, "go on")
            await client.send("response.create", response={"max_output_tokens": 3})
            done = (await client.until("response.done"))["response"]
            assert (done["status"], done["status_details"]["reason"]) == ("incomplete", "max_output_tokens")
            assert done["output"][0]["content"][0]["text"] == "One two three"
            check(client.events)

    run(work())


def test_a_session_ends_in_time_and_a_broken_engine_is_told() -> None:
    def broken(_messages: Any) -> str:
        raise RuntimeError("the model fell over")

    async def work() -> None:
        limits = Limits(session_seconds=4.0)
        async with server(scripted(replies=broken), limits=limits) as port, connected(port) as client:
            await client.until("session.created")
            await typed(client, "hello")
            await client.send("response.create")
            done = (await client.until("response.done"))["response"]
            assert done["status"] == "failed"
            assert done["status_details"]["error"]["message"]
            assert (await client.until("error"))["error"]["code"] == "session_expired"
            with pytest.raises(ConnectionError):
                await client.next()
            assert client.socket.close_code == 1001
            check(client.events)

    run(work())


def test_a_client_that_leaves_gives_its_seat_back() -> None:
    async def work() -> None:
        async with server(scripted(replies=[LONG]), limits=Limits(sessions=1)) as port:
            for _ in range(3):
                async with connected(port) as client:
                    await client.until("session.created")
                    await typed(client, "hello")
                    await client.send("response.create")
                    await client.until("response.created")
                for _attempt in range(100):
                    async with connected(port) as again:
                        if (await again.next())["type"] == "session.created":
                            break
                    await asyncio.sleep(0.05)
                else:
                    raise AssertionError("the seat is not given back")
                await again.socket.close()
                await asyncio.sleep(0.3)

    run(work())


def test_a_client_that_never_reads_is_closed_and_its_seat_is_free() -> None:
    async def work() -> None:
        async with server(scripted(), limits=Limits(sessions=1)) as port, connected(port) as deaf:
            await deaf.until("session.created")
            text = {"type": "input_text", "text": "x" * 90_000}
            item = {"id": "large", "type": "message", "role": "user", "content": [text]}
            await deaf.send("conversation.item.create", item=item)
            await deaf.until("conversation.item.done")
            for _ in range(900):  # 80 MB, of which the network and the server together keep some
                await deaf.send("conversation.item.retrieve", item_id="large")
            for _ in range(200):
                async with connected(port) as other:
                    if (await other.next())["type"] == "session.created":
                        break
                await asyncio.sleep(0.1)
            else:
                raise AssertionError("it still has its seat")

    run(work())


def test_with_the_engines_of_the_installation() -> None:
    """Nothing is scripted: pocketsphinx understands the recording, the built-in responder answers, espeak-ng speaks."""
    pytest.importorskip("pocketsphinx", reason="no recogniser is installed here")

    async def work() -> None:
        async with server(stt="pocketsphinx", llm="built-in", tts="espeak-ng") as port, connected(port) as client:
            await client.update(audio={"input": {"transcription": {"model": "any"}}})
            talking = asyncio.create_task(client.say(np.concatenate([question(1), PAUSE, PAUSE])))
            done = (await client.until("response.done"))["response"]
            talking.cancel()
            heard = client.all("conversation.item.input_audio_transcription.completed")[0]["transcript"]
            assert "twelve" in heard or "times" in heard or "seven" in heard
            assert done["status"] == "completed"
            assert done["output"][0]["content"][0]["transcript"]
            assert len(client.sound()) > RATE
            check(client.events)

    run(work())


def test_frames_that_are_no_text_count_and_end_the_connection() -> None:
    async def work() -> None:
        async with server(scripted([], [LONG])) as port, connected(port) as client:
            await client.until("session.created")
            for _ in range(150):
                await client.socket.send_bytes(b"\0" * 64)
            with pytest.raises(ConnectionError):
                await client.until("session.updated")
            errors = [one for one in client.events if one["type"] == "error"]
            assert len(errors) <= 100

    run(work())


def test_the_items_of_a_conversation_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("locara.server.realtime_items.MOST_CHARACTERS", 1_000)

    async def work() -> None:
        async with server(scripted([], [LONG])) as port, connected(port) as client:
            await typed(client, "x" * 600)
            content = [{"type": "input_text", "text": "y" * 600}]
            await client.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
            refused = await client.until("error")
            assert refused["error"]["param"] == "item"

    run(work())
