"""``POST /v1/audio/transcriptions``, over a real connection."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from aiohttp import ClientSession, FormData
from tests.server.rest_server import Telling, serving, tones, wav

from locara.audio import RATE
from locara.server.settings import Limits

URL = "/v1/audio/transcriptions"


async def asked(client: ClientSession, data: bytes | AsyncIterator[bytes], **fields: Any) -> tuple[int, str, Any]:
    """(status, content type, body)."""
    form = FormData()
    form.add_field("file", io.BytesIO(data) if isinstance(data, bytes) else data, filename="some.wav")
    for name, value in {"model": "whisper-1", **fields}.items():
        for one in value if isinstance(value, list) else [value]:
            form.add_field(name.replace("granularities", "granularities[]"), one)
    async with client.post(URL, data=form) as response:
        text = await response.text()
        return response.status, response.content_type, json.loads(text) if "json" in response.content_type else text


def one(data: bytes, limits: Limits | None = None, stt: Any = None, **fields: Any) -> tuple[int, str, Any]:
    async def go() -> tuple[int, str, Any]:
        async with serving(limits, **({"stt": stt} if stt else {})) as client:
            return await asked(client, data, **fields)

    return asyncio.run(go())


TWO = wav(tones(1.0, 2.0))


def test_json_has_the_words_of_all_utterances_and_the_length() -> None:
    status, kind, told = one(TWO)
    assert (status, kind) == (200, "application/json")
    assert told["text"].split(" about ") == ["about 2.0", "3.0"]  # each with the pause that ended it
    assert told["usage"] == {"type": "duration", "seconds": pytest.approx(6.6, abs=0.01)}


def test_a_recording_of_another_rate_is_as_long() -> None:
    _, _, told = one(wav(tones(1.0, rate=44_100), 44_100))
    assert told["usage"]["seconds"] == pytest.approx(3.4, abs=0.01)
    assert told["text"] == "about 2.0"


@pytest.mark.parametrize(("form", "kind"), [("text", "text/plain"), ("srt", "text/plain"), ("vtt", "text/vtt")])
def test_other_forms_are_plain_text(form: str, kind: str) -> None:
    status, given, text = one(TWO, response_format=form)
    assert (status, given) == (200, kind)
    assert text.count("about") == 2
    assert ("-->" in text) == (form != "text")


def test_verbose_json_has_segments_and_where_asked_words_on_the_clock_of_the_recording() -> None:
    _, _, told = one(
        TWO, stt=Telling(word_times=True), response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    first, second = told["segments"]
    assert first["start"] == pytest.approx(0.92, abs=0.05)
    assert second["start"] == pytest.approx(3.12, abs=0.05)
    assert [word["word"] for word in told["words"]] == ["about", "2.0", "about", "3.0"]
    assert told["words"][2]["start"] == pytest.approx(second["start"] + 0.3, abs=0.002)
    assert told["duration"] == pytest.approx(6.6, abs=0.01)


def test_words_of_a_model_without_times_are_refused_with_what_works() -> None:
    status, _, told = one(TWO, response_format="verbose_json", timestamp_granularities="word")
    assert status == 400
    assert told["error"]["param"] == "timestamp_granularities"
    assert "segments" in told["error"]["message"]


def test_a_stream_sends_each_utterance_when_it_is_settled_and_the_whole_at_the_end() -> None:
    status, kind, text = one(TWO, stream="true")
    assert (status, kind) == (200, "text/event-stream")
    events = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line]
    assert [event["type"] for event in events] == ["transcript.text.delta"] * 2 + ["transcript.text.done"]
    assert "".join(event["delta"] for event in events[:2]) == events[2]["text"] == "about 2.0 about 3.0"


def test_silence_has_no_words() -> None:
    status, _, told = one(wav(np.zeros(2 * RATE, np.float32)))
    assert (status, told["text"]) == (200, "")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"hello", "no format"),
        (b"\x1aE\xdf\xa3" + bytes(100), "WebM"),
        (b"\0\0\0\x20ftypM4A " + bytes(100), "M4A"),
        (b"OggS" + bytes(24) + b"OpusHead" + bytes(80), "Opus"),
        (b"fLaC" + bytes(200), "FLAC cannot be decoded"),
        (b"RIFF\0\0\0\0WAVEfmt ", "ends before its data"),
        (wav(np.zeros(100, np.float32)), "0.1 are the least"),
    ],
)
def test_what_is_no_recording_is_refused_with_what_it_is(data: bytes, said: str) -> None:
    status, kind, told = one(data)
    assert (status, kind) == (400, "application/json")
    assert said in told["error"]["message"]
    assert told["error"]["param"] == "file"


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"response_format": "diarized_json"}, 400, "response_format"),
        ({"timestamp_granularities": "word"}, 400, "response_format"),
        ({"response_format": "verbose_json", "timestamp_granularities": "letter"}, 400, "timestamp_granularities"),
        ({"stream": "perhaps"}, 400, "stream"),
        ({"stream": "true", "response_format": "srt"}, 400, "response_format"),
        ({"temperature": "hot"}, 400, "temperature"),
        ({"language": "../etc"}, 400, "language"),
        ({"model": ""}, 400, "model"),
        ({"model": "gpt-9"}, 404, "model"),
        ({"model": "../../secret"}, 404, "model"),
        ({"model": "http://127.0.0.1:1/v1"}, 404, "model"),
        ({"model": "espeak-ng"}, 400, "model"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, str], status: int, param: str) -> None:
    async def go() -> tuple[int, str, Any]:
        async with serving() as client:
            return await asked(client, TWO, **fields)

    got, _, told = asyncio.run(go())
    assert (got, told["error"]["param"]) == (status, param)
    assert (told["error"]["code"] == "model_not_found") == (status == 404)


def test_a_file_beyond_the_limit_is_413_also_where_no_length_was_said() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield bytes(64 << 10)

    async def go() -> list[tuple[int, str]]:
        got = []
        async with serving(Limits(upload_bytes=1 << 20)) as client:
            for data in (bytes(5 << 20), pieces()):
                status, _, told = await asked(client, data)
                got.append((status, told["error"]["message"]))
            assert (await asked(client, TWO))[0] == 200  # it goes on serving
        return got

    for status, message in asyncio.run(go()):
        assert status == 413
        assert "1 MiB" in message


def test_an_upload_that_stands_still_is_given_up() -> None:
    async def never() -> AsyncIterator[bytes]:
        yield b"RIFF"
        await asyncio.sleep(60)

    async def go() -> int:
        async with serving(Limits(body_seconds=0.2)) as client:
            status, _, _ = await asked(client, never())
            return status

    assert asyncio.run(go()) == 408


def test_an_engine_that_fails_is_a_500_with_its_own_words_and_serves_again() -> None:
    async def go() -> tuple[int, Any, int]:
        stt = Telling(fault="raises")
        async with serving(stt=stt) as client:
            status, _, told = await asked(client, TWO)
            stt.fault = ""
            return status, told, (await asked(client, TWO))[0]

    status, told, after = asyncio.run(go())
    assert (status, after) == (500, 200)
    assert told["error"]["code"] == "engine-failed"
    assert "tell it again" in told["error"]["message"]


def test_a_failure_within_a_stream_is_an_event() -> None:
    async def go() -> str:
        async with serving(stt=Telling(fault="raises", good=1)) as client:
            return str((await asked(client, TWO, stream="1"))[2])

    first, second = [json.loads(line.removeprefix("data: ")) for line in asyncio.run(go()).splitlines() if line]
    assert first == {"type": "transcript.text.delta", "delta": "about 2.0"}
    assert second["error"]["code"] == "engine-failed"


def test_a_client_that_leaves_takes_its_work_with_it() -> None:
    async def go() -> tuple[int, int]:
        stt = Telling(fault="hangs")
        async with serving(stt=stt) as client:
            waiting = asyncio.create_task(asked(client, TWO))
            async with asyncio.timeout(20):
                await stt.begins.wait()
                waiting.cancel()
                await stt.ends.wait()
            stt.fault = ""
            return stt.closed, (await asked(client, TWO))[0]

    closed, after = asyncio.run(go())
    assert closed == 1
    assert after == 200


def test_fields_that_change_nothing_are_named_in_a_header() -> None:
    async def go() -> str | None:
        async with serving() as client:
            form = FormData({"model": "default", "prompt": "Locara", "temperature": "0"})
            form.add_field("file", TWO, filename="a.wav")
            async with client.post(URL, data=form) as response:
                return response.headers.get("Locara-Unused")

    assert asyncio.run(go()) == "prompt, temperature"
