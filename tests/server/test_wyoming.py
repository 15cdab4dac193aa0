"""The Wyoming services over real connections, with frames of our own; the stock client is in `test_rest_clients`."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.server.rest_server import Telling, tones

from locara.audio import pcm16
from locara.errors import ConfigError
from locara.server import wyoming, wyoming_session, wyoming_wire
from locara.server.runtime import Runtime
from locara.server.seats import Seats
from locara.server.settings import Settings
from locara.server.wyoming_wire import Event, encoded
from locara.testing import EnergyDetector, ScriptedVoice

FORM = {"rate": 16_000, "width": 2, "channels": 1}
SOUND = pcm16(tones(0.8, 0.8))


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, kind: str, payload: bytes = b"", **data: Any) -> None:
        self.writer.write(encoded(Event(kind, data, payload)))
        await self.writer.drain()

    async def hear(self) -> Event | None:
        line = await asyncio.wait_for(self.reader.readline(), 20)
        if not line:
            return None
        head = wyoming_wire.head(line)
        return wyoming_wire.event(
            head, await self.reader.readexactly(head.data_length), await self.reader.readexactly(head.payload_length)
        )

    async def until(self, *last: str) -> list[Event]:
        got: list[Event] = []
        while (told := await self.hear()) is not None:
            got.append(told)
            if told.type in last:
                break
        return got

    async def record(self, sound: bytes = SOUND) -> None:
        await self.say("audio-start", **FORM)
        for at in range(0, len(sound), 2048):
            await self.say("audio-chunk", sound[at : at + 2048], **FORM)
        await self.say("audio-stop")


@asynccontextmanager
async def connected(**stages: Any) -> AsyncIterator[tuple[Callable[[], Awaitable[Client]], wyoming.Wyoming]]:
    given = {"stt": Telling(), "tts": ScriptedVoice(first_chunk=0.01, speed=1000), "vad": EnergyDetector(), **stages}
    settings = Settings(token="", stages=given, wyoming_port=0)
    seats = Seats(settings)
    nobody: Any = None
    services = await wyoming.start(Runtime(settings, seats, nobody, nobody, nobody))
    open_ones: list[Client] = []

    async def connect() -> Client:
        open_ones.append(Client(*await asyncio.open_connection("127.0.0.1", services.port)))
        return open_ones[-1]

    try:
        yield connect, services
    finally:
        for client in open_ones:
            client.writer.close()
        await services.close()
        await seats.close()


def talk(what: Callable[[Client], Awaitable[Any]], **stages: Any) -> Any:
    """What ``what`` gives back; afterwards the server must still serve another client."""

    async def go() -> Any:
        async with connected(**stages) as (connect, _):
            got = await what(await connect())
            other = await connect()
            await other.say("ping", text="still there?")
            pong = await other.hear()
            assert pong is not None
            assert pong.type == "pong"
            return got

    return asyncio.run(go())


def test_a_transcript_comes_in_pieces_and_then_whole() -> None:
    async def go(client: Client) -> list[Event]:
        await client.say("transcribe", language="en")
        await client.record()
        return await client.until("transcript-stop", "error")

    got = talk(go)
    assert [one.type for one in got] == [
        "transcript-start", "transcript-chunk", "transcript-chunk", "transcript", "transcript-stop",
    ]  # fmt: skip
    assert got[1].data["text"] + got[2].data["text"] == got[3].data["text"] == "about 1.8 about 1.8"


def test_the_first_words_come_while_the_rest_is_still_being_said() -> None:
    async def go(client: Client) -> str:
        await client.say("audio-start", **FORM)
        for at in range(0, len(SOUND) * 2 // 3, 2048):
            await client.say("audio-chunk", SOUND[at : at + 2048], **FORM)
        return str((await client.until("transcript-chunk"))[-1].data["text"])

    assert talk(go) == "about 1.8"


def test_sound_without_a_beginning_and_in_another_form_is_understood() -> None:
    async def go(client: Client) -> str:
        sound = tones(1.0, rate=48_000)
        stereo = (sound.repeat(2) * 2147483647 * 0.9).astype("<i4").tobytes()
        form = {"rate": 48_000, "width": 4, "channels": 2}
        for at in range(0, len(stereo), 65536):
            await client.say("audio-chunk", stereo[at : at + 65536], **form)
        await client.say("audio-stop")
        return str((await client.until("transcript"))[-1].data["text"])

    assert talk(go) == "about 2.0"


def test_speech_comes_as_sound_and_its_end() -> None:
    async def go(client: Client) -> list[Event]:
        await client.say("synthesize", text="Good morning.", voice={"name": "default"})
        return await client.until("audio-stop", "error")

    got = talk(go)
    assert [got[0].type, got[1].type, got[-1].type] == ["audio-start", "audio-chunk", "audio-stop"]
    assert sum(len(one.payload) for one in got) / 2 / 24_000 == pytest.approx(13 / 15, abs=0.1)


def test_in_a_stream_the_text_is_spoken_while_it_comes_and_once() -> None:
    tts = ScriptedVoice(first_chunk=0.01, speed=1000)

    async def go(client: Client) -> list[Event]:
        await client.say("synthesize-start")
        await client.say("synthesize-chunk", text="Good morning to you. It ")
        first = await client.until("audio-chunk")  # before the end is known
        await client.say("synthesize-chunk", text="is nine.")
        await client.say("synthesize", text="Good morning to you. It is nine.")
        await client.say("synthesize-stop")
        return [*first, *await client.until("synthesize-stopped")]

    got = talk(go, tts=tts)
    assert [one.type for one in got if one.type != "audio-chunk"] == ["audio-start", "audio-stop", "synthesize-stopped"]
    assert " ".join(" ".join(tts.spoken).split()) == "Good morning to you. It is nine."


def test_describe_names_what_runs_here() -> None:
    async def go(client: Client) -> Event | None:
        await client.say("describe")
        return await client.hear()

    told = talk(go)
    assert told.type == "info"
    assert "pocketsphinx-en-us" in [model["name"] for model in told.data["asr"][0]["models"]]
    assert told.data["tts"][0]["supports_synthesize_streaming"] is True


@pytest.mark.parametrize(
    "event",
    [
        Event("synthesize", {"text": "x", "voice": {"name": "nobody"}}),
        Event("synthesize", {"text": 7}),
        Event("synthesize", {"text": "x", "voice": 7}),
        Event("synthesize"),
        Event("synthesize-chunk", {"text": "x"}),
        Event("audio-start", {"rate": 1, "width": 2, "channels": 1}),
        Event("audio-chunk", {"rate": 16_000, "width": 3, "channels": 1}, b"123"),
        Event("audio-chunk", {"rate": True, "width": 2, "channels": 1}, b"12"),
        Event("transcribe", {"language": [1]}),
    ],
)
def test_what_cannot_be_is_an_error_and_the_connection_goes_on(event: Event) -> None:
    async def go(client: Client) -> list[str]:
        client.writer.write(encoded(event))
        first = await client.hear()
        await client.say("ping")
        second = await client.hear()
        assert first is not None
        assert second is not None
        return [first.type, second.type]

    assert talk(go) == ["error", "pong"]


@pytest.mark.parametrize(
    "raw",
    [
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + encoded(Event("describe")),
        b"[]\n" + encoded(Event("describe")),
        b"{}\n" + encoded(Event("describe")),
        b'{"type": "describe", "data": []}\n',
        b'{"type": "audio-chunk", "payload_length": 99999999999}\n',
        b'{"type": "audio-chunk", "data_length": -1}\n',
        b'{"type": "describe", "data_length": 3}\nabc' + encoded(Event("describe")),
        b"x" * 200_000,
        b"[" * 60_000 + b"\n",
        b"\xff\xfe\n",
    ],
)
def test_what_is_no_frame_ends_the_connection(raw: bytes) -> None:
    async def go(client: Client) -> list[str]:
        client.writer.write(raw)
        try:
            return [one.type for one in await client.until()]
        except ConnectionError:  # reset: it was closed with our bytes still unread
            return []

    assert talk(go) in ([], ["error"])


def test_a_silent_and_a_dripping_client_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wyoming_session, "IDLE_SECONDS", 0.2)
    monkeypatch.setattr(wyoming_session, "FRAME_SECONDS", 0.2)

    async def go() -> list[bool]:
        async with connected() as (connect, _):
            silent, dripping, recording = await connect(), await connect(), await connect()
            dripping.writer.write(b'{"type": "audio-chunk", "payload_length": 100}\n12')
            await recording.say("audio-start", **FORM)
            last = [await client.until() for client in (silent, dripping, recording)]
            return [bool(got) and got[-1].type == "error" for got in last]

    assert asyncio.run(go()) == [False, True, False]  # all ended, and the one with half a frame was told why


def test_a_client_that_leaves_takes_its_work_with_it() -> None:
    stt = Telling(fault="hangs")

    async def go() -> None:
        async with connected(stt=stt) as (connect, _):
            client = await connect()
            await client.record()
            await asyncio.wait_for(stt.begins.wait(), 20)
            client.writer.close()
            await asyncio.wait_for(stt.ends.wait(), 20)

    asyncio.run(go())


def test_an_engine_that_fails_is_an_error_and_the_next_recording_is_heard() -> None:
    async def go(client: Client) -> list[str]:
        await client.record()
        first = await client.until("transcript", "error")
        await client.record()
        return [first[-1].type, (await client.until("transcript", "error"))[-1].type]

    assert talk(go, stt=Telling(fault="raises")) == ["error", "error"]


def test_a_second_job_waits_for_the_first_and_ends_what_was_left_open() -> None:
    async def go(client: Client) -> list[str]:
        await client.say("audio-start", **FORM)
        await client.say("audio-chunk", SOUND, **FORM)
        await client.say("synthesize", text="Good morning.")
        return [one.type for one in await client.until("audio-stop") if one.type != "audio-chunk"]

    got = talk(go)
    assert got[-2:] == ["audio-start", "audio-stop"]
    assert "transcript" in got


def test_connections_beyond_the_limit_are_closed_and_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wyoming, "CONNECTIONS", 2)

    async def go() -> tuple[str, bool]:
        async with connected() as (connect, _):
            first, second = await connect(), await connect()
            await first.say("ping")
            await second.say("ping")
            assert (await second.hear()) is not None
            third = await connect()
            try:
                refused = not await asyncio.wait_for(third.reader.read(1), 20)
            except ConnectionError:
                refused = True
            told = await first.hear()
            return (told.type if told else ""), refused

    assert asyncio.run(go()) == ("pong", True)


def test_closing_ends_what_runs_and_leaves_no_task() -> None:
    async def go() -> list[str]:
        async with connected(stt=Telling(fault="hangs")) as (connect, services):
            client = await connect()
            await client.record()
            await asyncio.sleep(0.1)
            await services.close()
            await services.close()
        await asyncio.sleep(0.05)
        return [task.get_name() for task in asyncio.all_tasks() if "wyoming" in task.get_name()]

    assert asyncio.run(go()) == []


def test_a_port_that_is_taken_is_told_with_a_way_out() -> None:
    async def go() -> None:
        async with connected() as (_, services):
            settings = Settings(token="", wyoming_port=services.port)
            nobody: Any = None
            with pytest.raises(ConfigError, match="cannot listen") as refused:
                await wyoming.start(Runtime(settings, Seats(settings), nobody, nobody, nobody))
            assert "--wyoming-port" in refused.value.hint

    asyncio.run(go())


@given(
    st.text(min_size=1, max_size=20),
    st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=20) | st.none(), max_size=4),
    st.binary(max_size=100),
)
def test_frames_come_back_as_they_were(kind: str, data: dict[str, Any], payload: bytes) -> None:
    raw = encoded(Event(kind, data, payload))
    line, _, rest = raw.partition(b"\n")
    head = wyoming_wire.head(line)
    assert wyoming_wire.event(head, rest[: head.data_length], rest[head.data_length :]) == Event(kind, data, payload)
    assert head.payload_length == len(payload)


@given(
    st.binary(max_size=300)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_any_line_is_a_head_or_an_error(line: bytes) -> None:
    try:
        head = wyoming_wire.head(line)
    except ConfigError:
        return
    assert 0 <= head.data_length <= wyoming_wire.DATA_BYTES
    assert 0 <= head.payload_length <= wyoming_wire.PAYLOAD_BYTES


def test_broken_frames_of_all_kinds_never_stop_the_server() -> None:
    source = random.Random(3)
    frames = [encoded(Event("audio-start", FORM)), encoded(Event("audio-chunk", FORM, SOUND[:2000]))]
    frames += [encoded(Event("synthesize", {"text": "One."})), encoded(Event("audio-stop")), encoded(Event("describe"))]

    async def go() -> str:
        async with connected() as (connect, _):
            for _ in range(60):
                raw = bytearray(b"".join(source.choices(frames, k=3)))
                for _ in range(source.randint(1, 8)):
                    raw[source.randrange(len(raw))] = source.randrange(256)
                client = await connect()
                client.writer.write(bytes(raw))
                if source.random() < 0.5:
                    client.writer.close()
            last = await connect()
            await last.say("ping")
            told = await last.hear()
            return told.type if told else ""

    assert asyncio.run(go()) == "pong"
